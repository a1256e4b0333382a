"""One group per call, in the order in which groups finish."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import v05
from v05._core.rules import RULES
from v05.training.streaming_estimator import StreamingEstimator


def quiet(**options):
    return StreamingEstimator(**{"reward_range": (0, 1), "log": lambda metrics: None} | options)


def groups(seed, count=200, prompts=40, sizes=(1, 2, 3, 4, 8)):
    """(key, rewards) of groups of different sizes."""
    generator = np.random.default_rng(seed)
    rate = generator.uniform(0, 1, prompts)
    for _ in range(count):
        key, size = int(generator.integers(prompts)), int(generator.choice(sizes))
        yield f"prompt {key}", (generator.random(size) < rate[key]).astype(float)


def test_the_mean_of_the_group_is_every_trainers():
    estimator = quiet(rule="grpo", leave_one_out=False)
    for key, rewards in groups(1):
        np.testing.assert_allclose(estimator.group(rewards, key), rewards - rewards.mean(), atol=1e-12)


def test_calibrated_with_the_history_by_the_formula():
    """The Fay-Herriot model of earlier groups, leave-one-out (method sections 5, 9 and 15)."""
    estimator, running, history = quiet(), v05.RunningCalibration(discount=0.998), v05.History()
    for key, rewards in groups(2):
        prior = history.predict([key])[0].repeat(len(rewards))
        ids = np.zeros(len(rewards), np.int64)
        expected = v05.advantages(rewards, ids, prior, rule="calibrated", leave_one_out=True, calibration=running)
        np.testing.assert_array_equal(estimator.group(rewards, key), expected)
        running.update(rewards, ids, prior)
        history.record([key] * len(rewards), rewards)
    assert estimator.steps == 200 and estimator.calibration.updates == 200


@pytest.mark.parametrize("prior", ["history", "tracker", "none"])
@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("singles", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_a_group_has_the_advantages_of_a_step_of_that_group(rule, singles, leave_one_out, prior):
    """Also where the calibration is the tracker's, because single rollouts say nothing to the running one."""
    estimator, other = (quiet(rule=rule, prior=prior, leave_one_out=leave_one_out) for _ in range(2))
    generator = np.random.default_rng(8)
    for number in range(100):
        rewards, key = generator.integers(0, 2, 1 if singles else 3).astype(float), f"prompt {number % 7}"
        estimator.group(rewards, key)
    other.load_state_dict(estimator.state_dict())
    for rewards in ([1.0], [1.0, 0.0], [0.0, 0.0, 1.0]):
        found = other.step(rewards, [0] * len(rewards), ["prompt 3"] * len(rewards)).advantages
        np.testing.assert_allclose(estimator.group(rewards, "prompt 3"), found, atol=1e-12)
        estimator.load_state_dict(other.state_dict())


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_as_advantages_has_it(rule):
    """From what was learnt of earlier groups, masked rollouts and such without reward among them."""
    estimator, generator = quiet(rule=rule), np.random.default_rng(11)
    for number, (key, rewards) in enumerate(groups(12, count=60)):
        mask = generator.random(len(rewards)) < 0.8 if number % 3 == 0 else None
        value, strength = estimator.predict([key])
        models = {RULES[rule].learns: estimator.calibration} if RULES[rule].learns else {}
        expected = v05.advantages(
            rewards,
            np.zeros(len(rewards), np.int64),
            value.repeat(len(rewards)),
            prior_strength=strength.repeat(len(rewards)),
            rule=rule,
            leave_one_out=True,
            mask=mask,
            **models,
        )
        np.testing.assert_array_equal(estimator.group(rewards, key, mask=mask), expected)
    assert estimator.calibration.updates == estimator.steps == 60


def test_the_order_of_groups_does_not_matter_without_a_calibration():
    """Of different prompts, and without the level of all, which is one of earlier groups, too."""
    given = [(str(number), (np.random.default_rng(number).random(4) < 0.5).astype(float)) for number in range(30)]
    found = []
    for order in (range(30), reversed(range(30))):
        estimator = quiet(rule="v05", start_strength=0.0)
        for visit in range(2):
            step = {number: estimator.group(given[number][1], given[number][0]) for number in order}
            order = list(step)
        found.append(step)
    for number in range(30):
        np.testing.assert_array_equal(found[0][number], found[1][number])


