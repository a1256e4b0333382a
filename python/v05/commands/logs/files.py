"""The files of a log: one, or those in a directory and below, in order, with the steps that their names tell."""

import os
import re
from collections import Counter
from math import nan
from pathlib import Path
from typing import NamedTuple

from ..._core.files import local_path
from .errors import LogError, UnreadableLog

SUFFIXES = (".jsonl", ".ndjson", ".jsonlines", ".json", ".csv", ".tsv", ".parquet", ".pq", ".arrow", ".eval")
LOG = re.compile(
    rf"(?:{'|'.join(map(re.escape, SUFFIXES))})(?:\.(?P<turn>\d+))?(?:\.(?:gz|bz2|xz|lzma|zst|zstd|lz4|zip))?$",
    re.IGNORECASE,
)  # turn: how often a log was put aside for a new one since
STANDARD_INPUT = "-"
MOST_FILES = 100_000
STEP_WORDS = "step|iter|iteration|update|version|round"
STEP, STEP_IN_EPOCH, EPOCH = (
    re.compile(rf"(?:^|[^a-z])(?:global|train(?:ing|er)?|policy)?[_-]?(?:{words})s?[_=. -]?(\d+)", re.IGNORECASE)
    for words in (f"{STEP_WORDS}|epoch", STEP_WORDS, "epoch")
)
NUMBER = re.compile(r"(\d+)")
# One that stands alone, or behind what a file of rollouts may be called: "math500" has none, unless other files of the
# log differ in that number alone.
ALONE = re.compile(
    r"(?:(?<![^\W_])|(?:rollout|completion|generation|sample|batch|train|log|output|dump|table)s?)(?<!\d)(\d+)(?![^\W_])",
    re.IGNORECASE,
)
DATE = 8  # digits
NO_STEP = re.compile(
    r"\d+[_=. -]?of[_=. -]?\d+|(?:rank|worker|actor|engine|server|thread|replica|job|task|pid|shard|part|chunk|gpu|"
    r"node|device|proc|process|seed|run|exp|host|dp|tp|of)[_=. -]?\d+",
    re.IGNORECASE,
)
PROCESS = re.compile(
    r"(?:^|[^a-z])(?:rank|worker|actor|engine|server|thread|replica|pid|gpu|device|proc|process|dp|tp)[_=. -]?\d",
    re.IGNORECASE,
)
PART = re.compile(
    rf"{PROCESS.pattern}|\d+[_=. -]?of[_=. -]?\d+|(?:job|task|shard|part|chunk|node|host)[_=. -]?\d", re.IGNORECASE
)
EVALUATION = re.compile(r"(?:^|[^a-z])(?:eval|evaluation|val|valid|validation|test)s?(?:[^a-z]|$)", re.IGNORECASE)


class LogFile(NamedTuple):
    """A file of a log. folder: where it lies, below the log; step: the one that its names tell, or NaN."""

    path: str
    size: int
    folder: str = ""
    step: float = nan


def log_files(path):
    """(the `LogFile`s of a log in order, paths that were left out as evaluation).

    path: a file, "-" for standard input, or a directory: the log files in it and below it. Files whose name, or that of
    a folder, says that they are an evaluation are left out where there are others.
    """
    if str(path) == STANDARD_INPUT:
        return [LogFile(STANDARD_INPUT, 0)], []
    path = Path(local_path(path, "log"))
    try:
        size = path.stat().st_size
        if not path.is_dir():
            return [LogFile(str(path), size)], []
        found = sorted(_below(path), key=_by_number)
        sizes = {parts: path.joinpath(*parts).stat().st_size for parts in found}
    except FileNotFoundError as error:
        raise UnreadableLog(path, None, "no such file or directory") from error
    except OSError as error:
        raise UnreadableLog(error.filename or path, None, f"cannot be read: {error.strerror or error}") from error
    if not found:
        other = next((name for name in sorted(os.listdir(path)) if not name.startswith(".")), None)
        cure = f"; {other} may be one: give its own path" if other else ""
        problem = f"the directory has no log file ({', '.join(SUFFIXES)}, also compressed){cure}"
        raise UnreadableLog(path, None, problem)
    training = [parts for parts in found if not any(map(EVALUATION.search, parts))] or found
    steps = _steps(training)
    if len({step for step in steps if step == step}) < 2:
        steps = [nan] * len(training)  # a number that all share is no step
    files = [
        LogFile(str(path.joinpath(*parts)), sizes[parts], "/".join(parts[:-1]), step)
        for parts, step in zip(training, steps)
    ]
    kept = set(training)
    return files, [str(path.joinpath(*parts)) for parts in found if parts not in kept]


