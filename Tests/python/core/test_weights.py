"""Score weights (method sections 13 and 14): every rule that takes them against its formulas written down anew in
numpy, what they promise, and what they are for, the noise of a gradient."""

import itertools
import math

import numpy as np
import pytest
import v05
from scipy.optimize import brentq

NAN = math.nan
RULES = ["v05", "calibrated", "grpo", "rloo", "james_stein", "prior", "discounted_beta", "batch_mean"]
RANGES = [(0.0, 1.0), (-2.0, 1.0)]


# The formulas once more. A group is (rewards, weights, prior, strength); what weighs nothing has been taken out.


def weighted_mean(rewards, weights):
    return math.fsum(weights * rewards) / math.fsum(weights) if len(rewards) else NAN


def effective_count(weights):
    return math.fsum(weights) ** 2 / math.fsum(weights**2) if len(weights) else 0.0


def degrees_of_freedom(weights, ddof=1):
    return math.fsum(weights) - ddof * math.fsum(weights**2) / math.fsum(weights)


def deviation(rewards, weights, ddof, epsilon):
    """What advantages are divided by."""
    if len(rewards) < 2 or (rewards == rewards[0]).all():
        return 1.0
    squares = math.fsum(weights * (rewards - weighted_mean(rewards, weights)) ** 2)
    return math.sqrt(squares / degrees_of_freedom(weights, ddof)) + epsilon


def line(means, priors, scatter, ridge, has_slope):
    weights = 1 / np.maximum(scatter, 1e-300)
    weights = weights * (len(means) / math.fsum(weights))
    center, prior = math.fsum(weights * means) / len(means), math.fsum(weights * priors) / len(means)
    slope = 0.0
    if has_slope and len(means) >= 3:
        cross = math.fsum(weights * (priors - prior) * (means - center))
        slope = min(max(cross / (math.fsum(weights * (priors - prior) ** 2) + ridge), 0), 1.5)
    return center - slope * prior, slope


def area(means, priors, variances, ridge, has_slope):
    """(intercept, slope, variance around the line)"""
    freedom = len(means) - (2 if has_slope else 1)

    def excess(spread):
        intercept, slope = line(means, priors, spread + variances, ridge, has_slope)
        return math.fsum((means - intercept - slope * priors) ** 2 / np.maximum(spread + variances, 1e-300)) - freedom

    spread = 0.0
    if excess(0.0) > 0:
        high = 1.0
        while excess(high) > 0:
            high *= 2
        spread = brentq(excess, 0.0, high, xtol=1e-300, rtol=1e-15, maxiter=1000)
    return *line(means, priors, spread + variances, ridge, has_slope), spread


def fit(groups, low, high):
    """The calibration of groups, as a dict."""
    several = [group for group in groups if len(group[0]) >= 2]
    within = math.fsum(
        math.fsum(weights * (rewards - weighted_mean(rewards, weights)) ** 2) for rewards, weights, *_ in several
    )
    variance = within / math.fsum(degrees_of_freedom(group[1]) for group in several)
    ridge = 0.2 * ((high - low) / 2) ** 2

    def fitted(chosen, has_slope):
        means = np.array([weighted_mean(*group[:2]) for group in chosen])
        priors = np.array([group[2] if has_slope else 0.0 for group in chosen])
        return area(
            means, priors, variance / np.array([effective_count(group[1]) for group in chosen]), ridge, has_slope
        )

    filled = [group for group in groups if len(group[0])]
    intercept, slope, spread = fitted([group for group in filled if not math.isnan(group[2])], True)
    grand, _, between = fitted(filled, False)
    return dict(
        intercept=intercept,
        slope=slope,
        prior_variance=spread,
        reward_variance=variance,
        grand_mean=grand,
        between_variance=between,
        groups=sum(not math.isnan(group[2]) for group in several),
        total_groups=len(several),
    )


def baseline(rule, group, known, low, high):
    rewards, weights, prior, strength = group
    mean, count = weighted_mean(rewards, weights), effective_count(weights)
    noise = ((high - low) / 2) ** 2 / count if count else NAN
    if rule in ("grpo", "rloo"):
        return mean
    if rule in ("v05", "prior"):
        if math.isnan(prior):
            return mean
        bias = max(0, (mean - prior) ** 2 - noise) if count else 0
        if rule == "prior" or bias == 0:
            return prior
        return prior + bias / (bias + noise) * (mean - prior)
    if rule == "discounted_beta":
        if math.isnan(prior) or strength == 0:
            return mean
        return (strength * prior + (count * mean if count else 0)) / (strength + count)
    if rule == "james_stein" or math.isnan(prior):
        center, spread = known["grand_mean"], known["between_variance"]
    else:
        center = min(max(known["intercept"] + known["slope"] * prior, low), high)
        spread = known["prior_variance"]
    if not count:
        return center
    variance = known["reward_variance"] / count
    return center + spread / (spread + variance) * (mean - center) if variance else mean


