"""Score weights in a training run, and how noisy its gradient is with every baseline (method section 13)."""

import pickle

import numpy as np
import pytest
import v05
from v05.training import StoredEstimator, StreamingEstimator

WEIGHTED_RULES = ["v05", "calibrated", "prior", "batch_mean", "rloo", "discounted_beta"]


def batches(seed, steps=6, prompts=20, rollouts=3):
    """(rewards, groups, keys, weights) of several visits; failures weigh more, and two rows weigh nothing."""
    generator = np.random.default_rng(seed)
    probability = generator.random(prompts)
    for _ in range(steps):
        prompt = generator.permutation(np.repeat(np.arange(prompts), rollouts))
        rewards = (generator.random(len(prompt)) < probability[prompt]).astype(float)
        weights = generator.gamma(2.0, 1.0, len(prompt)) * (2 - rewards)
        weights[:2] = 0
        yield rewards, prompt, prompt + 100, weights


@pytest.mark.parametrize("rule", WEIGHTED_RULES)
def test_a_weighted_run_is_its_parts_by_hand(rule):
    estimator = v05.AdvantageEstimator(rule=rule, prior="history", reward_range=(0, 1))
    starts = rule in ("v05", "calibrated", "prior", "discounted_beta")
    history, calibration = v05.History(start_strength=1.0 if starts else 0.0), v05.RunningCalibration()
    for number, (rewards, groups, keys, weights) in enumerate(batches(5)):
        value, strength = history.predict(keys, step=number)
        prior = value
        if starts and number == 0:  # the weighted mean of the other prompts' rewards
            prior = [np.average(rewards[groups != one], weights=weights[groups != one]) for one in groups]
        learning = rule in ("calibrated", "batch_mean")
        expected = v05.advantages(
            rewards,
            groups,
            prior if starts else None,
            rule=rule,
            leave_one_out=True,
            weights=weights,
            calibration=calibration if learning else None,
            prior_strength=strength if rule == "discounted_beta" else None,
        )
        calibration.update(rewards, groups, value, weights=weights)
        history.record(keys, rewards, weights=weights, step=number)
        found = estimator.step(rewards, groups, keys, weights=weights)
        np.testing.assert_allclose(found.advantages, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rule", WEIGHTED_RULES)
def test_weights_of_one_change_nothing(rule):
    plain, weighted = (v05.AdvantageEstimator(rule=rule, reward_range=(0, 1)) for _ in range(2))
    for rewards, groups, keys, weights in batches(6):
        expected = plain.step(rewards, groups, keys).advantages
        found = weighted.step(rewards, groups, keys, weights=np.ones(len(weights))).advantages
        np.testing.assert_array_equal(found, expected)
    for expected, found in zip(plain.predict(keys), weighted.predict(keys)):
        np.testing.assert_array_equal(found, expected)
    assert weighted.calibration.state_dict() == plain.calibration.state_dict()


def test_the_scale_of_weights_is_nobodys_business():
    one, other = (v05.AdvantageEstimator(reward_range=(0, 1)) for _ in range(2))
    for rewards, groups, keys, weights in batches(7):
        expected = one.step(rewards, groups, keys, weights=weights).advantages
        np.testing.assert_allclose(
            other.step(rewards, groups, keys, weights=1e3 * weights).advantages, expected, atol=1e-12
        )


@pytest.mark.parametrize("name", ["weights", "squared_norms"])
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda weights: weights[:-1], "must have one entry per reward, got shape .59,. for 60 rewards"),
        (lambda weights: np.where(np.arange(60) == 7, -1.0, weights), r"\[7\] must be finite and not negative, got -1"),
        (lambda weights: np.where(np.arange(60) == 7, np.inf, weights), r"\[7\] must be finite and not negative"),
        (lambda weights: np.where(np.arange(60) == 7, np.nan, weights), r"\[7\] must be finite and not negative"),
        (lambda weights: ["heavy"] * 60, "must be numbers"),
    ],
)
def test_bad_weights_are_refused_and_nothing_changes(name, change, message):
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    (rewards, groups, keys, weights), (later, *rest) = list(batches(8))[:2]
    estimator.step(rewards, groups, keys, weights=weights)
    before = pickle.dumps(estimator.state_dict())
    with pytest.raises(v05.Error, match=name + ".*" + message):
        estimator.step(later, *rest[:2], **{name: change(rest[2])})
    assert pickle.dumps(estimator.state_dict()) == before and estimator.steps == 1


