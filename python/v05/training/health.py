"""Is the prior any good? What a user should see of it in the trainer's log.

Everything here is computed from an `Estimate` and a `Calibration` of the same groups.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from .._core.calibration import Calibration
from .._core.types import Numbers, RewardRange

# Prior error, times the number of rollouts and in units of h^2, beyond which the rule "v05"
# is worse than the plain mean: 0.13, 0.06, 0.03 h^2 for 4, 8, 16 rollouts, measured on
# resampled pass rates of real training runs.
_LIMIT_ROLLOUTS = (4.0, 8.0, 16.0)
_LIMIT_TIMES_ROLLOUTS = (4 * 0.13, 8 * 0.06, 16 * 0.03)
_NEARLY_ALL = 0.95
_CHANCES_AT_ONCE = 1 << 16


class Warned(NamedTuple):
    """Something that a person should look at. kind: "single", "no_prior" or "error"; message: a sentence."""

    kind: str
    message: str


@dataclass(frozen=True)
class PriorHealth:
    """Health of the prior over one batch of groups (method section 12). NaN: unknown.

    Shares lie in [0, 1]. h is half the width of the reward range; errors are in units of h^2, so that they can be
    compared between reward ranges.

    groups: their number. rollouts: mean number per group. rollouts_saved: share of `maximum` rollouts per group that
        was not needed.
    singletons: share of groups with one rollout. without_prior: share of groups without a prior.
    constant: share of groups whose rewards are all equal. constant_with_signal: share of those whose baseline still
        differs from the mean. constant_advantage: mean size of that difference over those groups, in h.
    rejected: share of priors that the test rejects. rejected_expected: share that it would reject if every prior were
        accurate.
    weight: mean weight of the group mean, of groups with a prior.
    error: mean squared error of the prior, sampling noise taken off, in h^2; noise can take it below 0. error_limit:
        error above which rule "v05" is worse than the plain mean, in h^2.
    explained_variance: share of the differences between prompts that the prior explains; an estimate that noise can
        take out of [0, 1].
    slope, intercept: of the line from prior to mean; the slope is 1 where the prior is calibrated, the intercept is in
        reward units.
    warnings: what a person should look at.
    """

    groups: int
    rollouts: float
    rollouts_saved: float
    singletons: float
    without_prior: float
    constant: float
    constant_with_signal: float
    constant_advantage: float
    rejected: float
    rejected_expected: float
    weight: float
    error: float
    error_limit: float
    explained_variance: float
    slope: float
    intercept: float
    warnings: tuple[Warned, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields as a dict of plain numbers, ready for a trainer's log, and the sentences of the warnings."""
        return asdict(self) | {"warnings": tuple(warning.message for warning in self.warnings)}


def prior_health(
    estimate: Any,
    calibration: Calibration,
    *,
    reward_range: RewardRange = (0.0, 1.0),
    maximum: float | None = None,
    two_valued: bool = False,
) -> PriorHealth:
    """The `PriorHealth` of a batch.

    estimate: `v05.Estimate` of rule "v05" or "calibrated", or any object with its per-group
        arrays `count, mean, prior, weight, baseline, rejected, constant`, with score weights `effective_count` besides.
    calibration: `v05.fit_calibration` of the same rows; gives the line from prior to mean and
        the pooled variance s2 of rewards within groups.
    maximum: rollouts that a group would get without allocation; None where nothing is allocated.
    two_valued: whether every reward is exactly lo or hi, and the test the bound's. Only then, and without unequal
        score weights, is the share of rejections that accurate priors would suffer known.

    With m, V, k the mean, prior and rollouts of a group (with score weights what these are worth) and f =
    clip(intercept + slope V)::

        error              = mean((m - V)^2) - mean(s2 / k)
        explained variance = 1 - (Var(m - f) - mean(s2 / k)) / (Var(m) - mean(s2 / k))

    both over the groups that have a prior and rollouts. Where no group has two rollouts the
    noise is unknown and both are NaN; so is the explained variance where the groups differ by
    no more than their noise.
    """
    low, high = reward_range
    h2 = ((high - low) / 2) ** 2
    count, mean, prior = (np.asarray(getattr(estimate, name), dtype=float) for name in ("count", "mean", "prior"))
    effective = np.asarray(getattr(estimate, "effective_count", count), dtype=float)
    constant = np.asarray(estimate.constant, dtype=bool)
    known = ~np.isnan(prior) & (count > 0)
    rollouts = _mean(count)
    silent = np.abs(np.asarray(estimate.baseline) - mean)[constant]
    noise = _mean(calibration.reward_variance / effective[known]) if (count >= 2).any() else np.nan
    line = np.clip(calibration.intercept + calibration.slope * prior[known], low, high)
    spread = _variance(mean[known]) - noise
    health: dict[str, Any] = dict(
        groups=len(count),
        rollouts=rollouts,
        rollouts_saved=1 - rollouts / maximum if maximum else np.nan,
        singletons=_mean(count == 1),
        without_prior=_mean(np.isnan(prior)),
        constant=_mean(constant),
        constant_with_signal=_mean(silent > 0),
        constant_advantage=_mean(silent[silent > 0]) / h2**0.5,
        rejected=_mean(np.asarray(estimate.rejected)[known]),
        rejected_expected=_mean(rejection_probability(prior[known], count[known], reward_range))
        if two_valued and (effective == count)[known].all()
        else np.nan,
        weight=_mean(np.asarray(estimate.weight)[known]),
        error=(_mean((mean - prior)[known] ** 2) - noise) / h2,
        error_limit=prior_error_limit(_mean(effective[known])),
        explained_variance=1 - (_variance(mean[known] - line) - noise) / spread if spread > 0 else np.nan,
        slope=float(calibration.slope),
        intercept=float(calibration.intercept),
    )
    return PriorHealth(**health, warnings=tuple(_warnings(health)))