def test_the_gradient_is_unbiased():
    """Of a policy with one logit per prompt, averaged over many draws of the last group: within four standard
    errors."""
    generator = np.random.default_rng(4)
    estimator = quiet()
    for key, rewards in groups(3):
        estimator.group(rewards, key)
    p, k = 0.3, 3
    gradients = []
    for _ in range(1500):
        rewards = (generator.random(k) < p).astype(float)
        found = v05.advantages(
            rewards,
            np.zeros(k, np.int64),
            estimator.predict(["prompt 5"])[0].repeat(k),
            rule="calibrated",
            leave_one_out=True,
            calibration=estimator.calibration,
        )
        gradients.append((found * (rewards - p)).mean())
    gradients = np.array(gradients)
    assert abs(gradients.mean() - p * (1 - p)) < 4 * gradients.std() / np.sqrt(len(gradients))
    rewards = (generator.random(k) < p).astype(float)
    before = estimator.calibration
    expected = v05.advantages(
        rewards,
        np.zeros(k, np.int64),
        estimator.predict(["prompt 5"])[0].repeat(k),
        rule="calibrated",
        leave_one_out=True,
        calibration=before,
    )
    np.testing.assert_array_equal(estimator.group(rewards, "prompt 5"), expected)


def test_the_baseline_is_as_good_as_that_of_whole_batches(shared_data):
    """On success rates of a real run, 4 rollouts a visit: error of the baseline within 10 % of the batch form's."""
    generator = np.random.default_rng(5)
    lines = (shared_data / "one-shot-rlvr" / "pass_rates.jsonl").read_text().splitlines()
    rates = [np.array(json.loads(line)["successes"]) / json.loads(line)["rollouts"] for line in lines[:200]]
    visits = min(12, min(map(len, rates)))
    batch, stream = v05.AdvantageEstimator(reward_range=(0, 1)), quiet()
    errors = {"batch": 0.0, "stream": 0.0}
    for visit in range(visits):
        p = np.array([rate[visit] for rate in rates])
        rewards = (generator.random((len(p), 4)) < p[:, None]).astype(float)
        ids = np.repeat(np.arange(len(p)), 4)
        found = {"batch": batch.step(rewards.ravel(), ids, ids).advantages.reshape(-1, 4)}
        found["stream"] = np.stack([stream.group(rewards[number], number) for number in range(len(p))])
        if visit:
            for name, advantages in found.items():
                errors[name] += ((rewards - advantages - p[:, None]) ** 2).mean()
    assert errors["stream"] < 1.1 * errors["batch"]


def test_reports_and_state_come_every_so_many_groups(tmp_path):
    told = []
    estimator = StreamingEstimator(reward_range=(0, 1), every=50, log=told.append, state_path=tmp_path / "v05.zip")
    for number, (key, rewards) in enumerate(groups(6), start=1):
        estimator.group(rewards, key)
        assert len(told) == number // 50
    assert told[-1]["v05/groups"] == 50 and estimator.metrics == told[-1]
    assert {"v05/error", "v05/weight", "v05/slope"} <= told[-1].keys()
    again = StreamingEstimator(reward_range=(0, 1), every=50, log=told.append, state_path=tmp_path / "v05.zip")
    assert again.steps == 200
    for key, rewards in groups(7):
        np.testing.assert_array_equal(again.group(rewards, key), estimator.group(rewards, key))


def test_a_look_learns_nothing():
    estimator, other = quiet(), quiet()
    for key, rewards in groups(8, count=70):
        look = estimator.group(rewards, key, learn=False)
        np.testing.assert_array_equal(look, estimator.group(rewards, key))
        other.group(rewards, key)
    assert estimator.state_dict() == other.state_dict()


@pytest.mark.parametrize("prior", ["history", "column", "tracker"])
def test_a_look_tells_nothing_and_asks_a_source_of_the_user_only(caplog, prior):
    estimator = quiet(prior=prior)
    given = {"prior": 0.25} if prior == "column" else {}
    for _ in range(2):
        before = estimator.state_dict()
        look = estimator.group([1.0, None, 0.0], "a", learn=False, mask=[1, 1, 1], weights=[1, 1, 2], **given)
        assert not caplog.records and estimator.state_dict() == before
    np.testing.assert_array_equal(look, estimator.group([1.0, None, 0.0], "a", weights=[1, 1, 2], **given))


