"""What holds for every batch: bounds, closed forms, symmetries, leave-one-out, and what the rules are worth.

Statistical tests have a fixed seed and state their false-alarm rate.
"""

import dataclasses

import numpy as np
import pytest
import v05
from batches import adversarial, constant, noisy, perfect, simulated
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

RULES = ["v05", "calibrated", "grpo", "rloo", "james_stein", "prior", "median", "discounted_beta"]
SCALES = ["none", "group", "batch"]

settings.register_profile(
    "v05", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("v05")


@dataclasses.dataclass
class Rows:
    """A batch with an interval. Group ids are 0, 1, 2 ...; rows in any order."""

    rewards: np.ndarray
    groups: np.ndarray
    prior: np.ndarray
    strength: np.ndarray
    reward_range: tuple = (0.0, 1.0)

    @property
    def half(self):
        return (self.reward_range[1] - self.reward_range[0]) / 2

    def take(self, rows):
        return Rows(self.rewards[rows], self.groups[rows], self.prior[rows], self.strength[rows], self.reward_range)

    def moved(self, factor, shift):
        return dataclasses.replace(
            self,
            rewards=factor * self.rewards + shift,
            prior=factor * self.prior + shift,
            reward_range=(shift, factor + shift),
        )

    def arguments(self, **options):
        return dict(
            rewards=self.rewards, groups=self.groups, prior=self.prior, reward_range=self.reward_range, **options
        )

    def estimate(self, **options):
        return v05.estimate(**self.arguments(prior_strength=self.strength, **options))

    def advantages(self, **options):
        return v05.advantages(**self.arguments(prior_strength=self.strength, **options))


REWARDS = {
    "two-valued": st.sampled_from([0.0, 1.0]),
    "eighths": st.integers(0, 8).map(lambda eighth: eighth / 8),
    "any": st.floats(0, 1),
}


@st.composite
def rows(draw, kinds=tuple(REWARDS), fewest=0, largest=6):
    """Half of the batches have 8 or more groups with a prior and two rewards, so that calibrations are fitted."""
    reward = REWARDS[draw(st.sampled_from(kinds))]
    prior = st.floats(0, 1) if "any" in kinds else st.integers(0, 16).map(lambda sixteenth: sixteenth / 16)
    strength = st.sampled_from([0.0, 0.5, 3.0, 40.0])
    full = st.tuples(st.lists(reward, min_size=2, max_size=largest), prior, strength)
    any_size = st.tuples(st.lists(reward, min_size=1, max_size=largest), st.none() | prior, strength)
    groups = draw(st.lists(full, min_size=8, max_size=12)) if draw(st.booleans()) else []
    groups += draw(st.lists(any_size, min_size=fewest, max_size=6))
    ids = np.repeat(np.arange(len(groups)), [len(rewards) for rewards, _, _ in groups])
    rewards = np.array([reward for rewards, _, _ in groups for reward in rewards], dtype=float)
    prior, strength = (np.array([group[column] for group in groups], dtype=float)[ids] for column in (1, 2))
    order = np.random.default_rng(draw(st.integers(0, 999))).permutation(len(ids))
    return Rows(rewards, ids, prior, strength).take(order)


rules = st.sampled_from(RULES)
scales = st.sampled_from(SCALES)
options = st.fixed_dictionaries(
    dict(
        rule=rules,
        scale=scales,
        leave_one_out=st.booleans(),
        ddof=st.integers(0, 1),
        singleton=st.sampled_from(["zero", "raw"]),
    )
)


def drawn_mask(data, batch):
    count = len(batch.rewards)
    return np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), dtype=bool)


# The paper's rule.


@given(rows())
def test_the_baseline_is_between_mean_and_prior_and_near_the_mean(batch):
    found = batch.estimate()
    known = ~np.isnan(found.prior)
    low, high = np.minimum(found.mean, found.prior), np.maximum(found.mean, found.prior)
    assert np.all((found.baseline >= low)[known]) and np.all((found.baseline <= high)[known])
    assert np.all(found.baseline[~known] == found.mean[~known])
    assert np.all(np.abs(found.baseline - found.mean) <= batch.half / np.sqrt(found.count) * (1 + 1e-15))
    assert np.all((found.weight >= 0) & (found.weight <= 1))


