"""Calibrations as values: fitted, running, saved, damaged."""

import copy
import dataclasses
import importlib.util
import io
import json
import pickle
import struct
import zlib

import numpy as np
import pytest
import v05
from batches import noisy, simulated
from conftest import ROOT

SAVED = ROOT / "Tests" / "SavedCheckpoints"


def batches(count, seed=5):
    generator = np.random.default_rng(seed)
    return [simulated(generator, 12, generator.integers(1, 6, 12), noisy).arguments for _ in range(count)]


@pytest.fixture
def running():
    running = v05.RunningCalibration(discount=0.75)
    for batch in batches(3):
        running.update(*batch)
    return running


def assert_equal(one, other):
    """The same now and after one more batch, bit for bit."""
    for _ in range(2):
        assert one.state_dict() == other.state_dict()
        assert one.calibration == other.calibration
        assert (one.reward_range, one.discount, one.updates) == (other.reward_range, other.discount, other.updates)
        for each in (one, other):
            each.update(*batches(1, seed=6)[0])


# Values.


def test_a_calibration_is_a_value():
    calibration = v05.fit_calibration(*batches(1)[0])
    assert all(type(getattr(calibration, field.name)) is float for field in dataclasses.fields(calibration))
    for other in (pickle.loads(pickle.dumps(calibration)), copy.deepcopy(calibration)):
        assert other == calibration and hash(other) == hash(calibration)
    with pytest.raises(dataclasses.FrozenInstanceError):
        calibration.slope = 1.0
    assert dataclasses.replace(calibration, slope=1.0) != calibration


def test_a_running_calibration_starts_empty():
    running = v05.RunningCalibration(reward_range=(-1, 3), discount=0.5)
    assert (running.reward_range, running.discount, running.updates) == ((-1, 3), 0.5, 0)
    empty = v05.Calibration(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    assert running.calibration == empty == v05.fit_calibration([], [], None, reward_range=(-1, 3))


def test_it_prints(running):
    assert repr(running).startswith("RunningCalibration(updates=3, discount=0.75, calibration=Calibration(intercept=")


def test_update_returns_the_calibration(running):
    assert running.update(*batches(1)[0]) == running.calibration
    assert running.updates == 4


def test_copies_are_independent(running):
    other = copy.deepcopy(running)
    before = running.state_dict()
    other.update(*batches(1)[0])
    assert running.state_dict() == before != other.state_dict()


def test_an_empty_batch_only_discounts(running):
    groups = running.calibration.groups
    assert running.update([], [], None).groups == 0.75 * groups


@pytest.mark.parametrize("rewards, prior", [([0, 2], None), ([0, np.nan], None), ([0, 1], 2), ([0, 1], [0.5, 0.25])])
def test_a_refused_batch_changes_nothing(running, rewards, prior):
    before = running.state_dict()
    with pytest.raises(v05.InvalidArgument):
        running.update(rewards, [0, 0], prior)
    assert running.state_dict() == before


def test_masked_rows_do_not_count(running):
    other = copy.deepcopy(running)
    rewards, groups, prior = batches(1)[0]
    mask = np.append(np.ones(len(groups)), 0)
    running.update(np.append(rewards, np.nan), np.append(groups, 0), np.append(prior, 9), mask=mask)
    other.update(rewards, groups, prior)
    assert_equal(running, other)


def test_it_is_taken_wherever_a_calibration_is(running):
    rewards, groups, prior = batches(1, seed=7)[0]
    options = dict(rule="calibrated", leave_one_out=True)
    found = v05.estimate(rewards, groups, prior, calibration=running, **options)
    assert found.calibration == running.calibration
    np.testing.assert_array_equal(
        found.advantages, v05.advantages(rewards, groups, prior, calibration=running.calibration, **options)
    )


# Saved.


def test_state_dict(running):
    state = running.state_dict()
    assert list(state) == ["checkpoint"] and type(state["checkpoint"]) is bytes
    other = v05.RunningCalibration(reward_range=(-5, 5), discount=0)
    other.load_state_dict(state)
    assert_equal(other, running)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_bytes_of_other_kinds(running, kind):
    other = v05.RunningCalibration()
    other.load_state_dict({"checkpoint": kind(running.state_dict()["checkpoint"])})
    assert_equal(other, running)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(running, protocol):
    assert_equal(pickle.loads(pickle.dumps(running, protocol)), running)


def test_copy(running):
    assert_equal(copy.copy(running), copy.deepcopy(running))


def test_torch_save(running):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save({"step": 3, "calibration": running.state_dict()}, file)
    file.seek(0)
    other = v05.RunningCalibration()
    other.load_state_dict(torch.load(file, weights_only=True)["calibration"])
    assert_equal(other, running)


def test_files(running, tmp_path):
    path = tmp_path / "calibration.bin"
    path.write_bytes(b"an older file")
    running.save(path)
    assert path.read_bytes() == running.state_dict()["checkpoint"]
    assert_equal(v05.RunningCalibration.load(str(path)), running)
    assert [entry.name for entry in tmp_path.iterdir()] == ["calibration.bin"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(v05.CheckpointError):
        v05.RunningCalibration.load(path)
    with pytest.raises(FileNotFoundError):
        v05.RunningCalibration.load(tmp_path / "nothing.bin")


def test_a_saved_checkpoint_is_loaded_for_ever():
    data = (SAVED / "running_calibration_1.bin").read_bytes()
    expected = json.loads((SAVED / "running_calibration_1.json").read_text())
    running = v05.RunningCalibration()
    running.load_state_dict({"checkpoint": data})
    assert running.reward_range == tuple(expected["reward_range"])
    assert (running.discount, running.updates) == (expected["discount"], expected["updates"])
    found = dataclasses.asdict(running.calibration)
    assert found.keys() >= expected["calibration"].keys()
    for name, value in expected["calibration"].items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)


def test_the_saved_checkpoint_is_what_its_script_makes(monkeypatch, tmp_path):
    specification = importlib.util.spec_from_file_location("saved", SAVED / "running_calibration_1.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    monkeypatch.setattr(script, "DESTINATION", tmp_path / "made")
    script.main()
    made = v05.RunningCalibration()
    made.load_state_dict({"checkpoint": (tmp_path / "made.bin").read_bytes()})
    kept = v05.RunningCalibration()
    kept.load_state_dict({"checkpoint": (SAVED / "running_calibration_1.bin").read_bytes()})
    for field in dataclasses.fields(v05.Calibration):
        one, other = (getattr(each.calibration, field.name) for each in (made, kept))
        np.testing.assert_allclose(one, other, rtol=1e-12, err_msg=field.name)


# Damaged.


def assert_refused(running, data, status=None):
    before = running.state_dict()
    with pytest.raises(v05.CheckpointError, match="^checkpoint ") as caught:
        running.load_state_dict({"checkpoint": data})
    assert caught.value.status in ([status] if status else STATUSES)
    assert running.state_dict() == before


STATUSES = [f"V05_STATUS_CHECKPOINT_{name}" for name in ("TRUNCATED", "CORRUPTED", "VERSION", "KIND")]


def test_every_truncation_is_refused(running):
    data = running.state_dict()["checkpoint"]
    for length in range(len(data)):
        assert_refused(running, data[:length], "V05_STATUS_CHECKPOINT_TRUNCATED")


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 8, b"v05c"])
def test_trailing_bytes_are_refused(running, tail):
    assert_refused(running, running.state_dict()["checkpoint"] + tail)


