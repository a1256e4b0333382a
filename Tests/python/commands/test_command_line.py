"""The command `v05`: what it prints, how it ends, what it says when something is missing."""

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
import v05
from v05.commands.command_line import main
from v05.commands.outputs import check_output


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
    for part in (
        log,
        "12 prompts, 4 steps, 48 visits",
        "V_0.5 calibrated",
        "priors rejected",
        "48 of 48 visits could be scored",
    ):
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


MISTAKES = [  # arguments, exit status, message
    (["absent.jsonl"], 2, "absent.jsonl: no such file or directory"),
    (["LOG", "--discount", "2"], 2, "discount must lie in [0, 1], got 2"),
    (["LOG", "--reward-range", "0", "0.5"], 1, "reward 1.0 lies outside the reward range 0.0 to 0.5"),
    (["LOG", "--reward-range", "-1e3", "-1."], 1, "lies outside the reward range -1000.0 to -1.0"),
    (["LOG", "--reward-range", "-inf", "1"], 2, "must go from a lower to a higher number, got -inf to 1.0"),
    (["LOG", "--prompt", ""], 2, "prompt must name a field, got ''"),
    (["LOG", "--where", "splt=x"], 1, "no row has the field 'splt' of --where: found prompt, step, reward"),
    (["LOG", "--seed", "-1"], 2, "seed must be at least 0, got -1"),
    (["LOG", "--splits", "1000000000000"], 2, "splits must lie between 1 and 10000, got 1000000000000"),
    (["LOG", "--out", "report.xyz"], 2, "a picture ends in .png, .pdf, .svg, got report.xyz"),
    (["LOG", "--out", "absent/report.png"], 2, "no such directory: absent"),
    (["LOG", "--out", "/dev/null.png/report.png"], 2, "no such directory"),
    (["LOG", "--out", "/proc/report.png"], 2, "cannot be written"),
    (["LOG", "--out", "folder.png"], 2, "folder.png is no file that could be replaced"),
    (["LOG", "--out", ""], 2, "out must be the path of a file, got ''"),
    (["LOG", "--out", "s3://bucket/report.png"], 2, "out must be the path of a file on this machine"),
]


