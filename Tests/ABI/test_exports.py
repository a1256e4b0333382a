"""What the installed libv05.so gives and takes: exported functions, needed libraries, oldest glibc, size."""

import platform
import re
from pathlib import Path

import v05
import v05_header
from tools import needs, run

LIBRARY = Path(v05.library_path())

# Symbol versions up to this one are what manylinux2014 wheels may use.
GLIBC_CEILING = (2, 17)
LARGEST_SIZE = 160 * 1000

# All that the library may ask of the C library. Not here, so that nothing of the kind slips in: the environment,
# files, signals, threads, random numbers, the clock, exits.
MEMORY = {"malloc", "calloc", "realloc", "free", "memcpy", "memmove", "memset", "memcmp", "strlen"}
ARITHMETIC = {"sqrt", "trunc", "floor", "ceil", "round", "rint", "fma", "fmod", "log", "log1p", "exp", "expm1", "pow", "lgamma_r"}
NUMBERS_IN_MESSAGES = {"gcvt", "strtod"}
COMPILER = {"__stack_chk_fail"}

pytestmark = [needs("nm"), needs("readelf")]


def dynamic_symbols(kind):
    """(name, version) of the symbols that the library defines or takes from others, weak ones left aside."""
    lines = run("nm", "-D", f"--{kind}-only", LIBRARY).splitlines()
    symbols = [re.fullmatch(r"\s*[0-9a-f]*\s+(\S) ([^@]+)(?:@+(\S+))?", line).groups() for line in lines]
    return {(name, version) for letter, name, version in symbols if letter not in "wv"}


def dynamic_section(tag):
    return re.findall(rf"\({tag}\).*?\[(.*?)\]", run("readelf", "-dW", LIBRARY))


def test_header_and_library_are_those_of_this_checkout():
    installed = LIBRARY.parent.parent / "include" / "v05.h"
    assert installed.read_text() == v05_header.TEXT, "v05 was installed from another state: pip install -e python"


def test_exports_are_exactly_the_functions_of_the_header():
    exported = dynamic_symbols("defined")
    assert {name for name, _ in exported} == {function.name for function in v05_header.FUNCTIONS}
    assert {version for _, version in exported} == {"V05_1"}


def test_imports_nothing_but_memory_and_arithmetic():
    imported = {name for name, _ in dynamic_symbols("undefined")}
    assert imported <= MEMORY | ARITHMETIC | NUMBERS_IN_MESSAGES | COMPILER


def test_needs_nothing_but_the_c_library():
    needed = dynamic_section("NEEDED")
    assert needed
    assert all(re.fullmatch(r"libc\.so\.6|libm\.so\.6|ld-linux[\w-]*\.so\.\d", name) for name in needed), needed


def test_runs_on_old_glibc():
    versions = {tuple(map(int, re.findall(r"\d+", version))) for _, version in dynamic_symbols("undefined") if version}
    print("newest glibc symbol version:", ".".join(map(str, max(versions))))
    assert max(versions) <= GLIBC_CEILING


def test_is_small():
    size = LIBRARY.stat().st_size
    print("size in bytes:", size)
    assert size <= LARGEST_SIZE


def test_names_itself_and_no_folder_of_the_build_machine():
    assert dynamic_section("SONAME") == [f"libv05.so.{v05.abi_version()}"]
    assert set(dynamic_section("RUNPATH") + dynamic_section("RPATH")) <= {"$ORIGIN"}
    assert re.findall(rb"(?<![\w/.])/[a-z][\w.+-]*/[\w.+-]+", LIBRARY.read_bytes()) == []


def test_memory_is_never_writable_and_executable():
    segments = re.findall(r"^ +(LOAD|GNU_STACK) .* ([R ][W ][E ]) ", run("readelf", "-lW", LIBRARY), re.MULTILINE)
    assert dict(segments)["GNU_STACK"] == "RW "
    assert all("WE" not in flags for _, flags in segments)
    assert "TEXTREL" not in run("readelf", "-dW", LIBRARY)


def test_nothing_is_writable_that_steers_calls():
    """Full RELRO: all symbols are resolved at load time, then the tables of their addresses are made read-only."""
    assert "NOW" in re.search(r"\(FLAGS\) +(.*)", run("readelf", "-dW", LIBRARY))[1]
    (protected,) = re.findall(r"^ +\d+ +(.*\.dynamic.*\.got.*)$", run("readelf", "-lW", LIBRARY), re.MULTILINE)[-1:]
    writable = re.findall(r"\] (\.\S+) .* WA? ", run("readelf", "-SW", LIBRARY))
    assert {".got", ".got.plt", ".init_array", ".fini_array", ".dynamic"} & set(writable) <= set(protected.split())
    assert "GNU_RELRO" in run("readelf", "-lW", LIBRARY)


def test_stack_is_guarded():
    """In functions that hand addresses of local variables on."""
    assert "__stack_chk_fail" in {name for name, _ in dynamic_symbols("undefined")}


def test_is_the_build_that_ships():
    assert v05.build_mode() == "embedded"
    assert platform.machine() in run("readelf", "-hW", LIBRARY).lower().replace("x86-64", "x86_64")
