"""`v05 replay` on the command line."""

import argparse

from ..logs.options import add_log_options


def add_command(commands):
    """Adds `v05 replay`."""
    replay = commands.add_parser(
        "replay",
        help="what V_0.5 would have done to the baselines of a training run",
        description="Reads the rollout log of a training run in time order and reports the error of the baselines "
        "that V_0.5 would have used, against the group mean.",
        epilog="Formats are recognised by content: JSON lines, JSON documents, CSV or parquet (extra v05[parquet]) "
        "with prompt, "
        "reward and optionally step and prior, one rollout or one group per row; lines with prompt, rollouts, "
        "successes; what "
        "the rollout logs of TRL, verl, ms-swift, AReaL, prime-rl, open-instruct and evaluation harnesses look like. "
        "Any text also with gzip. docs/logs.md in the source of v05 says which log of which trainer.",
    )
    replay.add_argument(
        "log",
        nargs="?",
        metavar="LOG",
        help="file, directory, or - for standard input (default: the log that v05 ships)",
    )
    replay.add_argument("--out", metavar="FILE", help="draw the report into this .png, .pdf or .svg")
    replay.add_argument("--json", action="store_true", help="print the report as JSON; needs no extra package")

    def add(name, **details):  # an argument of `v05.commands.replay.replay`, which has the default
        replay.add_argument(name, default=argparse.SUPPRESS, **details)

    add("--rollouts", nargs="+", type=int, metavar="N", help="rollouts per visit to estimate with (default: 1 2 4 ...)")
    add("--reward-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="range of the rewards (default: detected)")
    add_log_options(add)
    add("--prior", choices=("auto", "logged", "history"), help="default: logged if the log has priors, else history")
    add("--discount", type=float, metavar="D", help="what an earlier visit still counts at each new one (default: 0.8)")
    add("--full-history", action="store_true", help="the history knows all recorded rollouts of earlier visits")
    add(
        "--only-visits",
        nargs=2,
        type=int,
        metavar=("FIRST", "LAST"),
        help="report on these visits of each prompt; earlier ones are history",
    )
    add("--splits", type=int, metavar="N", help="random splits of each visit (default: 8)")
    add("--seed", type=int, metavar="N", help="of the splits and the intervals (default: 0)")
    replay.set_defaults(run=run_replay)


def run_replay(options):
    """`v05 replay`: read a log, print what V_0.5 would have done, and draw it on request."""
    from ..results import show_result
    from .replay import replay
    from .report_picture import draw_report
    from .report_tables import print_report

    given = {name: value for name, value in vars(options).items() if name not in ("run", "json", "out", "log")}
    inputs = [] if options.log is None else [options.log]
    show_result(
        options, inputs, lambda progress: replay(options.log, progress=progress, **given), print_report, draw_report
    )
