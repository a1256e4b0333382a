"""How good predicted values are, beside noisy means of the same prompts."""

from dataclasses import dataclass

import numpy as np

from ..replay.report import MOST_CLUSTERS, RESAMPLES, interval
from ..replay.visits import held_out


@dataclass(frozen=True)
class Quality:
    """Figures of one prior over the visits that it has a value for. Intervals are 95 % bootstrap intervals over
    prompts.

    known: share of the visits that have a value.
    auc: area under the ROC curve: share of pairs of a visit with mean reward of at least the midpoint of the range and
        one below that the values put in the right order, ties half.
    auc_within: the same over pairs of one context (policy and step), so that the policy's level does not help.
    auc_gain: auc minus that of the constant, both over the visits that both know.
    error: mean (value - mean)^2 minus the sampling noise of the means, reward units^2; unbiased.
    slope: of the straight line from value to mean; 1 where the values are calibrated.
    """

    prior: str
    known: float
    auc: float
    auc_interval: tuple
    auc_within: float
    auc_within_interval: tuple
    auc_gain: float
    auc_gain_interval: tuple
    error: float
    error_interval: tuple
    slope: float
    slope_interval: tuple


def qualities(visits, values, reward_range, *, baseline="constant", seed=0, progress=None):
    """The Quality of each prior; values: {name: (v,) float64, NaN for none}. All are resampled alike."""
    weights = _resamples(visits.prompt, np.random.default_rng(seed))
    mean = np.add.reduceat(visits.reward, visits.start) / visits.count
    solved = mean >= sum(reward_range) / 2
    noise = np.full(len(mean), np.nan)
    several = np.flatnonzero(visits.count >= 2)
    noise[several] = held_out(visits, several, 0)[1]
    context = np.repeat(np.arange(len(visits.batches) - 1), np.diff(visits.batches))
    for number, (name, value) in enumerate(values.items()):
        if progress:
            progress(f"quality of {name}", number, len(values))
        known = np.flatnonzero(~np.isnan(value))
        common = known[~np.isnan(values[baseline][known])] if baseline in values else known[:0]
        scored = known[~np.isnan(noise[known])]

        def auc(rows, values, context):
            return _auc(values[rows], solved[rows], context[rows], weights[:, rows])

        one = np.zeros_like(context)
        gain = (
            auc(common, value, one) - auc(common, values[baseline], one)
            if len(common)
            else np.full(len(weights), np.nan)
        )
        difference = (value - mean) ** 2 - noise
        figures = {
            "auc": auc(known, value, one),
            "auc_within": auc(known, value, context),
            "auc_gain": gain,
            "error": _mean(difference[scored], weights[:, scored]),
            "slope": _slope(value[known], mean[known], weights[:, known]),
        }
        yield Quality(
            prior=name,
            known=len(known) / len(value),
            **{figure: float(found[0]) for figure, found in figures.items()},
            **{f"{figure}_interval": interval(found[1:]) for figure, found in figures.items()},
        )


def _resamples(prompt, generator):
    """How often each visit counts: (1 + RESAMPLES, v), once each in the first row, then in bootstrap samples of
    prompts."""
    _, cluster = np.unique(prompt, return_inverse=True)
    clusters = cluster.max() + 1
    if clusters > MOST_CLUSTERS:
        cluster = generator.integers(MOST_CLUSTERS, size=clusters)[cluster]
        clusters = MOST_CLUSTERS
    times = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES)
    return np.vstack([np.ones(clusters), times]).astype(np.float32)[:, cluster]


def _auc(value, solved, context, weights):
    """Area under the ROC curve over pairs of one context, for each row of weights; NaN without pairs."""
    order = np.lexsort((value, context))
    value, solved, context = value[order], solved[order], context[order]
    begins = (np.diff(value, prepend=np.nan) != 0) | (np.diff(context, prepend=-1) != 0)
    tie = np.cumsum(begins) - 1
    context_of = context[begins]
    opens = np.flatnonzero(np.diff(context_of, prepend=-1) != 0)
    result = np.full(len(weights), np.nan)
    for row, weight in enumerate(weights[:, order]):
        above = np.bincount(tie, weight * solved)
        below = np.bincount(tie, weight * ~solved)
        if not len(above):
            continue
        before = np.cumsum(below) - below
        before -= np.repeat(before[opens], np.diff(opens, append=len(before)))  # of the same context only
        pairs = np.add.reduceat(above, opens) @ np.add.reduceat(below, opens)
        if pairs > 0:
            result[row] = above @ (before + below / 2) / pairs
    return result


def _mean(values, weights):
    with np.errstate(divide="ignore", invalid="ignore"):
        return weights @ values / weights.sum(axis=1)


def _slope(value, mean, weights):
    x, y, xx, xy = (_mean(moment, weights) for moment in (value, mean, value * value, value * mean))
    spread = xx - x * x
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 1e-9, (xy - x * y) / spread, np.nan)