def _below(path):
    """The log files in a directory and below, each as the parts of its path; what is hidden is none. Links to folders
    elsewhere are followed, each folder once, and those within are not, so that nothing is found twice."""
    found, whole, followed = [], os.path.realpath(path), set()
    roots = [(str(path), ())]
    for root, above in roots:
        for folder, folders, names in os.walk(root, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            parts = (*above, *Path(folder).relative_to(root).parts)
            for name in sorted(folders, key=lambda name: (not re.search(r"\d", name), name)):  # step_9 before latest
                place = os.path.join(folder, name)
                real = os.path.realpath(place)
                if os.path.islink(place) and real not in followed and _is_elsewhere(real, whole):
                    followed.add(real)
                    roots.append((place, (*parts, name)))
            found += [
                (*parts, name)
                for name in names
                if LOG.search(name) and not name.startswith(".") and os.path.isfile(os.path.join(folder, name))
            ]
            if len(found) > MOST_FILES:
                raise LogError(path, None, f"has more than {MOST_FILES} log files; give a folder further down")
    return found


def _is_elsewhere(folder, whole):
    """Whether a folder lies neither in another nor around it."""
    return os.path.commonpath((folder, whole)) not in (folder, whole)


def _raise(error):
    raise error


def _steps(paths):
    """The step that each path tells, or NaN; where steps begin anew in each epoch, the place of epoch and step."""
    shapes = [re.sub(r"\d+", "#", parts[-1]) for parts in paths]
    often = Counter(shapes)
    steps = [_step(parts, (ALONE,) if often[shape] == 1 else (ALONE, NUMBER)) for parts, shape in zip(paths, shapes)]
    epochs = [_number_after(EPOCH, parts) for parts in paths]
    first, last = {}, {}
    for epoch, step in zip(epochs, steps):
        first[epoch], last[epoch] = min(step, first.get(epoch, step)), max(step, last.get(epoch, step))
    if None in first or len(first) < 2:
        return steps
    order = sorted(first)
    if all(first[epoch] < first[after] >= last[epoch] for epoch, after in zip(order, order[1:])):
        return steps
    places = {pair: float(place) for place, pair in enumerate(sorted(set(zip(epochs, steps))))}
    return [places[pair] for pair in zip(epochs, steps)]


def _step(parts, kinds):
    """The step that a path tells: a number after a word for it, else after "epoch", a folder that is a number, or the
    only number of its kind in the name of the file."""
    *folders, name = parts
    for word in (STEP_IN_EPOCH, EPOCH):
        if (step := _number_after(word, parts)) is not None:
            return step
    for folder in reversed(folders):
        if folder.isdecimal():
            return float(folder)
    stem = NO_STEP.sub("", _stem(name))
    numbers = next((found for kind in kinds if len(found := kind.findall(stem)) == 1), [])
    return float(numbers[0]) if numbers and len(numbers[0]) < DATE else nan


def _number_after(word, parts):
    """The number after a word in a path, in the name of the file first, or None."""
    *folders, name = parts
    found = filter(None, map(word.search, (_stem(name), *reversed(folders))))
    return next((float(number[1]) for number in found), None)


def _stem(name):
    found = LOG.search(name)
    return name[: found.start()] if found else name


def _by_number(parts):
    """Sorts 2.jsonl before 10.jsonl, and log.jsonl.2 before log.jsonl.1 before log.jsonl, as they were put aside."""
    *folders, name = parts
    found = LOG.search(name)
    turn = found["turn"] or "0"
    return [
        [(piece.isdecimal(), int(piece) if piece.isdecimal() else piece) for piece in re.split(r"(\d+)", part)]
        for part in (*folders, name[: found.start()])
    ], (-int(turn), name)
