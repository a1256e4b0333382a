"""What is compiled for AVX2 must run where the processor was asked, and nowhere else.

A function that two modules define, one of them for AVX2, is kept once by the linker, perhaps the AVX2 one, and older
processors die of it (SIGILL). So: no instruction of the wide kind in any object but those of TokenPassesAVX2, no
function of those that another object defines too, and some in the library, or the module would be for nothing.
"""

import platform
import re

import pytest
import v05
from conftest import ROOT
from tools import any_compiler, needs, run

# All of AVX begins with v; then what compilers use of the same generation of processors.
WIDE = re.compile(
    r"\t(v(?!err|erw)[a-z]\w*|andn|bextr|bls\w+|bzhi|lzcnt|movbe|mulx|pdep|pext|rorx|sarx|shlx|shrx|tzcnt)\b"
)
RELEASE = ROOT / ".build-embedded" / "release"
MODULE = "TokenPassesAVX2"

pytestmark = [
    needs("objdump"),
    needs("nm"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX2 is x86-64"),
]


def wide_functions(path):
    """Functions with an instruction of the wide kind."""
    found = set()
    function = None
    for line in run("objdump", "-d", "--no-show-raw-insn", path).splitlines():
        if start := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            function = start[1]
        elif WIDE.search(line):
            found.add(function)
    return found


def defined(path):
    return {
        line.split()[-1] for line in run("nm", "--defined-only", path).splitlines() if re.search(r" [TtWVvDdBb] ", line)
    }


@pytest.fixture(scope="module")
def objects():
    listed = RELEASE / "v05.product" / "Objects.LinkFileList"
    if not listed.exists():
        pytest.skip(f"v05 was not built in {RELEASE}")
    return [RELEASE.parent / line.strip("'\"") for line in listed.read_text().splitlines()]


def test_wide_instructions_are_found(tmp_path):
    source = tmp_path / "wide.c"
    source.write_text(
        "void wide(float *x) { for (int i = 0; i < 64; i++) x[i] *= 2; }\nint plain(int x) { return x + 1; }\n"
    )
    run(any_compiler(), "-O3", "-mavx2", "-c", source, "-o", tmp_path / "wide.o")
    assert "wide" in wide_functions(tmp_path / "wide.o")
    run(any_compiler(), "-O3", "-c", source, "-o", tmp_path / "plain.o")
    assert wide_functions(tmp_path / "plain.o") == set()


def test_only_one_module_has_them(objects):
    assert {
        path.name: found
        for path in objects
        if path.parent.name != f"{MODULE}.build" and (found := wide_functions(path))
    } == {}


def test_no_other_module_defines_a_function_of_that_one(objects):
    wide = [path for path in objects if path.parent.name == f"{MODULE}.build"]
    assert wide
    others = set().union(*(defined(path) for path in objects if path not in wide))
    assert set().union(*(wide_functions(path) for path in wide)) & others == set()


def test_the_library_has_them():
    assert wide_functions(v05.library_path())
