"""AdvantageEstimator: over many steps the same as its parts by hand, and never a silent wrong baseline."""

import copy
import dataclasses
import logging
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import v05
import v05.priors.sources
from v05._core.library import library
from v05._core.prompt_key import content_key, prompt_key
from v05._core.rules import RULES
from v05.priors.sources import NoPrior
from v05.training.streaming_estimator import StreamingEstimator


@pytest.fixture
def generator():
    return np.random.default_rng(11)


def batches(generator, steps=5, prompts=24, rollouts=4):
    """(rewards, groups, keys) of several visits of the same prompts; group ids are new at every step."""
    probability = generator.random(prompts)
    for step in range(steps):
        rewards = (generator.random((prompts, rollouts)) < probability[:, None]).astype(float).ravel()
        prompt = np.repeat(np.arange(prompts), rollouts)
        order = generator.permutation(len(rewards))
        yield rewards[order], (prompt + 1000 * step)[order], [f"prompt {i}" for i in prompt[order]]


def messages(caplog):
    return [record.message for record in caplog.records if record.name == "v05"]


@pytest.mark.parametrize("rule", ["v05", "calibrated", "prior", "discounted_beta", "mixture"])
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_steps_are_history_estimate_and_running_calibration_by_hand(generator, rule, leave_one_out):
    estimator = v05.AdvantageEstimator(rule=rule, leave_one_out=leave_one_out, reward_range=(0, 1))
    history, calibration, mixture = v05.History(), v05.RunningCalibration(), v05.RunningMixture()
    for number, (rewards, groups, keys) in enumerate(batches(generator)):
        value, strength = history.predict(keys, step=number)
        prior = value
        if number == 0:  # nothing is known: the mean of the other prompts' rewards
            assert np.isnan(value).all()
            prior = np.array([rewards[groups != group].mean() for group in groups])
            strength = np.ones(len(keys))  # worth a rollout, as every start value
        expected = v05.estimate(
            rewards,
            groups,
            prior,
            rule=rule,
            leave_one_out=leave_one_out,
            calibration=calibration if rule == "calibrated" else None,
            mixture=mixture if rule == "mixture" else None,
            prior_strength=strength if rule == "discounted_beta" else None,
        )
        mixture.update(rewards, groups, value)
        calibration.update(rewards, groups, value)
        history.record(keys, rewards, step=number)
        found = estimator.step(rewards, groups, keys)
        np.testing.assert_array_equal(found.advantages, expected.advantages)
        np.testing.assert_array_equal(found.baseline, rewards - expected.advantages)
        np.testing.assert_array_equal(found.estimate.weight, expected.weight)
    assert estimator.steps == 5


def test_calibrated_with_single_rollouts_is_calibrated_by_the_tracker(generator):
    estimator = v05.AdvantageEstimator(prior="tracker", reward_range=(0, 1))
    tracker = v05.Tracker()
    for number, (rewards, groups, keys) in enumerate(batches(generator, rollouts=1)):
        value, _ = tracker.predict(keys)
        found = estimator.step(rewards, groups, keys)
        if number == 0:  # nothing is known: the mean of the other prompts' rewards
            value = (rewards.sum() - rewards) / (len(rewards) - 1)
            assert found.estimate.rule == "v05" and found.metrics["v05/calibrated"] == 0
        else:
            assert found.estimate.rule == "calibrated" and found.metrics["v05/calibrated"] == 1
            assert found.estimate.calibration == tracker.calibration
        np.testing.assert_allclose(found.advantages, rewards - value, rtol=0, atol=1e-15)
        tracker.record(keys, rewards)
        assert estimator.learnt() == {"calibration": tracker.calibration}
    assert len(estimator.source.history) == 24


@pytest.mark.parametrize("prior", ["history", "column"])
def test_calibrated_that_single_rollouts_cannot_calibrate_says_so_once(generator, caplog, prior):
    estimator = v05.AdvantageEstimator(prior=prior, reward_range=(0, 1))
    for rewards, groups, keys in batches(generator, rollouts=1):
        column = np.full(len(keys), 0.5) if prior == "column" else None
        assert estimator.step(rewards, groups, keys, column=column).estimate.rule == "v05"
    (message,) = messages(caplog)
    assert message.startswith('rule "calibrated" is "v05" as long as every prompt has one rollout')
    streaming = v05.training.StreamingEstimator(prior=prior, every=8, reward_range=(0, 1))
    for number in range(16):
        streaming.group([number % 2], f"prompt {number}", **({"prior": 0.5} if prior == "column" else {}))
    assert [text for text in messages(caplog) if text.startswith('rule "calibrated"')] == 2 * [message]


@pytest.mark.parametrize(
    "options, rollouts", [(dict(prior="tracker"), 1), (dict(), 4), (dict(rule="prior"), 1), (dict(rule="v05"), 1)]
)
def test_nothing_is_said_where_the_rule_is_what_it_says(generator, caplog, options, rollouts):
    estimator = v05.AdvantageEstimator(reward_range=(0, 1), **options)
    for step in batches(generator, rollouts=rollouts):
        estimator.step(*step)
    assert messages(caplog) == []


def with_column(steps, generator, unknown=0.2):
    """The same with a column that is the same for all rollouts of a prompt, and says nothing of some prompts."""
    for rewards, groups, keys in steps:
        _, prompt = np.unique(keys, return_inverse=True)
        values = generator.random(prompt.max() + 1)
        values[generator.random(len(values)) < unknown] = np.nan
        yield rewards, groups, keys, values[prompt]


