"""The rule "mixture": against scipy, its odd cases, its values carried over, and what it is worth on real pass
rates."""

import json
import pickle

import numpy as np
import pytest
import v05

special = pytest.importorskip("scipy.special", reason="scipy is not installed")
mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed")

STRENGTHS = 2.0 ** np.arange(-1, 9)
RANGES = [(0.0, 1.0), (-1.0, 1.0), (-3.0, 7.0)]


def batch(seed, groups=40, reward_range=(0.0, 1.0), most=12, missing=0.2):
    """Two-valued rewards of groups of every size up to `most`, with noisy priors of which some are missing."""
    generator = np.random.default_rng(seed)
    low, high = reward_range
    truth = generator.beta(0.7, 0.7, groups)
    prior = low + (high - low) * np.clip(truth + generator.normal(0, 0.2, groups), 0, 1)
    prior[generator.random(groups) < missing] = np.nan
    rows = generator.permutation(np.repeat(np.arange(groups), generator.integers(1, most + 1, groups)))
    rewards = np.where(generator.random(len(rows)) < truth[rows], high, low)
    return rewards, rows, prior[rows]


class Reference:
    """Beta-binomial EM by scipy, from the calibration alone."""

    def __init__(self, rewards, groups, prior, reward_range, calibration):
        self.low, self.high = reward_range
        self.calibration = calibration
        ids = np.unique(groups)
        counts = [(groups == group).sum() for group in ids]
        wins = [(rewards[groups == group] == self.high).sum() for group in ids]
        priors = [prior[groups == group][0] for group in ids]
        tables = [self.components(value) for value in priors]
        known = [i for i, value in enumerate(priors) if not np.isnan(value)]
        self.weights = self.fitted([self.likelihood(tables[i][:30], wins[i], counts[i]) for i in known])
        self.grand_weights = self.fitted(
            [self.likelihood(tables[i][-10:], wins[i], counts[i]) for i in range(len(ids))]
        )

    def components(self, prior):
        """(a, b) of each Beta distribution: 30 with a prior, 10 without."""
        fit = self.calibration
        values = [fit.grand_mean] if np.isnan(prior) else [prior, fit.intercept + fit.slope * prior, fit.grand_mean]
        centers = np.clip((np.array(values) - self.low) / (self.high - self.low), 0.02, 0.98)
        return np.array([(q * c, q * (1 - c)) for c in centers for q in STRENGTHS])

    def likelihood(self, components, wins, count):
        a, b = components.T
        return special.betaln(a + wins, b + count - wins) - special.betaln(a, b)

    def fitted(self, likelihoods):
        likelihoods = np.array(likelihoods)
        weights = np.full(likelihoods.shape[1], 1 / likelihoods.shape[1])
        for _ in range(40):
            shares = special.softmax(np.log(weights) + likelihoods, axis=1).sum(axis=0) + 0.05
            weights = shares / shares.sum()
        return weights

    def posterior(self, prior, wins, count):
        """Baseline, mse and weight of the mean."""
        components = self.components(prior)
        a, b = components.T
        weights = self.grand_weights if np.isnan(prior) else self.weights
        shares = special.softmax(np.log(weights) + self.likelihood(components, wins, count))
        mean = (a + wins) / (a + b + count)
        value = (shares * mean).sum()
        variance = (shares * (mean * (1 - mean) / (a + b + count + 1) + (mean - value) ** 2)).sum()
        width = self.high - self.low
        return self.low + width * value, width**2 * variance, (shares * count / (a + b + count)).sum()


