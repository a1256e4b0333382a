"""An object of the core behind an opaque handle."""

import ctypes
import weakref
from ctypes import byref

from ..errors import Error
from .call import call
from .checkpoint import Checkpointed
from .library import library


class Handle(Checkpointed):
    """Owns one handle; given back by close(), at the end of a `with` block or with the object.

    Subclasses say `_name`, the prefix of their C functions.
    """

    _finalizer = None

    def _adopt(self, handle):
        self.close()
        self._address = handle
        self._finalizer = weakref.finalize(self, getattr(library, f"v05_{self._name}_destroy"), handle)

    def close(self):
        """Gives the memory back. The object cannot be used afterwards; closing again does nothing."""
        if self._finalizer is not None:
            self._finalizer()

    @property
    def closed(self):
        return self._finalizer is None or not self._finalizer.alive

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _call(self, name, *arguments):
        if self.closed:
            raise Error(f"{type(self).__name__} is closed")
        call(getattr(library, f"v05_{self._name}_{name}"), self._address, *arguments)

    def _checkpoint_bytes(self):
        size = ctypes.c_size_t()
        self._call("save", None, 0, byref(size))
        data = ctypes.create_string_buffer(size.value)
        self._call("save", data, size.value, byref(size))
        return data.raw

    def _restore(self, data):
        handle = ctypes.c_void_p()
        call(getattr(library, f"v05_{self._name}_load"), byref(handle), data, len(data))
        self._adopt(handle)
