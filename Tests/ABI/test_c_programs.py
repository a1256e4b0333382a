"""example.c and example.cpp: built as the README says, through v05.pc, and right."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import v05
from tools import STRICT, each, needs, run

HERE = Path(__file__).parent
LIBRARY_FOLDER = Path(v05.library_path()).parent

pytestmark = needs("pkg-config")


def output_of(compiler, standard, source, folder):
    """What the example prints: one list of lines for each part."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(LIBRARY_FOLDER / "pkgconfig")}
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "v05", env=environment))
    run(compiler, standard, *STRICT, HERE / source, *flags, "-o", folder / "example")
    return [part.splitlines() for part in run(folder / "example").split("\n\n")]


def table(lines):
    """{column: values} of lines of numbers under a line of column names."""
    names = lines[0].split()
    return dict(zip(names, np.array([line.split() for line in lines[1:]], dtype=np.float64).T, strict=True))


def assert_printed(printed, expected):
    np.testing.assert_allclose(printed, expected, rtol=0, atol=5.1e-7)


@pytest.mark.parametrize("compiler", each("gcc", "clang"))
def test_c_example(compiler, tmp_path):
    groups, rows = map(table, output_of(compiler, "-std=c11", "example.c", tmp_path))
    expected = v05.estimate(rows["reward"], rows["prompt"].astype(np.int64), rows["prior"])
    assert len(rows["reward"]) == 10
    assert_printed(rows["advantage"], expected.advantages)
    assert groups["prompt"].tolist() == list(expected.groups)
    for name in ("mean", "weight", "baseline"):
        assert_printed(groups[name], getattr(expected, name))


@pytest.mark.parametrize("compiler", each("g++", "clang++"))
def test_cpp_example(compiler, tmp_path):
    rows, mistake = output_of(compiler, "-std=c++17", "example.cpp", tmp_path)
    rows = table(rows)
    expected = v05.advantages(
        rows["reward"].astype(np.float32), rows["prompt"].astype(np.int64), rows["prior"], leave_one_out=True, scale="batch")
    assert len(rows["reward"]) == 8
    assert_printed(rows["advantage"], expected)
    with pytest.raises(v05.InvalidArgument) as raised:
        v05.advantages([1.0, 5.0], [7, 7], 0.5)
    assert mistake == [str(raised.value)]
