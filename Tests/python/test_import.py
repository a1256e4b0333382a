"""What `import v05` brings along, and that its names are there all the same."""

import importlib
import subprocess
import sys

import pytest
import v05

#: What takes long to import, or has no business where only advantages are wanted.
HEAVY = {
    "datetime",
    "hashlib",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "shutil",
    "subprocess",
    "tempfile",
    "torch",
    "urllib",
    "zipfile",
    "numpy.random",
    "numpy.testing",
    "v05._core.allocation",
    "v05._core.allocator",
    "v05._core.files",
    "v05._core.history",
    "v05._core.modulation",
    "v05.commands",
    "v05.priors",
    "v05.training",
}


def modules_after(program):
    """Those of a fresh interpreter that runs a program, but for what numpy itself imports."""
    listed = "; print(*sys.modules)"
    ran = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; {text}{listed}"], capture_output=True, text=True, check=True
        )
        for text in ("import numpy", program)
    ]
    alone, found = ({*run.stdout.split()} for run in ran)
    return found - alone


@pytest.mark.parametrize("use", ["", "; v05.advantages(numpy.zeros(2), numpy.zeros(2, int))"])
def test_heavy_modules_wait_until_they_are_needed(use):
    found = modules_after(f"import numpy, v05{use}")
    assert "v05._core.estimate" in found and not found & HEAVY


def test_a_name_brings_its_module():
    assert "v05._core.history" in modules_after("import v05; v05.History()")
    assert {"v05.training", "zipfile"} <= modules_after("import v05; v05.AdvantageEstimator")


def test_every_public_name_is_there():
    for name in v05.__all__:
        assert getattr(v05, name) is getattr(v05, name)
    assert set(v05.__all__) <= set(dir(v05))
    program = "from v05 import *; assert AdvantageEstimator and route and History and advantages"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_packages_are_attributes():
    program = "import v05; v05.priors.sources.NoPrior; v05.training.StoredEstimator"
    subprocess.run([sys.executable, "-c", program], check=True)
    for name in ("priors", "training"):
        assert getattr(v05, name) is importlib.import_module(f"v05.{name}")


def test_score_weights_are_found_without_an_import_of_their_own():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    program = "import v05; assert v05.training.score_weights.score_weights"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_other_names_are_errors():
    with pytest.raises(AttributeError, match="module 'v05' has no attribute 'advantage'"):
        v05.advantage  # noqa: B018