def others_mean(groups, own, grand_mean):
    others = [group for number, group in enumerate(groups) if number != own and len(group[0])]
    mean = weighted_mean(*(np.concatenate(part) for part in zip(*(group[:2] for group in others)))) if others else NAN
    if grand_mean is None or len(others) >= 8:
        return mean
    return ((len(others) * mean if others else 0) + (8 - len(others)) * grand_mean) / 8


def alone(rule, group):
    """A group of one whose baseline would be its own reward."""
    _, weights, prior, strength = group
    missing = {
        "grpo": True,
        "rloo": True,
        "v05": math.isnan(prior),
        "prior": math.isnan(prior),
        "discounted_beta": math.isnan(prior) or strength == 0,
    }
    return len(weights) == 1 and missing.get(rule, False)


def expected_advantages(
    rewards,
    ids,
    prior,
    strength,
    weights,
    mask,
    *,
    rule,
    reward_range,
    leave_one_out,
    scale,
    ddof,
    singleton,
    calibration=None,
    epsilon=1e-6,
):
    low, high = reward_range
    counted = mask & (weights > 0)
    order = list(dict.fromkeys(ids.tolist()))
    groups = []
    for label in order:
        rows = np.flatnonzero((ids == label) & counted)
        one = np.flatnonzero((ids == label) & mask)
        one = one[0] if len(one) else np.flatnonzero(ids == label)[0]
        groups.append((rewards[rows], weights[rows], prior[one], strength[one]))
    known = calibration
    if rule in ("calibrated", "james_stein"):
        known = known or fit(groups, low, high)
        if known["groups" if rule == "calibrated" else "total_groups"] < 8:
            rule = {"calibrated": "v05", "james_stein": "grpo"}[rule]
    grand_mean = None if calibration is None else calibration["grand_mean"]
    all_rewards, all_weights = rewards[counted], weights[counted]
    result = np.zeros(len(rewards))
    for row in np.flatnonzero(mask):
        number = order.index(ids[row])
        group = groups[number]
        rows = np.flatnonzero((ids == ids[row]) & counted)
        others = rows[rows != row]
        without = (rewards[others], weights[others], *group[2:])
        value = (
            others_mean(groups, number, grand_mean) if rule == "batch_mean" else baseline(rule, group, known, low, high)
        )
        own = deviation(*group[:2], ddof, epsilon)
        if leave_one_out or rule == "rloo":
            value = value if rule == "batch_mean" else baseline(rule, without, known, low, high)
            own = deviation(*without[:2], ddof, epsilon)
        if alone(rule, group) and counted[row] or math.isnan(value):
            value = rewards[row] if singleton == "zero" else 0.0
            own = 1 + epsilon
        divisor = {"none": 1.0, "group": own, "batch": deviation(all_rewards, all_weights, ddof, epsilon)}[scale]
        result[row] = (rewards[row] - value) / divisor
    return result


class Rollouts:
    """A random batch; two_valued: of rewards at both ends only."""

    def __init__(self, generator, reward_range=(0.0, 1.0), group_count=12, two_valued=True, odd=True):
        low, high = reward_range
        value = generator.beta(0.6, 0.6, group_count)
        self.groups = generator.permutation(np.repeat(np.arange(group_count), generator.integers(1, 8, group_count)))
        n = len(self.groups)
        reward = generator.random(n) < value[self.groups] if two_valued else generator.random(n)
        self.rewards = low + (high - low) * np.asarray(reward, float)
        prior = low + (high - low) * np.clip(value + generator.normal(0, 0.2, group_count), 0, 1)
        strength = generator.gamma(2, 2, group_count)
        self.weights = generator.gamma(0.7, 1, n)
        self.mask = np.ones(n, bool)
        if odd:
            prior[generator.random(group_count) < 0.2] = NAN
            strength[generator.random(group_count) < 0.2] = 0
            self.weights[generator.random(n) < 0.2] = 0
            self.mask = generator.random(n) < 0.85
            self.weights[~self.mask] = generator.choice([NAN, -1, 5], (~self.mask).sum())
        self.prior, self.strength = prior[self.groups], strength[self.groups]
        self.reward_range = reward_range

    def advantages(self, rule, **options):
        given = dict(
            rewards=self.rewards,
            groups=self.groups,
            prior=self.prior,
            prior_strength=self.strength,
            weights=self.weights,
            mask=self.mask,
            rule=rule,
            reward_range=self.reward_range,
        )
        return v05.advantages(**given | options)

    def expected(self, rule, **options):
        given = dict(leave_one_out=False, scale="none", ddof=1, singleton="zero") | options
        weights = np.where(self.mask, self.weights, 0)
        return expected_advantages(
            self.rewards,
            self.groups,
            self.prior,
            self.strength,
            weights,
            self.mask,
            rule=rule,
            reward_range=self.reward_range,
            **given,
        )