@pytest.mark.parametrize("arguments, status, message", MISTAKES)
def test_mistakes_are_one_line(arguments, status, message, log, capsys, tmp_path, monkeypatch):
    if "--out" in arguments:
        pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(
        sys.modules["v05.commands.replay.replay"], "look", lambda *_: pytest.fail("found out after the work")
    )
    arguments = [log if argument == "LOG" else argument for argument in arguments]
    assert main(["replay", "--json", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.startswith("v05: ") and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_picture_in_the_home_and_in_capitals(log, capsys, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["replay", log, "--json", "--splits", "1", "--out", "~/report.PNG"]) == 0
    assert (tmp_path / "report.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("columns", ["0", "1", "nonsense"])
def test_a_terminal_of_no_width(columns, log, capsys, monkeypatch):
    pytest.importorskip("rich", reason="tables need rich")
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["replay", log, "--splits", "1"]) == 0
    out = capsys.readouterr().out
    assert "priors rejected" in out and out.count("\n") < 200


def test_a_picture_that_cannot_be_written_whole_leaves_the_one_before(log, capsys, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    path = tmp_path / "report.svg"
    path.write_text("of yesterday")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["replay", log, "--json", "--splits", "1", "--out", str(path)]) == 2
    assert f"{path}: No space left on device; free some space" in capsys.readouterr().err
    assert path.read_text() == "of yesterday" and len(list(tmp_path.iterdir())) == 2  # the log, too


def test_a_picture_does_not_replace_the_log(log, capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    picture = tmp_path / "log.png"
    picture.symlink_to(log)
    content = open(log).read()
    assert main(["replay", log, "--json", "--out", str(picture)]) == 2
    assert "is what is read" in capsys.readouterr().err and open(log).read() == content


@pytest.mark.parametrize("module, arguments", [("tables", []), ("pictures", ["--json", "--out", "report.png"])])
def test_missing_extra(module, arguments, log, capsys, monkeypatch):
    monkeypatch.setattr(f"v05.commands.{module}.find_spec", lambda name: None)
    assert main(["replay", log, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "pip install 'v05[replay]'" in err and err.count("\n") == 1


def test_missing_pyarrow(tmp_path, capsys, monkeypatch):
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "log.parquet").write_bytes(b"PAR1")
    assert main(["replay", "--json", str(tmp_path)]) == 2
    assert "pip install 'v05[parquet]'" in capsys.readouterr().err


def test_json_needs_no_extra(log):
    block = "import sys; sys.modules.update(rich=None, matplotlib=None, pyarrow=None)"
    call = f"v05.commands.command_line.main(['replay', {log!r}, '--json', '--splits', '1'])"
    code = f"{block}; import v05.commands.command_line; sys.exit({call})"
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


@pytest.mark.parametrize("form", ["", "--json"])
def test_reader_that_stops_early_gets_the_picture(log, tmp_path, form):
    code = f"{sys.executable} -m v05 replay {log} {form} --out {tmp_path}/replay.png | true"
    subprocess.run(["bash", "-c", code], check=True)
    assert (tmp_path / "replay.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments", [[], ["replay", "--prior", "guess"], ["replay", "--splits", "many"], ["si\x1bng"]]
)
def test_wrong_usage_is_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    err = capsys.readouterr().err
    assert end.value.code == 2 and err.startswith("v05") and err.endswith(" --help\n")
    assert err.count("\n") == 1 and "\x1b" not in err


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"v05 {v05.__version__}\n"


ENDINGS = [  # what ends a command, exit status, part of the line
    (KeyboardInterrupt(), 130, "interrupted"),
    (MemoryError(), 2, "memory is not enough"),
    (v05.OutOfMemory("scratch"), 2, "scratch"),
    (RecursionError("maximum recursion depth exceeded"), 1, "nested too deep"),
    (
        PermissionError(errno.EACCES, "Permission denied", "/root/x"),
        2,
        "/root/x: Permission denied; check the permissions",
    ),
    (OSError(errno.ENOSPC, "No space left on device"), 2, "standard output: No space left on device; free some space"),
    (OSError("nowhere/model is no model on the hub"), 2, "v05: nowhere/model is no model on the hub\n"),
    (UnicodeEncodeError("ascii", "\xb2", 0, 1, "ordinal not in range"), 2, "report it"),
    (ZeroDivisionError("float division by zero"), 2, "a fault of v05: report it"),
    (v05.Error("two\nlines \x1b]0;title\x07"), 2, r"two\nlines \x1b]0;title\x07"),
    (v05.CheckpointError("damaged"), 1, "damaged"),
]


@pytest.mark.parametrize("error, status, message", ENDINGS)
def test_whatever_ends_a_command_is_one_line(error, status, message, capsys, monkeypatch):
    def end(options):
        raise error

    monkeypatch.setattr("v05.commands.info.run_info", end)
    assert main(["info"]) == status
    err = capsys.readouterr().err
    assert err.startswith("v05: ") and message in err and err.count("\n") == 1


class Interrupts:
    """Ctrl-C while this is being thrown away."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def interrupt_in_weak_reference():
    referred = {1}
    reference = weakref.ref(referred, lambda _: signal.raise_signal(signal.SIGINT))
    del referred
    assert reference() is None


def interrupt_in_function_that_c_calls():
    ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))()


@pytest.mark.parametrize("interrupt", [Interrupts, interrupt_in_weak_reference, interrupt_in_function_that_c_calls])
@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_that_python_ignores_ends_a_command(interrupt, times, capsys, monkeypatch):
    def work(options):
        for _ in range(times):
            interrupt()
        time.sleep(60)

    before = sys.unraisablehook
    monkeypatch.setattr("v05.commands.info.run_info", work)
    assert main(["info"]) == 130
    assert capsys.readouterr() == ("", "v05: interrupted\n")
    assert sys.unraisablehook is before


def test_what_else_python_ignores_is_reported_as_ever(monkeypatch):
    class Fails:
        def __del__(self):
            raise ValueError("in __del__")

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(str(unraisable.exc_value)))
    monkeypatch.setattr("v05.commands.info.run_info", lambda options: Fails() and None)
    assert main(["info"]) == 0
    assert reported == ["in __del__"]


def run(command, log, **environment):
    """A shell command with {v05} and {log}, in a process of its own."""
    command = command.format(v05=f"{sys.executable} -m v05", log=log)
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=os.environ | environment, cwd=Path(log).parent
    )


OUTPUTS = [  # command, exit status, part of the line on standard error
    ("{v05} replay {log} --splits 1 --json > /dev/full", 2, "No space left on device"),
    ("{v05} info > /dev/full", 2, "No space left on device"),
    ("{v05} --help > /dev/full", 2, "No space left on device"),
    ("{v05} info >&-", 2, "standard output is closed"),
]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@pytest.mark.parametrize("command, status, message", OUTPUTS)
def test_standard_output_that_cannot_be_written(command, status, message, log):
    done = run(command, log)
    assert done.returncode == status and message in done.stderr and done.stderr.count("\n") == 1


def test_standard_error_may_be_closed(log):
    done = run("{v05} replay absent 2>&-", log)
    assert done.returncode == 2 and done.stdout == ""


def test_an_output_that_knows_ascii_only(log):
    pytest.importorskip("rich", reason="tables need rich")
    done = run("{v05} replay {log} --splits 1", log, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "reward units?" in done.stdout and done.stderr == ""


def test_a_wrong_back_end_of_matplotlib(log):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    done = run("{v05} replay {log} --json --out x.png", log, MPLBACKEND="bogus")
    assert done.returncode == 2 and "unset MPLBACKEND" in done.stderr and done.stderr.count("\n") == 1


def test_ctrl_c_leaves_with_130(log):
    command = [
        sys.executable,
        "-c",
        # A shell has what runs in the background ignore Ctrl-C, and so would this, if the tests did.
        "import signal, sys, v05.commands.command_line as c; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "print(flush=True); sys.exit(c.main())",
        "replay",
        log,
        "--json",
        "--splits",
        "10000",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", "v05: interrupted\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(log, capsys):
    os.chmod(log, 0)
    assert main(["replay", log, "--json"]) == 2
    err = capsys.readouterr().err
    assert "Permission denied" in err and err.count("\n") == 1


def test_names_reach_the_terminal_escaped(tmp_path, capsys):
    pytest.importorskip("rich", reason="tables need rich")
    path = tmp_path / "lo\ng\x1b[31m[bold]x.jsonl"
    path.write_text(
        "".join(f'{{"prompt": {row % 9}, "reward": {row // 9 % 2}, "step": {row // 63}}}\n' for row in range(189))
    )
    assert main(["replay", str(path), "--splits", "1"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"lo\ng\x1b[31m[bold]x.jsonl" in out.replace("\n", "")
    path.write_text(json.dumps({"\x1b]0;title\x07": 1, "\ud800": 2}))
    assert main(["replay", str(path)]) == 1
    err = capsys.readouterr().err
    assert "\x1b" not in err and r"\x1b]0;title\x07" in err and r"\ud800" in err and err.count("\n") == 1


def test_a_link_that_leads_nowhere_yet_is_written_through(tmp_path, capsys):
    (tmp_path / "store").mkdir()
    link = tmp_path / "report.json"
    link.symlink_to(tmp_path / "store" / "report.json")
    check_output(link)
    assert link.is_symlink() and not list((tmp_path / "store").iterdir())
