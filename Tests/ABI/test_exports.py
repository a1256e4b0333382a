"""What the installed libv05.so gives and takes: exported functions, needed libraries, oldest glibc, size."""

import platform
import re
from pathlib import Path

import v05
import v05_header
from shared_object import ALLOWED_IMPORTS, SharedObject
from tools import needs, run

LIBRARY = SharedObject(Path(v05.library_path()))

# Symbol versions up to this one are what manylinux2014 wheels may use.
GLIBC_CEILING = (2, 17)
LARGEST_SIZE = 232 * 1000

pytestmark = [needs("nm"), needs("readelf")]


def test_header_and_library_are_those_of_this_checkout():
    installed = LIBRARY.path.parents[1] / "include" / "v05.h"
    assert installed.read_text() == v05_header.TEXT, "v05 was installed from another state: pip install -e python"


def test_exports_are_exactly_the_functions_of_the_header():
    exported = LIBRARY.symbols("defined")
    assert {name for name, _ in exported} == {function.name for function in v05_header.FUNCTIONS}
    assert {version for _, version in exported} == {"V05_1"}


def test_imports_nothing_but_memory_and_arithmetic():
    assert LIBRARY.imports() <= ALLOWED_IMPORTS


def test_needs_nothing_but_the_c_library():
    needed = LIBRARY.dynamic("NEEDED")
    assert needed
    assert all(re.fullmatch(r"libc\.so\.6|libm\.so\.6|ld-linux[\w-]*\.so\.\d", name) for name in needed), needed


def test_runs_on_old_glibc():
    versions = {tuple(map(int, re.findall(r"\d+", version))) for _, version in LIBRARY.symbols("undefined") if version}
    print("newest glibc symbol version:", ".".join(map(str, max(versions))))
    assert max(versions) <= GLIBC_CEILING


def test_is_small():
    size = LIBRARY.path.stat().st_size
    print("size in bytes:", size)
    assert size <= LARGEST_SIZE


def test_names_itself_and_no_folder_of_the_build_machine():
    assert LIBRARY.dynamic("SONAME") == [f"libv05.so.{v05.abi_version()}"]
    assert set(LIBRARY.dynamic("RUNPATH") + LIBRARY.dynamic("RPATH")) <= {"$ORIGIN"}
    assert re.findall(rb"(?<![\w/.])/[a-z][\w.+-]*/[\w.+-]+", LIBRARY.content) == []


def test_is_hardened():
    LIBRARY.assert_hardened()


def test_is_the_build_that_ships():
    assert v05.build_mode() == "embedded"
    assert platform.machine() in run("readelf", "-hW", LIBRARY.path).lower().replace("x86-64", "x86_64")
