"""What a replay found, as numbers for machines and for the table and the picture."""

from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from ...training.health import PriorHealth
from ..json_text import plain

RESAMPLES = 1000
FEWEST_VISITS = 20  # that a closing sentence may rest on
FEWEST_PROMPTS = 8  # that an interval may rest on: with 5 prompts, 95 % intervals held the truth in 53 of 63 logs
MOST_CLUSTERS = 2000  # more prompts than that are resampled in this many random clusters


@dataclass(frozen=True)
class Row:
    """One rule with one number of rollouts per prompt. Intervals are 95 % bootstrap intervals, NaN with fewer than 8
    prompts.

    visits: scored visits. prompts: of these. applied: share of visits where the rule did not have to fall back. error:
    mean squared error of the baseline, reward units^2. relative: error divided by that of the group mean. worth:
    rollouts of a plain mean with the same error; infinite where the error is not above 0. zero_advantages: share of the
    rollouts that the rule would train nothing with, their advantage being 0.
    """

    rule: str
    rollouts: int
    visits: int
    prompts: int
    applied: float
    error: float
    relative: float
    relative_interval: tuple[float, float]
    worth: float
    worth_interval: tuple[float, float]
    zero_advantages: float


@dataclass(frozen=True)
class AllocationRow:
    """One allocation rule on all visits that it could be tried on. Intervals are 95 % bootstrap intervals over
    prompts."""

    rule: str
    baseline: str  # rule of the baseline
    initial: int  # floor; the ceiling is 16, or two below what was recorded
    visits: int
    rollouts: float  # mean number of rollouts per visit that it used
    error: float  # mean squared error of the baseline, reward units^2
    worth: float  # rollouts of a plain mean with the same error
    worth_interval: tuple[float, float]
    saved: float  # share of those rollouts that it saves, 1 - rollouts / worth
    saved_interval: tuple[float, float]


@dataclass(frozen=True)
class Report:
    """What `replay` found. `as_dict()` is ready for JSON, `sentence` for people.

    prompts, steps, visits, rollouts: how many were asked for. unscorable: rollouts without a reward, left out.
    repeated: rollouts that the log has more than once, left out. prior: "logged" or "history". discount: of the
    history. within_variance: mean variance of the rewards of one visit, reward units^2. headline: rollouts per prompt
    that the closing sentence speaks of.
    rows: of Row. allocation: of AllocationRow; empty where visits have too few rollouts to try it on. noise: of
    gradient_noise.NoiseRow; empty where the log does not tell the tokens of rollouts. health: {rollouts
    per prompt, None as recorded: v05.training.health.PriorHealth}. notes: sentences on what to know before believing
    the numbers.
    scores: Scores of the headline, for the picture. visits_before: (s,) earlier visits of each scored visit, for the
    picture.
    drawn: {allocation rule: (mean reward, rollouts) of each visit}, for the picture.
    """

    log: str
    formats: tuple[str, ...]
    prompts: int
    steps: int
    visits: int
    rollouts: int
    unscorable: int
    repeated: int
    reward_range: tuple[float, float]
    prior: str
    discount: float | None
    within_variance: float
    headline: int
    rows: tuple[Row, ...]
    allocation: tuple[AllocationRow, ...]
    noise: tuple[Any, ...]
    health: dict[int | None, PriorHealth]
    notes: tuple[str, ...]
    scores: Any = field(repr=False)
    visits_before: np.ndarray = field(repr=False)
    drawn: dict[str, tuple[np.ndarray, np.ndarray]] = field(repr=False)

    def row(self, rule: str, rollouts: int | None = None) -> Row:
        """The `Row` of a rule; without `rollouts` that of the headline."""
        wanted = (rule, rollouts or self.headline)
        return next(row for row in self.rows if (row.rule, row.rollouts) == wanted)

    @property
    def supported(self) -> bool:
        """Whether enough visits could be scored, and their error is known well enough, for a closing sentence."""
        row = self.row("v05")
        return (
            row.visits >= max(FEWEST_VISITS, self.visits / 2)
            and not np.isnan([row.worth, *row.relative_interval]).any()
        )

    @property
    def sentence(self) -> str:
        """The result in one plain sentence, with the number of visits that it rests on."""
        row, calibrated = self.row("v05"), self.row("calibrated")
        rollouts = f"{self.headline} {_plural('rollout', self.headline)}"
        if not self.supported:
            if row.prompts < FEWEST_PROMPTS:
                few = f"{row.prompts} {_plural('prompt', row.prompts)}"
                tell = "tells" if row.prompts == 1 else "tell"
                why = f"all are of {few}, which {tell} nothing about others; {FEWEST_PROMPTS} are needed"
            elif row.visits >= max(FEWEST_VISITS, self.visits / 2):
                why = "no error of the group mean stands out of the noise"
            else:
                why = f"{FEWEST_VISITS} and half of all are needed"
            return (
                f"Nothing can be concluded: {row.visits:,} of {self.visits:,} visits could be scored with {rollouts}, "
                f"and {why}."
            )
        first, second = _compared(row), _compared(calibrated) if calibrated.applied else ""
        same = "has the baseline error of"
        if first.startswith(same) and second.startswith(same):
            second = "that of" + second.removeprefix(same)
        second = second and f", its calibrated rule {second}"
        return f"On this log, V_0.5 with {rollouts} {first}{second}; measured on {row.visits:,} visits."

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the prior with the headline's number of rollouts, for people."""
        return tuple(warning.message for warning in self.health[self.headline].warnings)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the picture's arrays, as plain types; NaN and infinity become None."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del content["scores"], content["visits_before"], content["drawn"]
        content["rows"] = [asdict(row) for row in self.rows]
        content["allocation"] = [asdict(row) for row in self.allocation]
        content["noise"] = [asdict(row) for row in self.noise]
        content["health"] = [{"rollouts_used": size, **health.as_dict()} for size, health in self.health.items()]
        content["sentence"], content["supported"] = self.sentence, self.supported
        return plain(content)


