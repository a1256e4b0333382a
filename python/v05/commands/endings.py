"""How a command ends that cannot go on: one line with what to do on standard error, and an exit status."""

import errno
import os
import sys
import traceback
from pathlib import Path

import v05

from .logs.errors import LogError, UnreadableLog
from .printable import printable

BAD_DATA, FAILED, INTERRUPTED = 1, 2, 130
CURES = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
    errno.EACCES: "check the permissions of the path",
    errno.EPERM: "check the permissions of the path",
    errno.EROFS: "give a path that can be written",
    errno.ENOENT: "check the path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def ending(error):
    """(message, exit status) of what ended a command."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, (LogError, v05.CheckpointError)):
        return str(error), FAILED if isinstance(error, UnreadableLog) else BAD_DATA
    if isinstance(error, v05.Error):
        return str(error), FAILED
    if isinstance(error, MemoryError):
        return "the memory is not enough for this; take less data or a machine with more memory", FAILED
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which need not be there
        return f"{error}; the memory of the device is not enough: lower batch size or length", FAILED
    if isinstance(error, RecursionError):
        return "the data is nested too deep to be read; flatten it", BAD_DATA
    if isinstance(error, OSError) and error.errno is None:  # a library's own, such as a model that is not found
        return str(error), FAILED
    if isinstance(error, OSError):
        where = "standard output" if error.filename is None else error.filename
        cure = CURES.get(error.errno, "check the path and the device")
        return f"{where}: {error.strerror or error}; {cure}", FAILED
    return (
        f"{type(error).__name__}{place(error)}: {error}; a fault of v05: report it with the output of v05 info",
        FAILED,
    )


def tell(message):
    """Prints one line to standard error, if there is one that can be written."""
    try:
        print(f"v05: {printable(message)}", file=sys.stderr or open(os.devnull, "w"))
    except OSError:
        pass


def settle_output():
    """Writes what is still to be written to standard output; where that fails it goes nowhere, so that the end of the
    process does not fail on it again."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def place(error):
    """Where an error was raised, for a message; empty where that is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