def test_a_weight_of_a_row_that_does_not_count_may_be_anything():
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    found = estimator.step([1, 0, None, 1], [0, 0, 1, 1], [0, 0, 1, 1], weights=[1, 2, np.nan, 1])
    assert found.advantages[2] == 0 and np.isfinite(found.advantages).all()


@pytest.mark.parametrize("rule", ["mixture", "median"])
def test_rules_that_know_no_weights_say_so(rule):
    estimator = v05.AdvantageEstimator(rule=rule, reward_range=(0, 1))
    rewards, groups, keys, weights = next(batches(9))
    with pytest.raises(v05.InvalidArgument, match=f"{rule}.*weights|weights.*{rule}"):
        estimator.step(rewards, groups, keys, weights=weights)


def test_a_source_that_takes_no_weights_is_asked_without():
    class Source:
        def __init__(self):
            self.heard = []

        def predict(self, keys, prompts, step):
            return np.full(len(keys), 0.5), np.zeros(len(keys))

        def record(self, keys, prompts, rewards, mask, step):
            self.heard.append(len(rewards))

    class Weighted(Source):
        def record(self, keys, prompts, rewards, mask, step, weights):
            self.heard.append(weights.tolist())

    for source, expected in (Source(), [2]), (Weighted(), [[1.0, 3.0]]):
        v05.AdvantageEstimator(prior=source, reward_range=(0, 1)).step([0, 1], [0, 1], [0, 1], weights=[1, 3])
        assert source.heard == expected


def test_the_weights_of_the_rows_of_a_rollout_add_up():
    whole, cut = (StoredEstimator(reward_range=(0, 1)) for _ in range(2))
    expected = whole.advantages([1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], weights=[1, 2, 3, 4])
    found = cut.advantages(
        [1, 1, 0, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1], rollouts=[0, 0, 1, 2, 3], weights=[0.25, 0.75, 2, 3, 4]
    )
    np.testing.assert_array_equal(found, expected[[0, 0, 1, 2, 3]])


def test_streaming_is_weighted_too():
    estimator = StreamingEstimator(reward_range=(0, 1), every=4)
    history, calibration = v05.History(), v05.RunningCalibration(discount=0.998)
    generator = np.random.default_rng(3)
    for step in range(40):
        rewards, weights = generator.integers(0, 2, 4).astype(float), generator.random(4) + 0.1
        value, _ = history.predict([step % 8], step=step)
        expected = v05.advantages(
            rewards,
            np.zeros(4, int),
            np.repeat(value, 4),
            rule="calibrated",
            leave_one_out=True,
            calibration=calibration,
            weights=weights,
        )
        calibration.update(rewards, np.zeros(4, int), np.repeat(value, 4), weights=weights)
        history.record([step % 8] * 4, rewards, weights=weights, step=step)
        np.testing.assert_array_equal(estimator.group(rewards, step % 8, weights=weights), expected)
    assert estimator.metrics["v05/noise/batch_mean_weighted"] >= 1


# The noise of the gradient


