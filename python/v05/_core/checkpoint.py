"""State that can be saved: bytes in the checkpoint format of v05.h, whatever the object."""

import os
import secrets
from contextlib import contextmanager
from pathlib import Path

from ..errors import ArgumentTypeError


class Checkpointed:
    """state_dict, files and pickling for an object that can give its bytes and take them back.

    `_checkpoint_bytes()` returns them, `_restore(data)` takes them or raises CheckpointError and changes nothing.
    """

    def state_dict(self):
        """{"checkpoint": bytes}, which every later release can load."""
        return {"checkpoint": self._checkpoint_bytes()}

    def load_state_dict(self, state):
        """Replaces everything, options too, by the saved state.

        Raises CheckpointError for bytes that are truncated, damaged, of another format or of another object, and then
        changes nothing.
        """
        try:
            data = bytes(memoryview(state["checkpoint"]))
        except (TypeError, KeyError, IndexError) as error:
            raise ArgumentTypeError(
                "state must be what state_dict() returned: a dict with bytes under 'checkpoint'") from error
        self._restore(data)

    def save(self, path):
        """Writes the state to a file. A crash in the middle leaves an old file whole."""
        data = self._checkpoint_bytes()
        with whole_file(path) as file:
            file.write(data)

    @classmethod
    def load(cls, path):
        """The object that was saved to a file."""
        loaded = cls.__new__(cls)
        loaded._restore(Path(path).read_bytes())
        return loaded

    def __getstate__(self):
        return self.state_dict()

    def __setstate__(self, state):
        self.load_state_dict(state)


@contextmanager
def whole_file(path):
    """A file to be written, in binary, that takes its place when all is written. A crash in the middle leaves an old one
    whole."""
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
