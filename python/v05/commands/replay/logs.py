"""The rollout log of a training run as arrays, whatever trainer wrote it."""

import re
from array import array
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import InvalidArgument
from .errors import LogError, UnreadableLog
from .formats import LogReader

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class RolloutLog:
    """Every scorable rollout of a log in time order. All arrays are (n,)."""

    name: str  # path as the user gave it
    formats: tuple  # what was recognised, in words
    files: tuple  # the paths that were read
    has_steps: bool
    unscorable: int  # rollouts without a reward, left out
    repeated: int  # rollouts that the trainer wrote twice, left out
    prompt: np.ndarray  # int64, numbered from 0 by first appearance
    step: np.ndarray  # float64; without steps in the log: which visit of its prompt
    reward: np.ndarray  # float64, finite
    prior: np.ndarray  # float64, NaN where the log has none
    file: np.ndarray  # int32, index into files
    line: np.ndarray  # int64, from 1
    texts: tuple | None  # of each prompt, by number, where asked for

    def error(self, row, problem):
        """A `LogError` at the place of one rollout."""
        return LogError(self.files[self.file[row]], self.line[row], problem)


def read_log(path, *, reward=(), progress=None, texts=False):
    """Read a log file, or all log files of a directory, into a `RolloutLog`.

    The format is recognised by content, gzip is unpacked on the way, and text is read line
    by line: of each rollout only numbers are kept, and with `texts` those of prompts. `reward` names the fields to add up as
    the reward (default: those of the format). `progress(stage, done, total)` hears of bytes.
    Raises `LogError`, or `MissingExtra` for a parquet file without pyarrow.
    """
    files = _files(Path(path))
    reader = LogReader(reward, progress, sum(file.stat().st_size for file in files))
    codes, kept, unscorable = {}, [], 0
    columns = [array(kind) for kind in "qdddiq"]
    for number, file in enumerate(files):
        for rollout in reader.read(file):
            if rollout.reward != rollout.reward:
                unscorable += 1
                continue
            code = codes.setdefault(rollout.prompt, len(codes))
            if texts and code == len(kept):
                kept.append(rollout.text)
            row = code, rollout.step, rollout.reward, rollout.prior, number, rollout.line
            for column, cell in zip(columns, row, strict=True):
                column.append(cell)
    if not columns[0]:
        cure = f"none of its {unscorable} rollouts has a reward" if unscorable else "is it the right path?"
        raise LogError(path, None, f"the log has no rollouts; {cure}")
    prompt, step, score, prior, file, line = (np.array(column) for column in columns)
    log = RolloutLog(
        name=str(path),
        formats=tuple(_in_words(layout) for layout in reader.layouts),
        files=tuple(map(str, files)),
        has_steps=not np.isnan(step).all(),
        unscorable=unscorable,
        repeated=reader.repeated,
        prompt=prompt,
        step=step,
        reward=score,
        prior=prior,
        file=file,
        line=line,
        texts=tuple(kept) if texts else None,
    )
    return _in_time_order(log)


def detect_reward_range(log, given=None):
    """(lo, hi) of the rewards: `given`, else 0 to 1, -1 to 1, or from the smallest to the largest.

    0 to 1 is taken where every reward is 0 or 1, -1 to 1 where every one is -1 or 1; else the
    extremes of rewards and logged priors. A reward or prior outside is an error.
    """
    priors = log.prior[~np.isnan(log.prior)]
    if given is not None:
        low, high = map(float, given)
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InvalidArgument(f"the reward range must go from a lower to a higher number, got {low} to {high}")
    elif np.isin(log.reward, (0.0, 1.0)).all():
        low, high = 0.0, 1.0
    elif np.isin(log.reward, (-1.0, 1.0)).all():
        low, high = -1.0, 1.0
    else:
        values = np.concatenate([log.reward, priors])
        low, high = float(values.min()), float(values.max())
        if low == high:
            raise LogError(log.name, None, f"every reward is {low}; give the range of rewards: --reward-range LOW HIGH")
    for field, values in (("reward", log.reward), ("prior", log.prior)):
        outside = np.flatnonzero((values < low) | (values > high))
        if outside.size:
            row = outside[0]
            problem = f"{field} {values[row]} lies outside the reward range {low} to {high} (--reward-range)"
            raise log.error(row, problem)
    return low, high


def _in_time_order(log):
    """The log sorted by step; without steps the n-th run of lines of a prompt is its n-th visit."""
    missing = np.isnan(log.step)
    if missing.any() and not missing.all():
        raise log.error(np.flatnonzero(missing)[0], "step is missing; give every rollout a step, or none")
    step = _visit_numbers(log.prompt) if missing.all() else log.step
    order = np.argsort(step, kind="stable")
    arrays = {name: getattr(log, name)[order] for name in ("prompt", "reward", "prior", "file", "line")}
    return replace(log, step=step[order], **arrays)


def earlier_occurrences(values):
    """For each value how many equal ones stand before it, (n,) int64; values are >= 0."""
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(np.diff(values[order], prepend=-1))
    lengths = np.diff(begins, append=len(values))
    number = np.empty(len(values), dtype=np.int64)
    number[order] = np.arange(len(values)) - np.repeat(begins, lengths)
    return number


def _visit_numbers(prompt):
    """For each row how many earlier runs of consecutive rows its prompt had."""
    first = np.flatnonzero(np.diff(prompt, prepend=-1))
    return np.repeat(earlier_occurrences(prompt[first]), np.diff(first, append=len(prompt))).astype(np.float64)


def _files(path):
    try:
        path.stat()
    except FileNotFoundError as error:
        raise UnreadableLog(path, None, "no such file or directory") from error
    except OSError as error:
        raise UnreadableLog(path, None, f"cannot be read: {error.strerror}") from error
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.name.removesuffix(".gz").endswith(SUFFIXES) and file.is_file()]
    if not files:
        raise LogError(path, None, f"the directory has no log file ({', '.join(SUFFIXES)}, also with .gz)")
    return sorted(files, key=_by_number)


def _by_number(file):
    """Sorts 2.jsonl before 10.jsonl."""
    return [(part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", file.name)]


def _in_words(layout):
    return f"{layout.name} ({' + '.join(layout.reward)})"
