"""What a thread keeps from call to call: the memory that an estimation works in, and the structs of its fastest call.
Fresh memory costs more than the estimation."""

import threading
from ctypes import byref, c_size_t

import numpy as np

from . import prototypes as c
from .library import library

#: A thread keeps no more than this. Of what is asked for only what is written becomes memory of the machine.
_LARGEST = 128 << 20


class Scratch:
    """Of one call at a time."""

    def __init__(self) -> None:
        self.memory: np.ndarray | None = None
        self.address: int | None = None
        self.size = 0
        self.batch = c.Batch()
        self.result = c.Estimate()
        self.error = c.Error()
        #: For the fastest call: the options and row count that its arguments were made for, and these.
        self.made_for: tuple = ()
        self.arguments: tuple = ()

    def reserve(self, needed: int) -> None:
        """Room for so many bytes, or for all that is kept where that is less."""
        wanted = min(needed, _LARGEST)
        if wanted > self.size:
            self.made_for = ()
            self.memory = self.address = None
            self.size = 0
            try:
                memory = np.empty(min(wanted + wanted // 4, _LARGEST), np.uint8)
            except MemoryError:
                return  # the core may need less than it asks for, and says what it lacks
            self.memory, self.address, self.size = memory, memory.ctypes.data, len(memory)


class _Kept(threading.local):
    """Taken out while in use: what interrupts a call in its own thread, such as a signal handler, gets another."""

    scratch: Scratch | None = None


_kept = _Kept()


def take() -> Scratch:
    """The scratch of this thread, to be given to `put_back`."""
    scratch = _kept.scratch or Scratch()
    _kept.scratch = None
    return scratch


def put_back(scratch: Scratch) -> None:
    _kept.scratch = scratch


def workspace_size(batch: c.Batch, options: c.EstimationOptions) -> int:
    """Bytes that the core asks for; 0 where it refuses the arguments, which the call itself then says."""
    size = c_size_t()
    library.v05_estimation_workspace_size(byref(batch), byref(options), byref(size), None)
    return size.value
