"""Everything that must be refused: which exception, and a message with argument, rule and value. Nothing is written."""

import ctypes
import dataclasses
import re
import shutil
import subprocess

import numpy as np
import pytest
import v05
from v05._core import prototypes as c
from v05._core.batch import PreparedBatch, default_options
from v05._core.call import call
from v05._core.library import library, load

REWARDS = [0.0, 1.0, 1.0, 0.0]
GROUPS = [5, 5, 6, 6]
CALIBRATION = v05.Calibration(0.1, 0.9, 0.01, 0.1, 0.5, 0.05, 20.0, 20.0)


def changed(values, row, value):
    return [value if index == row else old for index, old in enumerate(values)]


def broken(**fields):
    return dataclasses.replace(CALIBRATION, **fields)


VALUE, TYPE = v05.InvalidArgument, v05.ArgumentTypeError
BETA = "discounted_beta"

# name: (changed arguments, exception, message)
BAD = {
    # Rewards.
    "NaN reward": (
        dict(rewards=changed(REWARDS, 2, np.nan)),
        VALUE,
        "rewards[2] must be finite in a counted row (mask takes a row out), got nan",
    ),
    "infinite reward": (
        dict(rewards=changed(REWARDS, 0, np.inf)),
        VALUE,
        "rewards[0] must be finite in a counted row (mask takes a row out), got inf",
    ),
    "minus infinite reward": (
        dict(rewards=changed(REWARDS, 3, -np.inf), rule="grpo"),
        VALUE,
        "rewards[3] must be finite in a counted row (mask takes a row out), got -inf",
    ),
    "huge reward": (
        dict(rewards=changed(REWARDS, 1, 1.1e30), rule="grpo"),
        VALUE,
        "rewards[1] must not be larger than 1e30 in absolute value, got 1.1e+30",
    ),
    "reward above the range": (
        dict(rewards=changed(REWARDS, 1, 1.5)),
        VALUE,
        "rewards[1] must lie in reward_range [0, 1], got 1.5",
    ),
    "reward below the range": (
        dict(rewards=changed(REWARDS, 1, -0.25)),
        VALUE,
        "rewards[1] must lie in reward_range [0, 1], got -0.25",
    ),
    "reward outside another range": (
        dict(reward_range=(0.5, 2)),
        VALUE,
        "rewards[0] must lie in reward_range [0.5, 2], got 0",
    ),
    "reward outside, calibrated": (
        dict(rewards=changed(REWARDS, 1, 2.0), rule="calibrated"),
        VALUE,
        "rewards[1] must lie in reward_range [0, 1], got 2",
    ),
    "reward not two-valued": (
        dict(rewards=changed(REWARDS, 1, 0.5), test="exact"),
        VALUE,
        "rewards[1] must be an end of reward_range for the exact test: [0, 1], got 0.5",
    ),
    "reward not two-valued, mixture": (
        dict(rewards=changed(REWARDS, 3, 0.5), rule="mixture"),
        VALUE,
        "rewards[3] must be an end of reward_range for the rule mixture (calibrated takes any reward): [0, 1], got 0.5",
    ),
    "no rewards": (dict(rewards=None), TYPE, "rewards must be numbers, got dtype object"),
    "unscorable reward": (
        dict(rewards=changed(REWARDS, 0, None)),
        TYPE,
        "rewards must be numbers, got dtype object (an unscorable rollout belongs in the mask)",
    ),
    "rewards of objects": (
        dict(rewards=np.array(REWARDS, dtype=object)),
        TYPE,
        "rewards must be numbers, got dtype object",
    ),
    "rewards of text": (dict(rewards=["0", "1", "1", "0"]), TYPE, "rewards must be numbers, got dtype <U1"),
    "ragged rewards": (dict(rewards=[[0.0, 1.0], [1.0]]), TYPE, "rewards must be an array of numbers, got list"),
    "2-D rewards": (
        dict(rewards=np.zeros((2, 2))),
        VALUE,
        "rewards must have one dimension (rollouts), got shape (2, 2)",
    ),
    # Groups.
    "too few groups": (dict(groups=GROUPS[:3]), VALUE, "groups must have one entry per reward, got 3 for 4 rewards"),
    "too many groups": (dict(groups=np.arange(5)), VALUE, "groups must have one entry per reward, got 5 for 4 rewards"),
    "groups of floats": (
        dict(groups=np.array(GROUPS, dtype=float)),
        TYPE,
        "groups must be one-dimensional integers or hashables, got float64 of shape (4,)",
    ),
    "groups of NaN": (
        dict(groups=[np.nan] * 4),
        TYPE,
        "groups must be integers or hashables, neither floats nor tensors, got nan",
    ),
    "unhashable groups": (
        dict(groups=[[5]] * 4),
        TYPE,
        "groups must be integers or hashables: unhashable type: 'list'",
    ),
    "no groups": (dict(groups=None), TYPE, "groups must have one entry per reward, got NoneType"),
    "groups as a string": (dict(groups="5566"), TYPE, "groups must have one entry per reward, got str"),
    # Prior.
    "prior above the range": (
        dict(prior=1.25),
        VALUE,
        "prior[0] must be NaN (no prior) or lie in reward_range [0, 1], got 1.25 (group 5)",
    ),
    "prior below the range": (
        dict(prior={6: -1}),
        VALUE,
        "prior[2] must be NaN (no prior) or lie in reward_range [0, 1], got -1 (group 6)",
    ),
    "infinite prior": (
        dict(prior=np.inf),
        VALUE,
        "prior[0] must be NaN (no prior) or lie in reward_range [0, 1], got inf (group 5)",
    ),
    "prior that disagrees": (
        dict(prior=[0.5, 0.5, 0.25, 0.75]),
        VALUE,
        "prior[3] must be the same for all rows of a group, got 0.25 and 0.75 (group 6)",
    ),
    "prior that is missing in one row": (
        dict(prior=[0.5, None, 0.25, 0.25]),
        VALUE,
        "prior[1] must be the same for all rows of a group, got 0.5 and nan (group 5)",
    ),
    "prior that disagrees, uids": (
        dict(groups=list("aabb"), prior=[0.5, 0.25, 0, 0]),
        VALUE,
        "prior[1] must be the same for all rows of a group, got 0.5 and 0.25 (group 'a')",
    ),
    "prior of wrong length": (
        dict(prior=[0.5] * 3),
        VALUE,
        "prior must be a number, a dict by group or one value per reward, got shape (3,) for 4 rewards",
    ),
    "prior as text": (dict(prior="0.5"), TYPE, "prior must be numbers, got dtype <U3"),
    "complex prior": (dict(prior=np.array([1j] * 4)), TYPE, "prior must be numbers, got dtype complex128"),
    "negative strength": (
        dict(prior=0.5, prior_strength=-1, rule=BETA),
        VALUE,
        "prior_strength[0] must be finite and not negative, got -1 (group 5)",
    ),
    "infinite strength": (
        dict(prior=0.5, prior_strength={5: 1, 6: np.inf}, rule=BETA),
        VALUE,
        "prior_strength[2] must be finite and not negative, got inf (group 6)",
    ),
    "missing strength": (
        dict(prior=0.5, prior_strength={6: 1}, rule=BETA),
        VALUE,
        "prior_strength[0] must be finite and not negative, got nan (group 5)",
    ),
    "strength that disagrees": (
        dict(prior=0.5, prior_strength=[1, 1, 1, 2], rule=BETA),
        VALUE,
        "prior_strength[3] must be the same for all rows of a group, got 1 and 2 (group 6)",
    ),
    "strength of wrong length": (
        dict(prior=0.5, prior_strength=[1] * 5),
        VALUE,
        "prior_strength must be a number, a dict by group or one value per reward, got shape (5,) for 4 rewards",
    ),
    "strength as text": (
        dict(prior=0.5, prior_strength=["1"] * 4),
        TYPE,
        "prior_strength must be numbers, got dtype <U1",
    ),
    # Mask.
    "mask of wrong length": (
        dict(mask=[True] * 5),
        VALUE,
        "mask must have one entry per reward, got shape (5,) for 4 rewards",
    ),
    "mask of numbers": (dict(mask=[0, 1, 2, 3]), VALUE, "mask must be booleans, or 0 and 1, got 2"),
    "mask of text": (dict(mask=["yes"] * 4), TYPE, "mask must be booleans, got dtype <U3"),
    # Options.
    "unknown rule": (dict(rule="gpro"), VALUE, "rule must be one of 'v05', 'calibrated', 'grpo', 'rloo',"),
    "rule by number": (dict(rule=0), VALUE, "rule must be one of 'v05',"),
    "unhashable rule": (dict(rule=["v05"]), VALUE, "got ['v05']"),
    "unknown scale": (dict(scale="std"), VALUE, "scale must be one of 'none', 'group', 'batch', got 'std'"),
    "unknown singleton": (dict(singleton=None), VALUE, "singleton must be one of 'zero', 'raw', got None"),
    "unknown test": (dict(test="binomial"), VALUE, "test must be one of 'bound', 'exact', got 'binomial'"),
    "range the wrong way round": (
        dict(reward_range=(1, 0)),
        VALUE,
        "reward_range must be two finite numbers (at most 1e30), the lower one first, got 1 and 0",
    ),
    "empty range": (
        dict(reward_range=(1, 1)),
        VALUE,
        "reward_range must be two finite numbers (at most 1e30), the lower one first, got 1 and 1",
    ),
    "infinite range": (dict(reward_range=(0, np.inf)), VALUE, "the lower one first, got 0 and inf"),
    "range of NaN": (dict(reward_range=(np.nan, 1)), VALUE, "the lower one first, got nan and 1"),
    "range of one": (dict(reward_range=1), TYPE, "reward_range must be two numbers (low, high), got 1"),
    "range of three": (
        dict(reward_range=(0, 1, 2)),
        TYPE,
        "reward_range must be two numbers (low, high), got (0, 1, 2)",
    ),
    "range as text": (
        dict(reward_range=("0", "1")),
        TYPE,
        "reward_range must be two numbers (low, high), got ('0', '1')",
    ),
    "ddof 2": (dict(ddof=2), VALUE, "ddof must be 0 or 1, got 2"),
    "ddof -1": (dict(ddof=-1), VALUE, "ddof must be 0 or 1, got -1"),
    "huge ddof": (dict(ddof=2**32), VALUE, "ddof must be a 32-bit integer, got 4294967296"),
    "fractional ddof": (dict(ddof=np.float32(0.5)), TYPE, "ddof must be an integer, got "),
    "negative epsilon": (dict(epsilon=-1e-9), VALUE, "epsilon must be finite and not negative, got -1"),
    "epsilon NaN": (dict(epsilon=np.nan), VALUE, "epsilon must be finite and not negative, got nan"),
    "epsilon as text": (dict(epsilon="1e-6"), TYPE, "epsilon must be a number, got '1e-6'"),
    "level above 1": (dict(level=5), VALUE, "level must lie in [0, 1], got 5"),
    "level NaN": (dict(level=np.nan), VALUE, "level must lie in [0, 1], got nan"),
    "no level": (dict(level=None), TYPE, "level must be a number, got None"),
    "level beyond floats": (dict(level=10**400), TYPE, "level must be a number, got 1000"),
    "leave_one_out as text": (dict(leave_one_out="no"), VALUE, "leave_one_out must be one of False, True, got 'no'"),
    "leave_one_out by row": (
        dict(leave_one_out=np.array([True, False])),
        VALUE,
        "leave_one_out must be one of False, True, got array",
    ),
    # Calibration.
    "calibration of another kind": (
        dict(calibration={"slope": 1}),
        TYPE,
        "calibration must be a Calibration, a RunningCalibration or None, got dict",
    ),
    "calibration with NaN": (
        dict(rule="calibrated", calibration=broken(slope=np.nan)),
        VALUE,
        "calibration must hold means of at most 1e31",
    ),
    "calibration of text": (
        dict(rule="calibrated", calibration=broken(slope="1")),
        TYPE,
        "slope must be a number, got '1'",
    ),
    "negative variance": (
        dict(rule="calibrated", calibration=broken(prior_variance=-1.0)),
        VALUE,
        "calibration must not hold a negative variance or number of groups",
    ),
}


