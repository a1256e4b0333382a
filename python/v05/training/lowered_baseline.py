"""Baselines for rollouts that are used again or come late: below the value, so that little is pushed down."""

import numpy as np


def lowered(
    advantages: np.ndarray, rewards: np.ndarray, counted: np.ndarray, low: float, fraction: float
) -> np.ndarray:
    """(n,) advantages with low + fraction (b - low) for the baseline b, which is reward - advantage.

    advantages: (n,) unscaled. rewards: (n,). counted: (n,) booleans; rows that do not count keep their advantage.
    low: the least that a reward can be. fraction: 0 to 1.
    """
    # r - (low + f (b - low)), with no b: it would be lost where r and b are large and nearly equal.
    return np.where(counted, (1 - fraction) * (rewards - low) + fraction * advantages, advantages)
