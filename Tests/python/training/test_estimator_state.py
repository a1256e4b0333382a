"""The file of an estimator is read as if somebody meant harm, and loads for ever."""

import importlib.util
import io
import json
import os
import pickle
import re
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
import v05
import v05.priors.sources
from conftest import ROOT

SAVED = ROOT / "Tests" / "SavedCheckpoints"


def trained(**options):
    estimator = v05.AdvantageEstimator(**{"reward_range": (0, 1)} | options)
    for seed in range(3):
        step(estimator, seed)
    return estimator


def step(estimator, seed=9):
    keys = np.repeat(np.arange(20), 4)
    return estimator.step(np.random.default_rng(seed).integers(0, 2, 80).astype(float), keys, keys)


STATE = trained().state_dict()


def archive(members=None, method=zipfile.ZIP_STORED, **changed):
    members = [(name, changed.pop(name, data)) for name, data in (STATE.items() if members is None else members)]
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", method) as made,
        pytest.warns() if len(dict(members)) < len(members) else nullcontext(),
    ):
        for name, data in [*members, *changed.items()]:
            made.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return bytearray(file.getvalue())


from contextlib import nullcontext  # noqa: E402


def about(**changed):
    return json.dumps(json.loads(STATE["estimator"]) | changed).encode()


def raw(name, text):
    """The member "estimator" with a value that json.dumps does not write."""
    return re.sub(
        rb'"%s": (\[.*?\]|[^,}]*)' % name.encode(), b'"%s": %s' % (name.encode(), text.encode()), STATE["estimator"]
    )


def with_byte(data, where, value):
    data[where] = value
    return data


def central(data):
    return data.find(b"PK\x01\x02")


CALIBRATION = v05.RunningCalibration(reward_range=(-1, 1)).state_dict()["checkpoint"]
HISTORY = v05.History(reward_range=(5, 7)).state_dict()["checkpoint"]
FILES = {
    "empty": lambda: b"",
    "text": lambda: b"hello",
    "pickle": lambda: pickle.dumps({"estimator": 1}),
    "cut in the middle": lambda: archive()[:900],
    "without its directory": lambda: archive()[:-30],
    "encrypted": lambda: with_byte(with_byte(archive(), 6, 1), central(archive()) + 8, 1),
    "of an unknown method": lambda: with_byte(with_byte(archive(), 8, 99), central(archive()) + 10, 99),
    "damaged": lambda: with_byte(archive(), archive().find(STATE["estimator"][:10]), 0),
    "compressed": lambda: archive(method=zipfile.ZIP_DEFLATED),
    "compressed and damaged": lambda: with_byte(archive(method=zipfile.ZIP_DEFLATED), 60, 0xFF),
    "compressed by lzma": lambda: archive(method=zipfile.ZIP_LZMA),
    "no members": lambda: archive([]),
    "no calibration": lambda: archive([(name, data) for name, data in STATE.items() if name != "RunningCalibration"]),
    "no history": lambda: archive([(name, data) for name, data in STATE.items() if name != "prior/history"]),
    "a member twice": lambda: archive([*STATE.items(), ("estimator", about(steps=77))]),
    "a foreign member": lambda: archive(zzz=b""),
    "a member elsewhere": lambda: archive(**{"../../../srv/evil": b"x"}),
    "a part elsewhere": lambda: archive(**{"prior/../../x": b"x"}),
    "thousands of members": lambda: archive(**{f"prior/{number}": b"" for number in range(2000)}),
    "members over each other": lambda: with_sizes(archive(), 10**9),
    "a newer version": lambda: archive(estimator=about(version=99)),
    "version 0": lambda: archive(estimator=about(version=0)),
    "version true": lambda: archive(estimator=about(version=True)),
    "version '1'": lambda: archive(estimator=about(version="1")),
    **{
        f"steps {text:.10}": lambda text=text: archive(estimator=raw("steps", text))
        for text in (
            "Infinity",
            "NaN",
            "-5",
            "1099511627776",
            "2147483648",
            '"7"',
            "1.9",
            "1" + "0" * 5000,
            "null",
            "true",
            "[3]",
            "1e400",
        )
    },
    **{
        f"range {text:.10}": lambda text=text: archive(estimator=raw("reward_range", text))
        for text in (
            "[0]",
            '"ab"',
            "[1, 0]",
            "[0, 0]",
            "5",
            '{"a": 1}',
            "[0, Infinity]",
            "[NaN, 1]",
            "[0, 1e31]",
            "[0, 1, 2]",
            "[null, 1]",
            "null",
            "[0, 2]",
            "[-1, 1]",
        )
    },
    **{
        f"{name} {text}": lambda name=name, text=text: archive(estimator=raw(name, text))
        for name in ("rule", "prior")
        for text in ("[1]", "null", "7", "{}")
    },
    **{
        f"estimator {data[:10]}": lambda data=data: archive(estimator=data)
        for data in (
            b"[1,2]",
            b"null",
            b"5",
            b"\xff\xfe\x00",
            b"",
            b"[" * 200_000,
            STATE["estimator"][:-1] + b', "x": ' + b"[" * 100_000,
        )
    },
    "calibration of another range": lambda: archive(RunningCalibration=CALIBRATION),
    "history of another range": lambda: archive(**{"prior/history": HISTORY}),
    "history that is an allocator": lambda: archive(
        **{"prior/history": v05.Allocator([0.5]).state_dict()["checkpoint"]}
    ),
    "history that is empty": lambda: archive(**{"prior/history": b""}),
    "calibration that is a history": lambda: archive(RunningCalibration=STATE["prior/history"]),
}