@pytest.mark.parametrize("arguments, kind, message", BAD.values(), ids=BAD)
@pytest.mark.parametrize("function", [v05.advantages, v05.estimate])
def test_bad_arguments(function, arguments, kind, message):
    with pytest.raises(v05.Error, match=re.escape(message)) as caught:
        function(**{"rewards": REWARDS, "groups": GROUPS, **arguments})
    assert type(caught.value) is kind
    assert isinstance(caught.value, ValueError if kind is VALUE else TypeError)
    assert "\n" not in str(caught.value) or "ragged" in message


OF_A_BATCH = ["rewards", "groups", "prior", "mask", "reward_range"]
FITTED = {name: case for name, case in BAD.items() if set(case[0]) <= set(OF_A_BATCH)}


@pytest.mark.parametrize("arguments, kind, message", FITTED.values(), ids=FITTED)
def test_bad_arguments_of_a_fit(arguments, kind, message):
    batch = {"rewards": REWARDS, "groups": GROUPS, "prior": None, **arguments}
    with pytest.raises(kind, match=re.escape(message)):
        v05.fit_calibration(**batch)
    reward_range = batch.pop("reward_range", (0, 1))
    with pytest.raises(kind, match=re.escape(message)):
        v05.RunningCalibration(reward_range=reward_range).update(**batch)