@pytest.mark.parametrize("rollouts", [1, 4])
@pytest.mark.parametrize("rule", ["calibrated", "prior"])
def test_a_column_goes_into_the_regression_of_a_tracker(generator, rule, rollouts):
    estimator = v05.AdvantageEstimator(rule=rule, prior="tracker+column", reward_range=(0, 1))
    tracker, running = v05.Tracker(), v05.RunningCalibration()
    for number, (rewards, groups, keys, column) in enumerate(
        with_column(batches(generator, rollouts=rollouts), generator)
    ):
        value, _ = tracker.predict(keys, prior=column)
        predicted, _ = estimator.predict(keys, column=column)
        np.testing.assert_array_equal(predicted, value)
        found = estimator.step(rewards, groups, keys, column=column)
        if rule == "prior":
            known = ~np.isnan(value)  # at the first step the column is all that is known
            assert known.all() or number == 0
            np.testing.assert_allclose(found.baseline[known], value[known], rtol=0, atol=1e-15)
        elif number > 1:
            assert found.estimate.rule == "calibrated"
            expected = v05.advantages(
                rewards,
                groups,
                value,
                rule=rule,
                leave_one_out=True,
                calibration=tracker.calibration if rollouts == 1 else running,
            )
            np.testing.assert_array_equal(found.advantages, expected)
        running.update(rewards, groups, value)
        tracker.record(keys, rewards, prior=column)
    resumed = v05.AdvantageEstimator(rule=rule, prior="tracker+column", reward_range=(0, 1))
    resumed.load_state_dict(estimator.state_dict())
    np.testing.assert_array_equal(
        resumed.predict(keys, column=column)[0], estimator.predict(keys, column=column)[0], strict=True
    )


def test_a_column_that_says_the_opposite_is_put_right(generator):
    """One rollout a prompt: the paper's rule has the column itself as baseline."""
    p = generator.random(64)
    prompt, error = np.arange(64), {}
    for prior in ("column", "tracker+column"):
        estimator = v05.AdvantageEstimator(rule="calibrated", prior=prior, reward_range=(0, 1))
        late = []
        for step in range(60):
            rewards = (generator.random(64) < p).astype(float)
            found = estimator.step(rewards, prompt, prompt, column=1 - p)
            if step >= 20:
                late.append(np.mean((found.baseline - p) ** 2))
        error[prior] = np.mean(late)
    assert error["column"] > 0.2 and error["tracker+column"] < 0.01


def test_a_streaming_tracker_takes_a_column(generator):
    estimator = v05.training.StreamingEstimator(prior="tracker+column", reward_range=(0, 1))
    tracker = v05.Tracker(forgetting=estimator._forgetting)
    for visit in range(4):
        for prompt in range(16):
            rewards, prior = (generator.random(2) < prompt / 15).astype(float), 1 - prompt / 15
            assert np.isfinite(estimator.group(rewards, f"prompt {prompt}", prior=prior)).all()
            tracker.record(2 * [f"prompt {prompt}"], rewards, prior=[prior, prior])
    keys, column = [f"prompt {prompt}" for prompt in range(16)], 1 - np.arange(16) / 15
    np.testing.assert_array_equal(
        estimator.predict(keys, column=column)[0], tracker.predict(keys, prior=column)[0], strict=True
    )


@pytest.mark.parametrize("prior", ["history", "tracker", "none", lambda prompts: [0.5] * len(prompts)])
def test_a_column_that_nothing_reads_is_told_once(prior, caplog):
    first, second = (v05.AdvantageEstimator(prior=prior, reward_range=(0, 1)) for _ in range(2))
    for _ in range(2):
        given = [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1]
        found = first.step(*given, prompts=list("aabb"), column=[0.5, 0.5, 7, None])
        np.testing.assert_array_equal(found.advantages, second.step(*given, prompts=list("aabb")).advantages)
    (message,) = messages(caplog)
    assert message.startswith(
        'column is read with prior "column" or "tracker+column" only, and says nothing with prior'
    )
    with pytest.raises(v05.InvalidArgument, match="prior 'tracker\\+column' needs the values"):
        v05.AdvantageEstimator(prior="tracker+column").step([0, 1], [0, 0], [0, 0])


def test_a_tracker_has_one_value_of_the_column_for_every_prompt(caplog):
    """The same prompt in two groups, rows that do not count, and what the column cannot mean."""
    estimator, tracker = v05.AdvantageEstimator(prior="tracker+column", reward_range=(0, 1)), v05.Tracker()
    keys, rewards, mask = list("aaaabb"), [0, 1, 1, 1, 0, 1], [1, 1, 1, 1, 1, 0]
    estimator.step(rewards, [0, 0, 1, 1, 2, 2], keys, column=[0.2, 0.2, 0.8, None, 0.5, 7.0], mask=mask)
    tracker.record(keys, rewards, prior=[0.2, 0.2, 0.2, 0.2, 0.5, np.nan], mask=mask)
    known = dict(column=[0.3, 0.4])
    np.testing.assert_array_equal(
        estimator.predict(["a", "b"], **known)[0], tracker.predict(["a", "b"], prior=[0.3, 0.4])[0]
    )
    assert messages(caplog) == ["the prior column differs between rollouts of a prompt: the first value counts"]
    for again in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        np.testing.assert_array_equal(again.predict(["a", "b"], **known)[0], estimator.predict(["a", "b"], **known)[0])


@pytest.mark.parametrize("prior", ["column", "tracker+column"])
def test_a_column_beyond_a_range_that_nothing_has_told_yet(prior, caplog):
    estimator = v05.AdvantageEstimator(prior=prior)
    assert np.isnan(estimator.predict(["a", "b"], column=[5.0, np.nan])[0]).all()
    assert not estimator.step([None, None], [0, 0], ["a", "a"], column=[5.0, 5.0]).advantages.any()
    assert sum("such priors count as none" in message for message in messages(caplog)) == 1
    wide = estimator.step([0, 7, 7, 0], [0, 0, 1, 1], list("aabb"), column=[5.0, 5.0, 3.0, 3.0])
    assert estimator.reward_range == (0, 7) and np.isfinite(wide.advantages).all() and wide.advantages.any()


def test_an_estimator_pickled_before_sources_read_the_column():
    old = v05.AdvantageEstimator(rule="prior", prior="column", reward_range=(0, 1))
    old._state = dataclasses.replace(old._state, source=NoPrior())
    again = pickle.loads(pickle.dumps(old))
    assert again.step([0, 1], [0, 1], ["a", "b"], column=[0.25, 0.5]).baseline.tolist() == [0.25, 0.5]


def test_a_source_of_the_user_may_read_the_column():
    class Halved(NoPrior):
        reads_column = True
        seen = ()

        def predict(self, keys, prompts, step, column):
            return column / 2, np.zeros(len(keys))

        def after(self, keys, prompts, rewards, mask, step, column):
            later = Halved()
            later.seen = (*self.seen, *column)
            return later

    estimator = v05.AdvantageEstimator(rule="prior", prior=Halved(), reward_range=(0, 1))
    found = estimator.step([0, 1], [0, 1], [0, 1], column=[0.5, 1.0])
    assert found.baseline.tolist() == [0.25, 0.5] and estimator.source.seen == (0.5, 1.0)