def with_sizes(data, size):
    """The directory says that every member has `size` bytes."""
    at = central(data)
    while at >= 0:
        struct.pack_into("<II", data, at + 20, size, size)
        at = data.find(b"PK\x01\x02", at + 4)
    return data


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used_is_a_checkpoint_error_and_changes_nothing(name, tmp_path):
    path = tmp_path / "state"
    path.write_bytes(FILES[name]())
    estimator, control = trained(), trained()
    before = estimator.state_dict()
    with pytest.raises(v05.CheckpointError) as caught:
        estimator.load(path)
    assert len(str(caught.value)) > 20 and "\n" not in str(caught.value)
    assert estimator.state_dict() == before
    np.testing.assert_array_equal(step(estimator).advantages, step(control).advantages)


def test_a_newer_version_is_named(tmp_path):
    (tmp_path / "state").write_bytes(archive(estimator=about(version=99)))
    with pytest.raises(v05.CheckpointError, match="version 99, of a newer release of v05; this one reads up to 1"):
        v05.AdvantageEstimator().load(tmp_path / "state")


def test_a_bomb_is_not_unpacked(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for name, data in STATE.items():
            made.writestr(name, data)
        made.writestr("prior/bomb", bytes(100 << 20))
    (tmp_path / "state").write_bytes(file.getvalue())
    tracemalloc.start()
    try:
        with pytest.raises(v05.CheckpointError, match="compressed"):
            trained().load(tmp_path / "state")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("seed", range(8))
def test_any_damage_is_refused_or_harmless(tmp_path, seed):
    generator = np.random.default_rng(seed)
    for _ in range(60):
        data = archive()
        for _ in range(generator.integers(1, 4)):
            data[generator.integers(len(data))] = generator.integers(256)
        (tmp_path / "state").write_bytes(data)
        estimator = trained()
        before = estimator.state_dict()
        try:
            estimator.load(tmp_path / "state")
        except v05.CheckpointError:
            assert estimator.state_dict() == before
        step(estimator)


@pytest.mark.parametrize("state", [None, 3, [], {}, {"estimator": 5}, {"estimator": "text"}, {"estimator": None}])
def test_states_of_other_kinds(state):
    with pytest.raises(v05.CheckpointError, match="state"):
        v05.AdvantageEstimator().load_state_dict(state)


def test_another_rule_or_prior_goes_on_with_what_it_can_use(tmp_path):
    (tmp_path / "state").write_bytes(archive(estimator=about(rule="rule of a later release", prior="later")))
    estimator = v05.AdvantageEstimator()
    estimator.load(tmp_path / "state")
    assert estimator.steps == 3 and estimator.calibration.updates == 3 and len(estimator.source.history) == 0


def test_before_any_reward(tmp_path):
    first = v05.AdvantageEstimator()
    first.step([None, None], [0, 0], ["a", "a"])
    first.save(tmp_path / "state")
    for estimator in (v05.AdvantageEstimator(), v05.AdvantageEstimator(reward_range=(-1, 1))):
        estimator.load(tmp_path / "state")
        assert estimator.steps == 1
        step(estimator)


def script():
    specification = importlib.util.spec_from_file_location("estimator_1", SAVED / "estimator_1.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_first_estimator_is_read_for_ever():
    expected = json.loads((SAVED / "estimator_1.json").read_text())
    estimator = v05.AdvantageEstimator(discount=0.75, capacity=18, calibration_discount=0.5)
    estimator.load(SAVED / "estimator_1.zip")
    assert estimator.steps == expected["steps"] and list(estimator.reward_range) == expected["reward_range"]
    for number, advantages in enumerate(expected["advantages"], start=3):
        np.testing.assert_allclose(estimator.step(*script().batch(number)).advantages, advantages, rtol=1e-12)


def test_saved_estimators_do_not_depend_on_the_hash_seed(tmp_path):
    import subprocess

    code = (
        "import sys, v05; e = v05.AdvantageEstimator(reward_range=(0, 1)); "
        "e.step([1, 0, 1, 1], ['b', 'b', 'a', 'a'], ['y', 'y', 'x', 'x']); e.save(sys.argv[1])"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / seed],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
        )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


class Source(v05.priors.sources.NoPrior):
    """Of a user, with a state that cannot be kept."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return self.state


@pytest.mark.parametrize("state", [{"a/b": b"1"}, {"": b"1"}, {"x" * 300: b"1"}, {"x": 0.5}, None])
def test_a_state_that_could_not_be_loaded_is_told_when_it_is_saved(state, tmp_path, caplog):
    """And the training goes on."""
    estimator = v05.AdvantageEstimator(prior=Source(state), reward_range=(0, 1))
    estimator.step([0.0, 1.0], [0, 0], [1, 1])
    estimator.save_or_tell(tmp_path / "v05.zip")
    assert not (tmp_path / "v05.zip").exists()
    assert len([text for text in caplog.messages if "could not be written" in text]) == 1


def test_a_file_system_that_refuses_modes_keeps_every_state(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refused)
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    for steps in (1, 2):
        estimator.step([0.0, 1.0], [0, 0], [1, 1])
        estimator.save(tmp_path / "v05.zip")
        other = v05.AdvantageEstimator(reward_range=(0, 1))
        other.load(tmp_path / "v05.zip")
        assert other.steps == steps