@pytest.mark.parametrize("rule", c.RULES)
@pytest.mark.parametrize(
    "spoiled",
    [
        dict(rewards=changed(REWARDS, 1, np.nan)),
        dict(rewards=changed(REWARDS, 1, 1.5)),
        dict(rewards=changed(REWARDS, 1, 1e31)),
        dict(prior=1.5),
        dict(prior=[0.5, 0.25, 0.5, 0.5]),
        dict(prior_strength=-1),
        dict(prior_strength=[1, 2, 1, 1]),
    ],
    ids=repr,
)
def test_advantages_and_estimates_refuse_the_same(rule, spoiled):
    """The core has a fast path for advantages alone, which must not be blind."""
    outcomes = []
    for function in (v05.advantages, v05.estimate):
        try:
            function(**{"rewards": REWARDS, "groups": GROUPS, "prior": 0.5, "rule": rule, **spoiled})
            outcomes.append("accepted")
        except v05.InvalidArgument as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("discount", [-0.1, 1.5, np.nan])
def test_bad_discount(discount):
    with pytest.raises(v05.InvalidArgument, match=r"discount must lie in \[0, 1\], got "):
        v05.RunningCalibration(discount=discount)


BAD_PROBABILITIES = {
    "above 1": (dict(probability=1.5), VALUE, "probability must lie in [0, 1], got 1.5"),
    "below 0": (dict(probability=[0.5, -0.5]), VALUE, "probability must lie in [0, 1], got -0.5"),
    "infinite": (dict(probability=np.array([np.inf])), VALUE, "probability must lie in [0, 1], got inf"),
    "text": (dict(probability="0.5"), TYPE, "probability must be numbers, got dtype <U3"),
    "complex": (dict(probability=0.5j), TYPE, "probability must be numbers, got dtype complex128"),
    "dict": (dict(probability={1: 0.5}), TYPE, "probability must be numbers, got dtype object"),
    "huge": (dict(probability=10**400), TYPE, "probability must be numbers, got dtype object"),
    "range": (
        dict(probability=0.5, reward_range=(1, 0)),
        VALUE,
        "reward_range must be two finite numbers, the lower one first, got 1 and 0",
    ),
    "infinite range": (
        dict(probability=0.5, reward_range=(0, np.inf)),
        VALUE,
        "reward_range must be two finite numbers, the lower one first, got 0 and inf",
    ),
    "no range": (
        dict(probability=0.5, reward_range=None),
        TYPE,
        "reward_range must be two numbers (low, high), got None",
    ),
}