def test_calibrated_with_several_rollouts_of_a_tracker_is_calibrated_by_them(generator):
    estimator, tracker, running = v05.AdvantageEstimator(prior="tracker"), v05.Tracker(), v05.RunningCalibration()
    for number, (rewards, groups, keys) in enumerate(batches(generator)):
        value, _ = tracker.predict(keys)
        found = estimator.step(rewards, groups, keys)
        if number > 1:  # at the second step there are no groups with a prior yet
            expected = v05.advantages(
                rewards, groups, value, rule="calibrated", leave_one_out=True, calibration=running
            )
            np.testing.assert_array_equal(found.advantages, expected)
        running.update(rewards, groups, value)
        tracker.record(keys, rewards)


def test_a_tracker_goes_on_in_a_wider_range_and_from_a_saved_state(generator, caplog):
    estimator = v05.AdvantageEstimator(prior="tracker")
    first, second, *rest = batches(generator, rollouts=1)
    estimator.step(*first)
    estimator.step(-2 * second[0], *second[1:])
    assert estimator.reward_range == (-2.0, 1.0) and len(estimator.source.history) == 24
    assert "what was learnt goes on in it" in messages(caplog)[-1]
    resumed = v05.AdvantageEstimator(prior="tracker")
    resumed.load_state_dict(estimator.state_dict())
    for step in rest:
        np.testing.assert_array_equal(resumed.step(*step).advantages, estimator.step(*step).advantages)
    with pytest.raises(v05.CheckpointError, match="lacks 'tracker'"):
        resumed.load_state_dict({name: data for name, data in resumed.state_dict().items() if "tracker" not in name})


def test_a_streaming_estimator_with_a_tracker_remembers_as_many_groups(generator):
    estimator = v05.training.StreamingEstimator(prior="tracker", reward_range=(0, 1))
    for visit in range(8):
        for prompt in range(16):
            assert np.isfinite(estimator.group([float(generator.random() < prompt / 15)], f"prompt {prompt}")).all()
    assert 100 < estimator.source.calibration.groups <= 128


@pytest.mark.parametrize("rule", ["grpo", "rloo", "median", "james_stein"])
def test_rules_without_prior_take_none_even_from_a_history(generator, rule):
    estimator = v05.AdvantageEstimator(rule=rule, prior="history", leave_one_out=False, scale="group", epsilon=1e-4)
    for rewards, groups, keys in batches(generator, steps=2):
        found = estimator.step(rewards, groups, keys)
    expected = v05.advantages(rewards, groups, rule=rule, scale="group", epsilon=1e-4)
    if rule != "james_stein":  # it has the calibration of the step before
        np.testing.assert_array_equal(found.advantages, expected)
    assert np.isnan(found.estimate.prior).all()
    assert v05.AdvantageEstimator(rule=rule).prior == "none"


def test_rollouts_without_a_reward_do_not_count(generator):
    with_none = v05.AdvantageEstimator()
    without = v05.AdvantageEstimator()
    for rewards, groups, keys in batches(generator):
        scored = generator.random(len(rewards)) < 0.8
        padding = generator.random(len(rewards)) < 0.1
        given = [reward if ok else None for reward, ok in zip(rewards.tolist(), scored)]
        found = with_none.step(given, groups, keys, mask=~padding)
        counted = scored & ~padding
        alone = without.step(rewards[counted], groups[counted], [key for key, ok in zip(keys, counted) if ok])
        np.testing.assert_array_equal(found.advantages[counted], alone.advantages)
        assert np.all(found.advantages[~counted] == 0) and np.isnan(found.baseline[~counted]).all()
        assert found.metrics == pytest.approx(alone.metrics, abs=1e-12)
    assert with_none.calibration.calibration == without.calibration.calibration
    np.testing.assert_array_equal(with_none.predict(keys), without.predict(keys))


def test_a_batch_in_which_nothing_counts_teaches_nothing(generator):
    estimator = v05.AdvantageEstimator()
    found = estimator.step([None, float("nan")], [1, 1], ["a", "a"])
    assert found.advantages.tolist() == [0, 0] and found.metrics == {} and estimator.reward_range is None
    assert estimator.predict(["a"])[1].tolist() == [0]
    assert len(estimator.step([], [], []).advantages) == 0


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([0, 1, 1], (0, 1)),
        ([0.5, 0.2, 0.2], (0, 1)),
        ([1, 1, 1], (0, 1)),
        ([-1, 1, 1], (-1, 1)),
        ([-1, 0, 0], (-1, 1)),
        ([0, 3.5, 1], (0, 3.5)),
        ([-4, -2, -2], (-4, 0)),
        ([2, 2, 2], (0, 2)),
    ],
)
def test_the_range_is_taken_from_the_first_rewards_and_told_once(caplog, rewards, expected):
    estimator = v05.AdvantageEstimator()
    for _ in range(2):
        estimator.step(rewards, [0, 0, 0], ["a"] * 3)
    assert estimator.reward_range == expected
    assert len(messages(caplog)) == 1 and str(estimator.reward_range) in messages(caplog)[0]


def test_a_range_that_was_guessed_is_widened_with_a_warning_and_a_given_one_is_a_rule(caplog):
    guessed = v05.AdvantageEstimator()
    guessed.step([0, 1], [0, 0], ["a", "a"])
    caplog.clear()
    guessed.step([0, 2], [0, 0], ["a", "a"])
    assert guessed.reward_range == (0, 2) and "what was learnt goes on in it" in messages(caplog)[0]
    # Rewards 0, 1 and then 0, 2, the first visit times .8; the level (1 + .5) / 3 of the first batch is one reward.
    value, strength = guessed.predict(["a"])
    level = 0.5 + 0.2 * (1 - 0.5)
    np.testing.assert_allclose(value, (0.8 * 1 + 2 + level) / 4.6)
    np.testing.assert_allclose(strength, 4.6)
    mixture = v05.AdvantageEstimator(rule="mixture")
    mixture.step([0, 1], [0, 0], ["a", "a"])
    mixture.step([0, 2], [0, 0], ["a", "a"])
    assert "what the RunningMixture had learnt is dropped" in messages(caplog)[-1]

    given = v05.AdvantageEstimator(reward_range=(0, 1))
    given.step([0, 1], [0, 0], ["a", "a"])
    before = given.state_dict()
    with pytest.raises(v05.InvalidArgument, match=r"rewards\[1\]"):
        given.step([0, 2], [0, 0], ["a", "a"])
    assert given.state_dict() == before


