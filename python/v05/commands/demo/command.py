"""`v05 demo`."""

import os
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from math import inf

from ..._core.files import local_path
from ...errors import InvalidArgument, MissingExtra
from ..outputs import check_output
from .arms import ARMS, QUICK, find_arms
from .figures import Figures
from .setting import REGIMES, full_setting
from .study import run_study

NEEDED = ("torch", "transformers", "trl", "datasets", "accelerate", "reasoning_gym", "rich", "matplotlib", "scipy")
FULL_RATES = (5e-5, 1e-4, 2e-4, 4e-4, 8e-4)
FIRST_TUNING_SEED = 100


def add_command(commands):
    """Adds `v05 demo`."""
    demo = commands.add_parser(
        "demo",
        help="train a small transformer with TRL, with V_0.5 and without, and compare",
        description="Trains a small transformer, made on the spot, on arithmetic questions of reasoning-gym: TRL's "
        "GRPOTrainer as released against V_0.5 with fewer rollouts per prompt, at an equal total of rollouts. Prints "
        "tables and draws a picture. The quick setting takes 8 to 15 minutes on 2 cores; nothing is downloaded.",
    )
    size = demo.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const="quick", dest="size", help="3 seeds (default)")
    size.add_argument(
        "--full",
        action="store_const",
        const="full",
        dest="size",
        help="8 seeds, 4 times as many rollouts and learning rates tried on other seeds: hours",
    )
    demo.set_defaults(size="quick", run=run_demo)
    demo.add_argument(
        "--regime",
        choices=tuple(REGIMES),
        default="short",
        help="short: the answer is a number (default); long: worked out in words, most of which decide nothing; "
        "mostly-solved: the easier of these, most of them right from the start",
    )
    demo.add_argument(
        "--arms",
        nargs="+",
        metavar="ARM",
        help=f"of {', '.join(arm.name for arm in ARMS)} (default: {', '.join(QUICK)}; with --full all)",
    )
    demo.add_argument("--seeds", type=int, metavar="N", help="0 to N - 1")
    demo.add_argument(
        "--learning-rates",
        nargs="+",
        type=float,
        metavar="RATE",
        help="of several every arm takes the one with the best mean accuracy over the run on the tuning "
        "seeds (default: one chosen before for the arm; with --full "
        f"{', '.join(f'{rate:g}' for rate in FULL_RATES)})",
    )
    demo.add_argument(
        "--tuning-seeds",
        type=int,
        default=4,
        metavar="N",
        help=f"{FIRST_TUNING_SEED} to {FIRST_TUNING_SEED - 1} + N, for learning rates only (default: 4)",
    )
    demo.add_argument("--rollouts", type=int, metavar="N", help="of a run")
    demo.add_argument("--rollouts-a-step", type=int, metavar="N", help="equal for all arms (default: 128)")
    demo.add_argument(
        "--prompts-a-step", type=int, metavar="N", help="equal for all arms, in place of the rollouts a step"
    )
    demo.add_argument(
        "--processes", type=int, metavar="N", help="runs at a time (default: the number of cores, at most 8)"
    )
    demo.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU for --full if there is one"
    )
    demo.add_argument("--out", default="demo.png", metavar="FILE", help="the picture (default: demo.png)")
    demo.add_argument("--json", metavar="FILE", help="write setting, every run and the report, run after run")
    demo.add_argument("--resume", action="store_true", help="go on from the runs that the file of --json holds")
    demo.add_argument(
        "--log",
        metavar="FILE",
        help="instead of all this record the log that `v05 replay` ships (6 minutes on one core)",
    )


