"""Whether an adapter fits the trainer that is installed, found out in a process of its own."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

SECONDS = 300  # a trainer may take minutes to import on a cold disk
MARK = "v05-doctor: "
# A trainer may print, start threads or end the process while it is imported: it does so elsewhere.
CODE = """
import sys
sys.path[:] = [path for path in sys.path if path]  # not the current folder, which a program elsewhere does not have
import importlib, json
missing = []
try:
    importlib.import_module(sys.argv[1])
    for module, attribute in json.loads(sys.argv[2]):
        if not hasattr(importlib.import_module(module), attribute):
            missing.append(f"{module} has no {attribute}")
except BaseException as error:
    missing.append(f"{type(error).__name__}: {error}")
print("\\n" + sys.argv[3] + json.dumps(missing))
"""


class Finding(NamedTuple):
    """What was found of a trainer. version: None where it is not installed; problems: why the adapter does not fit."""

    version: str | None
    problems: tuple


def installed(trainer):
    """The version of a trainer's package, or None."""
    for package in trainer.packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def examine(trainer, find=installed):
    """The `Finding` of a trainer; only one that is installed is imported."""
    found = find(trainer)
    if found is None:
        return Finding(None, ())
    command = [sys.executable, "-c", CODE, trainer.module, json.dumps(trainer.hooks), MARK]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Finding(found, (f"importing {trainer.module} took more than {SECONDS} s",))
    answers = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not answers:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return Finding(found, (f"importing {trainer.module} ended the process with {done.returncode}: {last:.200}",))
    return Finding(found, tuple(json.loads(answers[-1])))
