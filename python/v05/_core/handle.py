"""An object of the core behind an opaque handle."""

import ctypes
import weakref
from ctypes import byref
from functools import partial
from typing import TypeVar

from ..errors import Error
from .call import call
from .checkpoint import Checkpointed, saved_bytes
from .library import library

Self = TypeVar("Self", bound="Handle")


class Handle(Checkpointed):
    """Owns one handle; given back by close(), at the end of a `with` block or with the object. Threads take turns.

    Subclasses say `_name`, the prefix of their C functions.
    """

    _name: str
    _finalizer: weakref.finalize | None = None
    _address: ctypes.c_void_p

    def _adopt(self, handle):
        finalizer = weakref.finalize(self, getattr(library, f"v05_{self._name}_destroy"), handle)
        finalizer.atexit = False  # a thread may still be inside, and the memory goes with the process
        with self._lock:
            former, self._finalizer, self._address = self._finalizer, finalizer, handle
            if former is not None:
                former()

    def close(self) -> None:
        """Gives the memory back. The object cannot be used afterwards; closing again does nothing."""
        with self._lock:
            if self._finalizer is not None:
                self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether the memory was given back."""
        return self._finalizer is None or not self._finalizer.alive

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _call(self, name, *arguments):
        function = getattr(library, f"v05_{self._name}_{name}")
        with self._lock:
            self._check_open()
            call(function, self._address, *arguments)

    def _check_open(self):
        if self.closed:
            raise Error(f"{type(self).__name__} is closed")

    def _checkpoint_bytes(self):
        with self._lock:  # it must not grow between the two calls
            return saved_bytes(partial(self._call, "save"))

    def _restore(self, data):
        handle = ctypes.c_void_p()
        call(getattr(library, f"v05_{self._name}_load"), byref(handle), data, len(data))
        self._adopt(handle)
