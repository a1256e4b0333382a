"""Saved objects of every kind: they come back whole or not at all."""

import copy
import dataclasses
import importlib.util
import io
import json
import math
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import v05
from conftest import ROOT

SAVED = ROOT / "Tests" / "SavedCheckpoints"
FORMATS = {"running_calibration": 1, "history": 2, "allocator": 1, "running_mixture": 1, "tracker": 1}
KINDS = {"running_calibration": 1, "history": 2, "allocator": 3, "running_mixture": 4, "tracker": 5}


def running_calibration():
    running = v05.RunningCalibration(reward_range=(-1, 1), discount=0.75)
    running.update([1.0, -1.0, 0.5] * 10, np.repeat(np.arange(10), 3), dict.fromkeys(range(9), 0.25))
    return running


def history():
    history = v05.History(0.5, 10, 0.9)
    history.record(["a", "b", 3, 3], [1.0, 0.0, 0.25, 1.0], step=4)
    history.record(["b"], [1.0], step=5)
    return history


def allocator():
    allocator = v05.Allocator([0.5, math.nan, 0.0], initial=2, maximum=[4, 5, 6], budget=11, wave=2)
    allocator.request()
    allocator.observe([2, 0, 2, 1], [1.0, 0.0, 0.5, 1.0])
    return allocator


def tracker():
    tracker = v05.Tracker(0.5, 10, forgetting=0.9)
    for rewards in ([1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 1.0], [0.5, 1.0, 0.0, 0.0]):
        tracker.record(["a", "b", 3, 3], rewards)
    return tracker


def running_mixture():
    running = v05.RunningMixture(reward_range=(-1, 1), discount=0.75)
    running.update([1.0, -1.0, 1.0] * 10, np.repeat(np.arange(10), 3), dict.fromkeys(range(9), 0.25))
    return running


MAKERS = {
    "running_calibration": running_calibration,
    "history": history,
    "allocator": allocator,
    "running_mixture": running_mixture,
    "tracker": tracker,
}
every_kind = pytest.mark.parametrize("kind", MAKERS)


def blank(kind):
    """An object of the kind with another state."""
    return {
        "running_calibration": lambda: v05.RunningCalibration(discount=0),
        "history": lambda: v05.History(1, reward_range=(0, 9)),
        "allocator": lambda: v05.Allocator([1.0], initial=1, maximum=2),
        "running_mixture": lambda: v05.RunningMixture(discount=0),
        "tracker": lambda: v05.Tracker(1, reward_range=(0, 9)),
    }[kind]()


def checkpoint(kind):
    return MAKERS[kind]().state_dict()["checkpoint"]


def sealed(data):
    """The bytes with a checksum that fits."""
    return bytes(data[:-4]) + struct.pack("<I", zlib.crc32(data[:-4]))


def assert_refused(kind, data, status=None, message="^checkpoint "):
    loaded = blank(kind)
    before = loaded.state_dict()
    with pytest.raises(v05.CheckpointError, match=message) as caught:
        loaded.load_state_dict({"checkpoint": data})
    assert status is None or caught.value.status == f"V05_STATUS_CHECKPOINT_{status}"
    assert loaded.state_dict() == before


# Whole.


