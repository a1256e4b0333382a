"""Files that commands write: whether they can be, before the work that they are to hold."""

import os
from pathlib import Path

from .._core.files import whole_file
from ..errors import InvalidArgument


def check_output(path, inputs=()):
    """Raises InvalidArgument where no file can be written to `path`, or where it is one of the `inputs`.

    What stands there is left as it is.
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise InvalidArgument(f"no such directory: {path.parent}; make it, or give another path than {path}")
    if path.exists() and not path.is_file():
        raise InvalidArgument(f"{path} is no file that could be replaced; give another path")
    for other in inputs:
        if path.exists() and os.path.exists(other) and path.samefile(other):
            raise InvalidArgument(f"{path} is what is read; give another path")
    if not os.access(path.resolve().parent, os.W_OK):
        raise InvalidArgument(f"{path} cannot be written: Permission denied for its directory; give another path")
    existed = path.exists()
    try:
        open(path, "ab").close()
        if not existed:
            path.resolve().unlink()  # of a link that leads nowhere yet, what it leads to
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {error.strerror}; give another path") from error


def write_output(path, data):
    """Writes the bytes, all or none: where that fails a file that stands there stays as it is."""
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        if not error.filename:  # a full disk says no name
            error.filename = str(path)
        raise