def run_demo(options):
    """`v05 demo`: run with live progress, then print tables and draw."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"v05 demo ({', '.join(missing)})", "demo")
    from ..pictures import check_picture

    options.out = check_picture(options.out)
    for name in ("json", "log"):
        if getattr(options, name) is not None:
            setattr(options, name, local_path(getattr(options, name), name))
            check_output(getattr(options, name))
    for name in ("seeds", "tuning_seeds", "rollouts", "rollouts_a_step", "prompts_a_step", "processes"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise InvalidArgument(f"{name} must be at least 1, got {getattr(options, name)}")
    for rate in options.learning_rates or ():
        if not 0 < rate < inf:
            raise InvalidArgument(f"learning_rates must be finite and above 0, got {rate}")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if options.log:
        _record(options.log)
    else:
        _compare(options)


def _record(path):
    from ..progress import progress_bar
    from .experiment import silence
    from .record import record_log

    silence()
    with progress_bar() as progress:
        record_log(path, progress or (lambda *_: None))
    print(f"log: {path}")


def _compare(options):

    from ..tables import new_console
    from .plot import draw_report
    from .report import mean_regime, report_arms
    from .table import print_regime, print_report

    full = options.size == "full"
    arms = find_arms(options.arms or (QUICK if not full else [arm.name for arm in ARMS]))
    sizes = {name: getattr(options, name) for name in ("rollouts", "rollouts_a_step", "prompts_a_step")}
    setting = REGIMES[options.regime]
    setting = replace(full_setting(setting) if full else setting, **{name: n for name, n in sizes.items() if n})
    setting.check(arms)
    arms = [replace(arm, learning_rate=setting.learning_rate(arm)) for arm in arms]
    console = new_console()
    figures = Figures(options.json, setting, options.resume)
    run = partial(_run, console, setting, _device(options.device, full), options.processes, figures)
    if rates := options.learning_rates or (FULL_RATES if full else None):
        arms = _tuned(console, run, arms, rates, options.tuning_seeds)
    runs = run(arms, range(options.seeds or (8 if full else 3))) if arms else []
    if not runs:
        return
    reports = report_arms(runs, arms)
    # First of all: a reader that goes away, such as head, ends the command at the next line printed.
    draw_report(reports, options.out)
    figures.write(reports)
    print_report(console, reports, setting)
    if regime := mean_regime(runs):
        print_regime(console, regime)
    console.print(f"picture: {options.out}", highlight=False)
    if options.json:
        console.print(f"figures: {options.json}", highlight=False)


def _run(console, setting, device, processes, figures, arms, seeds):
    """The runs of the arms with the seeds, those that the figures lack with live progress."""
    from .progress import live_progress

    wanted = [(arm.name, seed, arm.learning_rate) for seed in seeds for arm in arms]
    known = {(run.arm, run.seed, run.learning_rate) for run in figures.runs}
    jobs = [job for job in wanted if job not in known]
    with live_progress(console, len(jobs) + len({seed for _, seed, _ in jobs})) as progress:
        interrupted = run_study(
            arms,
            seeds,
            setting,
            device=device,
            progress=progress,
            finished=figures.add,
            known=known,
            processes=processes or min(os.cpu_count() or 1, 8, max(len(jobs), 1)),
        )
    if interrupted:
        console.print("[yellow]Interrupted: this is what was done so far.[/yellow]")
    return [run for run in figures.runs if (run.arm, run.seed, run.learning_rate) in set(wanted)]


def _tuned(console, run, arms, rates, seeds):
    """The arms at the best of the rates; none where the user ended the search."""
    from .report import mean_areas
    from .table import print_tuning

    if len(rates) == 1:
        return [replace(arm, learning_rate=rates[0]) for arm in arms]
    tried = [replace(arm, learning_rate=rate) for arm in arms for rate in rates]
    runs = run(tried, range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + seeds))
    if not runs:
        return []
    areas = mean_areas(runs)
    print_tuning(console, arms, areas)
    if len(runs) < len(tried) * seeds:
        return []
    return [replace(arm, learning_rate=max(areas[arm.name], key=areas[arm.name].get)) for arm in arms]


def _device(wanted, full):
    if wanted != "auto":
        return wanted
    if not full:  # its runs are so small that a GPU would only wait
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
