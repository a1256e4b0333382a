"""A log as visits: all rollouts of one prompt at one step."""

from dataclasses import dataclass, replace

import numpy as np

import v05

from ...errors import InvalidArgument
from ..logs.errors import LogError
from ..logs.numbering import earlier_occurrences

MOST_SPLITS = 10_000


@dataclass(frozen=True)
class Setting:
    """How a log is replayed; the same for every rule and number of rollouts.

    prior: "history" or "logged". discount: of the history, for each visit. full_history: the history knows all recorded
    rollouts of earlier visits. splits: random splits into estimating and scoring rollouts. seed: of the first split;
    the next one has the next seed. progress: hears how far the replay is.
    """

    reward_range: tuple = (0.0, 1.0)
    prior: str = "history"
    discount: float = 0.8
    full_history: bool = False
    splits: int = 1
    seed: int = 0
    progress: object = lambda stage, done, total: None


@dataclass(frozen=True)
class Visits:
    """The visits of a log in time order, (v,) arrays; the visits of one step are one batch.

    prompt: int64. count: int64, rollouts of the visit. start: int64, where its rewards begin. reward: (n,) float64,
    visit by visit. logged_prior: float64, NaN where the log has none. earlier: int64, how many visits its prompt had
    before.
    batches: int64, where each batch begins, and the end. asked: bool, whether the visit is to be reported on; the
    others are what was known before. squared_norm: (n,) float64, of each rollout's score up to a factor, NaN where
    unknown; or None.
    """

    prompt: np.ndarray
    count: np.ndarray
    start: np.ndarray
    reward: np.ndarray
    logged_prior: np.ndarray
    earlier: np.ndarray
    batches: np.ndarray
    asked: np.ndarray
    squared_norm: np.ndarray | None = None

    def shuffled(self, seed):
        """The same with the rollouts of each visit in random order.

        Its first m rollouts are then a random sample of the visit, the rest an independent one.
        """
        owner = np.repeat(np.arange(len(self.count)), self.count)
        order = np.lexsort((np.random.default_rng(seed).random(len(owner)), owner))
        return replace(self, reward=self.reward[order], squared_norm=self._norms(order))

    def only_asked(self):
        """The visits that are asked for, without those that were known before."""
        if self.asked.all():
            return self
        rows = np.flatnonzero(self.asked)
        count, batch = self.count[rows], np.repeat(np.arange(len(self.batches) - 1), np.diff(self.batches))[rows]
        return Visits(
            prompt=self.prompt[rows],
            count=count,
            start=np.cumsum(count) - count,
            reward=self.rewards(rows),
            squared_norm=self._norms(self.places(rows)),
            logged_prior=self.logged_prior[rows],
            earlier=self.earlier[rows],
            asked=self.asked[rows],
            batches=np.append(np.flatnonzero(np.diff(batch, prepend=-1) != 0), len(rows)),
        )

    def _norms(self, rows):
        return None if self.squared_norm is None else self.squared_norm[rows]

    def rewards(self, visits, skip=0, take=None):
        """The rewards of some visits one after the other, without the first `skip` of each and at most `take`.

        skip, take: a number, or one per visit.
        """
        return self.reward[self.places(visits, skip, take)]

    def places(self, visits, skip=0, take=None):
        """Where in `reward` these rollouts of some visits stand."""
        length = self.count[visits] - skip
        if take is not None:
            length = np.minimum(length, take)
        ends = np.cumsum(length)
        start = self.start[visits] + skip
        return np.arange(length.sum()) + np.repeat(start - ends + length, length)


def check_sampling(splits, seed):
    """Raises InvalidArgument for a number of random splits, or a seed of them, that makes no sense."""
    if not 1 <= splits <= MOST_SPLITS:
        raise InvalidArgument(f"splits must lie between 1 and {MOST_SPLITS}, got {splits}")
    if seed < 0:
        raise InvalidArgument(f"seed must be at least 0, got {seed}")


def gather_visits(log, only=None):
    """The `Visits` of a `RolloutLog`; `only` = (first, last): these visits of each prompt, counted from 1, are asked
    for.

    Earlier ones stay, as history; later ones are as if they had never been logged.
    """
    begins = np.diff(log.visit, prepend=-1) != 0
    rows = np.flatnonzero(begins)
    _check_priors(log, log.prior[rows][np.cumsum(begins) - 1])
    earlier = earlier_occurrences(log.prompt[rows])
    first, last = only or (1, np.inf)
    if not 1 <= first <= last:
        raise InvalidArgument(f"visits are counted from 1 and go from a first to a last one, got {first} to {last}")
    kept = earlier < last
    asked = earlier[kept] >= first - 1
    if not asked.any():
        raise LogError(log.name, None, f"no prompt has visits {first} to {last}, counted from 1")
    count, steps = np.add.reduceat(log.times, rows)[kept], log.step[rows][kept]
    entries = np.repeat(kept, np.diff(rows, append=len(begins)))
    return Visits(
        prompt=log.prompt[rows][kept],
        count=count,
        start=np.cumsum(count) - count,
        reward=np.repeat(log.reward[entries], log.times[entries]),
        squared_norm=np.repeat(log.squared_norm[entries], log.times[entries]),
        logged_prior=log.prior[rows][kept],
        earlier=earlier[kept],
        batches=np.append(np.flatnonzero(np.diff(steps, prepend=np.nan) != 0), len(steps)),
        asked=asked,
    )


def walk(visits, setting, size=None):
    """Yield (visits of the batch, their priors) batch by batch in time order.

    The prior is the logged one, or a `v05.History` of the first `size` rollouts (all of them without a size) of every
    earlier visit. It knows nothing of the batch itself.
    """
    history = v05.History(setting.discount, start_strength=0, reward_range=setting.reward_range)
    for first, last in zip(visits.batches[:-1], visits.batches[1:], strict=True):
        batch = np.arange(first, last)
        if setting.prior == "logged":
            yield batch, visits.logged_prior[batch]
            continue
        prompt = visits.prompt[batch]
        yield batch, history.predict(prompt)[0]
        taken = visits.count[batch] if size is None else np.minimum(visits.count[batch], size)
        history.record(np.repeat(prompt, taken), visits.rewards(batch, take=size))


def held_out(visits, which, skip):
    """Mean of each visit's rewards after the first `skip`, and the variance of that mean."""
    count = visits.count[which] - skip
    rewards = visits.rewards(which, skip=skip)
    starts = np.cumsum(count) - count
    mean = np.add.reduceat(rewards, starts) / count
    squares = np.add.reduceat((rewards - np.repeat(mean, count)) ** 2, starts)
    return mean, squares / (count * (count - 1))


def _check_priors(log, first):
    differs = np.flatnonzero((log.prior != first) & ~(np.isnan(log.prior) & np.isnan(first)))
    if differs.size:
        row = differs[0]
        problem = f"prior {log.prior[row]} differs from {first[row]} on another rollout of the same prompt and step"
        raise log.error(row, problem)