def noise_by_hand(steps, discount=0.99):
    """{name: noise relative to the least}, from loops over the rollouts of (rewards, groups, weights, {name: b})."""
    sums = {}
    for age, (rewards, groups, weights, others) in enumerate(reversed(steps)):
        rows = range(len(rewards))
        for name in ["none", "batch_mean", "batch_mean_weighted", "group_mean", "group_mean_weighted", *others]:
            total = 0.0
            for row in rows:
                of = {
                    "batch_mean": [other for other in rows if groups[other] != groups[row]],
                    "group_mean": [other for other in rows if groups[other] == groups[row] and other != row],
                }.get(name.removesuffix("_weighted"))
                if of is not None:
                    baseline = np.average(rewards[of], weights=weights[of] if name.endswith("weighted") else None)
                else:
                    baseline = others[name][row] if name in others else 0.0
                total += weights[row] * (rewards[row] - baseline) ** 2
            noise, norm = sums.get(name, (0.0, 0.0))
            sums[name] = noise + discount**age * total, norm + discount**age * weights.sum()
    mean = {name: noise / norm for name, (noise, norm) in sums.items()}
    return {f"v05/noise/{name}": value / min(mean.values()) for name, value in mean.items()}


@pytest.mark.parametrize("weighted", [False, True])
def test_noise_of_every_baseline_by_hand(weighted):
    estimator = v05.AdvantageEstimator(rule="calibrated", reward_range=(0, 1))
    twin = v05.History()
    heard = []
    for number, (rewards, groups, keys, norms) in enumerate(batches(12)):
        prior, _ = estimator.predict(keys)
        others = twin.predict(keys, step=number)[0]
        if number == 0:
            averaged = norms if weighted else None
            prior = np.array(
                [
                    np.average(rewards[groups != one], weights=None if averaged is None else averaged[groups != one])
                    for one in groups
                ]
            )
        found = estimator.step(rewards, groups, keys, **{"weights" if weighted else "squared_norms": norms})
        baselines = {"rule": found.baseline, "prior": prior}
        if number:  # a history knows nothing at the very first step
            baselines["history" if weighted else "history_weighted"] = others
        heard.append((rewards, groups, norms, baselines))
        twin.record(keys, rewards, weights=None if weighted else norms, step=number)
    figures = {name: value for name, value in estimator.metrics.items() if name.startswith("v05/noise/")}
    assert figures == pytest.approx(noise_by_hand(heard), rel=1e-9)
    assert min(figures.values()) == 1


def test_one_rollout_has_no_group_mean_and_no_norms_no_noise():
    estimator = v05.AdvantageEstimator(rule="prior", reward_range=(0, 1))
    for rewards, groups, keys, norms in batches(13, rollouts=1):
        plain = estimator.step(rewards, groups, keys).metrics
        assert not any("noise" in name for name in plain)
    metrics = estimator.step(rewards, groups, keys, squared_norms=norms).metrics
    assert "v05/noise/batch_mean" in metrics and "v05/noise/group_mean" not in metrics


def test_squared_norms_are_for_the_log_alone():
    plain, watched = (v05.AdvantageEstimator(reward_range=(0, 1)) for _ in range(2))
    for rewards, groups, keys, norms in batches(14):
        expected = plain.step(rewards, groups, keys).advantages
        np.testing.assert_array_equal(watched.step(rewards, groups, keys, squared_norms=norms).advantages, expected)
    assert watched.state_dict() == plain.state_dict()


def test_the_noise_survives_a_copy_a_pickle_and_a_wider_range():
    estimator = v05.AdvantageEstimator()
    for rewards, groups, keys, norms in batches(15):
        estimator.step(rewards, groups, keys, squared_norms=norms)
    twin = pickle.loads(pickle.dumps(estimator))
    assert twin.step(rewards, groups, keys, squared_norms=norms).metrics == pytest.approx(
        estimator.step(rewards, groups, keys, squared_norms=norms).metrics
    )
    metrics = estimator.step(2 * rewards, groups, keys, squared_norms=norms).metrics
    assert estimator.reward_range == (0.0, 2.0) and metrics["v05/noise/history_weighted"] >= 1


def test_the_share_of_zero_advantages():
    estimator = v05.AdvantageEstimator(rule="rloo", reward_range=(0, 1))
    assert estimator.step([1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1]).metrics["v05/zero_advantages"] == 0.5
