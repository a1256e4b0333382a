"""Rollouts that a log holds twice: batches that a trainer wrote again, lines that two writers wrote."""

import json
from hashlib import blake2b
from math import gcd

import numpy as np

ENOUGH = 10  # lines that stand there twice before that is taken for a fault of the writer
MOST_SIZES = 16  # of visits, the commonest, that are tried for the usual one
NO_CHANCE = 20  # times that a coin would have to fall on one side


class Repetitions:
    """Finds the rows at the start of a table that end the table before it.

    TRL writes the completions that it holds at every logging step, so one batch stands in several tables when it logs
    more often than it generates.
    """

    def __init__(self):
        self._last = []

    def count(self, rows, step, whole):
        """How many leading rows of this table, but for their step, the table before ended with. whole: only where they
        are all of that table, as where a table is logged again and again while it grows."""
        digests = [_digest(row, step) for row in rows]
        last, self._last = self._last, digests
        if whole:
            return len(last) if len(last) >= ENOUGH and last == digests[: len(last)] else 0
        for start in range(len(last)):
            if last[start:] == digests[: len(last) - start]:
                return len(last) - start
        return 0


def repeated_lines(visit, reward, mark):
    """(n,) True for the second and later copies of lines that a log has more than once by mistake.

    visit: (n,) of each line; mark: (n,) equal for equal lines, 0 for rows that are no lines of their own.

    Two rollouts may well be equal to the letter, where answers are short. So copies are whole groups only: every line
    of the log m times; or, as a resumed run writes a step again, visits with more lines than usual: m times as many
    and every line m times, or as many different ones as is usual. Where rollouts happen to be equal, each different
    line of a visit but one could as well stand there once more: a coin for each.
    Lines that hold little more than a reward tell nothing and are all kept.
    """
    repeated = np.zeros(len(mark), bool)
    lines = np.flatnonzero(mark)
    if lines.size < ENOUGH:
        return repeated
    pair, times, copy = _copies(_mixed(visit[lines], mark[lines]))
    if times.max() == 1 or len(times) < 1.2 * len(np.unique(_mixed(visit[lines], reward[lines].view(np.int64)))):
        return repeated
    group = np.empty(len(times), np.int64)  # the visit of each different line
    _, group[pair] = np.unique(visit[lines], return_inverse=True)
    different = np.bincount(group)
    common = gcd(*times.tolist())
    if common > 1 and (different - 1).sum() >= NO_CHANCE:
        repeated[lines] = copy >= (times // common)[pair]
        return repeated
    size = np.bincount(group, times).astype(np.int64)
    sizes, visits = np.unique(size, return_counts=True)
    for usual in sizes[np.argsort(-visits, kind="stable")][:MOST_SIZES]:
        larger = size > usual
        if not larger.any() or (different == size)[larger].any():
            continue
        fold = np.maximum(size // usual, 1)
        odd = np.bincount(group, times % fold[group]) > 0
        whole = (size % usual == 0) & ~odd
        if (whole | (different == usual))[larger].all() and (different[larger] - 1).sum() >= NO_CHANCE:
            kept = np.where(larger[group], np.where(whole[group], times // fold[group], 1), times)
            repeated[lines] = copy >= kept[pair]
            return repeated
    return repeated


def copied_files(found, names, without_steps):
    """((n,) True for the rollouts of files that hold those of a file before, sentences).

    That is so where prompts, steps and rewards of all rollouts are equal, and the rewards of enough prompts differ that
    this is no chance: a log that is there in two formats, or under two names, or whole beside its parts.
    """
    file, prompt, reward = found["file"], found["prompt"], found["reward"]
    copied = np.zeros(len(file), bool)
    if file[0] == file[-1]:
        return copied, []
    step = np.zeros(len(file)) if without_steps else found["step"]
    order = np.lexsort((reward, prompt, step, file))
    begins = np.flatnonzero(np.diff(file[order], prepend=-1))
    known, notes = {}, []
    for rows in np.split(order, begins[1:]):
        digest = _content(step, prompt, reward, rows)
        earlier = known.setdefault(digest, rows[0])
        if earlier != rows[0] and _differing(prompt[rows], reward[rows]) >= ENOUGH:
            copied[rows] = True
            notes.append(
                f"{names[file[rows[0]]]} was not counted: it holds the rollouts of {names[file[earlier]]} again."
            )
    again = grown_files(found, without_steps) & ~copied
    if again.any():
        copied |= again
        notes.insert(
            0, "Files that begin with all that the file before holds count once, as those of a log that grows."
        )
    whole = _whole_file(file, step, prompt, reward, np.flatnonzero(~copied))
    if whole is not None:
        copied |= file == whole
        notes.insert(0, f"{names[whole]} was not counted: it holds the rollouts of all other files again.")
    return copied, notes[:3]


def grown_files(found, without_steps):
    """(n,) True for the rollouts at the beginning of a file that are all those of the file before.

    That is no chance where it is so of one file in which the rewards of enough prompts differ.
    """
    file, again, most = found["file"], np.zeros(len(found["file"]), bool), 0
    columns = [found[name] for name in ("prompt", "reward")]
    if not without_steps and not found["by_name"].all():
        columns.append(found["step"])
    begins = np.flatnonzero(np.diff(file, prepend=-1))
    ends = np.append(begins[1:], len(file))
    for before, begin, end in zip(begins, ends, ends[1:]):
        size = begin - before
        if size < end - begin and all(_equal(values[before:begin], values[begin : begin + size]) for values in columns):
            again[begin : begin + size] = True
            most = max(most, _differing(found["prompt"][before:begin], found["reward"][before:begin]))
    return again & (most >= ENOUGH)


def _equal(one, other):
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _whole_file(file, step, prompt, reward, rows):
    """The file that holds the rollouts of all other files of these rows again, None where there is none."""
    numbers, sizes = np.unique(file[rows], return_counts=True)
    for number in numbers[2 * sizes == len(rows)]:
        halves = [rows[(file[rows] == number) == which] for which in (True, False)]
        halves = [half[np.lexsort((reward[half], prompt[half], step[half]))] for half in halves]
        one, others = (_content(step, prompt, reward, half) for half in halves)
        if len(numbers) > 2 and one == others and _differing(prompt[halves[0]], reward[halves[0]]) >= ENOUGH:
            return number
    return None


def _content(step, prompt, reward, rows):
    content = step[rows].tobytes() + prompt[rows].tobytes() + reward[rows].tobytes()
    return blake2b(content, digest_size=16).digest()


def are_copies(found, reward, rows):
    """Whether each file of the `rows` holds rollouts of the other rows again: all of one file or of all of them, or
    lines that stand there too, where lines tell more than prompt and reward."""
    file, prompt, mark = found["file"], found["prompt"], found["mark"]

    def content(places):
        order = np.lexsort((reward[places], prompt[places]))
        return prompt[places][order].tobytes() + reward[places][order].tobytes()

    others = np.flatnonzero(~rows)
    known = {content(others)} | {content(np.flatnonzero(file == number)) for number in np.unique(file[others])}
    lines = np.unique(mark[others])
    for number in np.unique(file[rows]):
        places = np.flatnonzero(file == number)
        if content(places) in known and _differing(prompt[places], reward[places]) >= ENOUGH:
            continue
        told = len(np.unique(_mixed(prompt[places], reward[places].view(np.int64))))
        if len(np.unique(mark[places])) < 1.2 * told or not np.isin(mark[places], lines).all():
            return False
    return True


def _differing(prompt, reward):
    """How many prompts have rewards that differ."""
    _, code = np.unique(prompt, return_inverse=True)
    low, high = np.full(code.max() + 1, np.inf), np.full(code.max() + 1, -np.inf)
    np.fmin.at(low, code, reward)
    np.fmax.at(high, code, reward)
    return np.count_nonzero(low < high)


def _copies(values):
    """(which distinct value each has, how often each of those stands there, which copy of it each is)."""
    _, which, times = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(which, kind="stable")
    copy = np.empty(len(which), np.int64)
    copy[order] = np.arange(len(which)) - np.repeat(np.cumsum(times) - times, times)
    return which, times, copy


def _mixed(first, second):
    """One number for each pair of numbers; equal by chance once in 2^64."""
    with np.errstate(over="ignore"):
        return (first.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ second.view(np.uint64)


def _digest(row, step):
    content = {name: value for name, value in row.items() if name != step}
    return blake2b(
        json.dumps(content, sort_keys=True, default=str).encode("utf-8", "surrogatepass"), digest_size=16
    ).digest()
