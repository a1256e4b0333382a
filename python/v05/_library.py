"""Finds libv05.so, loads it and checks that it is the one this package was made for."""

import ctypes
from pathlib import Path

from ._prototypes import ABI_VERSION, declare
from .errors import LibraryError

PATH = Path(__file__).parent / "lib" / "libv05.so"


def load(path=PATH):
    """The loaded library with all prototypes declared.

    Raises LibraryError with the path and the cure where it is missing, unusable or of another ABI.
    """
    if not path.exists():
        raise LibraryError(
            f"{path} does not exist. Install v05 with pip (`pip install ./python` in a checkout builds it, which "
            "needs Swift 6.3); importing from the source folder without installing does not work."
        )
    try:
        library = ctypes.CDLL(str(path))
        abi_version = library.v05_abi_version
    except (OSError, AttributeError) as error:
        raise LibraryError(f"{path} cannot be loaded: {error}. Reinstall v05 on this machine.") from error
    abi_version.restype = ctypes.c_uint32
    found = abi_version()
    if found != ABI_VERSION:
        raise LibraryError(
            f"{path} has ABI version {found}, this package needs {ABI_VERSION}: the library and the Python files come "
            "from different releases. Reinstall v05."
        )
    declare(library)
    return library


library = load()