@pytest.mark.parametrize("reward_range", RANGES)
@pytest.mark.parametrize("seed, most", [(0, 12), (1, 2), (2, 900)])
def test_equals_scipy(reward_range, seed, most):
    rewards, groups, prior = batch(seed, reward_range=reward_range, most=most)
    found = v05.estimate(rewards, groups, prior, rule="mixture", reward_range=reward_range)
    assert found.rule == "mixture"
    fit = v05.fit_calibration(rewards, groups, prior, reward_range=reward_range)
    assert found.calibration == fit == found.mixture.calibration
    reference = Reference(rewards, groups, prior, reward_range, fit)
    np.testing.assert_allclose(found.mixture.weights, reference.weights, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.mixture.grand_weights, reference.grand_weights, rtol=1e-9, atol=1e-12)
    wins = np.round(found.count * (found.mean - reward_range[0]) / np.ptp(reward_range)).astype(int)
    expected = [reference.posterior(*group) for group in zip(found.prior, wins, found.count)]
    for name, column in zip(("baseline", "mse", "weight"), np.transpose(expected)):
        np.testing.assert_allclose(getattr(found, name), column, rtol=1e-9, atol=1e-12, err_msg=name)
    others = v05.advantages(rewards, groups, prior, rule="mixture", reward_range=reward_range, leave_one_out=True)
    won = rewards == reward_range[1]
    for row in range(0, len(rewards), 7):
        group = found.row_group[row]
        left = reference.posterior(found.prior[group], wins[group] - won[row], found.count[group] - 1)[0]
        assert others[row] == pytest.approx(rewards[row] - left, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("wins, count", [(1, 1), (0, 1), (0, 5), (5, 5), (1, 2), (3, 16), (15, 16), (700, 3000)])
@pytest.mark.parametrize("prior", [0.3, np.nan])
def test_leaving_a_reward_out_is_the_group_without_it_bit_for_bit(wins, count, prior):
    mixture = v05.fit_mixture(*batch(14))
    rewards = (np.arange(count) < wins).astype(float)

    def estimate(counted, **options):
        groups = np.zeros(count, dtype=np.int64)
        chosen = dict(rule="mixture", mixture=mixture, mask=counted, **options)
        return v05.estimate(rewards, groups, np.full(count, prior), **chosen)

    found = estimate(np.full(count, True), leave_one_out=True).advantages
    for row in {0, count - 1}:
        alone = estimate(np.arange(count) != row).baseline[0]
        assert found[row] == rewards[row] - alone


def test_a_million_rewards_of_one_prompt():
    rewards, groups, prior = batch(3)
    many = np.arange(1_000_000) % 4 == 0
    found = v05.estimate(
        np.concatenate([rewards, many]),
        np.concatenate([groups, np.full(len(many), -1)]),
        np.concatenate([prior, np.full(len(many), 0.9)]),
        rule="mixture",
        leave_one_out=True,
    )
    assert np.isfinite(found.advantages).all()
    assert found.baseline[found.groups == -1] == pytest.approx(0.25, abs=1e-3)


def test_order_of_rows_does_not_matter_bit_for_bit():
    rewards, groups, prior = batch(4, groups=200)
    order = np.random.default_rng(0).permutation(len(rewards))
    for leave_one_out in (False, True):
        options = dict(rule="mixture", leave_one_out=leave_one_out)
        whole = v05.advantages(rewards, groups, prior, **options)
        mixed = v05.advantages(rewards[order], groups[order], prior[order], **options)
        assert whole[order].tobytes() == mixed.tobytes()
    assert v05.fit_mixture(rewards, groups, prior) == v05.fit_mixture(rewards[order], groups[order], prior[order])


def test_masked_rows_count_for_nothing():
    rewards, groups, prior = batch(5)
    mask = np.random.default_rng(1).random(len(rewards)) < 0.7
    spoiled = np.where(mask, rewards, np.nan)
    found = v05.estimate(spoiled, groups, prior, rule="mixture", mask=mask)
    alone = v05.estimate(rewards[mask], groups[mask], prior[mask], rule="mixture")
    assert (found.advantages[mask] == alone.advantages).all() and (found.advantages[~mask] == 0).all()
    assert found.mixture == alone.mixture


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, bool])
def test_every_dtype_of_rewards(dtype):
    rewards, groups, prior = batch(6)
    expected = v05.advantages(rewards, groups, prior, rule="mixture")
    found = v05.advantages(rewards.astype(dtype), groups, prior, rule="mixture")
    np.testing.assert_allclose(
        found, expected, rtol=2e-3 if dtype == np.float16 else 1e-6, atol=1e-3 if dtype == np.float16 else 1e-6
    )