def test_rules_without_a_bound_go_on_with_rewards_outside(generator, caplog):
    estimator = v05.AdvantageEstimator(rule="rloo", reward_range=(0, 1))
    found = estimator.step([0, 5.0, 1], [0, 0, 0], ["a"] * 3)
    np.testing.assert_allclose(found.advantages, [-3, 4.5, -1.5])
    assert found.metrics == {} and "a reward lies outside reward_range (0.0, 1.0), got 5" in messages(caplog)[0]


@pytest.mark.parametrize("kind", [v05.AdvantageEstimator, StreamingEstimator])
def test_a_reward_outside_keeps_the_others_from_nothing(kind):
    """One in every batch: what the others say is learnt."""
    estimator = kind(rule="prior", reward_range=(0, 1))
    for step in range(20):
        for key, rewards in (("easy", [1.0, 1.0, 1.5]), ("hard", [0.0, 0.0, 0.0])):
            estimator.step(rewards, [0, 0, 0], [key] * 3)
    value, _ = estimator.predict(["easy", "hard"])
    assert value[0] > 0.9 and value[1] < 0.1


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if not rule.bounded])
@pytest.mark.parametrize("kind", [v05.AdvantageEstimator, StreamingEstimator])
def test_failures_outside_the_range_are_not_left_out(rule, kind, caplog):
    """Rewards of -1 and 1 in a range of (0, 1), as verifiers give them: a baseline of the successes alone is the worst
    there is."""
    generator = np.random.default_rng(5)
    estimator = kind(rule=rule, prior="history", reward_range=(0, 1))
    for step in range(30):
        estimator.step(generator.choice([-1.0, 1.0], 64), np.arange(64) // 2, np.arange(64) // 2)
    value, _ = estimator.predict(np.arange(32))
    assert 0.3 < value.mean() < 0.7
    assert [text for text in messages(caplog) if "counts as the end of the range" in text]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("reward_range", [(0, 1.1), (-0.1, 1.0), (0, 0.3), (-1.3, 0.7), None])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_ends_of_the_range_are_meant_whatever_rounding_made_of_them(rule, reward_range, kind):
    """A format reward beside a correct one, in the float32 of the trainers: all learns, and all has its figures."""
    low, high = reward_range or (0, 1.1)
    generator = np.random.default_rng(5)
    rounded, exact = (v05.AdvantageEstimator(rule=rule, reward_range=reward_range) for _ in range(2))
    for step in range(4):
        hit = generator.random((16, 4)) < np.linspace(0.1, 0.9, 16)[:, None]
        rewards = np.where(hit, high, low).ravel()
        groups, keys = np.repeat(np.arange(16), 4), np.repeat([f"prompt {row}" for row in range(16)], 4)
        shaken = (rewards + (1e-8 if kind is np.float64 else 0)).astype(kind)
        found = rounded.step(shaken, groups, keys.tolist())
        expected = exact.step(rewards, groups, keys.tolist())
        np.testing.assert_allclose(found.advantages, expected.advantages, atol=1e-6)
        assert found.metrics.keys() == expected.metrics.keys() and found.metrics
    assert len(getattr(rounded.source, "history", ())) == len(getattr(exact.source, "history", ()))
    assert rounded.calibration.updates == exact.calibration.updates


@pytest.mark.parametrize(
    "rule, reward_range, first",
    [("grpo", (0, 1e7), None), ("rloo", (-1e6, 1), None), ("rloo", None, -1e7), ("calibrated", (-1e6, 9), None)],
)
def test_a_wide_range_swallows_no_reward(rule, reward_range, first):
    """A penalty for an answer that cannot be parsed makes the range wide; the others differ by 1 as before."""
    estimator = v05.AdvantageEstimator(rule=rule, reward_range=reward_range, leave_one_out=False)
    if first is not None:
        estimator.step([first, 1.0], [0, 0], ["z", "z"])
    for rewards in ([0.0, 1.0, 0.0, 1.0], [1e-3, 0.0, 2e-3, 0.0]):
        found = estimator.step(rewards, [0, 0, 1, 1], list("aabb"))
        assert len(set(np.round(found.advantages[:2], 9))) == 2 and len(set(np.round(found.advantages[2:], 9))) == 2


def test_rounding_decides_no_range(caplog):
    estimator = v05.AdvantageEstimator()
    estimator.step([0.3 - 0.2 - 0.1, 1.0, 1.0000001, 0.0], [0, 0, 1, 1], list("aabb"))
    assert estimator.reward_range == (0, 1) and len(messages(caplog)) == 1
    estimator.step([-1e-9, 1.0, 1.0000001, 0.0], [0, 0, 1, 1], list("aabb"))
    assert estimator.reward_range == (0, 1) and len(messages(caplog)) == 1


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"mixture", "median"}))
@pytest.mark.parametrize("kind", [v05.AdvantageEstimator, StreamingEstimator])
def test_a_batch_whose_weights_are_all_0(rule, kind, caplog):
    """As of rollouts that are all truncated, which TRL masks: nothing to learn from, and no end of training."""
    estimator = kind(rule=rule, reward_range=(0, 1), **({"every": 2} if kind is StreamingEstimator else {}))
    keys = ["a", "a", "b", "b"]
    for weights in ([1.0] * 4, [0.0] * 4, [1.0] * 4):
        found = estimator.step([0, 1, 1, 1], [0, 0, 1, 1], keys, weights=weights)
        assert np.isfinite(found.advantages).all()
        if kind is StreamingEstimator:
            for _ in range(2):
                assert np.isfinite(estimator.group([0, 1], "c", weights=weights[:2])).all()
    assert not any("no prompt has a prior" in message for message in messages(caplog))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("test", ["bound", "exact"])
def test_whether_weights_are_taken_is_known_before_the_first_step(rule, test):
    for reward_range in (None, (-1, 1)):
        estimator = v05.AdvantageEstimator(rule=rule, test=test, reward_range=reward_range)
        first = estimator.state_dict()
        answers = []
        for ask in (estimator.check_weights, lambda: estimator.step([0, 1], [0, 0], ["a"] * 2, weights=[1.0, 2.0])):
            try:
                answers.append(ask() and None)
            except v05.InvalidArgument as error:
                answers.append(str(error))
        assert (answers[0] is None) == (answers[1] is None) and (answers[0] is None or "weights" in answers[0])
        assert answers[0] is None or estimator.state_dict() == first