EARLIER = dict(
    intercept=0.1,
    slope=0.7,
    prior_variance=0.03,
    reward_variance=0.15,
    grand_mean=0.4,
    between_variance=0.08,
    groups=30.0,
    total_groups=40.0,
)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("scale", ["none", "group", "batch"])
def test_every_rule_is_that_of_its_formulas(rule, leave_one_out, scale):
    generator = np.random.default_rng(1)
    for case in range(24):
        batch = Rollouts(generator, RANGES[case % 2], int(generator.integers(1, 24)), two_valued=case % 3 > 0)
        options = dict(
            leave_one_out=leave_one_out, scale=scale, ddof=case // 2 % 2, singleton=("zero", "raw")[case // 4 % 2]
        )
        try:
            expected = batch.expected(rule, **options)
        except (ZeroDivisionError, ValueError):  # too little to calibrate on at all
            continue
        # Where one weight carries nearly all of a group, its degrees of freedom have lost digits, here and there.
        exact = 1e-11 if scale == "group" else 1e-12
        np.testing.assert_allclose(
            batch.advantages(rule, **options), expected, rtol=exact, atol=1e-12, err_msg=str(case)
        )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("group_count", [1, 2, 5, 9, 10, 20])
def test_with_a_calibration_from_earlier_batches(rule, group_count):
    generator = np.random.default_rng(2)
    for leave_one_out in (False, True):
        batch = Rollouts(generator, group_count=group_count)
        found = batch.advantages(
            rule, leave_one_out=leave_one_out, calibration=v05.Calibration(**EARLIER), check_fit=False
        )
        expected = batch.expected(rule, leave_one_out=leave_one_out, calibration=EARLIER)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_figures_of_groups():
    generator = np.random.default_rng(3)
    batch = Rollouts(generator, odd=False)
    batch.weights[batch.groups == batch.groups[0]] = 0
    found = v05.estimate(batch.rewards, batch.groups, batch.prior, weights=batch.weights)
    for number, label in enumerate(found.groups):
        rows = (batch.groups == label) & (batch.weights > 0)
        count = effective_count(batch.weights[rows])
        assert found.count[number] == rows.sum() and found.effective_count[number] == pytest.approx(count, rel=1e-14)
        np.testing.assert_allclose(
            found.mean[number], weighted_mean(batch.rewards[rows], batch.weights[rows]), rtol=1e-14
        )
        if count:
            z = abs(found.mean[number] - found.prior[number]) / math.sqrt(0.25 / count)
            assert found.z[number] == pytest.approx(z, rel=1e-12) and found.rejected[number] == (z > 1)
            assert found.constant[number] == (len(set(batch.rewards[rows])) == 1)
    unweighted = v05.estimate(batch.rewards, batch.groups, batch.prior)
    np.testing.assert_array_equal(unweighted.effective_count, unweighted.count)


