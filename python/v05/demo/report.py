"""What the runs of a study say: means over seeds with intervals, arm by arm."""

from dataclasses import asdict, dataclass, fields
from math import inf, isnan, nan, sqrt

import numpy as np

from .curve import Point

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and half the width of its 95 % confidence interval; NaN where one value cannot tell."""

    mean: float
    half_width: float

    def __format__(self, sign):
        return f"{self.mean:{sign}.3f}" + ("" if isnan(self.half_width) else f" ± {self.half_width:.3f}")


def interval(values, factor=1.0):
    """The `Interval` of the mean of independent values, by Student's t; its width is multiplied by the factor."""
    from scipy.stats import t

    values = np.asarray(values, float)
    if len(values) < 2:
        return Interval(float(values.mean()), nan)
    error = factor * values.std(ddof=1) / sqrt(len(values))
    return Interval(float(values.mean()), float(t.ppf((1 + LEVEL) / 2, len(values) - 1) * error))


@dataclass(frozen=True)
class ArmReport:
    """An arm at one learning rate.

    curve: {name of a field of `Point`: [Interval]}, along the evaluations, over the seeds. Those of accuracy are for
        comparing arms: what the seeds have in common for all arms is taken off (Cousineau's intervals for repeated
        measures, with Morey's factor).
    accuracy: on held-out questions at the end.
    difference: of that accuracy to the first arm, seed by seed; None for the first arm.
    to_reference: rollouts after which the mean curve reaches the first arm's last mean accuracy; inf: never.
    """

    arm: object
    learning_rate: float
    seeds: list
    curve: dict
    accuracy: Interval
    difference: Interval | None
    to_reference: float

    def mean(self, name):
        """Mean of a figure over all steps."""
        return float(np.mean([value.mean for value in self.curve[name][1:]]))

    def as_dict(self):
        return asdict(self) | {"arm": self.arm.name}


def report_arms(runs, arms):
    """(best, others): an `ArmReport` for each arm that has runs, at the best of its learning rates; those at others.

    The best is that of the highest mean accuracy at the end. Of an interrupted study only the seeds count that all of
    them have.
    """
    of_arm = {}
    for run in sorted(runs, key=lambda run: run.seed):
        of_arm.setdefault((run.arm, run.learning_rate), []).append(run)
    seeds = set.intersection(*({run.seed for run in kept} for kept in of_arm.values()))
    best, others = [], []
    for arm in arms:
        rates = [kept for (name, _), kept in sorted(of_arm.items()) if name == arm.name]
        rates = [[run for run in kept if run.seed in seeds] for kept in rates]
        rates.sort(key=lambda kept: np.mean([run.points[-1].accuracy for run in kept]), reverse=True)
        best += [(arm, kept) for kept in rates[:1]]
        others += [(arm, kept) for kept in rates[1:]]
    reference = best[0][1]
    accuracy = np.array([_accuracies(kept) for _, kept in best])
    common = accuracy.mean(axis=0) - accuracy.mean(axis=(0, 1))  # of every seed, at every evaluation
    if len(best) == 1:
        common = np.zeros_like(common)
    return tuple([_report(*one, reference, common, len(best)) for one in found] for found in (best, others))


def _report(arm, runs, reference, common, arms):
    curve = {}
    for field in fields(Point):
        values = np.array([[getattr(point, field.name) for point in run.points] for run in runs])
        curve[field.name] = [interval(place) for place in values.T]
    factor = sqrt(arms / max(arms - 1, 1))
    curve["accuracy"] = [interval(place, factor) for place in (_accuracies(runs) - common).T]
    return ArmReport(
        arm=arm,
        learning_rate=runs[0].learning_rate,
        seeds=[run.seed for run in runs],
        curve=curve,
        accuracy=curve["accuracy"][-1],
        difference=None if runs is reference else interval((_accuracies(runs) - _accuracies(reference))[:, -1]),
        to_reference=_first_reach(curve, _accuracies(reference)[:, -1].mean()),
    )


def _accuracies(runs):
    """Seeds by evaluations."""
    return np.array([[point.accuracy for point in run.points] for run in runs])


def _first_reach(curve, target):
    rollouts = [value.mean for value in curve["rollouts"]]
    accuracy = [value.mean for value in curve["accuracy"]]
    for place in range(1, len(accuracy)):
        if accuracy[place] >= target:
            return float(np.interp(target, accuracy[place - 1:place + 1], rollouts[place - 1:place + 1]))
    return inf
