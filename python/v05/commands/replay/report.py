"""What a replay found, as numbers for machines and for the table and the picture."""

from dataclasses import asdict, dataclass, field
from math import isfinite

import numpy as np

from ..json_text import plain

RESAMPLES = 1000
MOST_CLUSTERS = 2000  # more prompts than that are resampled in this many random clusters


@dataclass(frozen=True)
class Row:
    """One rule with one number of rollouts per prompt. Intervals are 95 % bootstrap intervals."""

    rule: str
    rollouts: int
    visits: int  # scored visits
    applied: float  # share of them where the rule did not have to fall back
    error: float  # mean squared error of the baseline, reward units^2
    relative: float  # error divided by that of the group mean
    relative_interval: tuple
    worth: float  # rollouts of a plain mean with the same error; inf where the error is not above 0
    worth_interval: tuple


@dataclass(frozen=True)
class Report:
    """What `replay` found. `as_dict()` is ready for JSON, `sentence` for people."""

    log: str
    formats: tuple
    prompts: int
    steps: int
    visits: int
    rollouts: int
    unscorable: int  # rollouts without a reward, left out
    repeated: int  # rollouts that the trainer wrote twice, left out
    reward_range: tuple
    prior: str  # "logged" or "history"
    discount: float | None  # of the history
    within_variance: float  # mean variance of the rewards of one visit, reward units^2
    headline: int  # rollouts per prompt that the closing sentence speaks of
    rows: tuple  # of Row
    allocation: tuple  # of AllocationRow; empty where visits have too few rollouts to try it on
    health: dict  # rollouts per prompt (None: as recorded) -> v05.training.health.PriorHealth
    notes: tuple  # sentences on what to know before believing the numbers
    scores: object = field(repr=False)  # Scores of the headline, for the picture
    visits_before: np.ndarray = field(repr=False)  # (s,) earlier visits of each scored visit
    drawn: dict = field(repr=False)  # allocation rule -> (mean reward, rollouts) of each visit, for the picture

    def row(self, rule, rollouts=None):
        """The `Row` of a rule; without `rollouts` that of the headline."""
        wanted = (rule, rollouts or self.headline)
        return next(row for row in self.rows if (row.rule, row.rollouts) == wanted)

    @property
    def sentence(self):
        """The result in one plain sentence."""
        calibrated = self.row("calibrated")
        return (
            f"On this log, V_0.5 with {self.headline} {_plural('rollout', self.headline)} has the baseline error of "
            f"a plain mean of {in_rollouts(self.row('v05').worth)}"
            + (f", its calibrated rule that of {in_rollouts(calibrated.worth)}." if calibrated.applied else ".")
        )

    @property
    def warnings(self):
        """Warnings about the prior with the headline's number of rollouts, for people."""
        return tuple(warning.message for warning in self.health[self.headline].warnings)

    def as_dict(self):
        """Everything but the picture's arrays, as plain types; NaN and infinity become None."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del content["scores"], content["visits_before"], content["drawn"]
        content["rows"] = [asdict(row) for row in self.rows]
        content["allocation"] = [asdict(row) for row in self.allocation]
        content["health"] = [{"rollouts_used": size, **health.as_dict()} for size, health in self.health.items()]
        content["sentence"] = self.sentence
        return plain(content)


def compare(scores, prompt, *, seed=0):
    """The `Row` of every rule of a `Scores`; `prompt` (s,) is the prompt of each scored visit.

    relative = sum of the rule's errors / sum of the group mean's; worth = sum of the variances
    within visits / sum of the rule's errors, since a plain mean of n rollouts has the expected
    error variance / n. Intervals: percentiles over 1,000 resamples of prompts, all visits of a
    prompt together.
    """
    rules = list(scores.error)
    values = np.stack([scores.error[rule] for rule in rules] + [scores.within])
    totals = values.sum(axis=1)
    resampled = resampled_totals(values, prompt, np.random.default_rng(seed))
    within, mean = len(rules), rules.index("grpo")
    for index, rule in enumerate(rules):
        yield Row(
            rule=rule,
            rollouts=scores.size,
            visits=len(scores.visit),
            applied=scores.applied[rule],
            error=float(totals[index] / len(scores.visit)),
            relative=float(ratio(totals[index], totals[mean])),
            relative_interval=interval(ratio(resampled[:, index], resampled[:, mean])),
            worth=float(_worth(totals[within], totals[index])),
            worth_interval=interval(_worth(resampled[:, within], resampled[:, index])),
        )


def resampled_totals(values, prompt, generator):
    """Sums over visits of each row of `values`, for every bootstrap sample: (samples, rows)."""
    _, cluster = np.unique(prompt, return_inverse=True)
    clusters = cluster.max() + 1
    if clusters > MOST_CLUSTERS:
        cluster = generator.integers(MOST_CLUSTERS, size=clusters)[cluster]
        clusters = MOST_CLUSTERS
    sums = np.stack([np.bincount(cluster, row, clusters) for row in values])
    times = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES)
    return times @ sums.T


def ratio(numerator, denominator):
    """numerator / denominator, NaN where the noise left no positive denominator."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _worth(within, error):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error > 0, within / error, np.where(within > 0, np.inf, np.nan))


def interval(values):
    return tuple(np.quantile(values, (0.025, 0.975), method="closest_observation").tolist())


def in_rollouts(worth):
    """A number of rollouts for people."""
    if worth != worth:
        return "unknown size"
    return f"{worth:.1f}" if isfinite(worth) else "more than can be measured here"


def _plural(word, number):
    return word if number == 1 else word + "s"
