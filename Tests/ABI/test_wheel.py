"""The wheel of this checkout where trainers run: an environment with nothing in it, and no Swift.

Needs Swift to build it and a package index; a quarter of a minute where the library is built already.
"""

import os
import re
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