# Odd cases.


def test_too_few_groups_fall_back():
    rewards, groups, prior = batch(7, groups=7, missing=0)
    found = v05.estimate(rewards, groups, prior, rule="mixture")
    assert found.rule == "v05" and found.mixture is None and found.calibration is None
    assert (found.advantages == v05.advantages(rewards, groups, prior)).all()
    few = v05.fit_mixture(rewards, groups, prior)
    assert few.calibration.groups < 8
    many = v05.fit_mixture(*batch(8))
    assert v05.estimate(rewards, groups, prior, rule="mixture", mixture=many).rule == "mixture"
    assert v05.estimate(rewards, groups, prior, rule="mixture", mixture=few).rule == "v05"
    refitted = v05.estimate(*batch(8), rule="mixture", mixture=few)
    assert refitted.mixture == many


def test_a_single_rollout_and_none():
    """k = 1 with leave_one_out and k = 0: what was known before."""
    mixture = v05.fit_mixture(*batch(9))
    reference = Reference(*batch(9), (0.0, 1.0), mixture.calibration)
    found = v05.estimate(
        [1.0, 0.0, 1.0],
        [0, 1, 2],
        [0.3, np.nan, 0.8],
        mask=[1, 1, 0],
        rule="mixture",
        mixture=mixture,
        leave_one_out=True,
    )
    for group, prior in enumerate([0.3, np.nan]):
        baseline = reference.posterior(prior, 0, 0)[0]
        assert found.advantages[group] == pytest.approx((1.0, 0.0)[group] - baseline, abs=1e-12)
    baseline, mse, weight = reference.posterior(0.8, 0, 0)
    assert (found.baseline[2], found.mse[2], found.weight[2]) == pytest.approx((baseline, mse, weight), abs=1e-12)


def test_a_batch_of_nothing():
    assert v05.advantages([], [], rule="mixture") == []
    nothing = v05.fit_mixture([], [], None)
    assert nothing.weights == pytest.approx([1 / 30] * 30) and nothing.grand_weights == pytest.approx([1 / 10] * 10)
    assert nothing.calibration.groups == 0


@pytest.mark.parametrize("call", [v05.advantages, v05.estimate])
def test_rewards_of_more_than_two_values(call):
    rewards, groups, prior = batch(10)
    rewards[17] = 0.5
    with pytest.raises(v05.InvalidArgument) as caught:
        call(rewards, groups, prior, rule="mixture")
    assert str(caught.value) == (
        "rewards[17] must be an end of reward_range for the rule mixture (calibrated takes any reward): [0, 1], got 0.5"
    )
    assert caught.value.status == "V05_STATUS_REWARD_NOT_TWO_VALUED" and caught.value.index == 17
    for fit in (v05.fit_mixture, v05.RunningMixture().update):
        with pytest.raises(v05.InvalidArgument, match=r"rewards\[17\] must be an end of reward_range"):
            fit(rewards, groups, prior)
    mask = np.arange(len(rewards)) != 17
    call(rewards, groups, prior, rule="mixture", mask=mask)
    with pytest.raises(v05.InvalidArgument, match=r"rewards\[18\] .*got nan"):
        call(np.where(np.arange(len(rewards)) == 18, np.nan, rewards), groups, prior, rule="mixture")


