"""When rollouts were made: steps that logs have, count anew, or do not tell."""

import numpy as np

from .numbering import earlier_occurrences, numbered

MOST_RUNS = 20  # a log whose steps go backwards more often is out of order, not begun anew


def first_steps(found):
    """(n,) the step of each row, before it is known whether the log was begun anew.

    found: the columns of a log in the order of its lines. Without steps the n-th run of lines of a prompt, or its n-th
    group, is its n-th visit. Of an asynchronous trainer's group the latest step counts. Where the steps of an epoch
    begin anew with each, epoch and step count.
    """
    step, epoch, prompt, group = (found[name] for name in ("step", "epoch", "prompt", "group"))
    if np.isnan(step).all():
        return _visit_numbers(prompt, group).astype(float)
    waiting = found["asynchronous"] & (group >= 0)
    if waiting.any():
        latest = np.full(group.max() + 1, -np.inf)
        np.maximum.at(latest, group[waiting], step[waiting])
        step = np.where(waiting, latest[group], step)
    if not np.isnan(epoch).any():
        pairs = numbered(step, epoch)
        distinct = np.unique(step, return_index=True, return_counts=False)[0]
        several = pairs.max() + 1 - len(distinct)
        if several >= len(distinct) / 2:  # steps that belong to one epoch each would be as many as the pairs
            return numbered(epoch, step).astype(float)
    return step


def begun_anew(found):
    """((n,) the step of each row, sentence for the reader or None) where steps go backwards within a file, or a file
    goes on before the end of the file before.

    A run that was begun anew, or went on from a checkpoint, logs prompts at steps that its log has already: what
    follows is later. Other rows are taken as out of order.
    """
    step, file, line = found["step"], found["file"], found["line"]
    back = np.flatnonzero(np.where(file[1:] == file[:-1], step[1:] < step[:-1], _goes_on(step, file)[file[1:]])) + 1
    if not back.size:
        return step, None
    where = (
        f"first at file {file[back[0]] + 1}, line {line[back[0]]}" if file.max() else f"first at line {line[back[0]]}"
    )
    run = np.zeros(len(step), np.int64)
    run[back] = 1
    run = np.cumsum(run)
    forth = np.count_nonzero((step[1:] > step[:-1]) & (file[1:] == file[:-1]))
    if len(back) <= MOST_RUNS and len(back) < forth and _again(found, run):
        return numbered(run, step).astype(float), (
            f"Steps begin anew {len(back)} {'time' if len(back) == 1 else 'times'} ({where}), with prompts at steps "
            f"that were logged before: the run was begun anew, and what follows counts as later."
        )
    return step, (
        f"Steps go backwards {len(back)} {'time' if len(back) == 1 else 'times'} ({where}): rollouts of one prompt and "
        "step count as one visit wherever they stand."
    )


def _goes_on(step, file):
    """For each file whether its steps begin within those of the file before and end later."""
    first, last = np.full(file.max() + 1, np.inf), np.full(file.max() + 1, -np.inf)
    np.minimum.at(first, file, step)
    np.maximum.at(last, file, step)
    goes_on = np.zeros(len(first), bool)
    goes_on[1:] = (first[:-1] < first[1:]) & (first[1:] <= last[:-1]) & (last[:-1] < last[1:])
    return goes_on


def _again(found, run):
    """Whether the runs of rising steps repeat each other: of the visits at steps that an earlier run has too, at least
    half are in an earlier run too, and as large there as here."""
    step, visit = found["step"], numbered(found["step"], found["prompt"], found["group"])
    _, first, size = np.unique(numbered(visit, run), return_index=True, return_counts=True)
    visit, run, step = visit[first], run[first], step[first]
    steps, at = np.unique(step, return_inverse=True)
    earliest = np.full(len(steps), run.max())
    np.minimum.at(earliest, at, run)
    known, alike, later = {}, 0, 0
    for number, is_later, rows in zip(visit.tolist(), (run > earliest[at]).tolist(), size.tolist()):
        if is_later:
            later += 1
            alike += known.get(number) == rows
        known.setdefault(number, rows)
    return later > 0 and 2 * alike >= later


def _visit_numbers(prompt, group):
    """For each row how many earlier runs of consecutive rows, or groups, its prompt had."""
    if (group >= 0).all():
        pair = numbered(prompt, group)
        _, first, which = np.unique(pair, return_index=True, return_inverse=True)
        order = np.argsort(first)
        number = np.empty(len(first), np.int64)
        number[order] = earlier_occurrences(prompt[first[order]])
        return number[which]
    first = np.flatnonzero(np.diff(prompt, prepend=-1))
    return np.repeat(earlier_occurrences(prompt[first]), np.diff(first, append=len(prompt)))