def prior_error_limit(rollouts: float) -> float:
    """Prior error, in units of h^2, above which rule "v05" is worse than the mean of `rollouts`.

    0.13, 0.06 and 0.03 at 4, 8 and 16 rollouts; in between the product of limit and rollouts
    is interpolated in log(rollouts), outside it stays the same. NaN gives NaN.
    """
    return float(np.interp(np.log(rollouts), np.log(_LIMIT_ROLLOUTS), _LIMIT_TIMES_ROLLOUTS) / rollouts)


def rejection_probability(prior: Numbers, count: Numbers, reward_range: RewardRange = (0.0, 1.0)) -> np.ndarray:
    """Probability that the test rejects a prior which is exactly right, for two-valued rewards.

    With p = (prior - lo) / (hi - lo) and s binomial(k, p) successes: the probability of
    (m - prior)^2 > h^2 / k for the mean m = lo + (hi - lo) s / k. `prior` and `count` are
    (g,); returns (g,).
    """
    prior, count = np.asarray(prior, dtype=np.float64), np.asarray(count, dtype=np.int64)
    probability = np.zeros(prior.shape)
    for k in np.unique(count).tolist():
        rows = np.flatnonzero(count == k)
        # Few enough at a time that their chances lie in memory that is not fresh.
        for part in np.array_split(rows, 1 + len(rows) * k // _CHANCES_AT_ONCE):
            probability[part] = _rejection_probability(prior[part], k, *reward_range)
    return probability


def _rejection_probability(prior, k, low, high):
    """(n,) for as many priors, all of k rollouts."""
    chance = _binomial(k, np.clip((prior - low) / (high - low), 0.0, 1.0))
    error = low + (high - low) * np.arange(k + 1)[:, None] / k - prior
    error *= error
    chance *= error > ((high - low) / 2) ** 2 / k
    return chance.sum(axis=0)


def _binomial(k, p):
    """Probabilities of 0, 1, ... k successes, a column for each p of a vector."""
    successes = np.arange(k + 1)[:, None]
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, k + 1)))])
    ways = factorials[k] - factorials - factorials[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = successes * np.log(p)
        chance += ways[:, None]
        chance += (k - successes) * np.log1p(-p)
    np.exp(chance, out=chance)
    # There 0 log 0 came in, which counts as 0.
    chance[:, p == 0] = successes == 0
    chance[:, p == 1] = successes == k
    return chance


def _warnings(health):
    percent = "{:.0%}".format
    if health["groups"] > 1 and health["singletons"] > _NEARLY_ALL:
        yield Warned(
            "single",
            f"{percent(health['singletons'])} of the groups have a single rollout: check that the "
            "rollouts of a prompt share one group id",
        )
    if health["without_prior"] == 1:
        yield Warned("no_prior", "no group has a prior, so every baseline is that of the rewards alone")
    if health["error"] > health["error_limit"]:
        yield Warned(
            "error",
            f"the prior's error {health['error']:.2g} h^2 is above {health['error_limit']:.2g} h^2: "
            'rule "v05" is likely to be worse than the plain mean here, use "calibrated"',
        )


def _mean(values):
    return float(np.mean(values)) if len(values) else np.nan


def _variance(values):
    return float(np.var(values, ddof=1)) if len(values) > 1 else np.nan
