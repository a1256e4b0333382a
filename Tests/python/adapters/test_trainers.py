"""The numbers of the trainers themselves (Tests/ReferenceValues/trainers.py) by options of `v05.advantages`."""

import importlib.util

import numpy as np
import pytest
import v05
from conftest import ROOT, reference_values

RECORDED = [
    pytest.param(case, id=f"{trainer}: {case['name']}")
    for trainer, record in reference_values("trainers.json").items()
    for case in record["cases"]
]
AGREEING = [parameter for parameter in RECORDED if "differs" not in parameter.values[0]]
DIFFERING = [parameter for parameter in RECORDED if "differs" in parameter.values[0]]


def found(case, dtype):
    """Our advantages; what the trainer could not score is NaN and taken out by the mask."""
    rewards = np.array(case["rewards"], dtype=dtype)
    return v05.advantages(rewards, case["groups"], mask=case["mask"], **case["options"])


def largest_difference(case, dtype):
    return np.abs(found(case, dtype) - np.array(case["advantages"])).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", AGREEING)
def test_recorded_advantages(case, dtype):
    assert largest_difference(case, dtype) <= case["tolerance"]


def test_few_recorded_cases_differ_and_say_why():
    assert len(DIFFERING) <= len(RECORDED) / 10
    assert all(len(parameter.values[0]["differs"]) > 40 for parameter in DIFFERING)


CONSTANT = [parameter for parameter in DIFFERING if ": constant" in parameter.id and "rloo" not in parameter.id]


@pytest.mark.parametrize("case", CONSTANT)
def test_equal_rewards_give_exactly_zero_where_the_trainer_has_rounding_noise(case):
    rewards, groups, theirs = (np.array(case[name]) for name in ("rewards", "groups", "advantages"))
    advantages = found(case, np.float32)
    equal = [group for group in np.unique(groups) if len(set(rewards[groups == group])) == 1]
    assert len(equal) == 3
    assert np.all(advantages[np.isin(groups, equal)] == 0)
    assert np.any(theirs[np.isin(groups, equal)] != 0)
    others = ~np.isin(groups, equal)
    np.testing.assert_allclose(advantages[others], theirs[others], atol=case["tolerance"])


def test_verl_live():
    """The same with the functions of the verl that is installed."""
    pytest.importorskip("verl.trainer.ppo.core_algos")
    path = ROOT / "Tests" / "ReferenceValues" / "trainers.py"
    specification = importlib.util.spec_from_file_location("trainers", path)
    trainers = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(trainers)
    _, cases = trainers.verl()
    agreeing = [case for case in cases if "differs" not in case]
    assert len(agreeing) >= 40
    for case in agreeing:
        assert largest_difference(case, np.float32) <= case["tolerance"], case["name"]


# NeMo-RL's own tests of its baselines and deviations, which leave the row out
# (tests/unit/algorithms/test_utils.py, test_calculate_baseline_and_std_per_prompt_*).
HALF_ROOT = 0.5**0.5
NEMO_RL = {
    "basic": (
        [1, 2, 3, 4, 5, 6],
        [0, 0, 0, 1, 1, 1],
        [2.5, 2, 1.5, 5.5, 5, 4.5],
        [HALF_ROOT, 2 * HALF_ROOT, HALF_ROOT] * 2,
    ),
    "mixed sizes": ([1, 2, 4, 5, 6], [0, 0, 1, 1, 1], [2, 1, 5.5, 5, 4.5], [0, 0, HALF_ROOT, 2 * HALF_ROOT, HALF_ROOT]),
    "single generations": ([2.5, 4], [0, 1], [2.5, 4], [0, 0]),
    "identical rewards": ([3, 3, 3, 7, 7, 7], [0, 0, 0, 1, 1, 1], [3, 3, 3, 7, 7, 7], [0] * 6),
    "large and small": (
        [1e-8, 2e-8, 3e-8, 1e8, 2e8, 3e8],
        [0, 0, 0, 1, 1, 1],
        [2.5e-8, 2e-8, 1.5e-8, 2.5e8, 2e8, 1.5e8],
        None,
    ),
}


@pytest.mark.parametrize("name", NEMO_RL)
def test_nemo_rl_numbers(name):
    rewards, groups, baselines, deviations = NEMO_RL[name]
    expected = np.subtract(rewards, baselines)
    options = dict(rule="grpo", leave_one_out=True)
    np.testing.assert_allclose(v05.advantages(np.array(rewards, dtype=float), groups, **options), expected, rtol=1e-12)
    if deviations:
        divisors = np.where(np.array(deviations) > 0, np.array(deviations) + 1e-6, 1)
        scaled = v05.advantages(np.array(rewards, dtype=float), groups, scale="group", epsilon=1e-6, **options)
        np.testing.assert_allclose(scaled, expected / divisors, rtol=1e-12)


def test_nemo_rl_numbers_with_an_invalid_sample():
    rewards, groups = np.array([1.0, 999, 3, 4, 5, 6]), [0, 0, 0, 1, 1, 1]
    advantages = v05.advantages(rewards, groups, rule="grpo", leave_one_out=True, mask=[1, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(advantages, [1 - 3, 0, 3 - 1, 4 - 5.5, 5 - 5, 6 - 4.5], rtol=1e-12)
