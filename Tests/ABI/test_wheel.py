"""The wheel of this checkout where trainers run: an environment with nothing in it, and no Swift.

Needs Swift to build it and a package index; a quarter of a minute where the library is built already.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest
import v05
from conftest import ROOT
from tools import needs, run

PROGRAM = "import v05; print(v05.advantages([1, 0, 1, 1], [7, 7, 7, 7], .5), v05.build_mode())"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of the programs of a fresh environment with the wheel, and the environment of a process there."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT / "python")
    run(sys.executable, "-m", "venv", folder / "environment")
    programs = folder / "environment" / "bin"
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    alone["PATH"] = str(programs)
    (wheel,) = folder.glob("*.whl")
    run(programs / "python", "-m", "pip", "install", "-q", wheel, env=alone)
    return programs, alone


@needs("swift")
def test_works_without_swift(installed, tmp_path):
    programs, alone = installed
    assert run(programs / "python", "-c", PROGRAM, cwd=tmp_path, env=alone) == "[0.5, -0.5, 0.5, 0.5] embedded\n"


@needs("swift")
def test_needs_nothing_but_numpy(installed, tmp_path):
    programs, alone = installed
    listed = run(programs / "python", "-m", "pip", "list", "--format=freeze", cwd=tmp_path, env=alone)
    assert {line.split("==")[0] for line in listed.split()} - {"pip", "setuptools", "wheel"} == {"numpy", "v05"}
    assert run(programs / "python", "-m", "pip", "check", cwd=tmp_path, env=alone) == "No broken requirements found.\n"


@needs("swift")
def test_command_works_and_names_the_extra_that_it_lacks(installed, tmp_path):
    programs, alone = installed
    information = run(programs / "v05", "info", cwd=tmp_path, env=alone)
    assert v05.__version__ in information
    assert str(programs.parent) in information
    result = subprocess.run([programs / "v05", "replay"], cwd=tmp_path, env=alone, capture_output=True, text=True)
    assert result.returncode != 0
    assert re.search(r"pip install 'v05\[replay\]'", result.stderr)


def copied(installed, folder):
    """The installed package in another folder."""
    programs, _ = installed
    (package,) = programs.parent.glob("lib/python*/site-packages/v05")
    shutil.copytree(package, folder / "v05")
    return folder


@needs("swift")
def test_works_where_nothing_can_be_written_under_a_name_of_any_letters(installed, tmp_path):
    programs, alone = installed
    place = tmp_path / "a folder, über 名前"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True)
    try:
        copied(installed, place)
        if mounted.returncode == 0:
            run("mount", "-o", "remount,ro", place)
        alone = alone | {"PYTHONPATH": str(place)}
        shown = run(programs / "python", "-c", PROGRAM + "; print(v05.__file__)", cwd=tmp_path, env=alone)
    finally:
        if mounted.returncode == 0:
            run("umount", place)
    assert shown == f"[0.5, -0.5, 0.5, 0.5] embedded\n{place / 'v05' / '__init__.py'}\n"


TWICE = """
import sys
import v05 as first

made = first.History()
for name in [name for name in sys.modules if name.partition(".")[0] == "v05"]:
    del sys.modules[name]
sys.path.insert(0, sys.argv[1])
import v05 as second

assert first.__file__ != second.__file__ and first.library_path() != second.library_path()
histories = [made, second.History()]
for history in histories:
    history.record(["a", "b"], [1.0, 0.0])
print(*[each.advantages([1, 0], [7, 7], 0.5) for each in (first, second)])
print(histories[0].state_dict() == histories[1].state_dict())
try:
    second.History().merge(histories[0])
except second.Error as error:
    print(error)
"""


@needs("swift")
def test_two_installations_in_one_process(installed, tmp_path):
    programs, alone = installed
    shown = run(programs / "python", "-c", TWICE, copied(installed, tmp_path / "other"), cwd=tmp_path, env=alone)
    advantages, equal, refused = shown.splitlines()
    assert advantages == "[0.5, -0.5] [0.5, -0.5]" and equal == "True"
    assert "History" in refused
