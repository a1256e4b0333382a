"""Which of several columns of a log are the reward, by what the log itself tells."""

import json
from math import inf, isfinite
from pathlib import Path

import numpy as np

from .errors import LogError
from .layout import listing

EXACT = 1e-3  # relative; advantages are logged in single precision, and divided by a deviation + 1e-4
MOST_COLUMNS = 32
STATE = "trainer_state.json"
MOST_STATE = 2**26  # bytes


def weigh(layout, columns, advantage, visit, state, place):
    """(weights of the columns, sentence on how they were found or None) for the reward of the rows of a layout.

    columns: (n, c) float64; NaN: nothing there; infinite: no number, so the column is no reward. advantage: (n,), NaN
    where there is none. visit: (n,) int64, which group of rollouts each row is of. state: a trainer_state.json as a
    dict, or None.
    place: (path, line) of the first row. Raises LogError with the candidates where the log does not tell.

    A group's advantages are an affine function of its rewards in stock trainers: (r - mean) times a factor of the
    group. So within each group the weighted columns, less their mean, are a multiple of the advantages, which leaves
    one set of weights up to a factor if the groups differ. Else trainer_state.json names the reward functions, and
    their means and that of the reward tell the weights.
    """
    if layout.weights is not None:
        return np.array(layout.weights), None
    names = layout.rewards
    usable = np.flatnonzero(~np.isinf(columns).any(axis=0) & ~np.isnan(columns).all(axis=0))[:MOST_COLUMNS]
    weights = np.zeros(len(names))
    if usable.size == 1:
        weights[usable] = 1.0
        return weights, None
    functions, given = _of_state(state, names)
    if functions:
        usable = np.array([place for place in usable if names[place] in functions], dtype=int)
    found = given if given is not None else _of_advantages(np.nan_to_num(columns[:, usable]), advantage, visit)
    if found is not None and usable.size:
        weights[usable] = [found[names[place]] for place in usable] if given is not None else found
        terms = [
            f"{names[place]}" if weights[place] == 1 else f"{weights[place]:g} {names[place]}"
            for place in np.flatnonzero(weights)
        ]
        source = STATE if given is not None else f"its {layout.advantage}"
        verb = "tell" if source.endswith("s") else "tells"
        return weights, f"The reward is {' + '.join(terms)}, as {source} {verb}."
    if "reward" in names and not np.isinf(columns[:, names.index("reward")]).any():
        weights[names.index("reward")] = 1.0
        return weights, None
    problem = (
        f"several fields may be the reward: {listing(names)}; name it by --reward {names[0]}, or all that are added "
        f"up, with their weights, as in --reward {names[0]}=1 {names[-1]}=0.5"
    )
    raise LogError(*place, problem)


def read_state(path):
    """The newest trainer_state.json beside a log or in the checkpoints beside it, as a dict, or None."""
    folder = Path(path).absolute()
    folder = folder if folder.is_dir() else folder.parent
    for place in (folder, folder.parent):
        files = [place / STATE] + [
            found / STATE for found in sorted(place.glob("checkpoint-*"), key=_number, reverse=True)
        ]
        for file in files:
            try:
                if file.is_file() and file.stat().st_size <= MOST_STATE:
                    state = json.loads(file.read_text(encoding="utf-8"))
                    if isinstance(state, dict):
                        return state
            except (OSError, ValueError, RecursionError):
                continue
    return None


def _number(path):
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _of_state(state, names):
    """(names of the reward functions that are columns, {name: weight} where the logged means tell them, else None)."""
    history = state.get("log_history") if state else None
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    functions = [name for name in names if any(f"rewards/{name}/mean" in entry for entry in entries)]
    rows = [
        ([entry.get(f"rewards/{name}/mean") for name in functions], entry["reward"])
        for entry in entries
        if "reward" in entry
    ]
    rows = [
        (means, reward)
        for means, reward in rows
        if all(isinstance(value, (int, float)) and isfinite(value) for value in (*means, reward))
    ]
    if not functions or len(rows) < 1:
        return functions, None
    means, reward = np.array([row[0] for row in rows], float), np.array([row[1] for row in rows], float)
    scale = np.abs(means).max(initial=0.0) + np.abs(reward).max(initial=0.0) + 1e-30
    if np.allclose(means.sum(axis=1), reward, rtol=0, atol=1e-4 * scale):
        return functions, dict.fromkeys(functions, 1.0)
    weights, _, rank, _ = np.linalg.lstsq(means, reward, rcond=1e-6)
    if rank == len(functions) < len(rows) and np.allclose(means @ weights, reward, rtol=0, atol=1e-4 * scale):
        return functions, dict(zip(functions, _rounded(weights).tolist()))
    return functions, None


def _of_advantages(columns, advantage, visit):
    """The weights of the columns by which every group's advantages are an affine function of its rewards, or None."""
    known = np.isfinite(advantage)
    if not columns.shape[1] or not known.any():
        return None
    _, group = np.unique(visit[known], return_inverse=True)
    deviation = _less_mean(columns[known], group)
    adv = _less_mean(advantage[known, None], group)[:, 0]
    scale = np.sqrt((deviation**2).mean(axis=0))
    moving = np.flatnonzero(scale > 1e-9 * (np.abs(columns[known]).max(axis=0) + 1e-300))
    size = np.bincount(group, adv**2)
    told = size > 1e-12
    if not moving.size or np.count_nonzero(told) < 2:
        return None
    # What the advantages of a group leave of each column: zero for the right sum of columns.
    spread = deviation[:, moving] / scale[moving]
    along = np.stack([np.bincount(group, adv * column, len(size)) for column in spread.T], axis=1)
    rest = np.einsum("ni,nj->ij", spread, spread) - (along[told].T / size[told]) @ along[told]
    rest /= len(adv)
    alone = np.flatnonzero(np.diag(rest) < EXACT**2)
    if alone.size:  # a column that is the reward by itself, perhaps beside its parts
        found = np.zeros(columns.shape[1])
        found[moving[alone[0]]] = 1.0
        return found
    values, vectors = np.linalg.eigh(rest)
    if values[0] > EXACT**2 or values[1:2] <= 10 * EXACT**2:
        return None
    weights = vectors[:, 0] / scale[moving]
    weights *= np.sign((along @ vectors[:, 0]).sum()) or 1.0
    weights[np.abs(weights) * scale[moving] < 10 * EXACT * np.abs(weights * scale[moving]).max()] = 0.0
    found = np.zeros(columns.shape[1])
    found[moving] = _rounded(weights / np.abs(weights).max())
    return found


def _less_mean(columns, group):
    count = np.bincount(group)[:, None]
    mean = np.stack([np.bincount(group, column) for column in columns.T], axis=1) / count
    return columns - mean[group]


def _rounded(weights):
    """Weights to three digits, as people choose them; what is nearly the largest is it."""
    largest = np.abs(weights).max(initial=0.0)
    if not 0 < largest < inf:
        return weights
    return np.array(
        [
            float(f"{weight:.2g}") if abs(weight - float(f"{weight:.2g}")) < 2e-3 * largest else weight
            for weight in weights
        ]
    )
