"""The command `v05`."""

import argparse
import json
import sys
from importlib.metadata import PackageNotFoundError, version

import v05

from .demo.command import add_command as add_demo
from .prior_evaluation.command import add_command as add_priors
from .progress import progress_bar
from .v0 import add_command as add_v0

DEPENDENCIES = ("numpy", "scikit-learn", "torch", "transformers", "tabpfn", "trl", "verl", "rich", "matplotlib", "pyarrow")


def main(arguments=None):
    """Run the command and return its exit status: 0, or 2 for an error that it has told."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except v05.Error as error:
        print(f"v05: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of standard output, such as head, has seen enough
        sys.stderr.close()
    return 0


def run_replay(options):
    """`v05 replay`: read a log, print what V_0.5 would have done, and draw it on request."""
    from .replay import replay
    from .replay.plot import check_picture, draw_report
    from .replay.tables import check_tables, print_report

    if not options.json:
        check_tables()
    if options.out:
        check_picture(options.out)
    given = {name: value for name, value in vars(options).items() if name not in ("run", "json", "out", "log")}
    with progress_bar() as progress:
        report = replay(options.log, progress=progress, **given)
    if options.json:
        print(json.dumps(report.as_dict(), indent=2, allow_nan=False))
    else:
        print_report(report)
    if options.out:
        draw_report(report, options.out)
        print(f"picture: {options.out}", file=sys.stderr)


def run_info(options):
    """`v05 info`: what is installed, for people and for bug reports."""
    rows = {
        "v05": v05.__version__,
        "library": v05.library_path(),
        "ABI": v05.abi_version(),
        "build mode": v05.build_mode(),
        "python": sys.version.split()[0],
    }
    rows |= {name: _version(name) for name in DEPENDENCIES}
    for name, value in rows.items():
        print(f"{name:<11} {value}")
    if options.verl:
        from .verl_check import print_verl_report

        print_verl_report()


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "not found"


def _parser():
    parser = argparse.ArgumentParser(prog="v05", description="V_0.5 baselines for reinforcement learning.")
    parser.add_argument("--version", action="version", version=f"v05 {v05.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_demo(commands)
    _add_replay(commands)
    add_priors(commands)
    add_v0(commands)
    info = commands.add_parser("info", help="print versions, the library's path and build mode, dependencies found")
    info.add_argument("--verl", action="store_true", help='check whether the plug-in "v05" is registered in verl')
    info.set_defaults(run=run_info)
    return parser


def _add_replay(commands):
    replay = commands.add_parser(
        "replay",
        help="what V_0.5 would have done to the baselines of a training run",
        description="Reads the rollout log of a training run in time order and reports the error of the baselines "
        "that V_0.5 would have used, against the group mean.",
        epilog="Formats, recognised by content: JSON lines or CSV with prompt, reward and optionally step and prior; "
        "JSON lines with prompt, rollouts, successes; verl's trainer.rollout_data_dir; TRL's log_completions "
        "(parquet, extra v05[parquet]); any text also with gzip.",
    )
    replay.add_argument("log", nargs="?", metavar="LOG", help="file or directory (default: the log that v05 ships)")
    replay.add_argument("--out", metavar="FILE", help="draw the report into this .png, .pdf or .svg")
    replay.add_argument("--json", action="store_true", help="print the report as JSON; needs no extra package")

    def add(name, **details):  # an argument of `v05.commands.replay.replay`, which has the default
        replay.add_argument(name, default=argparse.SUPPRESS, **details)

    add("--rollouts", nargs="+", type=int, metavar="N", help="rollouts per visit to estimate with (default: 1 2 4 ...)")
    add("--reward-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="range of the rewards (default: detected)")
    add("--reward", nargs="+", metavar="FIELD", help="field of the reward, or several to add up")
    add("--prior", choices=("auto", "logged", "history"), help="default: logged if the log has priors, else history")
    add("--discount", type=float, metavar="D", help="what an earlier visit still counts at each new one (default: 0.8)")
    add("--full-history", action="store_true", help="the history knows all recorded rollouts of earlier visits")
    add("--only-visits", nargs=2, type=int, metavar=("FIRST", "LAST"), help="use only these visits of each prompt")
    add("--splits", type=int, metavar="N", help="random splits of each visit (default: 8)")
    add("--seed", type=int, metavar="N", help="of the splits and the intervals (default: 0)")
    replay.set_defaults(run=run_replay)
