"""One call into the core: a status that is not OK becomes an exception."""

from collections.abc import Callable
from ctypes import byref
from typing import Any

from ..errors import CheckpointError, InvalidArgument, OutOfMemory
from ..errors import Error as RootError
from .library import library
from .prototypes import Error


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Calls `function` of the library with `arguments` and an error struct.

    Raises InvalidArgument, CheckpointError or OutOfMemory with the core's message, and `status` and `index` set.
    """
    error = Error()
    status = function(*arguments, byref(error))
    if status != 0:
        raise exception(status, error)


def exception(status: int, error: Error) -> RootError:
    if status >= 400:
        kind: type[RootError] = CheckpointError
    elif status >= 300:
        kind = OutOfMemory
    elif status >= 100:
        kind = InvalidArgument
    else:
        kind = RootError
    name = library.v05_status_name(status).decode()
    raised = kind(error.message.decode("utf-8", "replace") or name)
    raised.status = name
    raised.index = error.index
    return raised