BAD = {
    "another kind": (
        {"weights": 1},
        v05.ArgumentTypeError,
        "mixture must be a Mixture, a RunningMixture or None, got dict",
    ),
    "too few weights": (dict(weights=(1.0,)), v05.InvalidArgument, "mixture.weights must be 30 numbers, got 1"),
    "no weights": (
        dict(grand_weights=None),
        v05.ArgumentTypeError,
        "mixture.grand_weights must be 10 numbers, got None",
    ),
    "text": (dict(grand_weights=("x",) * 10), v05.ArgumentTypeError, "mixture.grand_weights must be a number, got 'x'"),
    "sum": (
        dict(grand_weights=(0.2,) * 10),
        v05.InvalidArgument,
        "mixture must hold weights of at least 1e-100 that sum to 1",
    ),
    "zero": (
        dict(weights=(0.0, 1.0) + (0.0,) * 28),
        v05.InvalidArgument,
        "mixture must hold weights of at least 1e-100",
    ),
    "NaN": (dict(weights=(np.nan,) * 30), v05.InvalidArgument, "mixture must hold weights of at least 1e-100"),
    "no calibration": (dict(calibration=None), v05.ArgumentTypeError, "mixture.calibration must be a Calibration"),
}


@pytest.mark.parametrize("fields, kind, message", BAD.values(), ids=BAD)
def test_bad_mixtures(fields, kind, message):
    rewards, groups, prior = batch(11)
    good = v05.fit_mixture(rewards, groups, prior)
    mixture = (
        fields
        if kind is v05.ArgumentTypeError and message.endswith("got dict")
        else v05.Mixture(
            **{"calibration": good.calibration, "weights": good.weights, "grand_weights": good.grand_weights, **fields}
        )
    )
    for call in (
        lambda: v05.advantages(rewards, groups, prior, rule="mixture", mixture=mixture),
        lambda: v05.Allocator([0.5], mixture=mixture),
    ):
        with pytest.raises(kind, match=message.replace("[", r"\[")):
            call()


# Carried over.


def test_a_mixture_is_a_value():
    rewards, groups, prior = batch(12)
    mixture = v05.fit_mixture(rewards, groups, prior)
    assert pickle.loads(pickle.dumps(mixture)) == mixture
    fitted = v05.advantages(rewards, groups, prior, rule="mixture", leave_one_out=True)
    given = v05.advantages(rewards, groups, prior, rule="mixture", leave_one_out=True, mixture=mixture)
    assert (fitted == given).all()
    assert (
        v05.advantages(rewards, groups, prior, rule="calibrated", mixture=mixture)
        == v05.advantages(rewards, groups, prior, rule="calibrated")
    ).all()


@pytest.mark.parametrize("reward_range", RANGES)
def test_one_update_is_the_fit(reward_range):
    rewards, groups, prior = batch(13, reward_range=reward_range)
    running = v05.RunningMixture(reward_range=reward_range, discount=0.3)
    assert running.mixture.calibration.groups == 0
    found = running.update(rewards, groups, prior)
    fit = v05.fit_mixture(rewards, groups, prior, reward_range=reward_range)
    np.testing.assert_allclose(found.weights, fit.weights, rtol=1e-9)
    np.testing.assert_allclose(found.grand_weights, fit.grand_weights, rtol=1e-9)
    assert found.calibration.groups == fit.calibration.groups
    assert (running.updates, running.discount, running.reward_range) == (1, 0.3, reward_range)
    given = v05.advantages(rewards, groups, prior, rule="mixture", reward_range=reward_range, mixture=running)
    expected = v05.advantages(rewards, groups, prior, rule="mixture", reward_range=reward_range)
    np.testing.assert_allclose(given, expected, rtol=1e-8, atol=1e-9)
    with pytest.raises(v05.InvalidArgument, match="mixture must have the reward_range of the call"):
        v05.advantages(rewards * 0.5, groups, rule="mixture", reward_range=(-9, 9), mixture=running)


