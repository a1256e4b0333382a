"""When rollouts were made: steps that logs have, count anew, or do not tell."""

import numpy as np

from .errors import LogError
from .field_names import TRAJECTORIES
from .numbering import earlier_occurrences, numbered

FEW = 10  # prompts, of which no order can be told
MOST_LAG = 3  # policies between the first and the last rollout of a group
MOST_RUNS = 20  # a log whose steps go backwards more often is out of order, not begun anew


def first_steps(found):
    """(n,) the step of each row, before it is known whether the log was begun anew.

    found: the columns of a log in the order of its lines. Without steps the n-th run of lines of a prompt, its n-th
    group, or the n-th row of each of its samples, is its n-th visit. Of an asynchronous trainer's group the latest step
    counts. Where the steps of an epoch begin anew with each, epoch and step count.
    """
    step, epoch, prompt, group = (found[name] for name in ("step", "epoch", "prompt", "group"))
    if np.isnan(step).all():
        return _visit_numbers(prompt, group, found["sample"]).astype(float)
    kind = found["asynchronous"]
    waiting = ((kind == "group") | (kind == "neighbours") & _stand_together(found)) & (group >= 0)
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


def _stand_together(found):
    """(n,) whether the rows of a group are of one prompt, follow one another and were drawn by a few policies of many,
    one after the other: so that they are one visit, and no other has its name."""
    prompt, group, file, step = (found[name] for name in ("prompt", "group", "file", "step"))
    starts = np.flatnonzero((np.diff(group, prepend=-2) != 0) | (np.diff(file, prepend=-1) != 0))
    known = starts[group[starts] >= 0]
    runs = np.bincount(group[known], minlength=group.max() + 1)
    pairs, first = np.unique(numbered(group, prompt), return_index=True)
    named = first[group[first] >= 0]
    prompts = np.bincount(group[named], minlength=group.max() + 1)
    member = group >= 0
    first, last = np.full(len(runs), np.inf), np.full(len(runs), -np.inf)
    np.minimum.at(first, group[member], step[member])
    np.maximum.at(last, group[member], step[member])
    few = 2 * (last - first + 1) <= len(np.unique(step))
    alone = (runs == 1) & (prompts == 1) & (last - first <= MOST_LAG) & few
    return member & alone[np.maximum(group, 0)] if alone.size else member


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
    run = np.zeros(len(step), np.int64)
    run[back] = 1
    run = np.cumsum(run)
    forth = np.count_nonzero((step[1:] > step[:-1]) & (file[1:] == file[:-1]))
    if len(back) <= MOST_RUNS and len(back) < forth and _again(found, run):
        return numbered(run, step).astype(float), (
            f"Steps begin anew {_times(back, file, line)}, with prompts at steps "
            f"that were logged before: the run was begun anew, and what follows counts as later."
        )
    back = back[step[back] < step[back - 1]]  # a step that is cut in two goes on in the next file
    if not back.size:
        return step, None
    return step, (
        f"Steps go backwards {_times(back, file, line)}: rollouts of one prompt and step count as one visit wherever "
        "they stand."
    )


def _times(back, file, line):
    """How many rows these are, and where the first one stands."""
    place = f"file {file[back[0]] + 1}, line {line[back[0]]}" if file.max() else f"line {line[back[0]]}"
    return f"{len(back)} {'time' if len(back) == 1 else 'times'} (first at {place})"


def check_step_field(path, found, layouts, fields):
    """Raises LogError where a field "steps" goes up and down, as the number of steps that each rollout took, or where
    "step" differs between the rows of one trajectory, as its turns."""
    layout = next((layout for layout in layouts if layout.step is not None), None)
    if fields.step is not None or layout is None:
        return
    step, file, sample = found["step"], found["file"], found["sample"]
    problem = None
    if layout.step.lower() == "steps":
        if np.count_nonzero((step[1:] < step[:-1]) & (file[1:] == file[:-1])) > MOST_RUNS:
            problem = "goes up and down, as the steps that a rollout took"
    elif layout.step.lower() == "step" and layout.sample in TRAJECTORIES:
        rows, steps = numbered(found["prompt"], sample), numbered(found["prompt"], sample, step)
        if rows.max() + 1 == len(np.unique(sample)) and steps.max() > 1.5 * (rows.max() + 1):
            problem = f"differs between the rows of one {layout.sample}, as its turns"
    if problem:
        raise LogError(path, None, f"{layout.step} {problem}; --step FIELD names the step of the training")


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


def _visit_numbers(prompt, group, sample):
    """For each row how many earlier groups, or runs of consecutive rows, its prompt had; or, where all prompts have the
    same samples, how many earlier rows its sample had."""
    if (group >= 0).all():
        pair = numbered(prompt, group)
        _, first, which = np.unique(pair, return_index=True, return_inverse=True)
        order = np.argsort(first)
        number = np.empty(len(first), np.int64)
        number[order] = earlier_occurrences(prompt[first[order]])
        return number[which]
    samples = len(np.unique(sample)) if (sample >= 0).all() else 0
    if samples > 1:
        pair = numbered(prompt, sample)
        if pair.max() + 1 == samples * len(np.unique(prompt)):
            return earlier_occurrences(pair)
    first = np.flatnonzero(np.diff(prompt, prepend=-1))
    return np.repeat(earlier_occurrences(prompt[first]), np.diff(first, append=len(prompt)))


def is_out_of_order(prompt, group, file):
    """Whether, in a file, the rows of prompts stand together no more often than by chance, and not never either, as
    they would where each sample of all prompts follows the one before: so that runs of lines are no visits."""
    if (group >= 0).all():
        return False
    return any(map(_is_mixed, np.split(prompt, np.flatnonzero(np.diff(file)) + 1)))


def _is_mixed(prompt):
    _, times = np.unique(prompt, return_counts=True)
    if len(times) < FEW or len(prompt) < 3 * len(times):
        return False
    together = np.count_nonzero(np.diff(prompt) == 0)
    chance = (times * (times - 1.0)).sum() / len(prompt)
    return 0 < together <= chance + 3 * chance**0.5
