"""What was learnt from earlier batches is checked on the batch at hand (method section 5c)."""

import numpy as np
import pytest
import v05

LEARNT = {"calibrated": "calibration", "james_stein": "calibration", "mixture": "mixture"}
FITS = {"calibrated": v05.fit_calibration, "james_stein": v05.fit_calibration, "mixture": v05.fit_mixture}


def batch(random, probabilities, k, shown=None):
    """(rewards, groups, prior), a row each."""
    rewards = (random.random((len(probabilities), k)) < np.asarray(probabilities)[:, None]).astype(float)
    groups = np.repeat(np.arange(len(rewards)), k)
    return rewards.ravel(), groups, np.repeat(probabilities if shown is None else shown, k)


def fitted(rule, rewards, groups, prior):
    return {LEARNT[rule]: FITS[rule](rewards, groups, prior)}


def of_another_kind(rule, random, k):
    """Of prompts that are all alike, or whose priors are right."""
    return fitted(rule, *batch(random, np.full(64, 0.3) if rule == "james_stein" else random.random(64), k))


def by_hand(rule, rewards, groups, prior, learnt, k):
    """(which groups are refused, D of each)."""
    free = v05.advantages(rewards, groups, prior, rule=rule, leave_one_out=True, check_fit=False, **learnt)
    rows = rewards.reshape(-1, k)
    others = (rows.sum(axis=1, keepdims=True) - rows) / (k - 1)
    difference = (free.reshape(-1, k) ** 2 - (rows - others) ** 2).mean(axis=1)
    (fit,) = learnt.values()
    variance = getattr(fit, "calibration", fit).reward_variance
    expected = variance / (k * (k - 1) ** 2) * (len(rows) - 1)
    excess = difference.sum() - difference
    seen = (difference**2).sum() - difference**2 - excess**2 / (len(rows) - 1)
    return excess > 1.645 * np.sqrt(np.maximum(seen, expected)), difference


@pytest.mark.parametrize("rule", LEARNT)
@pytest.mark.parametrize("k", [2, 4])
def test_against_numpy(rule, k):
    """A fit on prompts of one kind, applied to those of another: refused for the groups that numpy says, which have the
    baselines of "jspo"."""
    random = np.random.default_rng([k, len(rule)])
    learnt = of_another_kind(rule, random, k)
    some = 0
    for draw in range(40):
        center = random.random()
        probabilities = np.clip(random.normal(center, 0.1, 12), 0.02, 0.98)
        rewards, groups, prior = batch(random, probabilities, k, random.random(12))
        refused, _ = by_hand(rule, rewards, groups, prior, learnt, k)
        for leave_one_out in (False, True):
            found = v05.estimate(rewards, groups, prior, rule=rule, leave_one_out=leave_one_out, **learnt)
            assert found.refused_groups == refused.sum()
            free = v05.estimate(
                rewards, groups, prior, rule=rule, leave_one_out=leave_one_out, check_fit=False, **learnt
            )
            assert free.refused_groups == 0
            jspo = v05.estimate(rewards, groups, rule="jspo", epsilon=0.0)
            np.testing.assert_allclose(found.baseline, np.where(refused, jspo.baseline, free.baseline), atol=1e-14)
            if leave_one_out:
                rows = np.repeat(refused, k)
                np.testing.assert_allclose(
                    found.advantages, np.where(rows, jspo.advantages, free.advantages), atol=1e-14
                )
        some += 0 < refused.sum()
    assert some >= 3, "the batches are too much alike to test anything"


@pytest.mark.parametrize("rule", LEARNT)
def test_no_row_sees_its_own_reward(rule):
    """With leave_one_out the baseline of a row is the same whatever its reward, where the fit stands and where not."""
    random = np.random.default_rng(11)
    learnt = of_another_kind(rule, random, 4)
    flipped = False
    for draw in range(30):
        rewards, groups, prior = batch(random, np.clip(random.normal(0.5, 0.1, 10), 0, 1), 4, random.random(10))
        found = v05.estimate(rewards, groups, prior, rule=rule, leave_one_out=True, **learnt)
        for row in range(0, 40, 3):
            changed = rewards.copy()
            changed[row] = 1 - changed[row]
            after = v05.estimate(changed, groups, prior, rule=rule, leave_one_out=True, **learnt)
            assert changed[row] - after.advantages[row] == pytest.approx(
                rewards[row] - found.advantages[row], abs=1e-14
            )
            flipped |= after.refused_groups != found.refused_groups
    assert flipped, "no reward decided about any other group"


