"""baseline_fraction: the baseline that the rule finds, moved towards the least reward, and nothing else."""

import numpy as np
import pytest
import v05
from v05.training import StreamingEstimator

RULES = ["grpo", "rloo", "v05", "calibrated", "prior", "batch_mean", "discounted_beta", "mixture", "median"]


def batches(low=0.0, high=1.0, prompts=24, rollouts=4, steps=4):
    """(rewards, ids, counted) of visits of the same prompts; a tenth of the rollouts do not count."""
    generator = np.random.default_rng(3)
    probability = generator.random(prompts)
    ids = np.repeat(np.arange(prompts), rollouts)
    for _ in range(steps):
        order = generator.permutation(len(ids))
        solved = generator.random(len(ids)) < probability[ids]
        yield np.where(solved, high, low)[order], ids[order], generator.random(len(ids)) < 0.9


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("fraction", [0, 0.3, 1])
def test_by_hand(rule, leave_one_out, fraction):
    low = -1.0
    options = dict(rule=rule, leave_one_out=leave_one_out, reward_range=(low, 1))
    plain, lowered = (v05.AdvantageEstimator(**options, **given) for given in ({}, dict(baseline_fraction=fraction)))
    for rewards, ids, counted in batches(low):
        before, found = (each.step(rewards, ids, ids, mask=counted) for each in (plain, lowered))
        expected = rewards - (low + fraction * (before.baseline - low))
        np.testing.assert_allclose(found.advantages[counted], expected[counted], atol=1e-14)
        np.testing.assert_allclose(found.baseline[counted], (rewards - expected)[counted], atol=1e-14)
        assert (found.advantages[~counted] == 0).all()
        np.testing.assert_array_equal(found.estimate.advantages, found.advantages)
        # What is known of the prompts, and learnt of them, is the same.
        np.testing.assert_array_equal(found.estimate.baseline, before.estimate.baseline)
        if fraction == 1:
            np.testing.assert_array_equal(found.advantages, before.advantages)
    assert lowered.state_dict() == plain.state_dict()


@pytest.mark.parametrize("fraction", [0, 0.3])
def test_group_by_group(fraction):
    options = dict(reward_range=(0, 1), every=7)
    plain, lowered = (StreamingEstimator(**options, **given) for given in ({}, dict(baseline_fraction=fraction)))
    for rewards, ids, counted in batches():
        for prompt in range(24):
            rows = ids == prompt
            given = dict(mask=counted[rows], squared_norms=1 + np.arange(rows.sum()))
            look = lowered.group(rewards[rows], prompt, learn=False, mask=counted[rows])
            before, found = (each.group(rewards[rows], prompt, **given) for each in (plain, lowered))
            np.testing.assert_array_equal(look, found)
            expected = (1 - fraction) * rewards[rows] + fraction * before
            np.testing.assert_allclose(found[counted[rows]], expected[counted[rows]], atol=1e-14)
            assert (found[~counted[rows]] == 0).all()
    assert lowered.state_dict() == plain.state_dict()
    if fraction == 0:  # without a baseline: the noise of the rule is that of none
        assert lowered.metrics["v05/noise/rule"] == pytest.approx(lowered.metrics["v05/noise/none"])
    assert lowered.metrics["v05/noise/rule"] > plain.metrics["v05/noise/rule"]


def test_at_zero_nothing_is_pushed_down_and_the_baseline_knows_nothing_of_a_row():
    """So the gradient stays unbiased: a row's reward moves its own advantage and, within a step, no other."""
    for fraction in (0, 0.5):
        for rewards, ids, _ in batches(-2, 3, steps=2):
            found = []
            for row in (None, 5):
                estimator = v05.AdvantageEstimator(rule="prior", reward_range=(-2, 3), baseline_fraction=fraction)
                estimator.step(rewards, ids, ids)
                changed = rewards.copy()
                if row is not None:
                    changed[row] = 1 - changed[row]
                found.append(estimator.step(changed, ids, ids))
            assert fraction or (found[0].advantages >= 0).all()
            assert fraction == 0 or (found[0].advantages < 0).any()
            np.testing.assert_array_equal(found[0].baseline, found[1].baseline)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-7.5, -2), (0, 1e-3), (1e6, 3e6)])
def test_units_do_not_matter(low, high):
    estimators = [
        v05.AdvantageEstimator(reward_range=interval, baseline_fraction=0.4) for interval in ((0, 1), (low, high))
    ]
    for unit, other in zip(batches(), batches(low, high)):
        found = [each.step(rewards, ids, ids) for each, (rewards, ids, _) in zip(estimators, (unit, other))]
        np.testing.assert_allclose(
            found[1].advantages, (high - low) * found[0].advantages, rtol=0, atol=1e-9 * (high - low)
        )


def test_a_range_that_grows_takes_its_lower_end_along():
    estimator = v05.AdvantageEstimator(rule="prior", prior=lambda prompts: [0.0] * len(prompts), baseline_fraction=0)
    keys = ["a", "b"]
    assert estimator.step([0, 1], keys, keys, prompts=keys).advantages.tolist() == [0, 1]
    assert estimator.step([-1, 1], keys, keys, prompts=keys).advantages.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(baseline_fraction=-0.1), r"baseline_fraction must lie in \[0, 1\], got -0.1"),
        (dict(baseline_fraction=1.5), "baseline_fraction"),
        (dict(baseline_fraction=float("nan")), "baseline_fraction"),
        (dict(baseline_fraction="half"), "baseline_fraction must be a number"),
        (dict(baseline_fraction=None), "baseline_fraction must be a number"),
        (dict(baseline_fraction=0.5, scale="group"), "baseline_fraction 0.5 needs scale=\"none\", got 'group'"),
    ],
)
def test_wrong_fractions(wrong, message):
    with pytest.raises(v05.Error, match=message):
        v05.AdvantageEstimator(**wrong)
