"""Health of the prior: numbers by hand, limits, odd cases."""

from fractions import Fraction
from math import comb, isnan, nan
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from v05.training.health import prior_error_limit, prior_health, rejection_probability


def groups(mean, prior, count=4, weight=0.5, baseline=None, rejected=False, constant=False):
    mean = np.asarray(mean, dtype=float)

    def full(value):
        return np.broadcast_to(value, mean.shape)

    return SimpleNamespace(
        count=full(count),
        mean=mean,
        prior=np.asarray(prior, dtype=float),
        weight=full(weight),
        baseline=mean if baseline is None else np.asarray(baseline, dtype=float),
        rejected=full(rejected),
        constant=full(constant),
    )


def line(intercept=0.0, slope=1.0, reward_variance=0.0):
    return SimpleNamespace(intercept=intercept, slope=slope, reward_variance=reward_variance)


def test_error_of_the_prior_by_hand():
    health = prior_health(groups([0.0, 0.5, 1.0], [0.2, 0.5, 0.8]), line(reward_variance=0.1))
    # mean of 0.04, 0, 0.04 less 0.1 / 4, in units of h^2 = 0.25
    assert health.error == pytest.approx((0.08 / 3 - 0.025) / 0.25, rel=1e-12)


def test_explained_variance_by_hand():
    health = prior_health(groups([0.0, 0.5, 1.0], [0.2, 0.5, 0.8]), line(reward_variance=0.1))
    # Var(m - V) = 0.04, Var(m) = 0.25, noise 0.025
    assert health.explained_variance == pytest.approx(1 - (0.04 - 0.025) / (0.25 - 0.025), rel=1e-12)


def test_groups_without_prior_count_only_as_such():
    health = prior_health(groups([0.0, 0.5, 1.0, 0.3], [0.2, 0.5, 0.8, nan]), line(reward_variance=0.1))
    assert health.without_prior == 0.25
    assert health.error == pytest.approx((0.08 / 3 - 0.025) / 0.25, rel=1e-12)


def test_no_prior_at_all():
    health = prior_health(groups([0.0, 1.0], [nan, nan]), line())
    assert health.without_prior == 1
    assert isnan(health.error) and isnan(health.weight) and isnan(health.rejected)
    assert "no_prior" in [warning.kind for warning in health.warnings]


def test_constant_groups_and_their_signal():
    estimate = groups([0.0, 1.0, 1.0], [0.5, 1.0, 0.5], baseline=[0.25, 1.0, 0.875], constant=True)
    health = prior_health(estimate, line())
    assert health.constant == 1
    assert health.constant_with_signal == pytest.approx(2 / 3)
    assert health.constant_advantage == pytest.approx((0.25 + 0.125) / 2 / 0.5)


def test_groups_of_one_are_told():
    health = prior_health(groups([0.0, 1.0, 1.0], [0.5, 0.5, 0.5], count=1), line())
    assert health.singletons == 1
    assert isnan(health.error) and isnan(health.explained_variance)
    assert "single" in [warning.kind for warning in health.warnings]


def test_rollouts_saved():
    health = prior_health(groups([0.0, 1.0], [0.5, 0.5], count=[4, 8]), line(), maximum=16)
    assert health.rollouts == 6
    assert health.rollouts_saved == 1 - 6 / 16
    assert isnan(prior_health(groups([0.0], [0.5]), line()).rollouts_saved)


@pytest.mark.parametrize("rollouts, limit", [(1, 0.52), (2, 0.26), (4, 0.13), (8, 0.06), (16, 0.03), (32, 0.015)])
def test_error_limit(rollouts, limit):
    assert prior_error_limit(rollouts) == pytest.approx(limit, rel=1e-12)


@pytest.mark.parametrize("error, warned", [(0.12, False), (0.14, True)])
def test_warning_above_the_limit(error, warned):
    distance = np.sqrt(error * 0.25)
    health = prior_health(groups([0.5 + distance, 0.5 - distance], [0.5, 0.5]), line())
    assert health.error == pytest.approx(error)
    assert bool(health.warnings) == warned