def compare(scores, prompt, *, seed=0):
    """The `Row` of every rule of a `Scores`; `prompt` (s,) is the prompt of each scored visit.

    relative = sum of the rule's errors / sum of the group mean's; worth = sum of the variances within visits / sum of
    the rule's errors, since a plain mean of n rollouts has the expected error variance / n. Intervals: percentiles over
    1,000 resamples of prompts, all visits of a prompt together.
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
            prompts=len(np.unique(prompt)),
            applied=scores.applied[rule],
            error=float(totals[index] / len(scores.visit)),
            relative=float(ratio(totals[index], totals[mean])),
            relative_interval=interval(ratio(resampled[:, index], resampled[:, mean])),
            worth=float(_worth(totals[within], totals[index])),
            worth_interval=interval(_worth(resampled[:, within], resampled[:, index])),
            zero_advantages=scores.zero_advantages[rule],
        )


def resampled_totals(values, prompt, generator):
    """Sums over visits of each row of `values`, for every bootstrap sample: (samples, rows); NaN with too few prompts,
    whose samples differ too little."""
    _, cluster = np.unique(prompt, return_inverse=True)
    clusters = cluster.max() + 1
    if clusters < FEWEST_PROMPTS:
        return np.full((RESAMPLES, len(values)), np.nan)
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


def _compared(row):
    """A rule's error against that of a plain mean, as far as its interval tells them apart."""
    low, high = row.relative_interval
    if low <= 1 <= high:
        return (
            f"has no baseline error that can be told from the group mean's ({row.relative:.2f} of it, {low:.2f} to "
            f"{high:.2f})"
        )
    if row.worth == np.inf:
        return (
            f"has a baseline error too small to be measured: that of a plain mean of more than "
            f"{row.worth_interval[0]:.1f}"
        )
    low, high = row.worth_interval
    until = f"{low:.1f} to {high:.1f}" if isfinite(high) else f"{low:.1f} or more"
    return f"has the baseline error of a plain mean of {row.worth:.1f} ({until})"


def _plural(word, number):
    return word if number == 1 else word + "s"
