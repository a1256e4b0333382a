"""A Swift trap would kill the trainer, so that there must be none.

The installed library: not a single trap instruction, whoever it belongs to (what no function can reach is left out by
the linker). The object files that it was linked from, where the folder of the build is there: every function with a
trap belongs to Swift's runtime, which the compiler puts into each module and the linker throws away. The second says
the name of the function where the first fails, since the library has no names.
"""

import platform
import re
from pathlib import Path

import pytest
import v05
from conftest import ROOT
from tools import any_compiler, needs, run

TRAP = {"x86_64": "ud2", "aarch64": "brk"}[platform.machine()]
RUNTIME = re.compile(r"(\$es\d+|_)?swift_\w+|\.text\.\.L__unnamed_\d+")
RELEASE = ROOT / ".build-embedded" / "release"

pytestmark = needs("objdump")


def functions_with_traps(path):
    """{function: number of traps}; the functions of a library without names go by their nearest export."""
    traps = {}
    function = None
    for line in run("objdump", "-d", "--no-show-raw-insn", path).splitlines():
        if start := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            function = start[1]
        elif re.search(rf"\t{TRAP}\b", line):
            traps[function] = traps.get(function, 0) + 1
    return traps


def test_library_has_no_trap():
    assert functions_with_traps(v05.library_path()) == {}


def test_traps_are_found(tmp_path):
    source = tmp_path / "trap.c"
    source.write_text("void trap(void) { __builtin_trap(); }\nvoid fine(void) {}\n")
    run(any_compiler(), "-c", source, "-o", tmp_path / "trap.o")
    assert functions_with_traps(tmp_path / "trap.o") == {"trap": 1}


def test_objects_have_traps_in_runtime_functions_only():
    listed = RELEASE / "v05.product" / "Objects.LinkFileList"
    if not listed.exists():
        pytest.skip(f"v05 was not built in {RELEASE}")
    assert (RELEASE / "libv05.so").read_bytes() == Path(v05.library_path()).read_bytes(), (
        "the installed library is not the one built here: pip install -e python"
    )
    objects = [Path(line.strip("'\"")) for line in listed.read_text().splitlines()]
    assert objects
    ours = {
        f"{path.name}: {function}": count
        for path in objects
        for function, count in functions_with_traps(path).items()
        if not RUNTIME.fullmatch(function)
    }
    assert ours == {}