@every_kind
def test_round_trips(kind, tmp_path):
    original = MAKERS[kind]()
    state = original.state_dict()
    assert list(state) == ["checkpoint"] and type(state["checkpoint"]) is bytes
    loaded = blank(kind)
    loaded.load_state_dict(state)
    original.save(tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == state["checkpoint"]
    others = [loaded, type(original).load(tmp_path / "state"), type(original).load(str(tmp_path / "state"))]
    others += [pickle.loads(pickle.dumps(original, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in others:
        assert type(other) is type(original) and other.state_dict() == state
    assert original.state_dict() == state


@every_kind
def test_bytes_of_other_kinds(kind):
    data = checkpoint(kind)
    for convert in (bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)):
        loaded = blank(kind)
        loaded.load_state_dict({"checkpoint": convert(data)})
        assert loaded.state_dict()["checkpoint"] == data


@every_kind
def test_torch_save(kind):
    torch = pytest.importorskip("torch")
    original = MAKERS[kind]()
    file = io.BytesIO()
    torch.save({"step": 3, kind: original.state_dict()}, file)
    file.seek(0)
    loaded = blank(kind)
    loaded.load_state_dict(torch.load(file, weights_only=True)[kind])
    assert loaded.state_dict() == original.state_dict()


@every_kind
def test_the_format(kind):
    """Magic "v05c", format version, kind, length of the payload, payload, CRC-32 of all before; little-endian."""
    data = checkpoint(kind)
    assert struct.unpack_from("<4sIIQ", data) == (b"v05c", FORMATS[kind], KINDS[kind], len(data) - 24)
    assert sealed(data) == data


def test_empty_objects():
    for empty in (v05.RunningCalibration(), v05.History(), v05.Tracker(), v05.Allocator([])):
        assert pickle.loads(pickle.dumps(empty)).state_dict() == empty.state_dict()


# Damaged.


@every_kind
def test_every_truncation_is_refused(kind):
    data = checkpoint(kind)
    for length in range(len(data)):
        assert_refused(kind, data[:length], "TRUNCATED")


@every_kind
def test_every_damaged_byte_is_refused(kind):
    data = checkpoint(kind)
    for position in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            assert_refused(kind, data[:position] + bytes([data[position] ^ flip]) + data[position + 1 :])


@every_kind
def test_trailing_bytes_are_refused(kind):
    for tail in (b"\0", b"\0" * 8, checkpoint(kind)):
        assert_refused(kind, checkpoint(kind) + tail, "TRUNCATED")
        assert_refused(kind, sealed(checkpoint(kind) + tail), "TRUNCATED")


@every_kind
def test_bytes_of_another_object_are_refused(kind):
    for other in MAKERS:
        if other != kind:
            assert_refused(kind, checkpoint(other), "KIND", f"of another object.*{KINDS[other]} and {KINDS[kind]}")
            data = bytearray(checkpoint(other))
            struct.pack_into("<I", data, 4, FORMATS[kind])
            struct.pack_into("<I", data, 8, KINDS[kind])
            assert_refused(kind, sealed(data), "CORRUPTED")
    assert_refused(kind, b"", "TRUNCATED")
    assert_refused(kind, b"PK\x03\x04" + bytes(100), "KIND", 'must begin with "v05c"')


@every_kind
@pytest.mark.parametrize("version", [0, 3, 99, 2**32 - 1])
def test_other_formats_are_refused(kind, version):
    """Both versions are named, so that it can be seen which side is too old."""
    data = bytearray(checkpoint(kind))
    struct.pack_into("<I", data, 4, version)
    for changed in (bytes(data), sealed(data)):
        assert_refused(
            kind, changed, "VERSION", f"format that this release does not read: .* {version} and {FORMATS[kind]}$"
        )


@every_kind
def test_payloads_of_wrong_length_are_refused(kind):
    data = checkpoint(kind)
    for said in (0, len(data) - 25, len(data) - 23, 2**31, 2**63, 2**64 - 1):
        assert_refused(kind, sealed(data[:12] + struct.pack("<Q", said) + data[20:]), "TRUNCATED")
    for payload in (data[20:-5], data[20:-4] + b"\0", data[20:-12], b""):
        header = data[:12] + struct.pack("<Q", len(payload))
        assert_refused(kind, sealed(header + payload + b"last"), "CORRUPTED")


@every_kind
def test_hostile_payloads_are_refused_or_harmless(kind):
    """With a checksum that fits, whatever is accepted can be used."""
    data = checkpoint(kind)
    generator = np.random.default_rng(1)
    patterns = [
        bytes(8),
        b"\xff" * 8,
        *(struct.pack("<d", number) for number in (math.nan, math.inf, -1.0, 1e300, 1.79e308)),
        *(struct.pack("<q", number) for number in (1, 2**31, 2**40, -(2**63))),
    ]
    accepted = 0
    for position in range(20, len(data) - 12, 4):
        for pattern in (*patterns, generator.bytes(8)):
            loaded = blank(kind)
            before = loaded.state_dict()
            try:
                loaded.load_state_dict({"checkpoint": sealed(data[:position] + pattern + data[position + 8 :])})
            except v05.CheckpointError:
                assert loaded.state_dict() == before
                continue
            accepted += 1
            use(loaded)
            if kind == "history":  # what is added up stays within what can be loaded
                again = copy.deepcopy(loaded)
                again.merge(loaded)
                blank(kind).load_state_dict(again.state_dict())
                use(again)
    assert accepted


def use(loaded):
    """What an owner would do with it; v05.Error is allowed, nothing worse."""
    try:
        if isinstance(loaded, v05.RunningCalibration):
            assert np.isfinite(loaded.calibration.slope)
            loaded.update([loaded.reward_range[0]] * 2, [0, 0], None)
        elif isinstance(loaded, v05.RunningMixture):
            assert np.isfinite(loaded.mixture.weights).all()
            loaded.update([loaded.reward_range[0]] * 2, [0, 0], None)
        elif isinstance(loaded, v05.History):
            loaded.predict(["a", "b", 3], step=9)
            loaded.record(["b", "new"], [1.0, 0.5], step=9)
        elif isinstance(loaded, v05.Tracker):
            low, high = loaded.reward_range
            for _ in range(3):
                value, strength = loaded.predict(["a", "b", 3, "new"])
                assert ((value >= low) & (value <= high) | np.isnan(value)).all() and (strength >= 0).all()
                assert np.isfinite(loaded.calibration.prior_variance)
                fused = loaded.fuse(["b", "b", "new"], [low, high, high])
                assert ((fused >= low) & (fused <= high) | np.isnan(fused)).all()
                loaded.record(["b", "b", "new"], [low, high, high])
        else:
            for _ in range(3):
                flying = np.repeat(np.arange(len(loaded)), loaded.in_flight)
                loaded.observe(flying[:20], np.full(len(flying[:20]), 0.5))
                loaded.request()
            loaded.estimate()
        loaded.state_dict()
    except v05.Error:
        pass


@every_kind
def test_states_of_other_kinds_are_refused(kind):
    loaded = blank(kind)
    before = loaded.state_dict()
    for state in (None, b"v05c", [], {}, {"checkpoint": None}, {"checkpoint": "text"}, {"state": b""}):
        with pytest.raises(v05.ArgumentTypeError, match="state must be what state_dict"):
            loaded.load_state_dict(state)
    assert loaded.state_dict() == before


# Files.

CRASH = """
import os, signal, sys
import v05

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

history = v05.History()
history.record([1, 2, 3], [1.0, 0.0, 1.0])
setattr(os, sys.argv[2], die)
history.save(sys.argv[1])
"""


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_in_the_middle_leaves_the_old_file_whole(moment, tmp_path):
    path = tmp_path / "history.v05"
    old = history()
    old.save(path)
    crashed = subprocess.run([sys.executable, "-c", CRASH, path, moment])
    assert crashed.returncode == -signal.SIGKILL
    # Until it is complete the new file has no name; the moment between that and its place is cleared by the next save.
    assert len(list(tmp_path.iterdir())) == (1 if moment == "fsync" else 2)
    assert v05.History.load(path).state_dict() == old.state_dict()
    history().save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["history.v05"]


@every_kind
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file_alone(kind, moment, tmp_path, monkeypatch):
    path = tmp_path / "state"
    MAKERS[kind]().save(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, moment, lambda *arguments, **options: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            blank(kind).save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    assert path.read_bytes() == checkpoint(kind)
    blank(kind).save(path)
    assert type(blank(kind)).load(path).state_dict() == blank(kind).state_dict()


def test_saved_files_can_be_read_by_whom_the_umask_says(tmp_path):
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        previous = os.umask(mask)
        try:
            history().save(tmp_path / f"state {mask}")
        finally:
            os.umask(previous)
        assert (tmp_path / f"state {mask}").stat().st_mode & 0o777 == mode


def test_files_that_cannot_be(tmp_path):
    with pytest.raises(FileNotFoundError):
        history().save(tmp_path / "missing" / "state")
    with pytest.raises(OSError):
        history().save(tmp_path)
    with pytest.raises(FileNotFoundError):
        v05.History.load(tmp_path / "state")
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(v05.CheckpointError, match="checkpoint is too short"):
        v05.History.load(tmp_path / "state")
    with pytest.raises(v05.Error, match="Allocator is closed"):
        closed = allocator()
        closed.close()
        closed.save(tmp_path / "state")
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


# Kept for ever.


def script(kind, version=1):
    specification = importlib.util.spec_from_file_location(f"saved_{kind}_{version}", SAVED / f"{kind}_{version}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def saved(kind, version=1):
    loaded = blank(kind)
    loaded.load_state_dict({"checkpoint": (SAVED / f"{kind}_{version}.bin").read_bytes()})
    return loaded, json.loads((SAVED / f"{kind}_{version}.json").read_text())


def assert_predicts(history, expected):
    value, strength = history.predict(expected["keys"], step=expected["step"])
    np.testing.assert_allclose(value, np.array(expected["value"], float), rtol=1e-14)
    np.testing.assert_allclose(strength, expected["strength"], rtol=1e-14)


@pytest.mark.parametrize("version", [1, 2])
def test_histories_are_read_for_ever(version):
    history, expected = saved("history", version)
    assert_predicts(history, expected)
    keys, rewards, step = expected["after"]["record"]
    history.record(keys, rewards, step=step)
    assert_predicts(history, expected["after"])


def test_the_first_tracker_is_read_for_ever():
    tracker, expected = saved("tracker")
    assert [*tracker.reward_range] == expected["reward_range"] and len(tracker) == expected["count"]
    for part in (expected, expected["after"]):
        if "record" in part:
            tracker.record(*part["record"])
        for name, found in zip(("value", "strength"), tracker.predict(part["keys"])):
            np.testing.assert_allclose(found, part[name], rtol=1e-12)
        np.testing.assert_allclose(tracker.fuse(*part["fuse"]), part["baselines"], rtol=1e-12)
        assert dataclasses.asdict(tracker.calibration) == pytest.approx(part["calibration"], rel=1e-12)


def test_the_first_allocator_is_read_for_ever():
    allocator, expected = saved("allocator")
    assert allocator.counts.tolist() == expected["counts"] and allocator.in_flight.tolist() == expected["in_flight"]
    prompts, rewards = allocator.observations()
    assert prompts.tolist() == expected["prompt_index"] and rewards.tolist() == expected["rewards"]
    estimate = allocator.estimate()
    assert estimate.rule == expected["rule"]
    np.testing.assert_allclose(estimate.baseline, expected["baseline"], rtol=1e-14)
    np.testing.assert_allclose(estimate.advantages, expected["advantages"], rtol=1e-14)
    reward = script("allocator").reward
    requests = []
    while not allocator.done:
        for prompt in np.repeat(np.arange(len(allocator)), allocator.in_flight):
            allocator.observe(prompt, reward(prompt, allocator.counts[prompt]))
        requests.append(allocator.request().tolist())
    assert requests == expected["requests"] and allocator.counts.tolist() == expected["final_counts"]


def test_the_first_running_mixture_is_read_for_ever():
    running, expected = saved("running_mixture")
    assert [*running.reward_range] == expected["reward_range"]
    assert (running.discount, running.updates) == (expected["discount"], expected["updates"])
    found = running.mixture
    np.testing.assert_allclose(found.weights, expected["mixture"]["weights"], rtol=1e-12)
    np.testing.assert_allclose(found.grand_weights, expected["mixture"]["grand_weights"], rtol=1e-12)
    assert dataclasses.asdict(found.calibration) == pytest.approx(expected["mixture"]["calibration"], rel=1e-12)


def test_the_first_allocator_with_a_mixture_is_read_for_ever():
    allocator = blank("allocator")
    allocator.load_state_dict({"checkpoint": (SAVED / "allocator_mixture_1.bin").read_bytes()})
    expected = json.loads((SAVED / "allocator_mixture_1.json").read_text())
    assert allocator.counts.tolist() == expected["counts"]
    estimate = allocator.estimate()
    assert estimate.rule == expected["rule"] == "mixture"
    assert [*estimate.mixture.weights] == expected["weights"]
    np.testing.assert_allclose(estimate.baseline, expected["baseline"], rtol=1e-12)
    np.testing.assert_allclose(estimate.mse, expected["mse"], rtol=1e-12)
    assert allocator.request().tolist() == expected["request"]


@pytest.mark.parametrize(
    "kind, version",
    [("history", 2), ("allocator", 1), ("running_mixture", 1), ("allocator_mixture", 1), ("tracker", 1)],
)
def test_the_saved_checkpoints_are_what_their_scripts_make(kind, version, tmp_path, monkeypatch):
    """Of this format only: a later one gets files of its own."""
    module = script(kind, version)
    monkeypatch.setattr(module, "DESTINATION", tmp_path / "made")
    module.main()
    assert (tmp_path / "made.bin").read_bytes() == (SAVED / f"{kind}_{version}.bin").read_bytes()
    assert json.loads((tmp_path / "made.json").read_text()) == json.loads(
        (SAVED / f"{kind}_{version}.json").read_text()
    )


def test_every_saved_checkpoint_is_described():
    described = re.findall(r"^\| `(\w+)` \|", (SAVED / "README.md").read_text(), re.MULTILINE)
    assert sorted(described) == sorted(path.stem for path in SAVED.glob("*.bin"))
