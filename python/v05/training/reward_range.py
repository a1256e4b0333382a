"""The range that rewards are taken to have where none is given, and what rounding does at its ends."""

import numpy as np

ROUNDING = 1e-6


def usual_range(low: float, high: float, rounding: float = 0.0) -> tuple[float, float]:
    """The smallest of (0, 1), (-1, 1) and (extremes with 0) that holds low to high, but for rounding."""
    if -rounding <= low and high <= 1 + rounding:
        return 0.0, 1.0
    if -1 - rounding <= low and high <= 1 + rounding:
        return -1.0, 1.0
    return min(low, 0.0), max(high, 0.0)


def with_ends(values: np.ndarray, reward_range: tuple[float, float]) -> np.ndarray:
    """(n,) values with the ends of the range for what differs from them by rounding alone: 1.1 is 1.10000002 in
    float32, and a sum of parts may be -2e-17."""
    low, high = reward_range
    if ((values == low) | (values == high)).all():
        return values
    # Of the size of an end: in a range of millions, as a penalty makes it, the other rewards lie within a millionth.
    near = [np.abs(values - end) <= ROUNDING * min(high - low, max(1.0, abs(end))) for end in (low, high)]
    return np.where(near[0], low, np.where(near[1], high, values)) if (near[0] | near[1]).any() else values
