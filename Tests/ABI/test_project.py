"""pyproject.toml: extras that every pip can install and that every message names rightly."""

import ast
import re

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

try:
    import tomllib
except ImportError:  # Python 3.10; pytest brings it there
    import tomli as tomllib

PYTHON = ROOT / "python"
EXTRAS = tomllib.loads((PYTHON / "pyproject.toml").read_text())["project"]["optional-dependencies"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *PYTHON.rglob("*.md")]


@pytest.mark.parametrize("extra", EXTRAS)
def test_no_extra_reads_as_a_version(extra):
    """pip 24.1 to 25.3 compares `extra == "v0"` as versions, and then cannot install the package at all."""
    with pytest.raises(InvalidVersion):
        Version(extra)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_of_ours_in_another_exists(extra):
    ours = [Requirement(line) for line in EXTRAS[extra] if Requirement(line).name == "v05"]
    assert {name for requirement in ours for name in requirement.extras} <= EXTRAS.keys()


def test_every_extra_named_to_users_exists():
    """In messages (the second argument of MissingExtra, `extra` of lazy), docstrings and documents."""
    named = set()
    for path in (PYTHON / "v05").rglob("*.py"):
        text = path.read_text()
        named |= in_brackets(text)
        for call in ast.walk(ast.parse(text)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("MissingExtra", "lazy"):
                given = call.args[1:2] if call.func.id == "MissingExtra" else [key.value for key in call.keywords]
                named |= {each.value for each in given if isinstance(each, ast.Constant)}
    for path in DOCUMENTS:
        named |= in_brackets(path.read_text())
    assert {"value-model", "replay", "priors", "demo", "parquet"} <= named <= EXTRAS.keys()


def in_brackets(text):
    """The extras of v05[one,other] and ./python[one,other]."""
    return {name for names in re.findall(r"(?:v05|\./python)\[([\w,-]+)\]", text) for name in names.split(",")}