def exact_rejection(k, p):
    """The same probability in exact fractions, with h = 1/2."""
    chance = Fraction(0)
    for s in range(k + 1):
        if (Fraction(s, k) - p) ** 2 > Fraction(1, 4) / k:
            chance += comb(k, s) * p**s * (1 - p) ** (k - s)
    return float(chance)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 8, 16, 64])
def test_rejection_probability_is_exact(k):
    p = [Fraction(n, 37) for n in range(38)]  # no multiple of 1/37 lies on the boundary for these k
    expected = [exact_rejection(k, value) for value in p]
    found = rejection_probability([float(value) for value in p], np.full(38, k))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15)


def test_rejection_probability_on_another_scale():
    prior = np.array([0.1, 0.4, 0.93])
    count = np.array([4, 8, 5])
    np.testing.assert_allclose(
        rejection_probability(2 * prior - 1, count, (-1.0, 1.0)), rejection_probability(prior, count), rtol=1e-12
    )


def test_share_expected_needs_two_valued_rewards():
    estimate = groups([0.0, 1.0], [0.1, 0.9])
    assert isnan(prior_health(estimate, line()).rejected_expected)
    expected = rejection_probability([0.1, 0.9], [4, 4]).mean()
    assert prior_health(estimate, line(), two_valued=True).rejected_expected == pytest.approx(expected)


def test_health_of_an_estimate_does_not_depend_on_the_reward_scale():
    generator = np.random.default_rng(3)
    index = np.repeat(np.arange(60), 6)
    truth = generator.random(60)
    rewards = (generator.random(360) < truth[index]).astype(float)
    prior = np.clip(truth + 0.1 * generator.standard_normal(60), 0, 1)[index]
    found = []
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (2.0, 7.0)):
        scaled, priors = low + (high - low) * rewards, low + (high - low) * prior
        estimate = v05.estimate(scaled, index, priors, reward_range=(low, high))
        calibration = v05.fit_calibration(scaled, index, priors, reward_range=(low, high))
        health = prior_health(estimate, calibration, reward_range=(low, high), two_valued=True)
        found.append([value for name, value in health.as_dict().items() if name not in ("intercept", "warnings")])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-9)


def test_with_score_weights_a_mean_is_worth_what_its_rollouts_weigh():
    found = groups([0.2, 0.6, 0.7], [0.1, 0.6, 0.9], count=4)
    found.effective_count = np.array([2.0, 1.5, 3.0])
    health = prior_health(found, line(reward_variance=0.12))
    assert health.error == pytest.approx((0.01 + 0 + 0.04) / 3 / 0.25 - 0.12 * np.mean([1 / 2, 1 / 1.5, 1 / 3]) / 0.25)
    assert health.error_limit == prior_error_limit(6.5 / 3)


def test_a_right_prior_has_no_error_with_unequal_weights():
    random = np.random.default_rng(0)
    errors = []
    for _ in range(60):
        probability = random.random(64)
        keys = np.repeat(np.arange(64), 4)
        rewards = (random.random(256) < probability[keys]).astype(float)
        estimator = v05.AdvantageEstimator(rule="v05", prior="column", reward_range=(0, 1))
        metrics = estimator.step(
            rewards, keys, keys, column=probability[keys], weights=random.exponential(size=256)
        ).metrics
        errors.append(metrics["v05/error"])
    assert abs(np.mean(errors)) < 4 * np.std(errors) / 60**0.5


@pytest.mark.parametrize("options", [dict(test="exact", level=0.05), dict(weights="unequal"), {}])
def test_the_share_expected_is_that_of_the_bound_without_weights(options):
    generator = np.random.default_rng(1)
    p = generator.random(400)
    rewards = (generator.random((400, 8)) < p[:, None]).astype(float).ravel()
    weights = generator.random(3200) if options.pop("weights", None) else np.ones(3200)
    estimator = v05.AdvantageEstimator(rule="v05", prior="column", reward_range=(0, 1), **options)
    weighted = {} if options else {"weights": weights}
    rows = np.repeat(np.arange(400), 8)
    metrics = estimator.step(rewards, rows, rows, column=p.repeat(8), **weighted).metrics
    known = not options and weights.min() == 1
    assert ("v05/rejected_expected" in metrics) == known
    assert not known or abs(metrics["v05/rejected_expected"] - metrics["v05/rejected"]) < 0.1
