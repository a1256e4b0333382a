"""Finds libv05.so, loads it and checks that it is the one this package was made for."""

import ctypes
import os
import struct

from ..errors import LibraryError
from .prototypes import ABI_VERSION, declare
from .types import FilePath

PATH = os.path.join(os.path.dirname(os.path.dirname(__file__)), "lib", "libv05.so")


def load(path: FilePath = PATH) -> ctypes.CDLL:
    """The loaded library with all prototypes declared.

    Raises LibraryError with the path and the cure where it is missing, unusable or of another ABI.
    """
    if not os.path.exists(path):
        raise LibraryError(
            f"{path} does not exist. Install v05 with pip (`pip install ./python` in a checkout builds it, which "
            "needs Swift 6.3); importing from the source folder without installing does not work."
        )
    try:
        check_length(path)
        library = ctypes.CDLL(str(path))
        library.v05_abi_version.restype = ctypes.c_uint32
        found = library.v05_abi_version()
        if found == ABI_VERSION:
            declare(library)
    except (OSError, AttributeError) as error:
        raise LibraryError(f"{path} cannot be loaded: {error}. {cure(path)}") from error
    if found != ABI_VERSION:
        raise LibraryError(
            f"{path} has ABI version {found}, this package needs {ABI_VERSION}: the library and the Python files come "
            "from different releases. Reinstall v05."
        )
    return library


def cure(path: FilePath) -> str:
    """What to do about a library that the system refuses to load."""
    if os.statvfs(path).f_flag & os.ST_NOEXEC:
        return (
            "The file system is mounted noexec, so no program or library in it can run: install v05 into a folder on "
            "another one, or have this one mounted without noexec."
        )
    return "Reinstall v05 on this machine."


def check_length(path: FilePath) -> None:
    """Raises OSError where the file ends before its section table, which the linker puts last. The system's loader does
    not look and dies of a bus error."""
    with open(path, "rb") as file:
        header = file.read(64)
    if len(header) == 64 and header.startswith(b"\x7fELF"):
        (start,), (entry_size, entries) = struct.unpack_from("<Q", header, 40), struct.unpack_from("<HH", header, 58)
        if os.path.getsize(path) < start + entry_size * entries:
            raise OSError("the file is cut short")


library = load()
