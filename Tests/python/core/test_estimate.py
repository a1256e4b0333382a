"""Estimate: its fields, how it prints, and the signatures and texts that users see."""

import copy
import dataclasses
import inspect
import pickle

import numpy as np
import pytest
import v05
from batches import noisy, simulated
from v05._core import prototypes as c
from v05._core.batch import DEFAULTS

FLOATS = ["effective_count", "mean", "prior", "weight", "baseline", "bias_squared", "mse", "z", "p_value"]
FLAGS = ["rejected", "constant"]

# In order of first appearance: b constant with a prior, a without prior, c masked out but for its prior, d alone.
REWARDS = np.array([1, 0, 1, 1, 0.5, 1, 0.0])
GROUPS = ["b", "a", "b", "a", "c", "b", "d"]
PRIOR = {"b": 0.25, "c": 0.5, "d": 0.125}
MASK = [1, 1, 1, 1, 0, 1, 1]


@pytest.fixture
def estimate():
    return v05.estimate(REWARDS, GROUPS, PRIOR, mask=MASK)


def test_fields(estimate):
    names = [field.name for field in dataclasses.fields(v05.Estimate)]
    assert names == [
        "advantages",
        "row_group",
        "groups",
        "count",
        *FLOATS,
        *FLAGS,
        "rule",
        "calibration",
        "mixture",
        "reward_range",
        "refused_groups",
    ]
    assert type(estimate.advantages) is np.ndarray and estimate.advantages.shape == (7,)
    assert estimate.row_group.tolist() == [0, 1, 0, 1, 2, 0, 3] and estimate.row_group.dtype == np.int64
    assert estimate.groups.tolist() == ["b", "a", "c", "d"]
    assert estimate.count.tolist() == [3, 2, 0, 1] and estimate.count.dtype == np.int64
    for name in FLOATS:
        assert getattr(estimate, name).dtype == np.float64 and getattr(estimate, name).shape == (4,), name
    for name in FLAGS:
        assert getattr(estimate, name).dtype == np.bool_ and getattr(estimate, name).shape == (4,), name
    assert estimate.rule == "v05" and estimate.calibration is None and estimate.reward_range == (0.0, 1.0)
    assert len(estimate) == 4


def test_values(estimate):
    """By hand: h = 1/2, noise = 1/(4k). Group b: D = 9/16, noise = 1/12; d: D = 1/64 < noise = 1/4."""
    distance, noise = 9 / 16, 1 / 12
    weight = 1 - noise / distance
    expected = {
        "mean": [1, 0.5, np.nan, 0],
        "prior": [0.25, np.nan, 0.5, 0.125],
        "weight": [weight, 1, 0, 0],
        "baseline": [0.25 + 0.75 * weight, 0.5, 0.5, 0.125],
        "bias_squared": [distance - noise, np.nan, np.nan, 0],
        "mse": [weight * noise, 1 / 8, np.nan, 0],
        "z": [np.sqrt(distance / noise), np.nan, np.nan, 0.25],
        "p_value": [np.nan] * 4,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(estimate, name), values, rtol=1e-14, err_msg=name)
    assert estimate.rejected.tolist() == [True, False, False, False]
    assert estimate.constant.tolist() == [True, False, False, True]
    counted = np.array(MASK) == 1
    expected = np.where(counted, REWARDS - estimate.baseline[estimate.row_group], 0)
    np.testing.assert_array_equal(estimate.advantages, expected)


def test_it_prints(estimate):
    text = str(estimate)
    lines = text.splitlines()
    assert text == repr(estimate)
    assert lines[0] == "Estimate: 7 rollouts of 4 prompts, rule v05, 1 priors rejected, 2 groups with all rewards equal"
    assert lines[1].split() == ["group", "count", "mean", "prior", "weight", "baseline", "mse", "z"]
    assert lines[2].split() == "b 3 1.0000 0.2500 0.8519 0.8889 0.070988 2.60 rejected constant".split()
    assert lines[3].split() == "a 2 0.5000 nan 1.0000 0.5000 0.125000 nan".split()
    assert len(lines) == 6


def test_long_ones_print_ten_groups():
    lines = str(v05.estimate(np.zeros(40), np.repeat(np.arange(20), 2))).splitlines()
    assert len(lines) == 13 and lines[-1].split() == ["...", "and", "10", "more"]
    assert max(map(len, str(v05.estimate([0, 1], ["u" * 99] * 2)).splitlines())) < 120


def test_an_empty_one_prints():
    assert "0 rollouts of 0 prompts" in str(v05.estimate([], []))


