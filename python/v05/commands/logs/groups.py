"""Which rows belong together: those of a rollout, of a group, of one run."""

import os

import numpy as np

from .errors import LogError
from .files import PROCESS
from .layout import is_number
from .numbering import numbered
from .steps import MOST_RUNS

SHARED = 0.5  # of the visits may be of several runs, as of one that was resumed under another name


def groups_of_several(found, named=None):
    """(group of each row, sentences). A group that each row has alone is the name of the rollout and no group. named:
    the field that the user says it is."""
    group, step, prompt = found["group"], np.nan_to_num(found["step"], nan=-1.0), found["prompt"]
    known = group >= 0
    if np.count_nonzero(known) < 2 or len(np.unique(group[known])) < np.count_nonzero(known):
        if named is None and _are_kinds(found):
            return np.full_like(group, -1), [
                "A group holds several prompts, which come again later: it tells no visit."
            ]
        return group, _prompts_as_groups(found)
    visits = numbered(step[known], prompt[known]).max() + 1
    if visits == np.count_nonzero(known):
        return group, []
    return np.full_like(group, -1), ["Every rollout has a group of its own, so that groups were not looked at."]


def check_processes(path, found, names):
    """Raises LogError where files of several processes hold the same prompts, and neither step nor group tells which
    rollouts belong together. names: of the files."""
    if not np.isnan(found["step"]).all() or (found["group"] >= 0).any():
        return
    files = [number for number, name in enumerate(names) if PROCESS.search(os.path.basename(name))]
    rows = np.isin(found["file"], files)
    if not rows.any():
        return
    prompt = found["prompt"][rows]
    _, first = np.unique(numbered(prompt, found["file"][rows]), return_index=True)
    _, times = np.unique(prompt[first], return_counts=True)
    if np.count_nonzero(times > 1) > SHARED * len(times):
        raise LogError(
            path,
            None,
            f"its files are of several processes, such as {os.path.basename(names[files[0]])}, and no step or group "
            "tells which of their rollouts belong together; name one by --step FIELD or --group FIELD",
        )


def _are_kinds(found):
    """Whether no step is known, and groups are kinds of prompts, such as "algebra", that come in several places."""
    group, prompt = found["group"], found["prompt"]
    if not np.isnan(found["step"]).all() or (group < 0).any():
        return False
    of_one_group = numbered(prompt, group).max() == prompt.max()
    runs, groups = np.count_nonzero(np.diff(prompt, prepend=-1)), len(np.unique(group))
    come_again = runs > prompt.max() + 1 and np.count_nonzero(np.diff(group, prepend=-1)) > groups
    return of_one_group and 2 * groups <= prompt.max() + 1 and come_again and 2 * runs <= len(prompt)


def _prompts_as_groups(found):
    """A sentence where no step is known, and the group of a prompt is always the same and its rows are apart."""
    group, prompt = found["group"], found["prompt"]
    if not np.isnan(found["step"]).all() or (group < 0).any():
        return []
    pairs = numbered(prompt, group)
    runs = np.count_nonzero(np.diff(pairs, prepend=-1))
    if not pairs.max() == prompt.max() == len(np.unique(group)) - 1 or runs <= pairs.max() + 1:
        return []
    return [
        "A prompt has one group and rollouts in several places, which count as one visit: if they are of several, name "
        "the field of the step by --step."
    ]


def whole_rollouts(found, names):
    """((n,) True for one row of each rollout, sentences) where rollouts have a row a turn. names: of the files.

    The reward is that of the turns that have one. Raises LogError where they have several.
    """
    parts = found["rollout"] >= 0
    kept = np.ones(len(parts), bool)
    if not parts.any():
        return kept, []
    rollout = numbered(found["step"], found["prompt"], found["group"], found["rollout"])
    reward = np.where(np.isnan(found["reward"]), np.inf, found["reward"])
    order = np.lexsort((reward, rollout))  # those with a reward first
    order = order[parts[order]]
    same = np.diff(rollout[order], prepend=-1) == 0
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    reward = reward[order]
    differs = np.flatnonzero(np.isfinite(reward) & (reward != reward[first]))
    if differs.size:
        row = order[differs[0]]
        problem = (
            f"a turn has the reward {reward[differs[0]]:g} and another of its rollout {reward[first[differs[0]]]:g}; "
            "--reward FIELD names one of the whole rollout, --where FIELD=VALUE reads only some rows"
        )
        raise LogError(names[found["file"][row]], found["line"][row], problem)
    kept[order[same]] = False
    note = f"{np.count_nonzero(~kept)} rows are further turns of a rollout, which counts once."
    return kept, [note] if not kept.all() else []


def check_one_run(path, found, field, names, without_steps):
    """Raises LogError where visits hold rollouts of several runs, models or filters, which one log holds.

    field: that of the run. Without steps the visits of a prompt are told apart by their order, so that a prompt may be
    of one run only. Rows that do not say of which run they are tell nothing.
    """
    known = found["run"] >= 0
    run, step, prompt, group = (found[name][known] for name in ("run", "step", "prompt", "group"))
    if not run.size or (run == run[0]).all():
        return
    visit = prompt if without_steps else numbered(step, prompt, group)
    _, first, size = np.unique(numbered(visit, run), return_index=True, return_counts=True)
    _, runs = np.unique(visit[first], return_counts=True)
    text = {code: name for name, code in names.items()}
    # Runs are few and follow one another, each with several rollouts a visit; other numbers are of rollouts, such as
    # the seed that each was sampled with, or of steps, such as a learning rate that falls.
    count = len(np.unique(run))
    comes_back = np.count_nonzero(run[1:] != run[:-1]) >= count
    if is_number(text[run[0]]) and (np.median(size) < 2 or comes_back or count > MOST_RUNS):
        return
    if np.count_nonzero(runs > 1) > SHARED * len(runs):
        values = [text[code] for code in dict.fromkeys(run.tolist())]
        shown = ", ".join(value[:60] for value in values[:3]) + f" and {len(values) - 3} more" * (len(values) > 3)
        raise LogError(
            path, None, f"its rows are of several: {field} is {shown}; --where {field}={values[0][:60]} reads one"
        )
