"""The command `v05`: what it prints, how it ends, what it says when something is missing."""

import json
import subprocess
import sys

import pytest
import v05
from v05.commands.command_line import main


@pytest.fixture
def log(tmp_path):
    rows = [
        {"prompt": prompt, "step": step, "reward": int((prompt + step + rollout) % 3 == 0)}
        for step in range(4)
        for prompt in range(12)
        for rollout in range(6)
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_tables(log, capsys, monkeypatch):
    pytest.importorskip("rich", reason="tables need rich")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["replay", log, "--splits", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for part in (log, "12 prompts, 4 steps, 48 visits", "V_0.5 calibrated", "priors rejected", "On this log, V_0.5"):
        assert part in out.replace("\n", " ")
    assert max(len(line) for line in out.splitlines() if log not in line) <= 80
    assert "…" not in out


def test_json(log, capsys):
    assert main(["replay", log, "--json", "--rollouts", "2", "4", "--seed", "3"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["prompts"] == 12 and [row["rollouts"] for row in content["rows"]] == [2] * 6 + [4] * 6


def test_every_option_reaches_the_replay(log, capsys):
    options = ["--reward-range", "-1", "2", "--prior", "history", "--discount", "0.5", "--full-history"]
    options += ["--only-visits", "2", "3", "--splits", "1", "--reward", "reward"]
    assert main(["replay", log, "--json", *options]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["reward_range"] == [-1, 2] and content["discount"] == 0.5 and content["visits"] == 24


def test_picture(log, capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    for name, magic in (("report.png", b"\x89PNG"), ("report.svg", b"<?xml"), ("report.pdf", b"%PDF")):
        picture = tmp_path / name
        assert main(["replay", log, "--json", "--splits", "1", "--out", str(picture)]) == 0
        assert picture.read_bytes().startswith(magic)
        out, err = capsys.readouterr()
        assert json.loads(out) and err == f"picture: {picture}\n"


def test_picture_of_a_log_without_priors(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"prompt": {row // 4}, "reward": {row % 2}}}\n' for row in range(40)))
    assert main(["replay", str(path), "--json", "--out", str(tmp_path / "report.png")]) == 0
    assert (tmp_path / "report.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["absent.jsonl"], "absent.jsonl: no such file or directory"),
        (["LOG", "--discount", "2"], "discount must lie in [0, 1], got 2"),
        (["LOG", "--reward-range", "0", "0.5"], "reward 1.0 lies outside the reward range 0.0 to 0.5"),
        (["LOG", "--reward", "score"], "no reward field 'score': found prompt, step, reward"),
        (["LOG", "--out", "report.xyz"], "a picture ends in .png, .pdf, .svg, got report.xyz"),
        (["LOG", "--out", "absent/report.png"], "no such directory for the picture: absent"),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, message, log, capsys):
    if "--out" in arguments:
        pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    arguments = [log if argument == "LOG" else argument for argument in arguments]
    assert main(["replay", "--json", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.startswith("v05: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    "module, package, arguments", [("tables", "rich", []), ("plot", "matplotlib", ["--json", "--out", "report.png"])]
)
def test_missing_extra(module, package, arguments, log, capsys, monkeypatch):
    monkeypatch.setattr(f"v05.commands.replay.{module}.find_spec", lambda name: None)
    assert main(["replay", log, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "pip install 'v05[replay]'" in err and err.count("\n") == 1


def test_missing_pyarrow(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "log.parquet").write_bytes(b"PAR1")
    assert main(["replay", "--json", str(tmp_path)]) == 2
    assert "pip install 'v05[parquet]'" in capsys.readouterr().err


def test_json_needs_no_extra(log):
    block = "import sys; sys.modules.update(rich=None, matplotlib=None, pyarrow=None); import v05.commands.command_line as c; "
    code = f"{block} sys.exit(c.main(['replay', {log!r}, '--json', '--splits', '1']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["prompts"] == 12 and done.stderr == ""


def test_info_as_a_module():
    done = subprocess.run([sys.executable, "-m", "v05", "info"], capture_output=True, text=True, check=True)
    lines = dict(line.split(maxsplit=1) for line in done.stdout.replace("build mode", "build_mode").splitlines())
    assert lines["v05"] == v05.__version__ and lines["library"] == v05.library_path()
    assert lines["ABI"] == str(v05.abi_version()) and lines["build_mode"] == v05.build_mode()
    for package in ("numpy", "torch", "trl", "verl", "rich", "matplotlib", "pyarrow"):
        assert lines[package]


def test_reader_that_stops_early(log):
    code = f"{sys.executable} -m v05 replay {log} --json | head -1"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{\n" and done.stderr == ""


@pytest.mark.parametrize("arguments", [[], ["replay", "--prior", "guess"], ["replay", "--splits", "many"], ["sing"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2 and "usage: v05" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"v05 {v05.__version__}\n"
