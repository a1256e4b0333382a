"""Paths shared by the tests."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=12, help="how often what is slow kills a process at a random moment")
    parser.addoption("--soak", type=float, default=0.5, help="minutes that many threads use one estimator")


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def shared_data():
    """Real pass rates, which stand beside a checkout of the team but not in the repository."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"real pass rates are not here: {folder} does not exist")
    return folder


def reference_values(name):
    return json.loads((ROOT / "Tests" / "ReferenceValues" / name).read_text())