def test_a_calibration_is_that_of_its_formulas():
    generator = np.random.default_rng(4)
    batches = [Rollouts(generator, odd=False, group_count=30) for _ in range(3)]
    running = v05.RunningCalibration(discount=1)
    squares = freedom = 0.0
    for batch in batches:
        groups = [
            (batch.rewards[batch.groups == g], batch.weights[batch.groups == g], batch.prior[batch.groups == g][0], 0)
            for g in range(30)
        ]
        expected = fit(groups, 0, 1)
        found = v05.fit_calibration(batch.rewards, batch.groups, batch.prior, weights=batch.weights)
        for name, value in expected.items():
            assert getattr(found, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name
        # However its weights are scaled, a batch is worth its rollouts.
        scale = float(generator.choice([1e-6, 1.0, 1e6]))
        solved = running.update(batch.rewards, batch.groups, batch.prior, weights=scale * batch.weights)
        mean = batch.weights.mean()
        squares += sum(math.fsum(w * (r - weighted_mean(r, w)) ** 2) for r, w, *_ in groups) / mean
        freedom += sum(degrees_of_freedom(w) for _, w, *_ in groups) / mean
        assert solved.reward_variance == pytest.approx(squares / freedom, rel=1e-12)


# What is promised.


@pytest.mark.parametrize("spread", [30, 80, 300, 900])
def test_weights_of_any_spread_leave_every_variance_within_the_range(spread):
    """No weighted variance of rewards in [0, 1] can be above 1/2, that of two; one row may outweigh all others."""
    random = np.random.default_rng(spread)
    for _ in range(30):
        groups = np.repeat(np.arange(20), random.integers(2, 9, 20))
        rewards, prior = random.random(len(groups)), random.random(20)[groups]
        weights = 2.0 ** random.uniform(-spread, spread, len(groups))
        calibration = v05.fit_calibration(rewards, groups, prior, weights=weights, reward_range=(0, 1))
        assert 0 <= calibration.reward_variance <= 0.5 + 1e-6
        assert 0 <= calibration.prior_variance <= 1 and 0 <= calibration.between_variance <= 1
        for scale in ("none", "group", "batch"):
            found = v05.advantages(
                rewards, groups, prior, rule="calibrated", weights=weights, scale=scale, reward_range=(0, 1)
            )
            assert np.isfinite(found).all()


def test_a_group_of_which_one_row_has_all_the_weight_says_nothing_of_a_spread():
    rewards, groups = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0], [0, 0, 0, 1, 1, 1]
    alone = v05.fit_calibration(rewards[3:], groups[3:], [0.5] * 3, weights=[2.0, 1.0, 1.0], reward_range=(0, 1))
    both = v05.fit_calibration(rewards, groups, [0.5] * 6, weights=[1e7, 0.5, 0.25, 2.0, 1.0, 1.0], reward_range=(0, 1))
    assert both.reward_variance == alone.reward_variance
    found = v05.estimate(
        rewards, groups, rule="grpo", weights=[1e7, 0.5, 0.25, 2.0, 1.0, 1.0], scale="group", reward_range=(0, 1)
    )
    assert found.effective_count[0] == 1 and found.effective_count[1] > 2
    np.testing.assert_allclose(found.advantages[:3], np.array(rewards[:3]) - found.mean[0], rtol=1e-15)


@pytest.mark.parametrize("rule", RULES)
def test_equal_weights_are_as_none_bit_for_bit(rule):
    generator = np.random.default_rng(5)
    for leave_one_out, scale in itertools.product([False, True], ["none", "group", "batch"]):
        batch = Rollouts(generator)
        batch.weights = np.where(batch.mask, generator.choice([1.0, 0.3, 1e-300, 1e300]), NAN)
        options = dict(rule=rule, leave_one_out=leave_one_out, scale=scale)
        np.testing.assert_array_equal(batch.advantages(**options), batch.advantages(**options, weights=None))


