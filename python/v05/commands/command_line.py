"""The command `v05`."""

import argparse
import re
import sys

import v05

from .demo.command import add_command as add_demo
from .doctor.command import add_command as add_doctor
from .endings import ending, settle_output, tell
from .info import add_command as add_info
from .interrupts import no_interrupt_is_lost
from .noise.command import add_command as add_noise
from .printable import printable
from .prior_evaluation.command import add_command as add_priors
from .replay.command import add_command as add_replay
from .v0 import add_command as add_v0


def main(arguments=None):
    """Run the command and return its exit status: 0, 1 for a log or checkpoint that cannot be used, 2 for anything
    else, 130 after Ctrl-C.

    Whatever goes wrong is told in one line on standard error.
    """
    try:
        try:
            _check_output()
            options = _parser().parse_args(arguments)
            with no_interrupt_is_lost():
                options.run(options)
        finally:
            if sys.stdout:
                sys.stdout.flush()  # a full disk or a reader that has gone shows here at the latest
    except BrokenPipeError:  # the reader of standard output, such as head, has seen enough
        settle_output()
    except (Exception, KeyboardInterrupt) as error:
        message, status = ending(error)
        settle_output()
        tell(message)
        return status
    return 0


def _check_output():
    if sys.stdout is None:
        raise v05.Error("standard output is closed; send it to a file or to /dev/null")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows ASCII only shows "?" for the rest


class _Parser(argparse.ArgumentParser):
    """Tells a wrong option in one line, and takes every negative number for one, -1e3 and -1. too."""

    def __init__(self, *arguments, **others):
        super().__init__(*arguments, **others)
        self._negative_number_matcher = re.compile(r"-(\d|\.\d|inf|nan)")

    def error(self, message):
        self.exit(2, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")

    def _print_message(self, message, file=None):
        file = file or sys.stderr  # argparse would keep silent where the disk is full
        if message and file:
            file.write(message)


def _parser():
    parser = _Parser(prog="v05", description="V_0.5 baselines for reinforcement learning.")
    parser.add_argument("--version", action="version", version=f"v05 {v05.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_demo(commands)
    add_replay(commands)
    add_noise(commands)
    add_priors(commands)
    add_v0(commands)
    add_doctor(commands)
    add_info(commands)
    return parser
