"""v05.Tracker against its formulas written down anew in numpy (method section 15), and what it promises."""

import copy
import math
import pickle

import numpy as np
import pytest
import v05
from scipy.special import betaln

RANGES = [(0.0, 1.0), (-2.0, 1.0)]


class Reference:
    """The formulas, with arrays of all prompts."""

    def __init__(self, prompts, fast=0.8, slow=0.95, forgetting=0.98):
        self.discounts, self.forgetting = (fast, slow), forgetting
        self.sums = np.zeros((2, prompts))
        self.counts = np.zeros((2, prompts))
        self.seen = np.zeros(prompts, bool)
        self.level = math.nan
        self.mean_weight = math.nan
        self.first = np.array([0.0, 1.0, 0.0])
        self.w, self.h = self.first.copy(), 10 * np.eye(3)
        self.strengths = {True: 2.0 ** np.arange(8), False: 2.0 ** np.arange(-2, 4)}
        self.logs = {True: np.zeros(8), False: np.zeros(6)}

    def features(self, who, level, prior):
        means = (self.sums[:, who] + level) / (self.counts[:, who] + 1)
        if prior is not None:
            means[0] = np.where(np.isnan(prior), means[0], prior)
        means = np.where(np.isnan(means), means[0], np.clip(means, 0.005, 0.995)).clip(0.005, 0.995)
        fast, slow = np.log(means / (1 - means))
        return np.array([np.ones(len(who)), fast, slow - fast]).T

    def known(self, who, prior):
        return self.seen[who] if prior is None else self.seen[who] | ~np.isnan(prior)

    def predict(self, who, prior=None, level=None):
        level = self.level if level is None else level
        value = 1 / (1 + np.exp(-self.features(who, level, prior) @ self.w))
        return np.clip(np.where(self.known(who, prior), value, level), 1e-6, 1 - 1e-6)

    def strength(self, known):
        share = np.exp(self.logs[known] - self.logs[known].max())
        return 1 / (share / share.sum() / (self.strengths[known] + 1)).sum().item() - 1

    def likelihood(self, value, successes, count, known):
        t = self.strengths[known]
        return betaln(t * value + successes, t * (1 - value) + count - successes) - betaln(t * value, t * (1 - value))

    def fuse(self, value, successes, count, known):
        share = self.logs[known] + self.likelihood(value, successes, count, known)
        share = np.exp(share - share.max())
        t = self.strengths[known]
        return (share * (t * value + successes) / (t + count)).sum() / share.sum()

    def record(self, who, rewards, prior=None, weights=None):
        """rewards, weights: (prompts, k) in 0 to 1."""
        if weights is None:
            counts, successes = np.full(len(who), float(rewards.shape[1])), rewards.sum(1)
        else:
            mean = weights.mean()
            self.mean_weight = (
                mean if math.isnan(self.mean_weight) else self.mean_weight + 0.2 * (mean - self.mean_weight)
            )
            weights = weights / self.mean_weight
            counts, successes = weights.sum(1), (weights * rewards).sum(1)
        started = not math.isnan(self.level)
        level = self.level if started else (successes.sum() + 0.5) / (counts.sum() + 1)
        value, known = self.predict(who, prior, level), self.known(who, prior)
        for which in (True, False):
            self.logs[which] = self.forgetting * self.logs[which]
            if weights is None and set(np.unique(rewards)) <= {0, 1}:
                for row in np.flatnonzero(known == which):
                    self.logs[which] += self.likelihood(value[row], successes[row], counts[row], which)
        x, v, c = self.features(who, level, prior)[known], value[known], counts[known]
        ridge = 10 * (1 - self.forgetting)
        self.h = self.forgetting * self.h + x.T * (c * v * (1 - v)) @ x + ridge * np.eye(3)
        step = np.linalg.solve(self.h, x.T @ (successes[known] - c * v) - ridge * (self.w - self.first))
        self.w = self.w + step / max(1, np.abs(step).max())
        self.level = level + 0.2 * (successes.sum() / counts.sum() - level) if started else level
        for row, discount in enumerate(self.discounts):
            self.sums[row, who] = discount * self.sums[row, who] + successes
            self.counts[row, who] = discount * self.counts[row, who] + counts
        self.seen[who] = True