@pytest.mark.parametrize("arguments, kind, message", BAD_PROBABILITIES.values(), ids=BAD_PROBABILITIES)
def test_bad_probabilities(arguments, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        v05.prior_from_probability(**arguments)


def test_what_is_odd_but_no_error():
    assert v05.advantages([], []) == []
    assert v05.advantages([np.nan, 5], [0, 0], mask=[0, 0]) == [0, 0]  # k = 0
    assert v05.advantages([1.0], [0], rule="grpo", scale="group", ddof=1) == [0]  # ddof = k
    assert v05.advantages([1 + 5e-7], [0], 1 + 5e-7) == pytest.approx([0], abs=1e-6)  # rounding at the end of the range
    assert v05.advantages([3.0, 1.0], [0, 0], rule="grpo") == [1, -1]  # the range matters to v05 and calibrated only


def test_the_exceptions_are_one_family():
    assert issubclass(v05.InvalidArgument, (v05.Error, ValueError))
    for kind in (v05.InvalidArgument, v05.ArgumentTypeError, v05.CheckpointError, v05.LibraryError, v05.OutOfMemory):
        assert issubclass(kind, v05.Error) and kind.__doc__
    with pytest.raises(v05.InvalidArgument) as caught:
        v05.advantages(changed(REWARDS, 2, np.nan), GROUPS)
    assert (caught.value.status, caught.value.index) == ("V05_STATUS_INVALID_REWARD", 2)


# The core behind the shim: the structs of a call that another program could send.


class Call:
    """A call of v05_baseline_estimate that works, to be spoiled. Its results are 7 before it."""

    def __init__(self):
        self.prepared = PreparedBatch(np.array(REWARDS), np.array(GROUPS), 0.5, [1] * 4, (0.0, 1.0))
        self.batch = self.prepared.struct
        self.options = default_options()
        self.results = {name: np.full(4, 7.0) for name in ("advantages_f64", "mean", "weight", "baseline", "mse")}
        addresses = {name: array.ctypes.data for name, array in self.results.items()}
        self.estimate = c.Estimate(group_capacity=4, group_count=7, **addresses)
        self.calibration = self.mixture = None
        self.workspace = (None, 0)

    def __call__(self):
        arguments = [self.batch, self.options, self.calibration, self.mixture]
        pointers = [argument and ctypes.byref(argument) for argument in arguments]
        call(library.v05_baseline_estimate, *pointers, *self.workspace, self.estimate and ctypes.byref(self.estimate))


def set_fields(struct, **fields):
    def spoil(call):
        for name, value in fields.items():
            setattr(getattr(call, struct), name, value)

    return spoil


def set_struct(name, value):
    return lambda call: setattr(call, name, value)


def share_memory(call):
    call.estimate.advantages_f64 = call.batch.rewards_f64 + 8


def offsets(*values):
    def spoil(call):
        call.offsets = np.array(values)
        call.batch.group_ids, call.batch.group_offsets = None, call.offsets.ctypes.data
        call.batch.group_count = len(values) - 1

    return spoil


SPOILED = {
    "batch NULL": (set_struct("batch", None), "NULL_POINTER"),
    "estimate NULL": (set_struct("estimate", None), "NULL_POINTER"),
    "rewards NULL": (set_fields("batch", rewards_f64=None), "NULL_POINTER"),
    "ids NULL": (set_fields("batch", group_ids=None), "NULL_POINTER"),
    "negative size": (set_fields("batch", row_count=-1), "INVALID_SIZE"),
    "huge size": (set_fields("batch", row_count=2**31), "INVALID_SIZE"),
    "largest size": (set_fields("batch", row_count=2**63 - 1), "INVALID_SIZE"),
    "negative capacity": (set_fields("estimate", group_capacity=-1), "INVALID_SIZE"),
    "small capacity": (set_fields("estimate", group_capacity=1), "CAPACITY_TOO_SMALL"),
    "small workspace": (set_struct("workspace", (ctypes.create_string_buffer(8), 8)), "WORKSPACE_TOO_SMALL"),
    "shared memory": (share_memory, "OVERLAPPING_ARRAYS"),
    "offsets that fall": (offsets(0, 3, 2, 4), "INVALID_OFFSETS"),
    "offsets that end early": (offsets(0, 2, 3), "INVALID_OFFSETS"),
    "offsets that start late": (offsets(1, 2, 4), "INVALID_OFFSETS"),
    "unknown rule": (set_fields("options", rule=99), "INVALID_OPTION"),
    "negative rule": (set_fields("options", rule=-1), "INVALID_OPTION"),
    "unknown scale": (set_fields("options", scale=3), "INVALID_OPTION"),
    "unknown singleton": (set_fields("options", singleton=2), "INVALID_OPTION"),
    "unknown test": (set_fields("options", test=2), "INVALID_OPTION"),
    "leave_one_out 2": (set_fields("options", leave_one_out=2), "INVALID_OPTION"),
    "ddof 2": (set_fields("options", ddof=2), "INVALID_OPTION"),
    "epsilon NaN": (set_fields("options", epsilon=float("nan")), "INVALID_OPTION"),
    "range NaN": (set_fields("options", reward_high=float("nan")), "INVALID_OPTION"),
    "calibration NaN": (set_struct("calibration", broken(slope=np.nan)._struct()), "INVALID_CALIBRATION"),
    "batch of no size": (set_fields("batch", struct_size=0), "INVALID_STRUCT_SIZE"),
    "options too short": (set_fields("options", struct_size=4), "INVALID_STRUCT_SIZE"),
    "odd options": (set_fields("options", struct_size=13), "INVALID_STRUCT_SIZE"),
}


@pytest.mark.parametrize("spoil, status", SPOILED.values(), ids=SPOILED)
def test_the_core_refuses(spoil, status):
    spoiled = Call()
    estimate = spoiled.estimate
    spoil(spoiled)
    with pytest.raises(v05.InvalidArgument) as caught:
        spoiled()
    assert caught.value.status == f"V05_STATUS_{status}"
    assert str(caught.value) and "\n" not in str(caught.value)
    assert all(np.all(array == 7) for array in spoiled.results.values())
    assert estimate.group_count == 7


def test_the_call_works_unspoiled():
    works = Call()
    works()
    assert works.estimate.group_count == 2
    np.testing.assert_array_equal(works.results["advantages_f64"], [-0.5, 0.5, 0.5, -0.5])


def test_structs_of_older_callers_have_defaults_for_the_rest():
    old = Call()
    old.options.rule, old.options.epsilon, old.options.level = c.RULES["grpo"], float("nan"), 9.0
    old.options.struct_size = c.EstimationOptions.epsilon.offset
    old()
    np.testing.assert_array_equal(old.results["baseline"][:2], [0.5, 0.5])


class NewerOptions(ctypes.Structure):
    _fields_ = [("known", c.EstimationOptions), ("newer", ctypes.c_double)]


@pytest.mark.parametrize("newer", [0.0, 1.0])
def test_structs_of_newer_callers_are_taken_if_what_is_new_is_unused(newer):
    new = Call()
    options = NewerOptions(known=default_options(), newer=newer)
    options.known.struct_size = ctypes.sizeof(options)
    new.options = ctypes.cast(ctypes.pointer(options), ctypes.POINTER(c.EstimationOptions)).contents
    if newer == 0:
        new()
        assert new.estimate.group_count == 2
    else:
        with pytest.raises(v05.InvalidArgument, match="options") as caught:
            new()
        assert caught.value.status == "V05_STATUS_INVALID_STRUCT_SIZE"
        assert np.all(new.results["advantages_f64"] == 7)


# The library itself.


def test_a_missing_library_is_said_with_the_cure(tmp_path):
    with pytest.raises(v05.LibraryError, match=r"libv05.so does not exist. Install v05 with pip .*Swift"):
        load(tmp_path / "libv05.so")


def test_a_damaged_library_is_said_with_the_cure(tmp_path):
    path = tmp_path / "libv05.so"
    path.write_text("not a library")
    with pytest.raises(v05.LibraryError, match="cannot be loaded: .*Reinstall v05"):
        load(path)


def test_another_abi_is_said_with_both_versions(monkeypatch):
    monkeypatch.setitem(load.__globals__, "ABI_VERSION", 99)
    message = f"libv05.so has ABI version {v05.abi_version()}, this package needs 99: .*Reinstall"
    with pytest.raises(v05.LibraryError, match=message):
        load()
    assert issubclass(v05.LibraryError, ImportError)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize(
    "source, message",
    [
        ("unsigned v05_abi_version(void) { return 7; }", "has ABI version 7, this package needs"),
        ("int something_else;", "cannot be loaded: .*v05_abi_version"),
    ],
    ids=["older", "another library"],
)
def test_other_libraries_are_refused(tmp_path, source, message):
    path = tmp_path / "libv05.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", path], input=source.encode(), check=True)
    with pytest.raises(v05.LibraryError, match=message):
        load(path)