@pytest.mark.parametrize("rule", ["calibrated", "mixture"])
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_a_curriculum_is_never_worse_than_the_mean(rule, leave_one_out):
    """Prompts sorted by difficulty, priors turned around: without the check the running fit has a larger error than the
    mean, with it a smaller one."""
    k, size = 4, 32
    running_of = {"calibrated": v05.RunningCalibration, "mixture": v05.RunningMixture}[rule]
    errors = dict.fromkeys((True, False, "mean"), 0.0)
    for seed in range(8):
        random = np.random.default_rng(seed)
        probabilities = np.sort(random.beta(0.7, 0.7, 320))[::-1]
        for checked in (True, False):
            random = np.random.default_rng(seed)
            running = running_of()
            for part in np.split(probabilities, len(probabilities) // size):
                rewards, groups, prior = batch(random, part, k, 1 - part)
                learnt = {LEARNT[rule]: running} if running.updates else {}
                found = v05.estimate(
                    rewards, groups, prior, rule=rule, leave_one_out=leave_one_out, check_fit=checked, **learnt
                )
                baseline = (rewards - found.advantages).reshape(-1, k)
                errors[checked] += ((baseline - part[:, None]) ** 2).mean()
                rows = rewards.reshape(-1, k)
                mean = (rows.sum(1, keepdims=True) - rows) / (k - 1) if leave_one_out else rows.mean(1, keepdims=True)
                errors["mean"] += ((mean - part[:, None]) ** 2).mean() / 2
                running.update(rewards, groups, prior)
    if rule == "mixture":
        assert errors[False] > 1.1 * errors["mean"]
    assert errors[True] < 0.95 * errors["mean"]
    assert errors[True] < errors[False]


@pytest.mark.parametrize("rule", LEARNT)
@pytest.mark.parametrize("size", [16, 64])
def test_a_fit_that_holds_is_kept(rule, size):
    """Batches that are alike: refused for at most 3 groups in 100, and the error grows by at most 2 %."""
    random = np.random.default_rng(size)
    running = (v05.RunningMixture if rule == "mixture" else v05.RunningCalibration)()
    errors, refused, count = np.zeros(2), 0, 0
    for step in range(60):
        probabilities = random.beta(0.7, 0.7, size)
        shown = np.clip(probabilities + random.normal(0, 0.2, size), 0, 1)
        rewards, groups, prior = batch(random, probabilities, 4, shown)
        if running.updates > 2:
            for checked in (0, 1):
                found = v05.estimate(
                    rewards, groups, prior, rule=rule, check_fit=bool(checked), **{LEARNT[rule]: running}
                )
                errors[checked] += ((found.baseline - probabilities) ** 2).sum()
            refused += found.refused_groups
            count += size
        running.update(rewards, groups, prior)
    assert refused <= 0.03 * count
    assert errors[1] <= 1.02 * errors[0]


def test_few_groups_have_their_own_mean():
    """With fewer than 8 other groups what is refused becomes the mean."""
    wrong = v05.Calibration(
        intercept=1.0,
        slope=0.0,
        prior_variance=0.0,
        reward_variance=0.05,
        grand_mean=1.0,
        between_variance=0.0,
        groups=100,
        total_groups=100,
    )
    rewards = np.tile([0.0, 0.0, 1.0, 0.0], 6)
    groups = np.repeat(np.arange(6), 4)
    found = v05.estimate(rewards, groups, 0.9, rule="calibrated", leave_one_out=True, calibration=wrong)
    assert found.refused_groups == 6 and (found.baseline == 0.25).all() and (found.weight == 1).all()
    np.testing.assert_allclose(found.advantages, v05.advantages(rewards, groups, rule="rloo"))
    assert "refused for 6" in str(found)
    # A group of one has no mean to compare with, and a batch of one group no others that could tell.
    single = v05.estimate(np.append(rewards, 0.0), np.append(groups, 9), 0.9, rule="calibrated", calibration=wrong)
    assert single.refused_groups == 6 and single.baseline[6] == 1
    alone = v05.estimate(rewards[:4], groups[:4], 0.9, rule="calibrated", calibration=wrong)
    assert alone.refused_groups == 0 and alone.baseline[0] == 1


def test_weights_decide_with():
    """Weights change which groups are refused as their means change; a weight of zero counts as no row at all."""
    random = np.random.default_rng(5)
    learnt = fitted("calibrated", *batch(random, random.random(64), 4))
    rewards, groups, prior = batch(random, np.full(20, 0.5), 4, random.random(20))
    weights = random.random(len(rewards)) + 0.5
    weights[::4] = 0
    found = v05.estimate(rewards, groups, prior, rule="calibrated", weights=weights, **learnt)
    kept = weights > 0
    without = v05.estimate(rewards[kept], groups[kept], prior[kept], rule="calibrated", weights=weights[kept], **learnt)
    assert found.refused_groups == without.refused_groups
    np.testing.assert_array_equal(found.baseline, without.baseline)
    doubled = v05.estimate(rewards, groups, prior, rule="calibrated", weights=8 * weights, **learnt)
    np.testing.assert_array_equal(doubled.baseline, found.baseline)


@pytest.mark.parametrize("spread", [0.01, 0.5, 5.0])
@pytest.mark.parametrize("k", [2, 3])
def test_unequal_weights_do_not_end_the_check(k, spread):
    """Two rollouts of unequal weight are worth less than two: what they say of a wrong fit counts all the same."""
    random = np.random.default_rng(7)
    learnt = fitted("calibrated", *batch(random, random.random(64), 4))
    rewards, groups, prior = batch(random, np.full(256, 0.1), k, np.full(256, 0.9))
    weights = np.exp(spread * random.normal(size=len(rewards)))
    found = v05.estimate(rewards, groups, prior, rule="calibrated", weights=weights, leave_one_out=True, **learnt)
    # A group of which one rollout has nearly all the weight has no mean to compare with.
    assert found.refused_groups == (found.effective_count > 1).sum() > 240
    # Where the fit is right it is kept, however unequal.
    rewards, groups, prior = batch(random, random.random(256), k)
    found = v05.estimate(rewards, groups, prior, rule="calibrated", weights=weights, leave_one_out=True, **learnt)
    assert found.refused_groups == 0


def test_an_estimator_says_how_many_groups_refuse_what_it_learnt():
    estimator = v05.AdvantageEstimator(rule="calibrated", prior="column", reward_range=(0, 1))
    random = np.random.default_rng(2)
    rewards, groups, prior = batch(random, random.random(32), 4)
    found = estimator.step(rewards, groups, groups, column=prior)
    assert "v05/fit_refused" not in found.metrics
    rewards, groups, prior = batch(random, np.full(32, 0.5), 4, random.integers(0, 2, 32).astype(float))
    found = estimator.step(rewards, groups, groups, column=prior)
    assert found.metrics["v05/fit_refused"] == found.estimate.refused_groups / 32 > 0.5
