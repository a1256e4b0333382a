"""A property that is computed when it is first asked for.

functools.cached_property holds a lock meanwhile, up to Python 3.11: one for all objects, which a fork in another thread
would leave held for ever in the child.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class cached(Generic[Value]):
    """As functools.cached_property, without a lock: two threads that ask at once may both compute."""

    def __init__(self, function: Callable[[Any], Value]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> Value:
        value = self._function(instance)
        vars(instance)[self._name] = value  # found before this from now on
        return value
