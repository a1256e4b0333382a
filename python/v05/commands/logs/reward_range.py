"""The range of a log's rewards."""

import numpy as np

from ...errors import InvalidArgument
from ...training.reward_range import usual_range
from .errors import LogError

NARROWEST = 1e-100  # a range whose square is still a number


def detect_reward_range(log, given=None):
    """(lo, hi) of the rewards of a `RolloutLog`: `given`, else what they show.

    That is 0 to 1 where every reward is 0 or 1, -1 to 1 where every one is -1 or 1, and the two values where there are
    two; else the usual range that holds rewards and logged priors (`v05.training.reward_range.usual_range`). A reward
    or prior outside is an error.
    """
    priors = log.prior[~np.isnan(log.prior)]
    if given is not None:
        low, high = map(float, given)
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InvalidArgument(f"the reward range must go from a lower to a higher number, got {low} to {high}")
    else:
        low, high = _shown(np.unique(log.reward), priors)
    if high - low < NARROWEST:
        raise LogError(log.name, None, f"its rewards from {low:g} to {high:g} are too close to each other; scale them")
    for field, values in (("reward", log.reward), ("prior", log.prior)):
        outside = np.flatnonzero((values < low) | (values > high))
        if outside.size:
            row = outside[0]
            raise log.error(
                row, f"{field} {values[row]} lies outside the reward range {low} to {high} (--reward-range)"
            )
    return low, high


def _shown(rewards, priors):
    for pair in ((0.0, 1.0), (-1.0, 1.0)):
        if np.isin(rewards, pair).all():
            return pair
    if len(rewards) == 2 and not ((priors < rewards[0]) | (priors > rewards[1])).any():
        return tuple(rewards.tolist())
    values = np.concatenate([rewards, priors])
    return usual_range(float(values.min()), float(values.max()))