def test_it_is_a_value(estimate):
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimate.rule = "grpo"
    for other in (pickle.loads(pickle.dumps(estimate)), copy.deepcopy(estimate)):
        assert str(other) == str(estimate)
        np.testing.assert_array_equal(other.advantages, estimate.advantages)


def test_it_owns_its_arrays(estimate):
    """No result is a view of scratch memory, which would keep all of it alive."""
    for name in ("groups", "count", *FLOATS, *FLAGS):
        assert getattr(estimate, name).base is None, name


@pytest.mark.parametrize("rule", c.RULES)
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_advantages_are_those_of_the_estimate(rule, leave_one_out):
    batch = simulated(np.random.default_rng(1), 12, 4, noisy)
    options = dict(rule=rule, leave_one_out=leave_one_out, scale="group")
    estimate = v05.estimate(*batch.arguments, **options)
    np.testing.assert_array_equal(v05.advantages(*batch.arguments, **options), estimate.advantages)
    assert estimate.rule == rule
    assert (estimate.calibration is not None) == (rule in ("calibrated", "james_stein", "mixture"))
    assert (estimate.mixture is not None) == (rule == "mixture")


def test_it_says_when_a_rule_had_too_little_to_calibrate():
    batch = simulated(np.random.default_rng(2), 7, 4, noisy)
    for rule, instead in (("calibrated", "v05"), ("mixture", "v05"), ("james_stein", "grpo")):
        fallen = v05.estimate(*batch.arguments, rule=rule)
        assert fallen.rule == instead and fallen.calibration is None
        np.testing.assert_array_equal(fallen.advantages, v05.advantages(*batch.arguments, rule=instead))


def test_exact_p_values_are_reported():
    estimate = v05.estimate([1, 1, 1, 1, 0, 1], [0, 0, 0, 0, 1, 1], {0: 0.5, 1: 0.5}, test="exact")
    np.testing.assert_allclose(estimate.p_value, [0.125, 1], rtol=1e-14)
    assert estimate.weight.tolist() == [0, 0]
    assert v05.estimate([1, 1, 1, 1], [0] * 4, 0.5, test="exact", level=0.126).weight.tolist() == [0.75]


# Signatures and texts.


def defaults(function):
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def test_advantages_and_estimate_take_the_same_arguments():
    parameters = inspect.signature(v05.advantages).parameters
    assert parameters == inspect.signature(v05.estimate).parameters
    keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert keywords[0] == "rule"


def test_defaults_are_those_of_the_core():
    given = defaults(v05.advantages)
    assert c.RULES[given["rule"]] == DEFAULTS.rule
    assert c.SCALES[given["scale"]] == DEFAULTS.scale
    assert c.SINGLETONS[given["singleton"]] == DEFAULTS.singleton
    assert c.TESTS[given["test"]] == DEFAULTS.test
    assert given["leave_one_out"] == bool(DEFAULTS.leave_one_out)
    assert given["reward_range"] == (DEFAULTS.reward_low, DEFAULTS.reward_high)
    assert (given["ddof"], given["level"]) == (DEFAULTS.ddof, DEFAULTS.level)
    assert all(given[name] is None for name in ("prior", "epsilon", "mask", "calibration"))
    for function in (v05.fit_calibration, v05.RunningCalibration, v05.prior_from_probability):
        assert defaults(function)["reward_range"] == given["reward_range"]


def test_the_default_epsilon_is_that_of_the_core():
    rewards, groups = np.array([0, 1, 1.0]), [0, 0, 0]
    found = v05.advantages(rewards, groups, scale="group")
    np.testing.assert_array_equal(found, v05.advantages(rewards, groups, scale="group", epsilon=DEFAULTS.epsilon))
    assert "1e-6" in v05.advantages.__doc__ and DEFAULTS.epsilon == 1e-6


def test_the_documentation_lists_everything():
    text = v05.advantages.__doc__
    for name in (*c.RULES, *c.SCALES, *c.SINGLETONS, *c.TESTS):
        assert f'"{name}"' in text, name
    for parameter in inspect.signature(v05.advantages).parameters:
        assert parameter in text, parameter
    for field in dataclasses.fields(v05.Estimate):
        assert f"{field.name}" in v05.Estimate.__doc__, field.name
    for field in dataclasses.fields(v05.Calibration):
        assert f"{field.name}" in v05.Calibration.__doc__, field.name


def test_everything_public_is_there_and_documented():
    for name in v05.__all__:
        assert getattr(v05, name).__doc__, name
