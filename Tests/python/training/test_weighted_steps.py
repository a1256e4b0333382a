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
            strength = np.ones(len(keys))  # a rollout, as every start value
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
        if number == 0:  # a history knows nothing then: the mean of the other prompts stands in

            def of_others(weights):
                return np.array([np.average(rewards[groups != one], weights=weights[groups != one]) for one in groups])

            ones = np.ones(len(rewards))
            prior, others = (of_others(each) for each in ((norms, ones) if weighted else (ones, norms)))
        found = estimator.step(rewards, groups, keys, **{"weights" if weighted else "squared_norms": norms})
        twin_name = "history" if weighted else "history_weighted"
        baselines = {"rule": found.baseline, "prior": prior, twin_name: others}
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


def steps_of(seed, prompts=64, rollouts=4, steps=60):
    """(rewards, groups, norms) of prompts whose failures weigh more."""
    random = np.random.default_rng(seed)
    probability = random.random(prompts)
    groups = np.repeat(np.arange(prompts), rollouts)
    for _ in range(steps):
        rewards = (random.random(len(groups)) < probability[groups]).astype(float)
        yield rewards, groups, random.gamma(2.0, 1.0, len(groups)) * (2 - rewards)


@pytest.mark.parametrize("fraction", [1.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_rollouts_own_reward_does_not_make_a_baseline_less_noisy(weighted, fraction):
    """GRPO's gradient is RLOO's, smaller by a factor, and so is no less noisy."""
    figures = {}
    for rule, leave_one_out in ("grpo", False), ("grpo", True), ("rloo", True):
        estimator = v05.AdvantageEstimator(
            rule=rule, leave_one_out=leave_one_out, reward_range=(0, 1), baseline_fraction=fraction
        )
        for rewards, groups, norms in steps_of(1, steps=5):
            name = "weights" if weighted else "squared_norms"
            metrics = estimator.step(rewards, groups, groups, **{name: norms}).metrics
        figures[rule, leave_one_out] = metrics["v05/noise/rule"]
    assert figures["grpo", True] == pytest.approx(figures["rloo", True], rel=1e-12)
    if fraction == 1:
        assert figures["grpo", False] == pytest.approx(figures["rloo", True], rel=1e-12)
        assert figures["rloo", True] == pytest.approx(metrics["v05/noise/group_mean" + "_weighted" * weighted])


@pytest.mark.parametrize("rule", ["v05", "calibrated", "mixture", "median"])
def test_no_baseline_that_knows_its_own_reward_seems_better_than_the_truth(rule):
    """W is 1 and the priors are the true success rates: beside these nothing has less noise."""
    probability = np.random.default_rng(9).random(64)
    figures = {}
    for leave_one_out in False, True:
        random = np.random.default_rng(10)
        estimator = v05.AdvantageEstimator(
            rule=rule, leave_one_out=leave_one_out, reward_range=(0, 1), prior=None if rule == "median" else "column"
        )
        groups = np.repeat(np.arange(64), 4)
        column = None if rule == "median" else probability[groups]
        for _ in range(40):
            rewards = (random.random(256) < probability[groups]).astype(float)
            metrics = estimator.step(rewards, groups, groups, column=column, squared_norms=np.ones(256)).metrics
        figures[leave_one_out] = metrics["v05/noise/rule"]
    assert figures[False] == figures[True] and (rule == "median" or figures[True] > 0.99 * metrics["v05/noise/prior"])


def test_rollouts_without_a_baseline_are_not_free_of_noise():
    """Of half the prompts nothing is known: their single rollouts have advantage 0 and are left out of the figure."""
    estimator = v05.AdvantageEstimator(rule="prior", prior="column", reward_range=(0, 1), start_strength=0)
    random = np.random.default_rng(2)
    probability = random.random(128)
    column = np.where(np.arange(128) % 2, probability, np.nan)
    for _ in range(200):
        rewards = (random.random(128) < probability).astype(float)
        norms = random.gamma(2.0, 1.0, 128)
        metrics = estimator.step(rewards, np.arange(128), np.arange(128), column=column, squared_norms=norms).metrics
    assert metrics["v05/noise/rule"] == pytest.approx(metrics["v05/noise/prior"], rel=1e-12)
    known = probability[1::2]
    expected = (known * (1 - known)).mean() / (probability.mean() * (1 - probability.mean()))
    assert metrics["v05/noise/rule"] / metrics["v05/noise/batch_mean"] == pytest.approx(expected, rel=0.1)


def test_a_run_whose_rollouts_never_had_a_baseline_has_no_figure_for_it():
    estimator = v05.AdvantageEstimator(rule="prior", reward_range=(0, 1), start_strength=0)
    for rewards, groups, norms in steps_of(3, rollouts=1, steps=3):
        metrics = estimator.step(rewards, groups, groups + 1000 * estimator.steps, squared_norms=norms).metrics
    assert "v05/noise/rule" not in metrics and metrics["v05/noise/batch_mean"] >= 1


def test_one_rollout_alone_does_not_stop_a_figure():
    """A group of one in every step, and what the figures were long ago does not stay."""
    estimator, fresh = (v05.AdvantageEstimator(rule="rloo", reward_range=(0, 1)) for _ in range(2))
    random = np.random.default_rng(4)
    groups = np.append(np.repeat(np.arange(32), 4), 99)
    for step in range(410):
        rewards = (random.random(len(groups)) < (0.5 if step < 10 else 0.95)).astype(float)
        norms = random.gamma(2.0, 1.0, len(groups))
        metrics = estimator.step(rewards, groups, groups, squared_norms=norms).metrics
        if step >= 10:
            alone = fresh.step(rewards, groups, groups, squared_norms=norms).metrics
    for name in ("group_mean", "group_mean_weighted", "rule"):
        assert metrics[f"v05/noise/{name}"] == pytest.approx(alone[f"v05/noise/{name}"], rel=0.1)


def test_no_weight_of_others_is_what_rounding_left():
    """One prompt, or one whose others weigh nothing, has no others to start from, whatever the sums are rounded to."""
    random = np.random.default_rng(5)
    for _ in range(300):
        rewards, weights = random.random(32), np.r_[random.random(16), np.zeros(16)]
        groups = np.repeat([0, 1], 16)
        found = v05.AdvantageEstimator(reward_range=(0, 1)).step(
            rewards[:16], groups[:16], groups[:16], weights=weights[:16]
        )
        assert np.isnan(found.estimate.prior).all()
        found = v05.AdvantageEstimator(reward_range=(0, 1)).step(rewards, groups, groups, weights=weights)
        assert np.isnan(found.estimate.prior[0]) and found.estimate.prior[1] == pytest.approx(
            np.average(rewards[:16], weights=weights[:16])
        )


def test_the_first_step_of_a_history_is_that_of_the_batch_mean_beside_a_row_that_outweighs_all():
    for weights in [1e16, 1, 1, 1], [1, 1e-15, 1e-15, 1e-15]:
        rewards, groups = [0.3, 1.0, 0.0, 1.0], [0, 1, 2, 3]
        found = v05.AdvantageEstimator(rule="prior", reward_range=(0, 1)).step(rewards, groups, groups, weights=weights)
        expected = v05.estimate(rewards, groups, rule="batch_mean", weights=weights)
        np.testing.assert_array_equal(found.estimate.prior, expected.baseline)


@pytest.mark.parametrize("rollouts", [1, 4])
def test_the_start_value_of_discounted_beta_is_worth_something(rollouts):
    random = np.random.default_rng(6)
    groups = np.repeat(np.arange(16), rollouts)
    rewards = (random.random(len(groups)) < 0.5).astype(float)
    found = v05.AdvantageEstimator(rule="discounted_beta", reward_range=(0, 1)).step(rewards, groups, groups)
    prior = np.array([rewards[groups != one].mean() for one in range(16)])
    expected = v05.advantages(
        rewards, groups, prior[groups], rule="discounted_beta", leave_one_out=True, prior_strength=np.ones(len(groups))
    )
    np.testing.assert_allclose(found.advantages, expected, rtol=0, atol=1e-15)
    assert np.count_nonzero(found.advantages) == len(groups)


@pytest.mark.parametrize("prior", ["column", "function"])
def test_priors_that_do_not_say_what_they_are_worth_are_worth_a_start_value(prior):
    given = np.linspace(0.1, 0.9, 16)
    source = "column" if prior == "column" else lambda prompts: [given[int(prompt)] for prompt in prompts]
    rewards = np.tile([1.0, 0.0], 8)
    for strength in (1.0, 3.0):
        estimator = v05.AdvantageEstimator(
            rule="discounted_beta", prior=source, reward_range=(0, 1), start_strength=strength
        )
        known = {"column": given} if prior == "column" else {"prompts": [str(place) for place in range(16)]}
        found = estimator.step(rewards, np.arange(16), np.arange(16), **known)
        expected = v05.advantages(
            rewards,
            np.arange(16),
            given,
            rule="discounted_beta",
            leave_one_out=True,
            prior_strength=np.full(16, strength),
        )
        np.testing.assert_array_equal(found.advantages, expected)


def test_masked_rows_of_a_rollout_have_no_weight():
    estimator = StoredEstimator(rule="rloo", reward_range=(0, 1))
    known = dict(rollouts=[0, 0, 1, 2], mask=[1, 0, 1, 1])
    found = estimator.advantages([1, 1, 0, 1], [0] * 4, [0] * 4, weights=[1, np.nan, 1, 1], **known)
    assert found.tolist() == [0.5, 0, -1, 0.5]
    unscored = estimator.advantages([1, None, 0, 1], [0] * 4, [0] * 4, weights=[1, np.nan, 1, 1], rollouts=[0, 1, 2, 3])
    assert unscored.tolist() == [0.5, 0, -1, 0.5]
    with pytest.raises(v05.InvalidArgument, match=r"weights\[2\] must be finite and not negative, got -4"):
        estimator.advantages([1, 1, 0, 1], [0] * 4, [0] * 4, weights=[1, 9, -4, 1], **known)


def test_a_report_is_of_the_advantages_that_were_handed_out():
    estimator = StreamingEstimator(rule="james_stein", reward_range=(0, 1), every=16)
    random = np.random.default_rng(8)
    for _ in range(4):
        had = [
            estimator.group((random.random(4) < random.random()).astype(float), key, squared_norms=random.random(4) + 1)
            for key in range(16)
        ]
        assert estimator.metrics["v05/zero_advantages"] == np.mean(np.concatenate(had) == 0)


def test_what_was_handed_out_is_the_callers_to_change():
    ours, theirs = (StreamingEstimator(reward_range=(0, 1), every=8) for _ in range(2))
    for key in range(8):
        rewards = [1, 0, 1, key % 2]
        kept = ours.group(rewards, key, squared_norms=np.ones(4))
        changed = theirs.group(rewards, key, squared_norms=np.ones(4))
        assert kept.tolist() == changed.tolist()
        changed *= 0
    assert ours.metrics == theirs.metrics


def test_a_stream_without_any_advantage_is_told(caplog):
    estimator = StreamingEstimator(reward_range=(0, 1), every=4)
    for key in range(4):
        assert not estimator.group([1, 0, 1, 0], key, weights=np.zeros(4)).any()
    assert any("every score weight is 0" in record.message for record in caplog.records)


@pytest.mark.parametrize("start_strength", [0.0, 1.0, 8.0])
def test_a_history_that_is_the_same_weighted_has_the_same_noise(start_strength):
    """With weights that are all 1 the history in use and the one beside it are one."""
    estimator = v05.AdvantageEstimator(rule="prior", reward_range=(0, 1), start_strength=start_strength)
    generator = np.random.default_rng(4)
    p = generator.random(100)
    for _ in range(6):
        rewards = (generator.random(100) < p).astype(float)
        metrics = estimator.step(rewards, np.arange(100), np.arange(100), weights=np.ones(100)).metrics
    assert metrics["v05/noise/history"] == pytest.approx(metrics["v05/noise/prior"], rel=1e-9)
    other = v05.AdvantageEstimator(rule="rloo", reward_range=(0, 1), start_strength=start_strength)
    for _ in range(2):
        metrics = other.step(rewards, np.arange(100) // 2, np.arange(100) // 2, squared_norms=np.ones(100)).metrics
    assert "v05/noise/history_weighted" in metrics
