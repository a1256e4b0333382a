"""Files that states are saved to: only files are replaced, and nothing of a save that was killed stays."""

import fcntl
import os
import random
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pytest
import v05
from v05._core import files
from v05.training import StoredEstimator


@pytest.fixture(params=["unnamed", "named"])
def way(request, monkeypatch):
    """Both ways of writing: file systems with files that have no name, and without."""
    if request.param == "named":
        monkeypatch.setattr(files, "_unnamed", lambda within: None)


def history(keys=2):
    made = v05.History()
    made.record(np.arange(keys), np.ones(keys))
    return made


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_a_symbolic_link_is_followed_and_kept(tmp_path, way):
    (tmp_path / "store").mkdir()
    history(1).save(tmp_path / "store" / "real")
    (tmp_path / "link").symlink_to("store/real")
    (tmp_path / "hanging").symlink_to(tmp_path / "store" / "new")
    for link, target in (("link", "real"), ("hanging", "new")):
        history().save(tmp_path / link)
        assert (tmp_path / link).is_symlink() and len(v05.History.load(tmp_path / "store" / target)) == 2
    assert names(tmp_path / "store") == ["new", "real"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_the_mode_of_the_file_is_kept(tmp_path, way, mode):
    path = tmp_path / "state"
    history().save(path)
    path.chmod(mode)
    history(3).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode and len(v05.History.load(path)) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_the_file_is_kept(tmp_path, way):
    path = tmp_path / "state"
    history().save(path)
    os.chown(path, 1234, 2345)
    history(3).save(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_what_is_no_file_is_refused_and_stays(tmp_path, way):
    special = {"fifo": os.mkfifo}
    if os.geteuid() == 0:
        special["device"] = lambda path: os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    for name, make in special.items():
        try:
            make(tmp_path / name)
        except PermissionError:  # a container that may not
            continue
        kind = stat.S_IFMT((tmp_path / name).stat().st_mode)
        (tmp_path / "to it").symlink_to(name)
        for path in (tmp_path / name, tmp_path / "to it"):
            with pytest.raises(v05.InvalidArgument, match="path must be a file or new, got a (pipe|device)"):
                history().save(path)
            with pytest.raises(v05.CheckpointError, match="must be a file, got a (pipe|device)"):
                v05.History.load(path)
            with pytest.raises(v05.CheckpointError, match="must be a file, got a (pipe|device)"):
                v05.AdvantageEstimator().load(path)
            with pytest.raises(v05.InvalidArgument, match="state_path must be a file or new"):
                StoredEstimator(state_path=path)
        assert stat.S_IFMT((tmp_path / name).stat().st_mode) == kind
        (tmp_path / "to it").unlink()
        (tmp_path / name).unlink()
    with pytest.raises(IsADirectoryError):
        history().save(tmp_path)
    with pytest.raises(v05.CheckpointError, match="a folder"):
        v05.History.load(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/run/v05.state",
        "hdfs://host/path",
        "gs://b/x",
        "file:///tmp/x",
        "abfss://a@b/c",
        Path("s3://bucket/x"),
    ],
)
def test_an_address_is_no_path(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    for attempt in (
        history().save,
        v05.History.load,
        v05.AdvantageEstimator().save,
        v05.AdvantageEstimator().load,
        lambda path: StoredEstimator(state_path=path),
    ):
        with pytest.raises(v05.InvalidArgument, match="must be the path of a file on this machine, got the address"):
            attempt(address)
    assert names(tmp_path) == []


@pytest.mark.parametrize("path", ["", "a\0b", "~nobody-of-this-name/x"])
def test_paths_that_cannot_be(path):
    with pytest.raises(v05.InvalidArgument, match="path must"):
        history().save(path)
    for other in (None, 3, 1.5, ["a"]):
        with pytest.raises(v05.ArgumentTypeError, match="path must be the path of a file"):
            history().save(other)


def test_the_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    history().save("~/state")
    assert names(tmp_path) == ["state"] and len(v05.History.load("~/state")) == 2
    estimator = StoredEstimator(reward_range=(0, 1), state_path="~/runs/state")
    estimator.step([1, 0], [0, 0], [7, 7])
    assert names(tmp_path / "runs") == ["state"]


@pytest.mark.parametrize("length", [1, 200, 238, 239, 255])
def test_long_names(tmp_path, way, length):
    for _ in range(2):
        history().save(tmp_path / ("n" * length))
    assert names(tmp_path) == ["n" * length]


def test_bytes_as_path(tmp_path):
    history().save(os.fsencode(tmp_path / "state"))
    assert len(v05.History.load(os.fsencode(tmp_path / "state"))) == 2


def test_what_a_crash_left_is_cleared_by_the_next_save(tmp_path, way):
    path = tmp_path / "state"
    history().save(path)
    within = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / files._temporary("state")).write_bytes(b"half a state, longer than a whole one" * 100)
    history(3).save(path)
    os.close(within)
    assert names(tmp_path) == ["state"] and len(v05.History.load(path)) == 3


def test_another_process_at_the_same_path_is_waited_for(tmp_path, monkeypatch):
    """Where files have names from the start, it holds a lock on the one that it is about to put into place."""
    monkeypatch.setattr(files, "_unnamed", lambda within: None)
    path = tmp_path / "state"
    temporary = tmp_path / files._temporary("state")
    child = os.fork()
    if child == 0:
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (tmp_path / "ready").touch()
        time.sleep(0.3)
        os.rename(temporary, tmp_path / "put into place")
        os._exit(0)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    history().save(path)
    os.waitpid(child, 0)
    assert names(tmp_path) == ["put into place", "ready", "state"]


def test_killed_at_any_moment(tmp_path, way, request):
    made, path = history(20000), tmp_path / "state"
    made.save(path)
    old = path.read_bytes()
    for seed in range(request.config.getoption("kills")):
        child = os.fork()
        if child == 0:
            while True:
                made.save(path)
        time.sleep(0.05 * random.Random(seed).random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert path.read_bytes() == old
    assert len(names(tmp_path)) <= 2
    made.save(path)
    assert names(tmp_path) == ["state"]


def test_two_processes_at_the_same_path(tmp_path, way):
    path = tmp_path / "state"
    children = []
    for keys in (3, 4):
        child = os.fork()
        if child == 0:
            made = history(keys)
            for _ in range(30):
                made.save(path)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert names(tmp_path) == ["state"] and len(v05.History.load(path)) in (3, 4)