@given(rows())
def test_closed_forms(batch):
    """With D > noise: w = 1 - noise / D and mse = w noise; else both 0. Without prior 1 and noise."""
    found = batch.estimate()
    noise = batch.half**2 / found.count
    distance = (found.mean - found.prior) ** 2
    with np.errstate(all="ignore"):
        weight = np.where(distance > noise, 1 - noise / distance, 0)
    weight[np.isnan(found.prior)] = 1
    # Where D is only just above noise, 1 - noise / D loses what D - noise keeps.
    np.testing.assert_allclose(found.weight, weight, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.mse, weight * noise, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.bias_squared, np.maximum(0, distance - noise), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.z, np.sqrt(distance / noise), rtol=1e-14)
    known = ~np.isnan(found.prior)
    assert np.all(found.rejected == (known & (found.weight > 0)))


def test_the_bound_is_attained_where_the_test_turns():
    """k = 4, V = 1/2 and a mean of 1/4 or 3/4 lie exactly on D = noise: accepted, as far from the mean as can be."""
    found = v05.estimate([1, 0, 0, 0, 1, 1, 1, 0], [0] * 4 + [1] * 4, 0.5)
    assert found.rejected.tolist() == [False, False] and found.weight.tolist() == [0, 0]
    assert np.abs(found.baseline - found.mean).tolist() == [0.25, 0.25]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 8, 16, 100])
