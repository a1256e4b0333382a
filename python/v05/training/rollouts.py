"""The rewards of a step, checked once, with what says which of them count and how much."""

from dataclasses import dataclass, replace

import numpy as np

from .._core.arrays import mask_rows, optional_numbers, weight_rows
from .._core.cached import cached
from ..errors import InvalidArgument
from .reward_range import with_ends

_LARGEST_REWARD = 1e30  # of the core


@dataclass(frozen=True)
class Rollouts:
    """As the estimator uses them.

    rewards: (n,) float64, NaN where unscored. mask: (n,) bytes or None. counted: (n,) booleans. unscored: rows that the
    caller counts and that have no reward. weights: (n,) float64, or None where all count alike. squared_norms: the same
    for the noise of the gradient alone.
    """

    rewards: np.ndarray
    mask: np.ndarray | None
    counted: np.ndarray
    unscored: int
    weights: np.ndarray | None = None
    squared_norms: np.ndarray | None = None

    @cached
    def values(self):
        return self.rewards if self.counted.all() else self.rewards[self.counted]

    def within(self, reward_range):
        """With the ends of the range where they are meant."""
        rewards = with_ends(self.rewards, reward_range)
        return self if rewards is self.rewards else replace(self, rewards=rewards)


def checked_rollouts(rewards, mask, weights=None, squared_norms=None, reward_range=None):
    """The Rollouts of rewards, (n,) with NaN or None where unscored, and of arrays (n,) or None."""
    rewards = optional_numbers(rewards, "rewards", reward_range or (0.0, 1.0))
    if rewards.ndim != 1:
        raise InvalidArgument(f"rewards must have one dimension (rollouts), got shape {rewards.shape}")
    mask = mask_rows(mask, len(rewards))
    if mask is weights is squared_norms is None and (np.abs(rewards) <= _LARGEST_REWARD).all():  # NaN is not
        return Rollouts(rewards, None, np.ones(len(rewards), bool), 0)
    asked = np.ones(len(rewards), bool) if mask is None else mask.astype(bool)
    counted = asked & ~np.isnan(rewards)
    bad = np.flatnonzero(counted & ~(np.abs(rewards) <= _LARGEST_REWARD))
    if len(bad):
        raise InvalidArgument(
            f"rewards[{bad[0]}] must be finite and at most 1e30 in absolute value, got {rewards[bad[0]]:g}"
        )
    unscored = int(asked.sum() - counted.sum())
    weights = counted_weights("weights", weights, counted)
    squared_norms = weights if squared_norms is None else counted_weights("squared_norms", squared_norms, counted)
    return Rollouts(rewards, counted.astype(np.uint8) if unscored else mask, counted, unscored, weights, squared_norms)


def counted_weights(name, weights, counted):
    """weights as (n,) float64, or None; checked, and 0 for rows that do not count, (n,) booleans."""
    if weights is None:
        return None
    weights = weight_rows(weights, len(counted), name)
    bad = np.flatnonzero(counted & ~((weights >= 0) & (weights < np.inf)))
    if len(bad):
        raise InvalidArgument(f"{name}[{bad[0]}] must be finite and not negative, got {weights[bad[0]]:g}")
    return np.where(counted, weights, 0.0)
