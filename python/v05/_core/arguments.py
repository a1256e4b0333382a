"""Single arguments, checked for kind and range; the messages read "argument rule, got value"."""

import operator
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from ..errors import ArgumentTypeError, InvalidArgument
from .arrays import optional_numbers

Value = TypeVar("Value")


def reward_interval(reward_range: Any) -> tuple[float, float]:
    try:
        low, high = reward_range
        return number("low", low), number("high", high)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"reward_range must be two numbers (low, high), got {reward_range!r}") from error


def choice(name: str, value: Any, choices: Mapping[Any, Value]) -> Value:
    try:
        return choices[value]
    except (KeyError, TypeError):
        raise InvalidArgument(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}") from None


def number(name: str, value: Any) -> float:
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except Exception:  # whatever a class of the caller's raises
        raise ArgumentTypeError(f"{name} must be a number, got {value!r:.200}") from None


def integer(name: str, value: Any) -> int:
    try:
        found = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(f"{name} must be an integer, got {value!r}") from None
    if not -(2**31) <= found < 2**31:
        raise InvalidArgument(f"{name} must be a 32-bit integer, got {value!r}")
    return found


def prompt_limit(capacity: Any) -> int:
    """The most prompts that are kept, as the core is told it: 0 for None, no limit."""
    if capacity is None:
        return 0
    limit = integer("capacity", capacity)
    if limit < 1:
        raise InvalidArgument(f"capacity must be at least 1, or None for no limit, got {capacity!r}")
    return limit


def checked_range(reward_range: Any) -> tuple[float, float]:
    """(lo, hi), finite with lo < hi."""
    low, high = reward_interval(reward_range)
    if not -np.inf < low < high < np.inf:
        raise InvalidArgument(f"reward_range must be finite with low < high, got {reward_range!r}")
    return low, high


def checked_scores(scores: Any, count: int, reward_range: tuple[float, float]) -> np.ndarray:
    """(count,) float64 within reward_range, but for a rounding of 1e-6 of its width, which is cut."""
    low, high = reward_range
    array = optional_numbers(scores, "scores", reward_range)
    if array.shape != (count,):
        raise InvalidArgument(f"scores must have one entry per prompt, got shape {array.shape} for {count} prompts")
    slack = 1e-6 * (high - low)
    bad = ~((array >= low - slack) & (array <= high + slack))  # NaN too
    if bad.any():
        row = int(bad.argmax())
        raise InvalidArgument(f"scores[{row}] must lie in [{low:g}, {high:g}], got {array[row]}")
    return array.clip(low, high)
