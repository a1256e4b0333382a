"""The tests of v05.trl with other versions of TRL, each in an environment of its own."""

import re
import subprocess
import sys
import sysconfig

import pytest
from conftest import ROOT
from v05.commands.doctor.trainers import TRAINERS

VERSIONS = ("1.10.0", "1.14.1")  # besides the newest; axolotl pins the second


def environment(folder, *requirements):
    """The Python of a new environment with the requirements before all that this environment has: torch and the like
    are not installed once more, and a version is the one asked for."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "-q"]
    done = subprocess.run([*pip, *requirements], capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"{requirements} cannot be installed here: {done.stderr.strip()[-200:]}")
    return python


@pytest.mark.slow
@pytest.mark.parametrize("version", [*VERSIONS, None])
def test_trl(version, tmp_path):
    pytest.importorskip("trl", reason="TRL is not installed: pip install './python[trl]'")
    # These versions import requests, which newer versions of what they ask for no longer bring.
    asked = ["--upgrade", "trl<2"] if version is None else [f"trl=={version}", "requests"]
    python = environment(tmp_path / "environment", *asked)
    found = subprocess.run([python, "-c", "import trl; print(trl.__version__)"], capture_output=True, text=True)
    assert version in (None, found.stdout.strip())
    tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
    done = subprocess.run(
        [*tests, ROOT / "Tests/python/adapters/test_trl.py"], cwd=ROOT, capture_output=True, text=True, timeout=3600
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_versions_are_said():
    said = [TRAINERS["trl"].tested, (ROOT / "python" / "docs" / "trl.md").read_text(encoding="utf-8")]
    for text in said:
        assert set(VERSIONS) < set(re.findall(r"\b1\.\d+\.\d+\b", text))