def test_the_baseline_is_continuous_in_the_prior(k):
    """Across the test too: |db/dV| is 1 below it and noise / (m - V)^2 < 1 beyond."""
    priors = np.linspace(0, 1, 2001)
    groups = np.repeat(np.arange(2001), k)
    rewards = np.tile(np.arange(k) < (k + 1) // 2, 2001).astype(float)
    baseline = v05.estimate(rewards, groups, priors[groups]).baseline
    assert np.abs(np.diff(baseline)).max() <= (priors[1] - priors[0]) * (1 + 1e-9)


@given(rows())
def test_the_history_as_a_beta_prior(batch):
    """b = (n V + k m) / (n + k) and mse = (b - lo)(hi - b) / (n + k + 1); n = 0 or no prior: the mean."""
    found = batch.estimate(rule="discounted_beta")
    strength = np.zeros(len(found))
    strength[found.row_group] = np.where(np.isnan(batch.prior), 0, batch.strength)
    expected = (strength * np.nan_to_num(found.prior) + found.count * found.mean) / (strength + found.count)
    np.testing.assert_allclose(found.baseline, expected, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(found.weight, found.count / (strength + found.count), rtol=1e-14)
    variance = expected * (1 - expected) / (strength + found.count + 1)
    expected_mse = np.where(strength > 0, variance, batch.half**2 / found.count)
    np.testing.assert_allclose(found.mse, expected_mse, rtol=1e-12, atol=1e-15)


# All rules.


@given(rows(), rules, st.data())
def test_advantages_are_rewards_minus_baselines(batch, rule, data):
    assume(rule != "rloo")
    mask = drawn_mask(data, batch)
    found = batch.estimate(rule=rule, mask=mask)
    expected = np.where(mask, batch.rewards - found.baseline[found.row_group], 0.0)
    alone = (found.count == 1)[found.row_group] & mask
    lonely = {
        "v05": np.isnan(batch.prior),
        "prior": np.isnan(batch.prior),
        "grpo": True,
        "median": True,
        "discounted_beta": np.isnan(batch.prior) | (batch.strength == 0),
    }.get(found.rule, False)
    np.testing.assert_array_equal(found.advantages, np.where(alone & lonely, 0, expected))
    assert np.all(np.isfinite(found.advantages))


@given(rows(), options, st.sampled_from([0.1, 0.5, 3.0, 1000.0]), st.sampled_from([-1.0, 0.0, 0.25, 5.0]))
def test_equivariance(batch, options, factor, shift):
    """r -> a r + b turns baselines into a b + b, advantages into a A, and leaves weights and z alone."""
    assume(options["singleton"] == "zero")
    scaled = batch.moved(factor, shift)
    # Rounding must not make equal what was not: the smallest gap between two rewards has to survive.
    assume(len(np.unique(scaled.rewards)) == len(np.unique(batch.rewards)))
    gaps = np.diff(np.unique(batch.rewards))
    assume(len(gaps) == 0 or gaps.min() > 1e-3)
    found = batch.estimate(epsilon=1e-6, **options)
    moved = scaled.estimate(epsilon=1e-6 * factor, **options)
    assert moved.rule == found.rule
    close = dict(rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(moved.weight, found.weight, **close)
    np.testing.assert_allclose(moved.z, found.z, **close)
    np.testing.assert_allclose((moved.baseline - shift) / factor, found.baseline, **close)
    np.testing.assert_allclose(moved.mse / factor**2, found.mse, **close)
    np.testing.assert_allclose(moved.bias_squared / factor**2, found.bias_squared, **close)
    undivided = found.advantages == batch.advantages(**{**options, "scale": "none"})
    sizes = np.where(undivided, factor, 1)
    np.testing.assert_allclose(moved.advantages / sizes, found.advantages, rtol=1e-7, atol=1e-8)


@given(rows(kinds=["two-valued"]), st.sampled_from([0.1, 3.0]), st.sampled_from([-1.0, 0.25]))
def test_equivariance_of_the_exact_test(batch, factor, shift):
    found, moved = batch.estimate(test="exact"), batch.moved(factor, shift).estimate(test="exact")
    np.testing.assert_allclose(moved.p_value, found.p_value, rtol=1e-9)


GROUP_RESULTS = [
    "count",
    "mean",
    "prior",
    "weight",
    "baseline",
    "bias_squared",
    "mse",
    "z",
    "p_value",
    "rejected",
    "constant",
]


def by_group(estimate):
    """Results by id, as bytes: NaN equals NaN, and nothing but the same bits does."""
    return {
        group: [getattr(estimate, name)[at].tobytes() for name in GROUP_RESULTS]
        for at, group in enumerate(estimate.groups.tolist())
    }


def same_bits(one, other):
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


@given(rows(), options, st.integers(0, 999), st.sampled_from([np.float32, np.float64]))
def test_the_order_of_rows_changes_nothing(batch, options, seed, dtype):
    batch = dataclasses.replace(batch, rewards=batch.rewards.astype(dtype))
    order = np.random.default_rng(seed).permutation(len(batch.rewards))
    found, shuffled = batch.estimate(**options), batch.take(order).estimate(**options)
    assert same_bits(found.advantages[order], shuffled.advantages)
    assert by_group(found) == by_group(shuffled)
    assert found.calibration == shuffled.calibration and found.rule == shuffled.rule


# Half the length of the first three squares to 0, that of the fourth to few digits.
TINY_RANGES = [
    (0.0, 5e-324),
    (0.0, 1e-300),
    (-1e-300, 1e-300),
    (-1e-160, 1e-160),
    (0.0, 1e-140),
    (0.0, 1.0),
    (-1.0, -0.0),
]
TINY = [0.0, -0.0, 5e-324, -5e-324, 3e-308, 9e-302, -1e-300, 1e-161]
ALL_RULES = [*RULES, "mixture", "jspo", "batch_mean"]


def tiny_batch(random, reward_range, rule, is_weighted):
    """Rows in random order whose zeros have random signs, within a group too, and the keywords of a call."""
    low, high = reward_range
    values = [low, high] + [value for value in TINY if low <= value <= high and rule != "mixture"]
    strengths = [0.0, 5e-324, 1e-300, 3.0, 1e30]
    count = random.choice([1, 3, 12])
    groups = random.permutation(np.repeat(np.arange(count), random.integers(1, 7, count)))
    rewards = random.choice(values[: random.integers(1, len(values) + 1)], len(groups))
    prior = random.choice([*values, low + (high - low) / 3, np.nan], count)[groups]
    for column in (rewards, prior):
        zeros = column == 0
        column[zeros] = random.choice([0.0, -0.0], zeros.sum())
    batch = Rows(rewards, groups, prior, random.choice(strengths, count)[groups], reward_range)
    weights = [0.0, -0.0, 5e-324, 1e-300, 0.3, 2.0, 1e300]
    columns = {"weights": random.choice(weights, len(groups))} if is_weighted else {}
    if random.random() < 0.3:
        columns["mask"] = random.random(len(groups)) < 0.8
    return batch, columns


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("rule", ALL_RULES)
def test_the_order_of_rows_changes_nothing_near_zero(rule, leave_one_out, is_weighted):
    """Products that underflow and signs of zeros: every way of the core through every order has the same bits."""
    if is_weighted and rule in ("mixture", "median"):
        pytest.skip("takes no weights")
    random = np.random.default_rng(0)
    for trial in range(12 * len(TINY_RANGES)):
        reward_range = TINY_RANGES[trial % len(TINY_RANGES)]
        batch, columns = tiny_batch(random, reward_range, rule, is_weighted)
        batch.rewards = batch.rewards.astype(random.choice([np.float32, np.float64]))
        options = dict(
            rule=rule,
            leave_one_out=leave_one_out,
            scale=random.choice(["none", *SCALES]),
            singleton=random.choice(["zero", "raw"]),
            epsilon=random.choice([0.0, 5e-324, 1e-6]),
        )
        found = batch.estimate(**columns, **options)
        rows = np.arange(len(batch.rewards))
        for order in (rows, rows[::-1], np.argsort(batch.groups, kind="stable"), random.permutation(rows)):
            turned = batch.take(order)
            options.update({name: column[order] for name, column in columns.items()})
            whole = turned.estimate(**options)
            assert by_group(whole) == by_group(found), (batch, options)
            alone = v05.advantages(**turned.arguments(**options))
            for advantages in (whole.advantages, alone) if rule != "discounted_beta" else (whole.advantages,):
                assert same_bits(advantages, found.advantages[order]), (batch, options)


@given(rows(), options, st.sampled_from([np.float32, np.float64]))
def test_advantages_alone_are_those_of_an_estimate(batch, options, dtype):
    """Whatever way the core takes, and it takes a quick one for rows side by side."""
    batch = dataclasses.replace(batch, rewards=batch.rewards.astype(dtype))
    order = np.argsort(batch.groups, kind="stable")
    sorted_batch = batch.take(order)
    found = sorted_batch.advantages(**options)
    assert same_bits(found, sorted_batch.estimate(**options).advantages)
    assert same_bits(found, batch.advantages(**options)[order])


@given(rows(), options, st.integers(0, 999))
def test_the_names_of_groups_change_nothing(batch, options, seed):
    found = batch.estimate(**options)
    integers = np.random.default_rng(seed).integers(-(2**63), 2**63, 18)
    names = [integers[batch.groups], [f"uid {integers[group]}" for group in batch.groups], (-batch.groups).tolist()]
    for groups in names:
        renamed = v05.estimate(**{**batch.arguments(**options), "groups": groups, "prior_strength": batch.strength})
        assert same_bits(renamed.advantages, found.advantages)
        assert list(by_group(renamed).values()) == list(by_group(found).values())
        assert same_bits(renamed.row_group, found.row_group)


@given(rows(), options, st.data())
def test_masked_rows_are_as_good_as_deleted(batch, options, data):
    mask = drawn_mask(data, batch)
    spoiled = dataclasses.replace(
        batch,
        rewards=np.where(mask, batch.rewards, np.nan),
        prior=np.where(mask, batch.prior, 0.123),
        strength=np.where(mask, batch.strength, 7),
    )
    found, deleted = spoiled.estimate(mask=mask, **options), batch.take(mask).estimate(**options)
    assert same_bits(found.advantages[mask], deleted.advantages)
    assert np.all(found.advantages[~mask] == 0)
    present = set(batch.groups[mask].tolist())
    counted = {group: bits for group, bits in by_group(found).items() if group in present}
    assert counted == by_group(deleted)
    assert found.calibration == deleted.calibration


@given(rows(), st.sampled_from([rule for rule in RULES if rule != "rloo"]))
def test_leave_one_out_is_the_rule_on_the_other_rows(batch, rule):
    whole = batch.estimate(rule=rule, leave_one_out=True)
    for row in range(len(batch.rewards)):
        others = np.arange(len(batch.rewards)) != row
        found = batch.estimate(rule=whole.rule, mask=others, calibration=whole.calibration, check_fit=False)
        baseline = found.baseline[found.row_group[row]]
        expected = 0 if np.isnan(baseline) else batch.rewards[row] - baseline
        np.testing.assert_allclose(whole.advantages[row], expected, rtol=1e-12, atol=1e-14)


@given(rows(kinds=["two-valued"]), st.sampled_from([0.01, 0.2, 0.8]))
def test_leave_one_out_of_the_exact_test(batch, level):
    exact = dict(test="exact", level=level)
    whole = batch.advantages(leave_one_out=True, **exact)
    for row in range(len(batch.rewards)):
        found = batch.estimate(mask=np.arange(len(batch.rewards)) != row, **exact)
        baseline = found.baseline[found.row_group[row]]
        expected = 0 if np.isnan(baseline) else batch.rewards[row] - baseline
        np.testing.assert_allclose(whole[row], expected, rtol=1e-12, atol=1e-14)


@given(rows())
def test_rloo_is_grpo_stretched(batch):
    """k / (k - 1) times as large, and `grpo` with leave_one_out by another name."""
    grpo = batch.estimate(rule="grpo")
    count = grpo.count[grpo.row_group]
    stretch = np.where(count > 1, count / np.maximum(count - 1, 1), 0)
    rloo = batch.advantages(rule="rloo")
    np.testing.assert_allclose(rloo, stretch * grpo.advantages, rtol=1e-12, atol=1e-15)
    assert same_bits(rloo, batch.advantages(rule="grpo", leave_one_out=True))


@given(rows(), scales, st.integers(0, 1), st.sampled_from(["v05", "grpo", "median", "calibrated"]))
def test_scales_divide_by_the_standard_deviation(batch, scale, ddof, rule):
    plain = batch.advantages(rule=rule)
    divisors = np.ones(len(plain))
    groups = np.zeros_like(batch.groups) if scale == "batch" else batch.groups
    members = [groups == group for group in np.unique(groups)]
    for rows_of in members:
        if scale != "none" and len(np.unique(batch.rewards[rows_of])) > 1:
            divisors[rows_of] = np.std(batch.rewards[rows_of], ddof=ddof) + 1e-6
    found = batch.advantages(rule=rule, scale=scale, ddof=ddof)
    np.testing.assert_allclose(found, plain / divisors, rtol=1e-10, atol=1e-15)


@given(rows(), options)
def test_single_precision_is_the_double_rounded_once(batch, options):
    single = dataclasses.replace(batch, rewards=batch.rewards.astype(np.float32))
    double = dataclasses.replace(batch, rewards=single.rewards.astype(np.float64))
    assert same_bits(single.advantages(**options), double.advantages(**options).astype(np.float32))


# The exact test.


def test_exact_p_values_are_those_of_scipy():
    """Every k up to 30 and every number of successes, against a grid of priors that contains ties and ends."""
    stats = pytest.importorskip("scipy.stats")
    chances = [0.0, 1e-3, 0.1, 0.25, 1 / 3, 0.5, 0.6, 0.75, 0.9, 1.0]
    cases = [(k, s, p) for k in range(1, 31) for s in range(k + 1) for p in chances]
    groups = np.repeat(np.arange(len(cases)), [k for k, _, _ in cases])
    rewards = np.concatenate([np.arange(k) < s for k, s, _ in cases]).astype(float)
    found = v05.estimate(rewards, groups, np.array([p for _, _, p in cases])[groups], test="exact", level=0.05)
    expected = np.array([stats.binomtest(s, k, p).pvalue for k, s, p in cases])
    np.testing.assert_allclose(found.p_value, expected, rtol=1e-11, atol=1e-300)
    clear = np.abs(expected - 0.05) > 1e-9
    assert np.all((found.rejected == (expected < 0.05))[clear])
    bound = v05.estimate(rewards, groups, np.array([p for _, _, p in cases])[groups])
    np.testing.assert_array_equal(found.weight, np.where(found.rejected, bound.weight, 0))


# What the rules are worth. Each test is one-sided with a critical value of 4.5 standard errors: a correct library fails
# it by chance with probability 3.4e-6, once, when the seed is changed.

CRITICAL = 4.5


def z_score(values):
    return values.mean() / (values.std(ddof=1) / np.sqrt(len(values)))


PRIORS = {"perfect": perfect, "noisy": noisy, "constant": constant, "adversarial": adversarial}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("rollouts", [2, 4, 16])
def test_calibrated_is_not_worse_than_the_group_mean(name, rollouts):
    batch = simulated(np.random.default_rng(10), 8192, rollouts, PRIORS[name])
    found = v05.estimate(*batch.arguments, rule="calibrated")
    errors, of_mean = (found.baseline - batch.values) ** 2, (found.mean - batch.values) ** 2
    assert z_score(errors - of_mean) < CRITICAL
    assert errors.mean() < (0.1 if name == "perfect" else 1.0) * of_mean.mean()
    # The error that it reports is the error that it makes, to 10 % of that of the mean.
    assert abs(errors.mean() - found.mse.mean()) < 0.1 * of_mean.mean()


@pytest.mark.parametrize("name, slope", [("perfect", 1), ("adversarial", 0)])
def test_the_slope_tells_good_priors_from_bad_ones(name, slope):
    batch = simulated(np.random.default_rng(11), 8192, 4, PRIORS[name])
    calibration = v05.fit_calibration(*batch.arguments)
    assert calibration.slope == pytest.approx(slope, abs=0.05)
    assert calibration.reward_variance == pytest.approx(np.mean(batch.values * (1 - batch.values)), rel=0.05)
    assert calibration.between_variance == pytest.approx(np.var(batch.values), rel=0.1)
    assert calibration.groups == calibration.total_groups == 8192


def test_the_paper_rule_is_better_with_a_good_prior_and_worse_with_a_bad_one():
    """Why "calibrated" is the safe choice."""
    for name, sign in (("perfect", 1), ("noisy", 1), ("constant", -1), ("adversarial", -1)):
        batch = simulated(np.random.default_rng(12), 8192, 4, PRIORS[name])
        found = v05.estimate(*batch.arguments)
        gain = (found.mean - batch.values) ** 2 - (found.baseline - batch.values) ** 2
        assert sign * z_score(gain) > CRITICAL, name


@pytest.mark.parametrize("rule", ["v05", "calibrated", "rloo", "james_stein", "prior", "median", "discounted_beta"])
@pytest.mark.parametrize("rollouts", [2, 5])
def test_leave_one_out_keeps_the_gradient_unbiased(rule, rollouts):
    """E[(r - p) b] = 0 with a calibration from earlier batches; two-sided, 6.8e-6 per case."""
    generator = np.random.default_rng(13)
    earlier = v05.fit_calibration(*simulated(generator, 1024, rollouts, noisy).arguments)
    batch = simulated(generator, 16384, rollouts, noisy)
    truth = batch.values[batch.groups]

    def bias(**options):
        advantages = v05.advantages(*batch.arguments, rule=rule, calibration=earlier, prior_strength=3, **options)
        baselines = batch.rewards - advantages
        return np.bincount(batch.groups, (batch.rewards - truth) * baselines) / rollouts

    assert abs(z_score(bias(leave_one_out=True))) < CRITICAL
    if rule not in ("rloo", "prior"):
        assert z_score(bias()) > CRITICAL


# Calibrations over batches.


def fields_close(one, other, tolerance):
    for field in dataclasses.fields(v05.Calibration):
        np.testing.assert_allclose(
            getattr(one, field.name), getattr(other, field.name), rtol=tolerance, atol=tolerance, err_msg=field.name
        )


@given(rows(fewest=1))
def test_one_update_is_a_fit(batch):
    arguments = batch.arguments()
    fitted = v05.fit_calibration(**arguments)
    reward_range = arguments.pop("reward_range")
    fields_close(v05.RunningCalibration(reward_range=reward_range).update(**arguments), fitted, 1e-9)


@given(st.lists(rows(fewest=1), min_size=2, max_size=4))
def test_without_memory_only_the_last_batch_counts(batches):
    running = v05.RunningCalibration(discount=0)
    for batch in batches:
        found = running.update(batch.rewards, batch.groups, batch.prior)
    fields_close(found, v05.fit_calibration(batch.rewards, batch.groups, batch.prior), 1e-9)


def concatenated(batches):
    groups = [batch.groups + 1000 * number for number, batch in enumerate(batches)]
    return (
        np.concatenate([batch.rewards for batch in batches]),
        np.concatenate(groups),
        np.concatenate([batch.prior for batch in batches]),
    )


@pytest.mark.parametrize("rollouts", [2, 3, 8])
@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_with_full_memory_batches_merge_exactly(rollouts, prior):
    """With equally many rollouts per group all weights are 1, so that sums are all there is to a fit."""
    generator = np.random.default_rng(14)
    batches = [simulated(generator, size, rollouts, prior) for size in (1, 3, 40, 17, 128, 2, 64)]
    running = v05.RunningCalibration(discount=1)
    for batch in batches:
        running.update(*batch.arguments)
    fields_close(running.calibration, v05.fit_calibration(*concatenated(batches)), 1e-9)


def test_batches_merge_nearly_with_uneven_groups():
    """The weights within a batch are those of its own fit, so that merging is an approximation there."""
    generator = np.random.default_rng(15)
    batches = [simulated(generator, 256, generator.integers(1, 9, 256), noisy) for _ in range(8)]
    running = v05.RunningCalibration(discount=1)
    for batch in batches:
        running.update(*batch.arguments)
    fields_close(running.calibration, v05.fit_calibration(*concatenated(batches)), 0.03)


def test_discounted_updates_forget():
    """Priors that turn from perfect to adversarial are noticed within about 1 / (1 - discount) batches."""
    generator = np.random.default_rng(16)
    running = v05.RunningCalibration(discount=0.5)
    for _ in range(4):
        running.update(*simulated(generator, 512, 4, perfect).arguments)
    assert running.calibration.slope > 0.9
    for _ in range(6):
        running.update(*simulated(generator, 512, 4, adversarial).arguments)
    assert running.calibration.slope < 0.1
    assert running.calibration.groups == 512 * (2 - 2**-9)


@given(rows(), st.floats(0, 1), st.floats(0, 1.5), st.floats(0, 0.1), st.floats(0, 0.25), st.sampled_from([8.0, 100.0]))
def test_a_given_calibration_is_used_as_it_is(batch, intercept, slope, spread, noise, groups):
    """b = f + w (m - f) with f = clip(a + beta V, lo, hi), w = tau^2 / (tau^2 + v), mse = w v."""
    given = v05.Calibration(intercept, slope, spread, noise, 0.4, spread / 2, groups, groups)
    for rule in ("calibrated", "james_stein"):
        found = batch.estimate(rule=rule, calibration=given, check_fit=False)
        assert found.rule == rule and found.calibration == given
        known = ~np.isnan(found.prior) & (rule == "calibrated")
        center = np.where(known, np.clip(intercept + slope * found.prior, 0, 1), 0.4)
        variance = noise / found.count
        total = np.where(known, spread, spread / 2) + variance
        with np.errstate(all="ignore"):
            weight = np.where(variance > 0, (total - variance) / total, 1)
        np.testing.assert_allclose(found.weight, weight, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.baseline, center + weight * (found.mean - center), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.mse, weight * variance, rtol=1e-9, atol=1e-12)


@given(rows())
def test_a_calibration_of_too_few_groups_is_not_used(batch):
    few = v05.Calibration(0.9, 0.0, 0.0, 0.2, 0.9, 0.0, 7.9, 7.9)
    for rule in ("calibrated", "james_stein"):
        given, alone = batch.estimate(rule=rule, calibration=few), batch.estimate(rule=rule)
        assert same_bits(given.advantages, alone.advantages) and given.calibration == alone.calibration
