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


def interval(values):
    """The `Interval` of the mean of independent values, by Student's t."""
    from scipy.stats import t

    values = np.asarray(values, float)
    if len(values) < 2:
        return Interval(float(values.mean()), nan)
    error = values.std(ddof=1) / sqrt(len(values))
    return Interval(float(values.mean()), float(t.ppf((1 + LEVEL) / 2, len(values) - 1) * error))


@dataclass(frozen=True)
class ArmReport:
    """An arm at one learning rate.

    curve: {name of a field of `Point`: [Interval]}, along the evaluations, over the seeds.
    accuracy: on held-out questions at the end.
    difference: of that accuracy to the first arm, over the seeds that both have; None for the first arm.
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

    The best is that of the highest mean accuracy at the end. Seeds that not all rates of an arm have are left out, so
    that an interrupted sweep compares like with like.
    """
    chosen, others = [], []
    for arm in arms:
        by_rate = {}
        for run in runs:
            if run.arm == arm.name:
                by_rate.setdefault(run.learning_rate, {})[run.seed] = run
        if not by_rate:
            continue
        common = set.intersection(*map(set, by_rate.values())) or set.union(*map(set, by_rate.values()))
        candidates = []
        for rate, of_seed in sorted(by_rate.items()):
            kept = [of_seed[seed] for seed in sorted(common & set(of_seed))]
            if kept:
                candidates.append((np.mean([run.points[-1].accuracy for run in kept]), rate, kept))
        best = max(candidates, key=lambda candidate: candidate[0])
        chosen.append((arm, best))
        others += [(arm, candidate) for candidate in candidates if candidate is not best]
    reference = chosen[0][1][2] if chosen else []
    best = [_report(arm, rate, kept, reference) for arm, (_, rate, kept) in chosen]
    return best, [_report(arm, rate, kept, reference) for arm, (_, rate, kept) in others]


def _report(arm, rate, runs, reference):
    places = list(zip(*(run.points for run in runs)))
    curves = {field.name: [interval([getattr(point, field.name) for point in place]) for place in places]
              for field in fields(Point)}
    last = {run.seed: run.points[-1].accuracy for run in reference}
    differences = [run.points[-1].accuracy - last[run.seed] for run in runs if run.seed in last]
    return ArmReport(
        arm=arm,
        learning_rate=rate,
        seeds=[run.seed for run in runs],
        curve=curves,
        accuracy=curves["accuracy"][-1],
        difference=interval(differences) if differences and runs is not reference else None,
        to_reference=_first_reach(curves, np.mean(list(last.values()))),
    )


def _first_reach(curves, target):
    rollouts = [value.mean for value in curves["rollouts"]]
    accuracy = [value.mean for value in curves["accuracy"]]
    for place in range(1, len(accuracy)):
        if accuracy[place] >= target:
            return float(np.interp(target, accuracy[place - 1:place + 1], rollouts[place - 1:place + 1]))
    return inf