def test_small_steps_add_up():
    """64 batches of 8 prompts without discount know nearly as much as one of 512."""
    rewards, groups, prior = batch(14, groups=512, missing=0, most=6)
    running = v05.RunningMixture(discount=1)
    for first in range(0, 512, 8):
        rows = (groups >= first) & (groups < first + 8)
        running.update(rewards[rows], groups[rows], prior[rows])
    whole = v05.advantages(rewards, groups, prior, rule="mixture")
    carried = v05.advantages(rewards, groups, prior, rule="mixture", mixture=running)
    assert np.abs(whole - carried).mean() < 0.03
    assert sum(running._struct.counts[:30]) == pytest.approx(512, rel=1e-9)
    assert sum(running._struct.counts[30:]) == pytest.approx(512, rel=1e-9)


def test_a_running_mixture_resumes():
    running = v05.RunningMixture(reward_range=(-1, 1), discount=0.8)
    running.update(*batch(15, reward_range=(-1, 1)))
    resumed = v05.RunningMixture()
    resumed.load_state_dict(running.state_dict())
    again = pickle.loads(pickle.dumps(running))
    for one in (running, resumed, again):
        one.update(*batch(16, reward_range=(-1, 1)))
    assert running.mixture == resumed.mixture == again.mixture
    assert running.state_dict() == resumed.state_dict()
    with pytest.raises(v05.CheckpointError):
        v05.RunningCalibration().load_state_dict(running.state_dict())
    data = bytearray(running.state_dict()["checkpoint"])
    data[40] ^= 1
    before = resumed.state_dict()
    with pytest.raises(v05.CheckpointError):
        resumed.load_state_dict({"checkpoint": bytes(data)})
    assert resumed.state_dict() == before


# The allocator.


@pytest.mark.parametrize("rule", ["osla", "neyman"])
def test_an_allocator_for_the_mixture(rule):
    mixture = v05.fit_mixture(*batch(17, groups=100))
    prior = np.array([0.05, 0.5, np.nan, 0.95])
    generator = np.random.default_rng(2)
    allocator = v05.Allocator(prior, rule=rule, mixture=mixture, initial=2, maximum=12, budget=24)
    while (wanted := allocator.request()).any():
        rows = np.repeat(np.arange(4), wanted)
        allocator.observe(rows, (generator.random(len(rows)) < np.array([0, 0.5, 0.5, 1])[rows]).astype(float))
    found = allocator.estimate()
    assert found.rule == "mixture" and found.mixture == mixture
    rows, rewards = allocator.observations()
    expected = v05.estimate(rewards, rows, prior[rows], rule="mixture", mixture=mixture)
    np.testing.assert_allclose(found.advantages, expected.advantages, rtol=1e-12)
    assert allocator.counts.sum() <= 24
    if rule == "neyman":
        assert allocator.counts.sum() == 24
        assert min(allocator.counts[1:3]) >= max(allocator.counts[0], allocator.counts[3])
    restored = pickle.loads(pickle.dumps(allocator))
    assert restored.state_dict() == allocator.state_dict()
    assert restored.estimate().mixture == mixture


def test_an_allocator_takes_one_of_both_and_two_values():
    mixture = v05.fit_mixture(*batch(18))
    with pytest.raises(v05.InvalidArgument, match="calibration must be None where a mixture is given"):
        v05.Allocator([0.5], mixture=mixture, calibration=mixture.calibration)
    allocator = v05.Allocator([0.5], mixture=mixture)
    allocator.request()
    with pytest.raises(
        v05.InvalidArgument, match=r"rewards\[1\] must be an end of reward_range with a mixture .*got 0.5"
    ):
        allocator.observe([0, 0], [1.0, 0.5])
    allocator.observe([0, 0], [1.0, 0.0])


# What it is worth.