@pytest.mark.parametrize("prior", ["column", lambda prompts: [-0.2] * len(prompts)])
def test_a_guessed_range_that_a_prior_does_not_fit(prior, caplog):
    estimator = v05.AdvantageEstimator(prior=prior)
    for rewards in ([0, 1, 1, 0], [0, 1, -1, 0]):
        known = {"column": [-0.2, -0.2, 0.5, 0.5]} if prior == "column" else {"prompts": list("aabb")}
        found = estimator.step(rewards, [0, 0, 1, 1], list("aabb"), **known)
        assert np.isfinite(found.advantages).all()
    assert estimator.reward_range == (-1, 1)
    assert sum("such priors count as none" in message for message in messages(caplog)) == 1
    given = v05.AdvantageEstimator(prior="column", reward_range=(0, 1))
    with pytest.raises(v05.InvalidArgument, match="reward_range"):
        given.step([0, 1], [0, 0], ["a", "a"], column=[-0.2, -0.2])


def test_a_prior_at_the_end_of_a_guessed_range(caplog):
    estimator = v05.AdvantageEstimator(prior="column", rule="prior")
    rewards = np.array([0, 1.3], np.float32)
    found = estimator.step(rewards, [0, 0], ["a", "a"], column=[1.3, 1.3])
    np.testing.assert_allclose(found.advantages, [-1.3, 0], atol=1e-6)
    with pytest.raises(v05.InvalidArgument):
        estimator.step(rewards, [0, 0], ["a", "a"], column=[np.inf, np.inf])
    assert len(messages(caplog)) == 1


def test_of_a_column_rows_count_that_count(caplog):
    """Padding and rows without a reward say nothing of the prior of their group."""
    for column, mask, rewards in (
        ([np.nan, 0.5, 0.5], [0, 1, 1], [1, 1, 1]),
        ([None, 0.5, 0.5], None, [None, 1, 1]),
        ([0.0, 0.5, 0.5], [False, True, True], [1, 1, 1]),
    ):
        estimator = v05.AdvantageEstimator(prior="column", rule="prior", reward_range=(0, 1))
        found = estimator.step(rewards, iter([7, 7, 7]), ["a"] * 3, column=column, mask=mask)
        assert found.advantages.tolist() == [0, 0.5, 0.5]
    assert not any("differs" in message for message in messages(caplog))


def test_a_source_of_the_users_own_is_left_alone_where_a_range_is_refused():
    class Plain:  # without what makes it wider
        def __init__(self):
            self.seen = 0

        def predict(self, keys, prompts, step):
            return np.full(len(keys), np.nan), np.zeros(len(keys))

        def record(self, keys, prompts, rewards, mask, step):
            self.seen += len(rewards)

        def state_dict(self):
            return {"seen": b"%d" % self.seen}

        def load_state_dict(self, state):
            self.seen = int(state["seen"])

    first = v05.AdvantageEstimator(prior=Plain())
    first.step([0, 1], [0, 0], ["a", "a"])
    other = v05.AdvantageEstimator(prior=Plain(), reward_range=(0, 2))
    with pytest.raises(v05.CheckpointError, match="reward_range"):
        other.load_state_dict(first.state_dict())
    assert other.source.seen == 0 and other.steps == 0 and first.source.seen == 2
    for prior in ("none", "column", lambda prompts: [0.5] * len(prompts)):
        first = v05.AdvantageEstimator(prior=prior)
        column = [0.5, 0.5] if prior == "column" else None
        first.step([0, 1], [0, 0], ["a", "a"], prompts=["a", "a"], column=column)
        wider = v05.AdvantageEstimator(prior=prior, reward_range=(0, 2))
        wider.load_state_dict(first.state_dict())
        assert wider.steps == 1 and wider.reward_range == (0, 2)


def test_a_column_that_says_two_things_of_a_prompt(caplog):
    first, both = (v05.AdvantageEstimator(prior="column", reward_range=(0, 1), rule="v05") for _ in range(2))
    found = both.step([0, 1, 1, 0], [0, 0, 1, 1], list("aabb"), column=[0.3, 0.8, 0.5, None])
    expected = first.step([0, 1, 1, 0], [0, 0, 1, 1], list("aabb"), column=[0.3, 0.3, 0.5, 0.5])
    np.testing.assert_array_equal(found.advantages, expected.advantages)
    assert len(messages(caplog)) == 1 and "the first value counts" in messages(caplog)[0]


def test_a_column_of_priors(generator, caplog):
    rewards, groups, keys = next(batches(generator))
    column = generator.random(24)[groups]
    estimator = v05.AdvantageEstimator(rule="v05", prior="column", leave_one_out=False)
    found = estimator.step(rewards, groups, keys, column=column)
    np.testing.assert_array_equal(found.advantages, v05.advantages(rewards, groups, column))
    with pytest.raises(v05.InvalidArgument, match="prior column"):
        estimator.step(rewards, groups, keys)
    with pytest.raises(v05.InvalidArgument, match="one value per rollout"):
        estimator.step(rewards, groups, keys, column=column[:3])
    with pytest.raises(v05.ArgumentTypeError, match="prior column"):
        estimator.step(rewards, groups, keys, column=["?"] * len(rewards))
    caplog.clear()
    found = estimator.step(rewards, groups, keys, column=[None] * len(rewards))
    np.testing.assert_array_equal(found.advantages, v05.advantages(rewards, groups))
    assert len(messages(caplog)) == 1 and "no number" in messages(caplog)[0]


def test_a_function_of_prompts_is_asked_once_a_prompt(generator):
    asked = []

    def lengths(prompts):
        asked.append(prompts)
        return [len(prompt) / 10 if prompt != "bb" else None for prompt in prompts]

    estimator = v05.AdvantageEstimator(rule="prior", prior=lengths, singleton="raw", leave_one_out=False)
    found = estimator.step([1, 0, 1, 1], [0, 0, 1, 2], [7, 7, 8, 9], prompts=["a", "a", "bb", "ccc"])
    np.testing.assert_allclose(found.advantages, [0.9, -0.1, 1, 0.7])
    assert asked == [["a", "bb", "ccc"]]
    with pytest.raises(v05.InvalidArgument, match="one value per prompt"):
        v05.AdvantageEstimator(prior=lambda prompts: [0.5]).step([1, 0], [0, 1], ["a", "b"], prompts=["a", "b"])
    with pytest.raises(v05.InvalidArgument, match="without prompts"):
        estimator.step([1, 0], [0, 0], [7, 7])


