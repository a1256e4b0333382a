"""State that can be saved: bytes in the checkpoint format of v05.h, whatever the object."""

import ctypes
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..errors import ArgumentTypeError
from .lock import new_lock
from .types import FilePath

Self = TypeVar("Self", bound="Checkpointed")


def saved_bytes(save: Callable[..., Any]) -> bytes:
    """What a function of the core saves, which takes memory, its size and where to say how much is needed."""
    size = ctypes.c_size_t()
    save(None, 0, ctypes.byref(size))
    data = ctypes.create_string_buffer(size.value)
    save(data, size.value, ctypes.byref(size))
    return data.raw


class Checkpointed:
    """state_dict, files and pickling for an object that can give its bytes and take them back.

    `_checkpoint_bytes()` returns them, `_restore(data)` takes them or raises CheckpointError and changes nothing.
    `_lock` is for what must not be done by two threads at once.
    """

    _lock: threading.RLock

    def __new__(cls: type[Self], *arguments: Any, **options: Any) -> Self:
        made = super().__new__(cls)
        made._lock = new_lock()
        return made

    def state_dict(self) -> dict[str, bytes]:
        """{"checkpoint": bytes}, which every later release can load."""
        return {"checkpoint": self._checkpoint_bytes()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replaces everything, options too, by the saved state.

        Raises CheckpointError for bytes that are truncated, damaged, of another format or of another object, and then
        changes nothing.
        """
        try:
            data = state["checkpoint"]
            if type(data) is not bytes:
                data = bytes(memoryview(data))
        except (TypeError, KeyError, IndexError) as error:
            raise ArgumentTypeError(
                "state must be what state_dict() returned: a dict with bytes under 'checkpoint'"
            ) from error
        self._restore(data)

    def save(self, path: FilePath) -> None:
        """Writes the state to a file. A crash in the middle leaves an old file whole.

        path: of a file, new or old; a symbolic link is followed and kept, as is the mode of an old file; ~ is the home.
        """
        from .files import whole_file

        data = self._checkpoint_bytes()
        with whole_file(path) as file:
            file.write(data)

    @classmethod
    def load(cls: type[Self], path: FilePath) -> Self:
        """The object that was saved to a file."""
        from .files import read_file

        loaded = cls.__new__(cls)
        loaded._restore(read_file(path))
        return loaded

    def _checkpoint_bytes(self) -> bytes:
        raise NotImplementedError

    def _restore(self, data: bytes) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, bytes]:
        return self.state_dict()

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._lock = new_lock()  # the first two formats of pickle do not call __new__
        self.load_state_dict(state)
