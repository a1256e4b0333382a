"""The range that rewards are taken to have where none is given."""

_ROUNDING = 1e-6


def usual_range(low: float, high: float) -> tuple[float, float]:
    """The smallest of (0, 1), (-1, 1) and (extremes with 0) that holds low to high, but for rounding."""
    if -_ROUNDING <= low and high <= 1 + _ROUNDING:
        return 0.0, 1.0
    if -1 - _ROUNDING <= low and high <= 1 + _ROUNDING:
        return -1.0, 1.0
    return min(low, 0.0), max(high, 0.0)