def test_the_keys_of_a_step_are_hashed_once(generator, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments[2])
        return hashed(*arguments)

    hashed = library.v05_key_hashes
    monkeypatch.setattr(library, "v05_key_hashes", counted)
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    prompts = [f"prompt {number}" for number in range(24)]
    for number in range(3):
        keys = [prompt for prompt in prompts for _ in range(4)]
        estimator.step(generator.integers(0, 2, 96), np.repeat(np.arange(24), 4), keys)
        assert calls == [24] * (number + 1)  # and of the rollouts of a prompt one


def test_a_source_that_does_not_ask_for_hashes_gets_keys_as_they_are(generator):
    class Source(v05.priors.sources.NoPrior):
        takes_hashes = False
        seen = []

        def predict(self, keys, prompts, step):
            self.seen.append(keys)
            return super().predict(keys, prompts, step)

    for keys in (["a", "a", "b", "b"], [1, 1, 2, 2], np.array([1, 1, 2, 2]), np.array(["a", "a", "b", "b"])):
        source = Source()
        v05.AdvantageEstimator(prior=source, reward_range=(0, 1)).step([1, 0, 1, 0], [0, 0, 1, 1], keys)
        seen = source.seen.pop()
        assert seen == list(keys) and {type(key) for key in seen} <= {int, str}


def test_ids_that_mix_prompts_are_refused_and_ids_a_rollout_are_told(generator, caplog):
    rewards, groups, keys = next(batches(generator))
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    wrong = list(keys)
    wrong[5] = "another"
    before = estimator.state_dict()
    with pytest.raises(v05.InvalidArgument, match="of one prompt.*'another'.*row 5|'another'.*row"):
        estimator.step(rewards, groups, wrong)
    assert estimator.state_dict()["RunningCalibration"] == before["RunningCalibration"] and estimator.steps == 0
    caplog.clear()
    for _ in range(2):
        estimator.step(rewards, np.arange(len(rewards)), keys)
    assert len(messages(caplog)) == 1 and "differ between rollouts of a prompt" in messages(caplog)[0]


def test_one_rollout_a_prompt_is_no_reason_to_warn(generator, caplog):
    estimator = v05.AdvantageEstimator(rule="prior", reward_range=(0, 1))
    for rewards, groups, keys in batches(generator, rollouts=1):
        found = estimator.step(rewards, groups, keys)
    assert messages(caplog) == [] and np.count_nonzero(found.advantages) > 0


def test_a_bad_prior_is_told_to_users_of_the_paper_rule(generator, caplog):
    for rule, warned in (("v05", True), ("calibrated", False)):
        caplog.clear()
        estimator = v05.AdvantageEstimator(rule=rule, prior="column", reward_range=(0, 1))
        for _ in range(2):
            rewards, groups, keys = next(batches(generator))
            estimator.step(rewards, groups, keys, column=1 - np.round(rewards[np.argsort(groups)].mean()) * np.ones(96))
        assert any("worse than the plain mean" in message for message in messages(caplog)) == warned
        assert len(messages(caplog)) <= 1


def test_metrics_are_the_health_of_the_prior(generator):
    estimator = v05.AdvantageEstimator()
    for rewards, groups, keys in batches(generator):
        found = estimator.step(rewards, groups, keys, maximum=16)
    metrics = found.metrics
    assert all(name.startswith("v05/") and isinstance(figure, float) for name, figure in metrics.items())
    assert metrics["v05/rollouts"] == 4 and metrics["v05/rollouts_saved"] == 0.75 and metrics["v05/groups"] == 24
    assert metrics["v05/calibrated"] == 1 and metrics["v05/constant"] == found.estimate.constant.mean()


@pytest.mark.parametrize("rule, prior", [("calibrated", "history"), ("mixture", "history"), ("calibrated", "tracker")])
def test_saved_and_resumed_is_uninterrupted(generator, tmp_path, rule, prior):
    steps = list(batches(generator, steps=6))
    whole = v05.AdvantageEstimator(rule=rule, prior=prior)
    first = v05.AdvantageEstimator(rule=rule, prior=prior)
    for step in steps[:3]:
        whole.step(*step)
        first.step(*step)
    first.save(tmp_path / "v05.zip")
    resumed = v05.AdvantageEstimator(rule=rule, prior=prior)
    resumed.load(tmp_path / "v05.zip")
    for step in steps[3:]:
        found, expected = resumed.step(*step), whole.step(*step)
        np.testing.assert_array_equal(found.advantages, expected.advantages)
        assert found.metrics == expected.metrics
    assert resumed.state_dict() == whole.state_dict()
    whole.save(tmp_path / "a")
    resumed.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_resumed_with_other_options(generator, caplog):
    first = v05.AdvantageEstimator(rule="calibrated")
    for step in batches(generator, steps=2):
        first.step(*step)
    state = first.state_dict()
    caplog.clear()
    v05.AdvantageEstimator(rule="v05").load_state_dict(state)
    assert len(messages(caplog)) == 1 and "rule 'calibrated'" in messages(caplog)[0]
    caplog.clear()
    mixture = v05.AdvantageEstimator(rule="mixture")
    mixture.load_state_dict(state)
    assert len(messages(caplog)) == 1 and mixture.calibration.updates == 0 and mixture.steps == 2
    caplog.clear()
    other = v05.AdvantageEstimator(prior="none")
    other.load_state_dict(state)
    assert len(messages(caplog)) == 1 and "starts anew" in messages(caplog)[0] and other.steps == 2
    with pytest.raises(v05.CheckpointError, match="reward_range"):
        v05.AdvantageEstimator(reward_range=(0, 0.5)).load_state_dict(state)