@pytest.mark.parametrize("rule", RULES)
def test_the_scale_of_weights_does_not_matter(rule):
    generator = np.random.default_rng(6)
    for leave_one_out, scale in itertools.product([False, True], ["none", "group", "batch"]):
        batch = Rollouts(generator)
        options = dict(rule=rule, leave_one_out=leave_one_out, scale=scale)
        found = batch.advantages(**options)
        for factor in (2.0**-900, 2.0**1000, 4.0):
            np.testing.assert_array_equal(batch.advantages(**options, weights=factor * batch.weights), found)
        for factor in (3.7, 1e-200, 1e290):
            again = batch.advantages(**options, weights=factor * batch.weights)
            np.testing.assert_allclose(again, found, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_rows_does_not_matter_bit_for_bit(rule):
    generator = np.random.default_rng(7)
    for leave_one_out, scale in itertools.product([False, True], ["none", "group", "batch"]):
        batch = Rollouts(generator, two_valued=False)
        batch.weights *= np.where(batch.mask, 10.0 ** generator.integers(-12, 12, len(batch.weights)), 1)
        options = dict(rule=rule, leave_one_out=leave_one_out, scale=scale)
        found = batch.advantages(**options)
        order = generator.permutation(len(found))
        for name in ("rewards", "groups", "prior", "strength", "weights", "mask"):
            setattr(batch, name, getattr(batch, name)[order])
        np.testing.assert_array_equal(batch.advantages(**options), found[order])


@pytest.mark.parametrize("rule", RULES)
def test_a_row_that_weighs_nothing_moves_no_statistic_but_has_an_advantage(rule):
    generator = np.random.default_rng(8)
    for leave_one_out in (False, True):
        batch = Rollouts(generator, odd=False, two_valued=False)
        row = int(generator.integers(len(batch.weights)))
        batch.weights[row] = 0
        found = batch.advantages(rule, leave_one_out=leave_one_out)
        batch.rewards[row] = 1 - batch.rewards[row]
        moved = batch.advantages(rule, leave_one_out=leave_one_out)
        others = np.arange(len(found)) != row
        np.testing.assert_array_equal(found[others], moved[others])
        if (batch.groups == batch.groups[row]).sum() > 1:
            assert moved[row] - found[row] == pytest.approx(2 * batch.rewards[row] - 1, abs=1e-12)
        batch.mask[row] = False
        masked = batch.advantages(rule, leave_one_out=leave_one_out)
        np.testing.assert_array_equal(masked[others], moved[others])
        assert masked[row] == 0


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scale", ["none", "group"])
def test_leave_one_out_sees_neither_its_own_reward_nor_its_own_weight(rule, scale):
    """However much the row weighs beside the others."""
    generator = np.random.default_rng(9)
    calibration = v05.Calibration(**EARLIER)
    for heavy in (1e-3, 1.0, 1e5, 1e9, 1e14, 1e30):
        batch = Rollouts(generator, odd=False, two_valued=False)
        sizes = np.bincount(batch.groups)
        row = int(generator.choice(np.flatnonzero(sizes[batch.groups] >= 3)))
        found = []
        for reward, weight in itertools.product([0.0, 0.37, 1.0], [heavy, 3 * heavy]):
            batch.rewards[row], batch.weights[row] = reward, weight
            advantages = batch.advantages(rule, leave_one_out=True, scale=scale, calibration=calibration)
            found.append((reward, advantages[row]))
        # A = (r - b) / divisor for three rewards and both weights: one line, to rounding.
        (_, at_zero), (_, same), *_, (_, at_one), _ = found
        for reward, advantage in found:
            assert advantage == pytest.approx(at_zero + reward * (at_one - at_zero), rel=1e-9, abs=1e-10)
        if scale == "none":
            assert at_one - at_zero == pytest.approx(1, abs=1e-12)


# What is refused.


@pytest.mark.parametrize("weight", [NAN, math.inf, -math.inf, -1e-300])
def test_a_weight_that_cannot_be(weight):
    rewards, groups = [1.0, 0.0, 1.0], [0, 0, 1]
    for call in (
        lambda weights: v05.advantages(rewards, groups, weights=weights),
        lambda weights: v05.fit_calibration(rewards, groups, 0.5, weights=weights),
        lambda weights: v05.RunningCalibration().update(rewards, groups, 0.5, weights=weights),
        lambda weights: v05.History().record(groups, rewards, weights=weights),
    ):
        with pytest.raises(v05.InvalidArgument, match=r"^weights\[1\] must be finite and not negative, got ") as caught:
            call([1.0, weight, 2.0])
        assert caught.value.status == "V05_STATUS_INVALID_WEIGHT" and caught.value.index == 1


@pytest.mark.parametrize(
    "options, name",
    [(dict(rule="mixture"), "rule mixture"), (dict(rule="median"), "rule median"), (dict(test="exact"), "exact test")],
)
@pytest.mark.parametrize("weights", [[1.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
def test_what_takes_no_weights_says_so(options, name, weights):
    with pytest.raises(v05.InvalidArgument, match=f"^weights must not be given with the {name}"):
        v05.advantages([1.0, 0.0, 1.0], [0, 0, 1], 0.5, weights=weights, **options)
    with pytest.raises(v05.InvalidArgument, match="^weights must not be given with the rule mixture"):
        v05.fit_mixture([1.0, 0.0, 1.0], [0, 0, 1], 0.5, weights=weights)


@pytest.mark.parametrize(
    "weights, message",
    [
        ([1.0, 2.0], r"one entry per reward, got shape \(2,\) for 3"),
        ("heavy", "weights must be numbers"),
        (1.0, "one entry per reward"),
    ],
)
def test_weights_of_another_shape_or_kind(weights, message):
    with pytest.raises(v05.Error, match=message):
        v05.advantages([1.0, 0.0, 1.0], [0, 0, 1], weights=weights)


# Without a positive weight, and the batch mean without others.


def test_groups_without_a_positive_weight():
    rewards, groups, weights = [1.0, 0.25, 0.5, 1.0], [0, 0, 1, 1], [0.0, 0.0, 1.0, 2.0]
    found = v05.estimate(rewards, groups, [0.5, 0.5, 0.25, 0.25], rule="prior", weights=weights)
    assert found.count.tolist() == [0, 2] and math.isnan(found.mean[0]) and not found.constant[0]
    assert found.advantages == [0.5, -0.25, 0.25, 0.75]
    assert v05.advantages(rewards, groups, rule="grpo", weights=weights)[:2] == [0, 0]
    assert v05.advantages(rewards, groups, rule="grpo", singleton="raw", weights=weights)[:2] == [1, 0.25]
    assert v05.advantages(rewards, groups, rule="rloo", weights=[0, 0, 0, 0]) == [0, 0, 0, 0]


def test_batch_mean_by_hand():
    rewards, groups = [1.0, 0.0, 0.5, 0.0], ["a", "a", "b", "c"]
    found = v05.estimate(rewards, groups, rule="batch_mean")
    assert found.baseline.tolist() == pytest.approx([0.25, 1 / 3, 0.5]) and found.weight.tolist() == [0, 0, 0]
    assert np.isnan(found.mse).all() and found.rule == "batch_mean" and found.calibration is None
    assert found.advantages == pytest.approx([0.75, -0.25, 0.5 - 1 / 3, -0.5])
    running = v05.Calibration(**EARLIER)
    found = v05.estimate(rewards, groups, rule="batch_mean", calibration=running)
    assert found.baseline == pytest.approx([(2 * 0.25 + 6 * 0.4) / 8, (2 / 3 + 6 * 0.4) / 8, (2 * 0.5 + 6 * 0.4) / 8])
    assert found.calibration == running
    single = v05.estimate([1.0, 0.0], [7, 7], rule="batch_mean")
    assert np.isnan(single.baseline).all() and single.advantages == [0, 0]
    assert v05.advantages([1.0, 0.0], [7, 7], rule="batch_mean", singleton="raw") == [1, 0]
    assert v05.advantages([1.0, 0.0], [7, 7], rule="batch_mean", calibration=running) == pytest.approx([0.6, -0.4])


def test_batch_mean_beside_a_group_that_outweighs_all_others():
    rewards, groups = [1e30, 1.0, 2.0, 6.0], [0, 1, 2, 3]
    assert v05.advantages(rewards, groups, rule="batch_mean")[0] == pytest.approx(1e30)
    assert v05.estimate(rewards, groups, rule="batch_mean").baseline[0] == 3
    found = v05.estimate([9.0, 1.0, 2.0, 6.0], groups, rule="batch_mean", weights=[1e40, 1.0, 1.0, 2.0])
    assert found.baseline[0] == pytest.approx(15 / 4) and found.baseline[1] == pytest.approx(9)


def test_a_batch_of_which_one_row_has_all_the_weight_has_no_standard_deviation():
    rewards, groups = np.array([1.0, 0.0, 0.5]), [0, 1, 2]
    for light in 2.0 ** np.arange(0, -1000, -7):
        weights = np.array([1.0, light, light / 2])
        unscaled = v05.advantages(rewards, groups, rule="batch_mean", weights=weights)
        found = v05.advantages(rewards, groups, rule="batch_mean", scale="batch", epsilon=0, weights=weights)
        mean = np.average(rewards, weights=weights)
        freedom = weights.sum() - (weights**2).sum() / weights.sum()
        deviation = (
            (((weights * (rewards - mean) ** 2).sum()) / freedom) ** 0.5 if freedom > 2**-20 * weights.sum() else 1.0
        )
        np.testing.assert_allclose(found, unscaled / deviation, rtol=1e-9)


def test_groups_that_say_nothing_of_a_spread_do_not_count_to_the_eight():
    rewards = np.tile([1.0, 0.0], 10)
    groups, weights = np.repeat(np.arange(10), 2), np.tile([1.0, 1e-8], 10)
    prior = np.repeat(np.linspace(0.1, 0.9, 10), 2)
    found = v05.estimate(rewards, groups, prior, rule="calibrated", weights=weights)
    assert found.rule == "v05"
    fitted = v05.fit_calibration(rewards, groups, prior, weights=weights)
    assert fitted.groups == fitted.total_groups == fitted.reward_variance == 0


def test_a_weight_too_small_to_be_divided_by_counts_as_none():
    rewards, groups, weights = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0], [0, 0, 1, 1, 2, 2], np.array([1.0, 2, 1, 1, 3, 1])
    for rule, scale in itertools.product(RULES, ["none", "batch", "group"]):
        options = dict(rule=rule, scale=scale, reward_range=(0, 1))
        expected = v05.advantages(rewards, groups, 0.4, weights=weights, **options)
        for power in (-900, 1000):
            assert v05.advantages(rewards, groups, 0.4, weights=weights * 2.0**power, **options) == expected
        nothing = v05.advantages(rewards, groups, 0.4, weights=np.zeros(6), **options)
        assert v05.advantages(rewards, groups, 0.4, weights=weights * 2.0**-1074, **options) == nothing
        mixed = np.where(np.arange(6) == 2, 1e-300, weights)
        zero = np.where(np.arange(6) == 2, 0.0, weights)
        found, same = (v05.advantages(rewards, groups, 0.4, weights=each, **options) for each in (mixed, zero))
        assert found == same and np.isfinite(found).all()
    for kind in v05.History, v05.Tracker:
        kept = kind()
        kept.record([1, 2], [1.0, 0.0], weights=[1e-300, 2e-300])
        assert len(kept) == 0 and np.isnan(kept.predict([1])[0]).all()
        kept.record([1, 2], [1.0, 0.0], weights=[1.0, 2.0])
        restored = kind()
        restored.load_state_dict(kept.state_dict())
        np.testing.assert_array_equal(restored.predict([1, 2, 3]), kept.predict([1, 2, 3]))


def test_beside_a_row_of_nearly_all_the_weight_many_small_ones_are_worth_what_they_are():
    count = 131_072
    random = np.random.default_rng(3)
    rewards = (random.random(count) < 0.6).astype(float)
    weights = random.random(count) * 2.0**-19 / count
    weights[0] = 1
    found = v05.advantages(
        rewards, np.zeros(count, int), 0.9, rule="v05", leave_one_out=True, weights=weights, reward_range=(0, 1)
    )
    others = weights[1:]
    mean, worth = np.average(rewards[1:], weights=others), others.sum() ** 2 / (others**2).sum()
    noise = 0.25 / worth
    bias = max(0.0, (mean - 0.9) ** 2 - noise)
    assert found[0] == pytest.approx(rewards[0] - (bias * mean + noise * 0.9) / (bias + noise), rel=1e-9)


@pytest.mark.parametrize("kind", [v05.History, v05.Tracker])
@pytest.mark.parametrize("heavy", [1e100, 1e200, 1e280])
def test_a_batch_far_lighter_than_those_before_says_nothing_beside_them(kind, heavy):
    kept = kind()
    kept.record([0, 1], [1.0, 1.0], weights=[heavy, 2 * heavy])
    before = kept.predict([0, 1, 9])[0]
    kept.record([0, 2], [1.0, 1.0], weights=[1 / heavy, 2 / heavy])
    after = kept.predict([0, 1, 9])[0]
    assert np.isfinite(after).all() and (after > before - 0.05).all()


def test_a_running_calibration_that_has_seen_nothing_is_none():
    rewards, groups = [1.0, 0.0], [0, 0]
    empty = v05.RunningCalibration(reward_range=(0, 10))
    found = v05.estimate(rewards, groups, rule="batch_mean", reward_range=(0, 10), calibration=empty)
    assert np.isnan(found.baseline).all() and found.advantages == [0, 0]
    step = v05.AdvantageEstimator(rule="batch_mean", reward_range=(0, 10)).step(rewards, groups, groups)
    assert step.advantages.tolist() == [0, 0]
    three = v05.AdvantageEstimator(rule="batch_mean", reward_range=(0, 10)).step([1, 0, 2], [0, 1, 2], [0, 1, 2])
    assert three.baseline.tolist() == [1, 1.5, 0.5]


# A history.


def test_a_history_of_weighted_visits():
    generator = np.random.default_rng(10)
    history = v05.History(0.7, start_strength=1.5, reward_range=(-1, 1))
    known, level, mean = {}, NAN, NAN
    for step in range(12):
        n = int(generator.integers(1, 30))
        keys, rewards = generator.integers(0, 9, n), generator.uniform(-1, 1, n)
        weights = generator.gamma(0.5, 10.0 ** generator.integers(-3, 3), n) * (generator.random(n) < 0.8)
        if step == 6:
            weights[:] = 2.5
        history.record(keys, rewards, weights=weights)
        if not weights.any():
            continue
        batch = weights[weights > 0].mean()
        mean = batch if math.isnan(mean) else mean + 0.2 * (batch - mean)
        share, fraction = weights / mean, (rewards + 1) / 2
        for key in np.unique(keys[weights > 0]):
            a, n = known.get(key, (0.0, 0.0))
            known[key] = 0.7 * a + (share * fraction)[keys == key].sum(), 0.7 * n + share[keys == key].sum()
        total, successes = share.sum(), (share * fraction).sum()
        level = (successes + 0.5) / (total + 1) if math.isnan(level) else level + 0.2 * (successes / total - level)
        value, strength = history.predict(np.arange(10))
        for key in range(10):
            a, n = known.get(key, (0.0, 0.0))
            assert strength[key] == pytest.approx(n + 1.5, rel=1e-12)
            assert value[key] == pytest.approx(2 * (a + 1.5 * level) / (n + 1.5) - 1, rel=1e-11, abs=1e-12)


def test_weights_of_one_are_as_none_in_a_history():
    generator = np.random.default_rng(11)
    plain, weighted = v05.History(), v05.History()
    for _ in range(10):
        keys, rewards = generator.integers(0, 20, 40), generator.random(40)
        plain.record(keys, rewards)
        weighted.record(keys, rewards, weights=np.ones(40))
    for one, other in zip(plain.predict(np.arange(21)), weighted.predict(np.arange(21))):
        np.testing.assert_array_equal(one, other)


# What they are for: a policy of one decision, success with probability p, whose score is 1 - p or -p.


def decisions(generator, p, group_count, k):
    success = generator.random((group_count, k)) < p[:, None]
    score = np.where(success, 1 - p[:, None], -p[:, None])
    return success.astype(float).ravel(), np.repeat(np.arange(group_count), k), score.ravel()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("k", [1, 3])
def test_the_gradient_is_unbiased(rule, k):
    """By simulation, within four standard errors: false alarm 6e-5 a case."""
    generator = np.random.default_rng(12)
    terms = []
    for _ in range(300):
        p = generator.beta(0.7, 0.7, 60)
        rewards, groups, score = decisions(generator, p, 60, k)
        # The mean over a batch is the one independent unit: with batch_mean its groups lean on each other.
        advantages = v05.advantages(
            rewards,
            groups,
            np.clip(p + 0.2, 0, 1)[groups],
            rule=rule,
            leave_one_out=True,
            prior_strength=2.0,
            calibration=v05.Calibration(**EARLIER),
            weights=score**2,
            singleton="raw",
        )
        terms.append((advantages * score - (p * (1 - p))[groups]).mean())
    assert abs(np.mean(terms)) < 4 * np.std(terms, ddof=1) / math.sqrt(len(terms))


@pytest.mark.parametrize("p", [0.02, 0.1, 0.4, 0.9, 0.98])
def test_noise_of_one_decision(p):
    """Method section 13: p (1 - p) (b - (1 - p))^2, so that the weighted baseline 1 - p has none at all. Near 0 and 1
    the value is worse than the mean of a batch of prompts that are solved half of the time, and leave-one-out, which
    adds noise of its own, worse than the value. No baseline is the worst near 0, where 1 - p is 1, and good near 1."""
    k = 8
    rewards, groups, score = decisions(np.random.default_rng(13), np.full(20_000, p), 20_000, k)

    def noise(prior=None, rule="prior", weighted=True):
        weights = score**2 if weighted else None
        return np.var(v05.advantages(rewards, groups, prior, rule=rule, weights=weights) * score)

    def expected(baseline):
        return p * (1 - p) * (baseline - (1 - p)) ** 2

    none, batch_mean, value = noise(0.0), noise(0.5), noise(p)
    leave_one_out = noise(rule="rloo", weighted=False)
    assert noise(1 - p) < 1e-28
    assert [none, batch_mean, value] == pytest.approx([expected(0), expected(0.5), expected(p)], rel=0.1)
    assert leave_one_out == pytest.approx(expected(p) + (p * (1 - p)) ** 2 / (k - 1), rel=0.1)
    if abs(p - 0.5) > 0.3:
        assert value > 1.5 * batch_mean
        assert none > 1.03 * value if p < 0.5 else none < batch_mean


def test_a_weighted_history_finds_the_baseline_of_one_decision():
    generator = np.random.default_rng(14)
    p = np.array([0.1, 0.3, 0.5, 0.8])
    weighted, plain = v05.History(1), v05.History(1)
    for _ in range(40):
        rewards, groups, score = decisions(generator, p, 4, 200)
        weighted.record(groups, rewards, weights=score**2)
        plain.record(groups, rewards)
    np.testing.assert_allclose(weighted.predict(np.arange(4))[0], 1 - p, atol=0.03)
    np.testing.assert_allclose(plain.predict(np.arange(4))[0], p, atol=0.03)