@pytest.mark.parametrize("flip", [0x01, 0x10, 0x80, 0xFF])
def test_every_damaged_byte_is_refused(running, flip):
    data = running.state_dict()["checkpoint"]
    for position in range(len(data)):
        assert_refused(running, data[:position] + bytes([data[position] ^ flip]) + data[position + 1 :])


def test_noise_is_refused(running):
    generator = np.random.default_rng(8)
    for length in (0, 1, 23, 24, 28, 204, 1000):
        assert_refused(running, generator.bytes(length))
        assert_refused(running, b"v05c" + generator.bytes(length))


def sealed(data):
    """The bytes with a checksum that fits."""
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


def test_the_format_is_that_of_the_header(running):
    """Magic "v05c", format version, kind, length of the payload, payload, CRC-32 of all before; little-endian."""
    data = running.state_dict()["checkpoint"]
    name, version, kind, length = struct.unpack_from("<4sIIQ", data)
    assert (name, version, kind, length) == (b"v05c", 1, 1, len(data) - 24)
    assert sealed(data) == data
    assert struct.unpack_from("<ddd", data, 20) == (0.0, 1.0, 0.75)


@pytest.mark.parametrize("field, offset, status", [("version", 4, "VERSION"), ("kind", 8, "KIND")])
def test_other_versions_and_kinds_are_refused(running, field, offset, status):
    data = bytearray(running.state_dict()["checkpoint"])
    for value in (0, 2, 99, 2**32 - 1):
        struct.pack_into("<I", data, offset, value)
        assert_refused(running, sealed(bytes(data)), f"V05_STATUS_CHECKPOINT_{status}")


@pytest.mark.parametrize("length", [0, 1, 175, 177, 2**31, 2**63, 2**64 - 1])
def test_wrong_lengths_are_refused(running, length):
    data = bytearray(running.state_dict()["checkpoint"])
    struct.pack_into("<Q", data, 12, length)
    assert_refused(running, sealed(bytes(data)))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), -1.0, 1e300, -1e300])
def test_hostile_numbers_are_refused_or_harmless(running, number):
    """With a checksum that fits, whatever is accepted still gives calibrations that can be used."""
    data = running.state_dict()["checkpoint"]
    rewards, groups, prior = batches(1)[0]
    for offset in range(20, len(data) - 4, 8):
        other = v05.RunningCalibration()
        before = other.state_dict()
        changed = sealed(data[:offset] + struct.pack("<d", number) + data[offset + 8 :])
        try:
            other.load_state_dict({"checkpoint": changed})
        except v05.Error:
            assert other.state_dict() == before
            continue
        assert np.isfinite(dataclasses.astuple(other.calibration)).all(), offset
        if other.reward_range == (0, 1):
            found = v05.advantages(rewards, groups, prior, rule="calibrated", calibration=other)
            assert np.isfinite(found).all(), offset


@pytest.mark.parametrize(
    "state", [None, {}, 5, b"v05c", {"checkpoint": None}, {"checkpoint": "v05c"}, {"checkpoint": [1]}, [b"v05c"]]
)
def test_what_is_no_state_is_refused(running, state):
    before = running.state_dict()
    with pytest.raises(v05.ArgumentTypeError, match="state must be what state_dict"):
        running.load_state_dict(state)
    assert running.state_dict() == before