def test_a_prior_that_nobody_reads_is_refused():
    for prior in ("history", "none", "tracker"):
        with pytest.raises(v05.InvalidArgument, match=f"prior 0.5 is read with prior .* only, got prior '{prior}'"):
            quiet(prior=prior).group([1.0, 0.0], "a", prior=0.5)


def test_a_refused_group_changes_nothing(caplog):
    estimator, other = quiet(), quiet()
    for number, (key, rewards) in enumerate(groups(9, count=100)):
        if number % 10 == 0:
            for wrong in ([2.0, 0.0], [float("inf")], ["x"], [[1.0]]):
                with pytest.raises(v05.Error):
                    estimator.group(wrong, key)
            with pytest.raises(v05.Error):
                estimator.group(rewards, 1.5)
        np.testing.assert_array_equal(estimator.group(rewards, key), other.group(rewards, key))
    np.testing.assert_array_equal(estimator.group([1.0, None, 0.0], "new")[1], 0.0)
    assert len([record for record in caplog.records if "has no reward" in record.message]) == 1
    assert len(estimator.group([], "new")) == 0


def test_threads_and_tasks_take_turns():
    estimator = quiet()
    given = list(groups(10, count=400))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: estimator.group(each[1], each[0]), given))
    assert estimator.steps == 400

    async def score(each):
        return estimator.group(each[1], each[0])

    async def all_of_them():
        return await asyncio.gather(*map(score, given[:50]))

    assert len(asyncio.run(all_of_them())) == 50 and estimator.steps == 450


def test_wrong_options():
    for every in (0, -1, 1.5):
        with pytest.raises(v05.Error, match="every must be"):
            quiet(every=every)


def test_the_state_of_whole_batches_is_forgotten_at_the_pace_of_groups():
    batches, streaming = v05.AdvantageEstimator(prior="tracker", reward_range=(0, 1)), quiet(prior="tracker")
    generator = np.random.default_rng(1)
    for _ in range(20):
        batches.step(generator.integers(0, 2, 64).astype(float), np.arange(64), np.arange(64) % 32)
    streaming.load_state_dict(batches.state_dict())
    own, theirs = (each.source.history._options().forgetting for each in (streaming, batches))
    assert own == 0.98 ** (1 / 64) and theirs == 0.98
    np.testing.assert_allclose(streaming.predict(range(40)), batches.predict(range(40)), atol=1e-12)


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("rule", ["discounted_beta", "v05", "prior", "rloo"])
def test_the_figures_of_a_report_are_those_of_the_same_groups_as_a_batch(rule, leave_one_out):
    """Where every prompt comes once between two reports, in both."""
    options = dict(rule=rule, leave_one_out=leave_one_out, reward_range=(0, 1), start_strength=2.0)
    streaming, batches = quiet(every=64, **options), v05.AdvantageEstimator(**options)
    generator = np.random.default_rng(6)
    p = generator.random(64)
    for _ in range(8):
        rewards = (generator.random((64, 4)) < p[:, None]).astype(float)
        rows = np.repeat(np.arange(64), 4)
        expected = batches.step(rewards.ravel(), rows, rows, squared_norms=np.ones(256)).metrics
        for number in range(64):
            streaming.group(rewards[number], number, squared_norms=np.ones(4))
    # The first steps and the level that moves with every group differ; what the prompts themselves gave does not.
    names = ["v05/groups", "v05/rollouts", "v05/constant"] + ["v05/weight"] * (rule == "discounted_beta")
    assert [streaming.metrics[name] for name in names] == pytest.approx([expected[name] for name in names], abs=0.02)
    ours, theirs = (each["v05/noise/rule"] / each["v05/noise/none"] for each in (streaming.metrics, expected))
    assert ours == pytest.approx(theirs, rel=0.05)


def test_a_report_does_not_judge_the_fit_by_what_it_was_fitted_to():
    estimator = quiet(rule="calibrated", prior="column", every=8)
    generator = np.random.default_rng(6)
    for number in range(64):
        estimator.group(generator.integers(0, 2, 4).astype(float), number, prior=generator.random())
    assert estimator.metrics and "v05/fit_refused" not in estimator.metrics