@pytest.mark.parametrize("prior", ["history", "tracker"])
def test_resumed_with_more_room_less_memory_and_another_discount(generator, prior):
    """What a warning asks for: the range that rewards can reach. What memory asks for: a capacity."""
    first = v05.AdvantageEstimator(prior=prior)
    for step in batches(generator, steps=3):
        first.step(*step)
    state, keys = first.state_dict(), [f"prompt {row}" for row in range(24)]
    wider = v05.AdvantageEstimator(prior=prior, reward_range=(0, 2))
    wider.load_state_dict(state)
    assert wider.reward_range == (0, 2) and wider.steps == 3 and wider.calibration.updates == 3
    np.testing.assert_allclose(
        wider.predict(keys)[0], first.predict(keys)[0], atol=0.3 if prior == "tracker" else 1e-12
    )
    other = v05.AdvantageEstimator(prior=prior, capacity=5, discount=0.3, calibration_discount=0.5)
    other.load_state_dict(state)
    assert len(other.source.history) == 5 and other.calibration.discount == 0.5
    assert other.calibration.calibration == first.calibration.calibration
    for step in batches(generator, steps=2):
        other.step(*step)
    assert len(other.source.history) == 5
    same = v05.AdvantageEstimator(prior=prior)
    same.load_state_dict(state)
    assert same.state_dict() == state
    mixture = v05.AdvantageEstimator(rule="mixture", reward_range=(0, 1))
    mixture.step(*next(batches(generator)))
    with pytest.raises(v05.CheckpointError, match="cannot be taken into another"):
        v05.AdvantageEstimator(rule="mixture", reward_range=(0, 2)).load_state_dict(mixture.state_dict())


def test_a_state_that_cannot_be_written_is_no_end_of_a_run(tmp_path, monkeypatch, caplog):
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    monkeypatch.setattr("os.replace", lambda *a, **k: (_ for _ in ()).throw(OSError(38, "Function not implemented")))
    estimator.save_or_tell(tmp_path / "new" / "v05.zip")
    assert len(messages(caplog)) == 1 and "could not be written" in messages(caplog)[0]
    monkeypatch.undo()
    estimator.save_or_tell(tmp_path / "new" / "v05.zip")
    v05.AdvantageEstimator(reward_range=(0, 1)).load(tmp_path / "new" / "v05.zip")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("estimator"),
        lambda state: state.pop("RunningCalibration"),
        lambda state: state.pop("prior/history"),
        lambda state: state.update(RunningCalibration=b"no"),
        lambda state: state.update(estimator=b"{}"),
        lambda state: state.update({"prior/history": state["prior/history"][:-3]}),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(generator, spoil):
    estimator = v05.AdvantageEstimator()
    estimator.step(*next(batches(generator)))
    before = estimator.state_dict()
    state = dict(before)
    spoil(state)
    with pytest.raises(v05.CheckpointError):
        estimator.load_state_dict(state)
    assert estimator.state_dict() == before


def test_a_file_that_is_none_of_ours(tmp_path):
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(v05.CheckpointError, match="text"):
        v05.AdvantageEstimator().load(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "zip", "w") as file:
        file.writestr("other", b"")
    with pytest.raises(v05.CheckpointError):
        v05.AdvantageEstimator().load(tmp_path / "zip")


@pytest.mark.parametrize(
    "wrong",
    [
        dict(rule="best"),
        dict(scale="both"),
        dict(prior="oracle"),
        dict(prior=3),
        dict(reward_range=(1, 0)),
        dict(ddof=2),
        dict(reward_range=3),
        dict(epsilon=-1),
        dict(discount=2),
        dict(capacity=0),
        dict(calibration_discount=-1),
        dict(test="exact", level=2),
        dict(singleton="one"),
        dict(leave_one_out="yes"),
    ],
)
def test_wrong_options_are_told_at_once(wrong):
    with pytest.raises(v05.Error, match=next(iter(wrong)) if "test" not in wrong else "level"):
        v05.AdvantageEstimator(**wrong)


@pytest.mark.parametrize(
    ("rewards", "groups", "keys"),
    [
        ([0, 1], [0, 0], ["a"]),
        ([0, 1], [0], ["a", "a"]),
        ([[0, 1]], [0, 0], ["a", "a"]),
        (["x", 1], [0, 0], ["a", "a"]),
        ([0, float("inf")], [0, 0], ["a", "a"]),
        ([0, 1], [0, 0], [None, None]),
    ],
)
def test_wrong_batches_change_nothing(rewards, groups, keys):
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    before = estimator.state_dict()
    with pytest.raises(v05.Error):
        estimator.step(rewards, groups, keys)
    assert estimator.state_dict() == before


@pytest.mark.parametrize("rule", ["v05", "calibrated", "mixture"])
def test_an_allocator_with_priors_and_what_was_learnt(generator, rule):
    estimator = v05.AdvantageEstimator(rule=rule)
    with pytest.raises(v05.InvalidArgument, match="detect_range"):
        estimator.allocator(["a"])
    for step in batches(generator):
        estimator.step(*step)
    keys = [f"prompt {i}" for i in range(24)]
    allocator = estimator.allocator(keys, rule="neyman", initial=2, maximum=16, budget=96)
    expected = v05.Allocator(
        estimator.predict(keys)[0],
        rule="neyman",
        initial=2,
        maximum=16,
        budget=96,
        calibration=estimator.calibration if rule == "calibrated" else None,
        mixture=estimator.calibration if rule == "mixture" else None,
    )
    np.testing.assert_array_equal(allocator.request(), expected.request())
    assert allocator.estimate().rule == expected.estimate().rule


def test_first_visits_under_allocation_start_from_the_mean_of_the_other_prompts():
    """At the first step; later ones start from the level of all. One without any reward in its first round, too."""
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    keys, rewards, prompt = ["a", "b", "c"], [1.0, 1.0, 0.0, 1.0, None, None], [0, 0, 1, 1, 2, 2]
    given = dict(rule="osla", initial=2, maximum=16, maximum_without_prior=4)

    def seen(allocator):
        allocator.request()
        allocator.observe([0, 0, 1, 1], [1.0, 1.0, 0.0, 1.0])
        allocator.cancel([2, 2])
        return allocator

    found = seen(estimator.allocator(keys, first=(rewards, prompt), **given))
    np.testing.assert_array_equal(found.estimate().prior, [0.5, 1.0, 0.75])
    expected = seen(v05.Allocator([0.5, 1.0, 0.75], strength=[1, 1, 1], reward_range=(0, 1), **given))
    np.testing.assert_array_equal(found.request(), expected.request())
    without = estimator.allocator(keys, **given)
    assert np.isnan(seen(without).estimate().prior).all()

    estimator.step(rewards, prompt, [keys[number] for number in prompt])
    later = estimator.allocator(["d", "a"], first=([1.0, 1.0], [0, 1]), **given)
    later.request()
    later.observe([0, 1], [1.0, 1.0])
    np.testing.assert_array_equal(later.estimate().prior, estimator.predict(["d", "a"])[0])
    other = v05.AdvantageEstimator(reward_range=(0, 1), start_strength=0.0)
    assert np.isnan(seen(other.allocator(keys, first=(rewards, prompt), **given)).estimate().prior).all()


