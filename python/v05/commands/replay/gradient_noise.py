"""How noisy the gradient was with every baseline, where a log tells the squared norms of scores (method section 13)."""

from dataclasses import dataclass

import numpy as np

import v05

from ...training.gradient_noise import common_baselines
from .report import interval, ratio, resampled_totals

CONTROL = "batch_mean"


@dataclass(frozen=True)
class NoiseRow:
    """One baseline. noise: E[W (r - b)^2] / E[W], reward units^2. relative: to the plain mean of the batch, with its
    95 % bootstrap interval over prompts."""

    baseline: str
    noise: float
    relative: float
    relative_interval: tuple[float, float]


def gradient_noise(visits, setting):
    """The `NoiseRow` of every baseline, in a fixed order; none where a rollout's squared norm is unknown.

    Within prompts, with all rollouts of each visit; every baseline leaves out the rollout that it is for. history: of
    earlier visits, from the level of all prompts where there are none. calibrated: with the calibration of the steps
    before. Counted are the visits for which all baselines exist: not those of the first step.
    """
    norms = visits.squared_norm
    if norms is None or not (norms >= 0).all() or not norms.any():
        return ()
    norms = norms / norms.mean()
    totals, weights, prompts = {}, [], []
    runs = {"": _Run(setting), "_weighted": _Run(setting)}
    for first, last in zip(visits.batches[:-1], visits.batches[1:], strict=True):
        batch = np.arange(first, last)
        group = np.repeat(np.arange(len(batch)), visits.count[batch])
        rows = visits.places(batch)
        rewards, weight, keys = visits.reward[rows], norms[rows], visits.prompt[batch][group]
        found = common_baselines(rewards, group, weight)
        for suffix, run in runs.items():
            run.step(found, suffix, rewards, group, keys, weight if suffix else None)
        if first == 0:
            continue
        asked = visits.asked[batch]
        for name, baseline in found.items():
            sums = np.bincount(group, weight * (rewards - baseline) ** 2)
            totals.setdefault(name, []).append(sums[asked])
        weights.append(np.bincount(group, weight)[asked])
        prompts.append(visits.prompt[batch][asked])
    if not weights or not sum(map(len, weights)):
        return ()
    values = {name: np.concatenate(parts) for name, parts in totals.items()}
    one_each = (visits.count == 1).all()
    values = {name: value for name, value in values.items() if not (one_each and name.startswith("group_mean"))}
    known = np.isfinite(np.stack(list(values.values()))).all(axis=0)
    if not known.any():
        return ()
    return tuple(_rows(values, known, np.concatenate(weights), np.concatenate(prompts), setting.seed))


class _Run:
    """What a run with the rule "calibrated" would have learnt so far."""

    def __init__(self, setting):
        self.range = setting.reward_range
        self.history = v05.History(setting.discount, reward_range=self.range)
        self.calibration = v05.RunningCalibration(reward_range=self.range)

    def step(self, found, suffix, rewards, group, keys, weights):
        """Adds the baselines of a step to `found`, and then learns."""
        value, _ = self.history.predict(keys)
        advantages = v05.advantages(
            rewards,
            group,
            value,
            rule="calibrated",
            leave_one_out=True,
            calibration=self.calibration,
            reward_range=self.range,
            weights=weights,
        )
        found["history" + suffix], found["calibrated" + suffix] = value, rewards - advantages
        self.calibration.update(rewards, group, value, weights=weights)
        self.history.record(keys, rewards, weights=weights)


def _rows(values, known, weights, prompts, seed):
    names = list(values)
    totals = np.stack([values[name][known] for name in names] + [weights[known]])
    sums = totals.sum(axis=1)
    resampled = resampled_totals(totals, prompts[known], np.random.default_rng(seed))
    control = names.index(CONTROL)
    for index, name in enumerate(names):
        yield NoiseRow(
            baseline=name,
            noise=float(sums[index] / sums[-1]),
            relative=float(ratio(sums[index], sums[control])),
            relative_interval=interval(ratio(resampled[:, index], resampled[:, control])),
        )
