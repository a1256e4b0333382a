"""What the runs of a study say: means over seeds with intervals, arm by arm."""

from dataclasses import asdict, dataclass, fields
from math import inf, isnan, nan, sqrt

import numpy as np

from .curve import Point, Regime

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
class Difference:
    """Of an arm to another, seed by seed.

    accuracy: at the end.
    area: over the run (`Run.area`).
    better: seeds on which the arm is better at the end.
    """

    accuracy: Interval
    area: Interval
    better: int


@dataclass(frozen=True)
class ArmReport:
    """What the runs of an arm say.

    curve: {name of a field of `Point`: [Interval]}, along the evaluations, over the seeds. Those of accuracy are for
        comparing arms: what the seeds have in common for all arms is taken off (Cousineau's intervals for repeated
        measures, with Morey's factor).
    accuracy: on held-out questions at the end.
    area: mean accuracy over the run.
    to_reference: to the first arm; None for that arm.
    to_control: to `Arm.control`; None for a control, and where that was not run.
    reaches_reference: rollouts after which the mean curve reaches the first arm's last mean accuracy; inf: never.
    """

    arm: object
    seeds: list
    curve: dict
    accuracy: Interval
    area: float
    to_reference: Difference | None
    to_control: Difference | None
    reaches_reference: float

    def mean(self, name):
        """Mean of a figure over all steps."""
        return float(np.mean([value.mean for value in self.curve[name][1:]]))

    def as_dict(self):
        return asdict(self) | {"arm": self.arm.name, "learning_rate": self.arm.learning_rate}


def report_arms(runs, arms):
    """An `ArmReport` for each arm that has runs. Of an interrupted study only whole seeds count."""
    of_seed = {}
    for run in runs:
        of_seed.setdefault(run.seed, {})[run.arm] = run
    whole = max((kept.keys() for kept in of_seed.values()), key=len)
    seeds = sorted(seed for seed, kept in of_seed.items() if kept.keys() >= whole)
    of_arm = {arm.name: [of_seed[seed][arm.name] for seed in seeds] for arm in arms if arm.name in whole}
    reference = next(iter(of_arm))
    accuracy = np.array([_accuracies(kept) for kept in of_arm.values()])
    common = accuracy.mean(axis=0) - accuracy.mean(axis=(0, 1))  # of every seed, at every evaluation
    if len(of_arm) == 1:
        common = np.zeros_like(common)
    return [_report(arm, of_arm, reference, common, seeds) for arm in arms if arm.name in whole]


def _report(arm, of_arm, reference, common, seeds):
    runs = of_arm[arm.name]
    curve = {}
    for field in fields(Point):
        values = np.array([[getattr(point, field.name) for point in run.points] for run in runs])
        curve[field.name] = [interval(place) for place in values.T]
    factor = sqrt(len(of_arm) / max(len(of_arm) - 1, 1))
    curve["accuracy"] = [interval(place, factor) for place in (_accuracies(runs) - common).T]

    def difference_to(name):
        return None if name == arm.name or name not in of_arm else _difference(runs, of_arm[name])

    return ArmReport(
        arm=arm,
        seeds=seeds,
        curve=curve,
        accuracy=curve["accuracy"][-1],
        area=float(np.mean([run.area for run in runs])),
        to_reference=difference_to(reference),
        to_control=difference_to(arm.control),
        reaches_reference=_first_reach(curve, _accuracies(of_arm[reference])[:, -1].mean()),
    )


def _difference(runs, others):
    at_the_end = (_accuracies(runs) - _accuracies(others))[:, -1]
    area = [run.area - other.area for run, other in zip(runs, others)]
    return Difference(interval(at_the_end), interval(area), int((at_the_end > 0).sum()))


def mean_regime(runs):
    """The mean `Regime` of the seeds' starts; None where the runs know none."""
    of_seed = {run.seed: run.regime for run in runs if run.regime}
    if not of_seed:
        return None
    return Regime(*(float(np.mean([getattr(one, field.name) for one in of_seed.values()])) for field in fields(Regime)))


def mean_areas(runs):
    """{name of an arm: {learning rate: mean area}} of runs that try rates. Of an interrupted study: of whole seeds."""
    of_seed = {}
    for run in runs:
        of_seed.setdefault(run.seed, {})[run.arm, run.learning_rate] = run.area
    whole = max((kept.keys() for kept in of_seed.values()), key=len)
    found = {}
    for arm, rate in sorted(whole):
        areas = [kept[arm, rate] for kept in of_seed.values() if kept.keys() >= whole]
        found.setdefault(arm, {})[rate] = float(np.mean(areas))
    return found


def _accuracies(runs):
    """Seeds by evaluations."""
    return np.array([[point.accuracy for point in run.points] for run in runs])


def _first_reach(curve, target):
    rollouts = [value.mean for value in curve["rollouts"]]
    accuracy = [value.mean for value in curve["accuracy"]]
    for place in range(1, len(accuracy)):
        if accuracy[place] >= target:
            return float(np.interp(target, accuracy[place - 1 : place + 1], rollouts[place - 1 : place + 1]))
    return inf