@pytest.mark.parametrize(
    "options",
    [
        dict(prior="history"),
        dict(prior="history", start_strength=3.0),
        dict(prior="history", start_strength=0.0),
        dict(prior="tracker"),
        dict(prior=v05.priors.sources.TrackerPrior((0, 1))),
        dict(prior=v05.priors.sources.HistoryPrior((0, 1), start_strength=3.0)),
    ],
)
def test_the_most_for_prompts_never_seen_holds_for_every_history(options):
    """Whatever level and visits are worth there; a prompt that was seen once has a prior of its own."""
    estimator = v05.AdvantageEstimator(reward_range=(0, 1), **copy.deepcopy(options))
    generator = np.random.default_rng(3)
    for step in range(4):
        keys = np.arange(24) % 6
        estimator.step(generator.integers(0, 2, 24).astype(float), keys, keys)
    estimator.step([1.0, 0.0, 1.0], [0, 1, 2], [6, 7, 8])
    given = dict(rule="neyman", initial=2, maximum=16, maximum_without_prior=3, cost=0.0)
    with estimator.allocator([0, 1, 6, 7, 1000, 1001], **given) as allocator:
        while not allocator.done:
            counts = allocator.request()
            prompt = np.repeat(np.arange(6), counts)
            allocator.observe(prompt, np.arange(len(prompt)) % 2)
        assert (allocator.counts[:4] > 3).all() and (allocator.counts[4:] == 3).all()


def test_a_source_of_the_user_may_have_a_history_of_its_own():
    class Own(v05.priors.sources.NoPrior):
        history = {}

        def predict(self, keys, prompts, step):
            return np.full(len(keys), 0.5), np.full(len(keys), 4.0)

    estimator = v05.AdvantageEstimator(reward_range=(0, 1), prior=Own())
    with estimator.allocator(["a", "b"], rule="osla", initial=2, maximum=4, maximum_without_prior=3) as allocator:
        assert allocator.request().tolist() == [2, 2]


def test_keys_of_prompts():

    chat = [{"role": "user", "content": "2 + 2?"}]
    assert prompt_key("2 + 2?") == "2 + 2?" and prompt_key(7) == 7
    assert prompt_key(chat) == prompt_key([{"content": "2 + 2?", "role": "user"}]) != prompt_key(chat * 2)
    images = [np.full((4, 4), colour, np.uint8) for colour in (1, 1, 2)]
    first, same, other = (prompt_key([{"role": "user", "content": [{"image": image}]}]) for image in images)
    assert first == same != other
    assert isinstance(prompt_key(None), str) and isinstance(prompt_key(True), str)
    # What a dataset gives as numpy's own once and as Python's another time is one prompt.
    assert prompt_key(np.int64(7)) == 7 and prompt_key(np.str_("a")) == "a"
    assert prompt_key([np.int64(7), np.float64(0.5)]) == prompt_key([7, 0.5])


def test_prompts_that_hold_tables_are_told_apart_by_what_is_in_them():
    """Cells of a parquet file come as arrays of objects, whose bytes are addresses: new ones at every visit."""

    def task(number):
        cells = np.array([{"role": "user", "content": f"What is {number}?"}], dtype=object)
        return {
            "prompt": cells,
            "tags": {"hard", "sum", f"of {number}"},
            "nested": np.array([cells, None], dtype=object),
        }

    keys = [prompt_key(pickle.loads(pickle.dumps(task(number)))) for number in range(50)]
    assert len(set(keys)) == 50 and keys == [prompt_key(task(number)) for number in range(50)]
    code = "from v05._core.prompt_key import prompt_key; print(prompt_key([{'a', 'b', 'c', 'd'}]))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    known = [{1, 2, 3}, {None}, {"a"}, set(), frozenset({5})]
    assert [content_key(one) for one in known] == [repr(one) for one in known], "keys of saved histories"
    assert prompt_key([{"a", "b"}]) != prompt_key([["'a'", "'b'"]])
    endless: list = []
    endless.append(endless)
    for prompt in ({1: "a", "b": 2}, endless):
        with pytest.raises(v05.ArgumentTypeError, match="a prompt must be told apart by what is in it"):
            prompt_key([prompt])


def test_pictures_are_told_apart_by_what_is_in_them():

    class Picture:  # one that shows neither its repr nor its bytes
        pass

    zeros = np.zeros(16, np.uint8)
    pictures = [zeros.reshape(4, 4), zeros.reshape(2, 8), zeros.view(np.int32), b"", b"\0", bytes(16), {"bytes": b"a"}]
    assert len({prompt_key(["look", picture]) for picture in pictures}) == len(pictures)
    with pytest.raises(
        v05.ArgumentTypeError, match="must be told apart by what is in it, got <.*Picture.*: give id_field"
    ):
        prompt_key(["look", Picture()])


def test_tensors_are_told_apart_by_what_is_in_them():
    torch = pytest.importorskip("torch")

    first, second = torch.zeros(3, 64, 64), torch.zeros(3, 64, 64)
    second[1, 30, 30] = 1.0  # where the repr of a large tensor shows nothing
    assert prompt_key(["look", first]) == prompt_key(["look", first.clone()]) != prompt_key(["look", second])
    assert prompt_key(["look", first.bfloat16()]) != prompt_key(["look", second.bfloat16()])


def test_nothing_is_told_above_the_level_of_a_warning(generator, caplog):
    with caplog.at_level(logging.DEBUG, logger="v05"):
        estimator = v05.AdvantageEstimator(reward_range=(0, 1))
        for step in batches(generator):
            estimator.step(*step)
    assert messages(caplog) == []