def visits(rng, prompts, steps, k):
    """(prompts of the step, rewards (n, k)) for prompts whose rates drift."""
    rate = rng.random(prompts)
    for step in range(steps):
        who = rng.permutation(prompts)[: prompts // 2 + step % 7]
        yield who, (rng.random((len(who), k)) < rate[who, None]).astype(float)
        rate = np.clip(rate + rng.normal(0, 0.05, prompts), 0.01, 0.99)


@pytest.mark.parametrize("reward_range", RANGES)
@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_values_strengths_and_baselines_are_those_of_the_formula(k, reward_range):
    rng = np.random.default_rng(k)
    low, high = reward_range
    tracker, reference = v05.Tracker(reward_range=reward_range), Reference(40)
    for step, (who, rewards) in enumerate(visits(rng, 40, 50, k)):
        keys, given = np.repeat(who, k), low + (high - low) * rewards.ravel()
        if step:
            value, strength = tracker.predict(who)
            expected = reference.predict(who)
            np.testing.assert_allclose((value - low) / (high - low), expected, rtol=0, atol=1e-12)
            known = reference.seen[who]
            wanted = np.where(known, reference.strength(True), reference.strength(False))
            np.testing.assert_allclose(strength, wanted, rtol=1e-10)
            for one_out in (True, False):
                found = tracker.fuse(keys, given, leave_one_out=one_out).reshape(-1, k)
                baselines = [
                    [
                        reference.fuse(expected[row], rewards[row].sum() - one_out * own, k - one_out, known[row])
                        for own in rewards[row]
                    ]
                    for row in range(len(who))
                ]
                np.testing.assert_allclose((found - low) / (high - low), baselines, rtol=0, atol=1e-12)
        tracker.record(keys, given)
        reference.record(who, rewards)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_rewards_of_any_value_weights_and_priors_of_the_callers_own(is_weighted):
    rng = np.random.default_rng(3)
    tracker, reference = v05.Tracker(0.7, slow_discount=0.9, forgetting=0.9), Reference(40, 0.7, 0.9, 0.9)
    for step, (who, rewards) in enumerate(visits(rng, 40, 50, 3)):
        rewards = rewards * rng.random(rewards.shape) if step % 3 else rewards
        weights = rng.random(rewards.shape) ** 3 if is_weighted else None
        prior = np.where(rng.random(len(who)) < 0.3, np.nan, rng.random(len(who))) if step > 10 else None
        if step:
            found = tracker.predict(who, prior=prior)[0]
            np.testing.assert_allclose(found, reference.predict(who, prior), rtol=0, atol=1e-12)
        keys = np.repeat(who, 3)
        row_prior = None if prior is None else np.repeat(prior, 3)
        tracker.record(keys, rewards.ravel(), prior=row_prior, weights=None if weights is None else weights.ravel())
        reference.record(who, rewards, prior, weights)


def test_weights_of_one_equal_no_weights_bit_for_bit():
    rng = np.random.default_rng(4)
    plain, weighted = v05.Tracker(), v05.Tracker()
    for who, rewards in visits(rng, 30, 20, 2):
        keys = np.repeat(who, 2)
        plain.record(keys, rewards.ravel())
        weighted.record(keys, rewards.ravel(), weights=np.ones(len(keys)))
        assert [each.tobytes() for each in plain.predict(who)] == [each.tobytes() for each in weighted.predict(who)]


def test_the_scale_of_weights_does_not_matter():
    rng = np.random.default_rng(5)
    one, other = v05.Tracker(), v05.Tracker()
    for who, rewards in visits(rng, 30, 20, 2):
        keys, weights = np.repeat(who, 2), rng.random(2 * len(who))
        one.record(keys, rewards.ravel(), weights=weights)
        other.record(keys, rewards.ravel(), weights=1e200 * weights)
        np.testing.assert_allclose(one.predict(who)[0], other.predict(who)[0], rtol=0, atol=1e-12)


def test_calibrated_with_one_rollout_does_not_fall_back():
    rng = np.random.default_rng(6)
    tracker = v05.Tracker()
    for who, rewards in visits(rng, 100, 5, 1):
        tracker.record(who, rewards.ravel())
    rewards = (rng.random(100) < 0.5).astype(float)
    value, _ = tracker.predict(np.arange(100))
    options = dict(rule="calibrated", leave_one_out=True)
    assert v05.estimate(rewards, np.arange(100), value, **options).rule == "v05"
    found = v05.estimate(rewards, np.arange(100), value, calibration=tracker.calibration, **options)
    assert found.rule == "calibrated" and found.calibration.groups > 8
    np.testing.assert_allclose(found.advantages, rewards - value, atol=1e-15)


def test_the_calibration_says_how_far_rewards_are_from_the_values():
    """Prompts that are always 1/2: the variance of a reward is 1/4, and hardly any of it that of the prompts."""
    rng = np.random.default_rng(7)
    tracker, keys = v05.Tracker(reward_range=(-1, 3)), np.repeat(np.arange(200), 4)
    for _ in range(60):
        tracker.record(keys, rng.choice([-1.0, 3.0], 800))
    found = tracker.calibration
    assert abs(found.prior_variance + found.reward_variance - 16 / 4) < 0.15
    assert found.prior_variance < 0.1 and abs(found.grand_mean - 1) < 0.2


def test_nothing_is_known_before_the_first_record():
    tracker = v05.Tracker()
    value, strength = tracker.predict(["a", 5])
    assert np.isnan(value).all() and (strength == 0).all() and len(tracker) == 0
    assert np.isnan(tracker.fuse(["a", "a"], [1.0, 0.0])).all()
    assert tracker.calibration.groups == 0


def test_extremes_stay_finite():
    rng = np.random.default_rng(8)
    for forgetting in (0.0, 1.0):
        tracker = v05.Tracker(0.0, slow_discount=1.0, forgetting=forgetting)
        for step in range(200):
            keys = rng.integers(0, 5, 3000)
            tracker.record(keys, np.full(3000, step % 2, float), weights=10.0 ** rng.integers(-300, 300, 3000))
            tracker.record(keys, np.full(3000, step % 2, float))
            value, strength = tracker.predict(np.arange(9))
            assert ((value > 0) & (value < 1)).all() and np.isfinite(strength).all() and (strength > 0).all()
        assert np.isfinite(tracker.fuse(keys, np.ones(3000))).all()
        copy.deepcopy(tracker).predict([1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_go_on_alike(copied):
    rng = np.random.default_rng(9)
    tracker = v05.Tracker(capacity=25, reward_range=(0, 2))
    for who, rewards in visits(rng, 30, 5, 2):
        tracker.record(np.repeat(who, 2), 2 * rewards.ravel())
    twin = copied(tracker)
    assert twin.state_dict() == tracker.state_dict() and twin.reward_range == (0, 2) and len(twin) == 25
    for each in (tracker, twin):
        each.record(np.arange(8), [2.0, 0.0] * 4)
    assert twin.state_dict() == tracker.state_dict()


def test_a_wider_range_keeps_the_rewards():
    tracker = v05.Tracker()
    tracker.record(["a", "a", "b", "b"], [1.0, 1.0, 0.0, 1.0])
    wider = tracker.widened((-1, 1))
    assert len(wider) == 2 and wider.reward_range == (-1, 1)
    # g = .7 is .85 of the new range; a's two rewards of 1 are 1 of it, b's 0 and 1 are 1/2 and 1.
    np.testing.assert_allclose(wider.predict(["a", "b", "c"])[0], 2 * np.array([2.85, 2.35, 2.55]) / 3 - 1, atol=1e-12)
    with pytest.raises(v05.InvalidArgument, match="reward_range"):
        tracker.widened((0.5, 2))


def test_what_was_refused_changed_nothing():
    tracker = v05.Tracker()
    tracker.record([1, 2], [1.0, 0.0])
    before = tracker.state_dict()
    for options, message in [
        (dict(rewards=[1.0, 2.0]), r"rewards\[1\]"),
        (dict(rewards=[1.0]), "one entry per key"),
        (dict(rewards=[1.0, 0.0], prior=[0.5, 1.5]), r"prior\[1\]"),
        (dict(rewards=[1.0, 0.0], prior=0.5), "prior must have one entry per key"),
        (dict(rewards=[1.0, 0.0], weights=[1.0, -1.0]), r"weights\[1\]"),
    ]:
        with pytest.raises(v05.InvalidArgument, match=message):
            tracker.record([1, 2], **options)
    with pytest.raises(v05.InvalidArgument, match=r"rewards\[0\] must be an end of reward_range"):
        tracker.fuse([1, 2], [0.5, 0.0])
    with pytest.raises(v05.InvalidArgument, match="other must be another"):
        tracker.merge(tracker)
    with pytest.raises(v05.ArgumentTypeError, match="other must be a Tracker"):
        tracker.merge(v05.History())
    assert tracker.state_dict() == before
    for options, message in [
        (dict(discount=2), "discount"),
        (dict(slow_discount=-1), "slow_discount"),
        (dict(forgetting=math.nan), "forgetting"),
        (dict(capacity=0), "capacity"),
        (dict(reward_range=(1, 0)), "reward_range"),
    ]:
        with pytest.raises(v05.InvalidArgument, match=message):
            v05.Tracker(**options)


def test_merged_trackers_know_what_both_knew():
    rng = np.random.default_rng(10)
    one, other = v05.Tracker(), v05.Tracker()
    for step, (who, rewards) in enumerate(visits(rng, 60, 30, 2)):
        (one if step % 2 else other).record(np.repeat(who, 2), rewards.ravel())
    sums = one.calibration.groups + other.calibration.groups
    both = copy.deepcopy(one)
    both.merge(other)
    assert len(both) == 60 and math.isclose(both.calibration.groups, sums)
    # Into one that knows nothing: the same values.
    empty = v05.Tracker()
    empty.merge(one)
    np.testing.assert_allclose(empty.predict(np.arange(60))[0], one.predict(np.arange(60))[0], rtol=0, atol=1e-12)
    assert repr(empty) == f"Tracker({len(one)} prompts)"
