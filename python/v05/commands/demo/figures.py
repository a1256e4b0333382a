"""The file of figures that `v05 demo --json` writes and `--resume` goes on from."""

import json
import os
from dataclasses import asdict
from math import isfinite, nan
from pathlib import Path

from ...errors import InvalidArgument
from .curve import Point, Regime, Run


class Figures:
    """Every run of a study, kept in a file from the first one on.

    path: None: nothing is written.
    resume: begin with the runs that the file holds; it must be of the same setting.
    """

    def __init__(self, path, setting, resume):
        self.path = path and Path(path)
        self.setting = json.loads(json.dumps(asdict(setting)))
        self.runs = self._read() if resume else []

    def add(self, run):
        self.runs.append(run)
        self.write()

    def write(self, reports=()):
        if self.path is None:
            return
        found = {
            "setting": self.setting,
            "arms": [row.as_dict() for row in reports],
            "runs": [asdict(run) for run in self.runs],
        }
        text = json.dumps(_unknown_as_null(found), indent=1, allow_nan=False)
        unfinished = self.path.with_name(self.path.name + ".new")  # an interrupted write leaves the file as it was
        unfinished.write_text(text)
        os.replace(unfinished, self.path)

    def _read(self):
        if self.path is None:
            raise InvalidArgument("resume must come with json, the file to go on from")
        if not self.path.exists():
            return []
        try:
            found = json.loads(self.path.read_bytes())
            setting, runs = found["setting"], [_run(run) for run in found["runs"]]
            differing = [name for name, value in self.setting.items() if setting.get(name) != value]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidArgument(
                f"json must be a file that v05 demo --json wrote, got {self.path}: {type(error).__name__}: {error}"
            ) from error
        if setting != self.setting:
            raise InvalidArgument(f"resume must go on with the setting of {self.path}: {', '.join(differing)} differ")
        return runs


def _run(found):
    points = [Point(**_null_as_unknown(point)) for point in found["points"]]
    regime = found["regime"] and Regime(**_null_as_unknown(found["regime"]))
    return Run(**found | {"points": points, "regime": regime})


def _null_as_unknown(found):
    return {name: nan if value is None else value for name, value in found.items()}


def _unknown_as_null(found):
    """JSON knows no NaN and no infinity."""
    if isinstance(found, dict):
        return {name: _unknown_as_null(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_unknown_as_null(value) for value in found]
    return None if isinstance(found, float) and not isfinite(found) else found
