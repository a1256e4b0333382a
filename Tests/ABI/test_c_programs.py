"""example.c and example.cpp: built as the README says, through v05.pc or CMake, and right."""

import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import v05
from tools import STRICT, each, needs, run

HERE = Path(__file__).parent
LIBRARY = Path(v05.library_path())


@pytest.fixture(autouse=True)
def installed():
    """Programs ask for the library by the name with the ABI's number."""
    name = LIBRARY.with_name(f"libv05.so.{v05.abi_version()}")
    assert name.exists() and name.read_bytes() == LIBRARY.read_bytes(), (
        "v05 was installed from another state: pip install -e python"
    )


def built_with_pkg_config(compiler, standard, source, folder, *more):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(LIBRARY.parent / "pkgconfig")}
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "v05", env=environment))
    run(compiler, standard, *STRICT, HERE / source, *flags, *more, "-o", folder / "example")
    return folder / "example"


def parts(output):
    """What an example prints: one list of lines for each part."""
    return [part.splitlines() for part in output.split("\n\n")]


def table(lines):
    """{column: values} of lines of numbers under a line of column names."""
    names = lines[0].split()
    return dict(zip(names, np.array([line.split() for line in lines[1:]], dtype=np.float64).T, strict=True))


def assert_printed(printed, expected):
    np.testing.assert_allclose(printed, expected, rtol=0, atol=5.1e-7)


def assert_right_c_example(program):
    groups, rows = map(table, parts(run(program)))
    expected = v05.estimate(rows["reward"], rows["prompt"].astype(np.int64), rows["prior"])
    assert len(rows["reward"]) == 10
    assert_printed(rows["advantage"], expected.advantages)
    assert groups["prompt"].tolist() == list(expected.groups)
    for name in ("mean", "weight", "baseline"):
        assert_printed(groups[name], getattr(expected, name))


def assert_right_cpp_example(program):
    rows, mistake = parts(run(program))
    rows = table(rows)
    expected = v05.advantages(
        rows["reward"].astype(np.float32),
        rows["prompt"].astype(np.int64),
        rows["prior"],
        leave_one_out=True,
        scale="batch",
    )
    assert len(rows["reward"]) == 8
    assert_printed(rows["advantage"], expected)
    with pytest.raises(v05.InvalidArgument) as raised:
        v05.advantages([1.0, 5.0], [7, 7], 0.5)
    assert mistake == [str(raised.value)]


@needs("pkg-config")
@pytest.mark.parametrize("compiler", each("gcc", "clang"))
def test_c_example(compiler, tmp_path):
    assert_right_c_example(built_with_pkg_config(compiler, "-std=c11", "example.c", tmp_path))


@needs("pkg-config")
@pytest.mark.parametrize("compiler", each("g++", "clang++"))
def test_cpp_example(compiler, tmp_path):
    assert_right_cpp_example(built_with_pkg_config(compiler, "-std=c++17", "example.cpp", tmp_path))


@needs("pkg-config")
def test_a_host_that_traps_and_rounds_otherwise(tmp_path):
    """feenableexcept and fesetround around every call of a step: the same bits, no signal, the host's mode kept."""
    lines = run(built_with_pkg_config("cc", "-std=c11", "traps.c", tmp_path, "-lm")).splitlines()
    assert lines[-1] == "the same" and len(lines) == 6
    # The last call of each is the one that is refused on purpose.
    assert all(int(line.split()[3]) > 800 and line.endswith(" 1 refused") for line in lines[:-1])


@needs("pkg-config")
def test_threads_with_the_smallest_stack(tmp_path):
    program = built_with_pkg_config("cc", "-std=c11", "small_stack.c", tmp_path, "-D_GNU_SOURCE", "-lm", "-lpthread")
    assert run(program) == "all in 16 KB\n"


@needs("cmake")
def test_examples_with_cmake(tmp_path):
    run("cmake", "-S", HERE, "-B", tmp_path, "-D", f"CMAKE_PREFIX_PATH={LIBRARY.parents[1]}")
    run("cmake", "--build", tmp_path)
    assert_right_c_example(tmp_path / "example_c")
    assert_right_cpp_example(tmp_path / "example_cpp")


@needs("cmake")
@pytest.mark.parametrize("wanted, found", [("0.1", True), ("99.0", False)])
def test_cmake_refuses_a_release_older_than_wanted(wanted, found, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.18)\nproject(program NONE)\nfind_package(v05 {wanted} QUIET CONFIG)\n"
        'message(STATUS "found ${v05_FOUND} ${v05_VERSION}")\n'
    )
    output = run("cmake", "-S", tmp_path, "-B", tmp_path / "build", "-D", f"CMAKE_PREFIX_PATH={LIBRARY.parents[1]}")
    assert (f"found 1 {v05.__version__}" in output) == found


def test_program_and_python_in_one_process_share_the_library():
    """An extension module linked with it asks for the name with the number; Python has loaded the other."""
    program = (
        "import ctypes, v05\n"
        "by_number = ctypes.CDLL(f'libv05.so.{v05.abi_version()}')\n"
        "assert by_number._handle == ctypes.CDLL(v05.library_path())._handle\n"
    )
    run(sys.executable, "-c", program)