@pytest.mark.parametrize("rollouts", [2, 4, 8])
def test_never_worse_than_the_paper_on_real_pass_rates(rollouts, shared_data):
    """Squared error of the baseline of 40 batches of 256 prompts whose pass rates are those of real training runs: the
    mean difference to rule "v05" is at most two of its standard errors at every quality of the prior."""
    log = shared_data / "one-shot-rlvr" / "pass_rates.jsonl"
    rates = [json.loads(line) for line in log.read_text().splitlines()]
    rates = np.concatenate(
        [np.convolve(row["successes"], np.ones(9), "valid") / (9 * row["rollouts"]) for row in rates]
    )
    rates = 2 * rates - 1
    generator = np.random.default_rng(20)
    noise = generator.standard_normal
    priors = {
        "perfect": lambda truth: truth,
        "noise .2": lambda truth: truth + 0.2 * noise(256),
        "noise .4": lambda truth: truth + 0.4 * noise(256),
        "biased +.3": lambda truth: truth + 0.3,
        "20 % hallucinated": lambda truth: np.where(generator.random(256) < 0.2, generator.uniform(-1, 1, 256), truth),
        "constant": lambda truth: np.full(256, rates.mean()),
        "embedding": lambda truth: rates.mean() + 0.15 * (truth - rates.mean()) + 0.2 * noise(256),
        "adversarial": lambda truth: -truth,
    }
    gains = {name: [] for name in priors}
    for _ in range(40):
        truth = generator.choice(rates, 256)
        rewards = np.where(generator.random((256, rollouts)) < (1 + truth[:, None]) / 2, 1.0, -1.0).ravel()
        groups = np.repeat(np.arange(256), rollouts)
        for name, prior_of in priors.items():
            prior = np.clip(prior_of(truth), -1, 1)[groups]
            errors = [
                np.mean((v05.estimate(rewards, groups, prior, rule=rule, reward_range=(-1, 1)).baseline - truth) ** 2)
                for rule in ("v05", "mixture")
            ]
            gains[name].append(errors[1] - errors[0])
    for name, values in gains.items():
        print(f"{rollouts} {name:18s} {np.mean(values):+.4f}")
        assert np.mean(values) <= 2 * np.std(values, ddof=1) / np.sqrt(len(values)), name


def exact_posterior(mixture, prior, successes, count):
    """(mean, variance) to 60 digits."""
    mpf, fit = mpmath.mpf, mixture.calibration
    centers = [prior, fit.intercept + fit.slope * prior, fit.grand_mean]
    total = first = second = mpf(0)
    for index, weight in enumerate(mixture.weights[:30]):
        q = mpf(2) ** (index % 10 - 1)
        c = mpf(min(max(centers[index // 10], 0.02), 0.98))
        a, b = q * c, q * (1 - c)
        share = mpf(float(weight)) * mpmath.beta(a + successes, b + count - successes) / mpmath.beta(a, b)
        mean = (a + successes) / (q + count)
        total += share
        first += share * mean
        second += share * (mean * mean + mean * (1 - mean) / (q + count + 1))
    mean = first / total
    return mean, second / total - mean * mean


CASES = [
    (0, 0),
    (1, 1),
    (1, 2),
    (0, 16),
    (16, 16),
    (7, 16),
    (499, 500),
    (30_000, 100_000),
    (99_999, 100_000),
    (0, 100_000),
]


@pytest.mark.parametrize("successes, count", CASES)
@pytest.mark.parametrize("prior", [0.02, 0.5, 0.97])
def test_mse_to_the_last_digits(prior, successes, count):
    """Where much is known the variance is tiny beside the mean, and yet no digit of it is lost."""
    random = np.random.default_rng(0)
    probabilities = random.random(64)
    mixture = v05.fit_mixture(
        (random.random(256) < np.repeat(probabilities, 4)).astype(float),
        np.repeat(np.arange(64), 4),
        np.repeat(probabilities, 4),
    )
    rewards = (np.arange(max(count, 1)) < successes).astype(float)
    mask = np.full(len(rewards), count > 0)
    found = v05.estimate(rewards, np.zeros(len(rewards), int), prior, rule="mixture", mixture=mixture, mask=mask)
    with mpmath.workdps(60):
        mean, variance = exact_posterior(mixture, prior, successes, count)
        assert abs(found.baseline[0] - mean) <= 1e-15
        assert abs(found.mse[0] - variance) <= 1e-12 * variance
