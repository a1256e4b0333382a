"""`v05 doctor`: what it says of trainers that are there, that are not, and that v05 does not fit."""

import importlib
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import v05
from conftest import ROOT
from v05.commands.command_line import main
from v05.commands.doctor import check
from v05.commands.doctor.check import Finding, examine
from v05.commands.doctor.trainers import TRAINERS

JSON = replace(TRAINERS["slime"], packages=("numpy",), module="json", hooks=(("json", "loads"),))


def test_every_adapter_has_an_entry_and_a_page():
    package, pages = Path(v05.__file__).parent, ROOT / "python" / "docs"
    paged = {f"v05.{page.stem}" for page in pages.glob("*.md")}
    adapters = {f"v05.{path.stem}" for path in package.glob("*.py")} | {"v05.trl", "v05.verl"}
    assert (adapters & paged) - {"v05.noise"} == {trainer.module for trainer in TRAINERS.values()}
    for trainer in TRAINERS.values():
        page = (ROOT / "python" / "docs" / trainer.page).read_text(encoding="utf-8")
        assert trainer.turn_on and trainer.name.replace("_", "-") in page.lower().replace("_", "-")


def test_every_adapter_has_a_row_that_says_what_was_run():
    """In python/docs/README.md: its version as `v05 doctor` has it, real code or contract, and files that exist."""
    page = (ROOT / "python" / "docs" / "README.md").read_text(encoding="utf-8")
    section = page.partition("## What was run")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    assert rows[0] == ["trainer", "version", "code", "what was run", "command"]
    said = {}
    for trainer, version, code, what, command in rows[2:]:
        assert code in ("real", "contract") and what
        assert all((ROOT / name).exists() for name in re.findall(r"Tests/[\w/.]+", command)) and "Tests/" in command
        said.setdefault(re.match(r"`(\w+)`", trainer)[1], []).append(version)
    assert said.keys() == TRAINERS.keys()
    for name, trainer in TRAINERS.items():
        assert trainer.tested in said[name]


def test_what_is_to_be_written_names_what_there_is():
    """Every v05.MODULE.NAME in the lines to write stands in that module."""
    for trainer in TRAINERS.values():
        source = Path(importlib.util.find_spec(trainer.module).origin).read_text()
        for name in re.findall(
            rf"{re.escape(trainer.module)}\.(\w+)|from {re.escape(trainer.module)} import (.+)",
            "\n".join(trainer.turn_on),
        ):
            for part in ",".join(name).split(","):
                assert part.strip() in source


def test_a_trainer_that_fits():
    found = examine(JSON)
    assert found.version and found.problems == ()


def test_a_file_in_the_current_folder_is_none_of_the_trainers(tmp_path, monkeypatch):
    """Nor is it run: a training script in another folder would not find it."""
    (tmp_path / "json.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "peft").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    found = examine(JSON)
    assert found.version and found.problems == ()


@pytest.mark.parametrize(
    "changed, problem",
    [
        (dict(hooks=(("json", "nothing"),)), "json has no nothing"),
        (dict(hooks=(("json.nothing", "x"),)), "ModuleNotFoundError: No module named 'json.nothing'"),
        (dict(module="v05.nothing"), "No module named 'v05.nothing'"),
    ],
)
def test_a_trainer_that_does_not_fit(changed, problem):
    (found,) = examine(replace(JSON, **changed)).problems
    assert problem in found


def test_a_trainer_that_ends_the_process(tmp_path, monkeypatch):
    (tmp_path / "fatal.py").write_text("import os\nprint('noise')\nos._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    (found,) = examine(replace(JSON, module="fatal")).problems
    assert found == "importing fatal ended the process with 7: no word"


def test_a_trainer_that_is_not_installed_is_not_imported(monkeypatch):
    monkeypatch.setattr(check.subprocess, "run", lambda *_, **__: pytest.fail("imported"))
    assert examine(replace(JSON, packages=("no-such-package",))) == Finding(None, ())


@pytest.fixture
def found(monkeypatch):
    """Lets the findings be given."""

    def give(**findings):
        monkeypatch.setattr(
            "v05.commands.doctor.command.examine", lambda trainer: findings.get(trainer.name, Finding(None, ()))
        )

    return give


def test_a_line_for_each(found, capsys):
    found(trl=Finding("1.16.0", ()), areal=Finding("9.9", ("areal.x has no y",)))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(TRAINERS) + 1
    assert "trl             1.16.0: v05 fits" in lines and "areal           9.9: areal.x has no y" in lines
    assert "slime           not installed" in lines
    assert {line.index("not installed") for line in lines if "not installed" in line} == {16}, "a column of its own"


def test_all_about_one(found, capsys):
    found(skyrl=Finding("0.4.0", ()))
    assert main(["doctor", "SkyRL"]) == 0
    out = capsys.readouterr().out
    assert (
        "v05 fits    yes" in out
        and "write 3     trainer.algorithm.advantage_estimator=v05" in out
        and "docs/skyrl.md" in out
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["doctor", "areal"], "v05 does not fit areal 9.9: areal.x has no y"),
        (["info", "--trainer", "areal"], "v05 does not fit areal 9.9"),
        (["doctor", "openrlhf"], "openrlhf is not installed in this environment"),
        (["doctor", "keras"], "no adapter for keras; there is one for trl,"),
    ],
)
def test_what_does_not_fit_is_one_line_and_status_2(arguments, message, found, capsys):
    found(areal=Finding("9.9", ("areal.x has no y",)))
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_trl_of_this_environment(capsys):
    pytest.importorskip("trl", reason="TRL is not installed")
    assert main(["doctor", "trl"]) == 0
    assert "v05 fits    yes" in capsys.readouterr().out


def test_verl_of_this_environment(capsys):
    if importlib.util.find_spec("verl") is not None:
        pytest.skip("verl is installed: test_verl.py looks at its registry")
    assert main(["info", "--verl"]) == 2
    assert "verl is not installed" in capsys.readouterr().err
