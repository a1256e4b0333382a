"""History and context together: what a prompt never seen starts with, and that training never dies of it."""

import logging
import pickle
import warnings

import numpy as np
import pytest
import v05

pytest.importorskip("sklearn", reason="in-context priors need scikit-learn")

from v05.priors import ContextBuffer, HistoryContextPrior, InContextPrior, start_strength
from v05.priors.prompt_text import prompt_text

TOPICS = ("sum of small integers", "eigenvalues of a large matrix")


def batch(step, size=16, rollouts=4, seed=0):
    """(keys, prompts, rewards) of a step; every prompt is new, and its topic decides."""
    generator = np.random.default_rng((seed, step))
    topics = generator.integers(0, 2, size)
    texts = [f"Find the {TOPICS[topic]} number {step * size + row}." for row, topic in enumerate(topics)]
    rewards = generator.random((size, rollouts)) < np.where(topics, 0.2, 0.9)[:, None]
    prompts = [text for text in texts for _ in range(rollouts)]
    return prompts, prompts, rewards.ravel().astype(float)


def trained(source, steps, first=0):
    for step in range(first, steps):
        keys, prompts, rewards = batch(step)
        source.predict(keys, prompts, step)
        source.record(keys, prompts, rewards, None, step)
    return source


def lengths(prompts):
    return np.array([[len(prompt), prompt.count("e")] for prompt in prompts], dtype=float)


class Model:
    """A model whose calls are counted, and that says what it is told to."""

    reward_range = (0.0, 1.0)

    def __init__(self, value=0.3, deviation=0.2, failure=None):
        self.value, self.deviation, self.failure = value, deviation, failure
        self.fits = 0

    def fit(self, prompts, scores):
        self.fits += 1
        if self.failure:
            raise self.failure

    def predict(self, prompts):
        return np.full(len(prompts), self.value), np.full(len(prompts), self.deviation)


def test_strength_is_that_of_the_beta_distribution_of_this_mean_and_deviation():
    from scipy.stats import beta

    for a, b in ((1, 1), (2, 5), (0.4, 0.3), (9, 3)):
        found = start_strength([beta(a, b).mean()], [beta(a, b).std()])
        assert found == pytest.approx(a + b)
        assert start_strength([2 * beta(a, b).mean() - 1], [2 * beta(a, b).std()], (-1, 1)) == pytest.approx(a + b)
    assert start_strength([0.5, 0.5, 0.5, 0, np.nan, 0.5], [0.6, 1e-9, 0.0, 0.0, 0.1, np.nan]).tolist() == [
        0,
        16,
        16,
        0,
        0,
        0,
    ]


def test_a_first_visit_is_predicted_from_similar_prompts_and_later_ones_from_the_history():
    source = trained(HistoryContextPrior(), 10)
    value, strength = source.predict([1, 2], [f"Find the {topic} number 9999." for topic in TOPICS], 10)
    assert value[0] > 0.7 and value[1] < 0.4 and (strength > 0.3).all() and (strength <= 16).all()
    keys, prompts, _ = batch(0)
    value, strength = source.predict(keys, prompts, 10)
    np.testing.assert_array_equal(value, source.history.predict(keys, step=10)[0])


def test_too_little_context_is_the_level_and_no_failure(caplog):
    source = HistoryContextPrior()
    keys, prompts, rewards = batch(0)
    value, strength = source.predict(keys, prompts, 0)
    assert np.isnan(value).all() and not strength.any()
    trained(source, 7)
    value, strength = source.predict(["new"], ["new prompt"], 7)
    assert (value, strength) == source.history.predict(["other"], step=7) and 0.2 < value[0] < 0.9 and strength[0] == 1
    trained(source, 8, first=7)
    assert source.predict(["new"], ["new prompt"], 8)[0] != source.history.predict(["other"], step=8)[0]
    assert not caplog.records


def test_the_history_starts_with_the_prediction():
    source = HistoryContextPrior(model=Model(0.3, 0.2), minimum=1, discount=0.5)
    source.context.add(["a", "b"], [0.0, 1.0], 0)
    assert [array.tolist() for array in source.predict(["k"], ["text"], 1)] == [[0.3], pytest.approx([4.25])]
    source.record(["k"] * 2, ["text"] * 2, [1.0, 1.0], None, 1)
    plain = v05.History(0.5)
    plain.start(["k"], 0.3, 0.3 * 0.7 / 0.04 - 1)
    plain.record(["k"] * 2, [1.0, 1.0])
    assert source.predict(["k"], ["text"], 2)[0] == pytest.approx(plain.predict(["k"])[0], abs=1e-12)
    assert source.context.pairs()[0] == ["a", "b", "text"] and source.context.pairs()[1][2] == 1.0


def test_a_prompt_whose_rollout_weighed_little_has_its_own_history():
    source = HistoryContextPrior(model=Model(0.3, 0.5), minimum=1, discount=0.5)  # a guess worth one reward, the least
    source.context.add(["a", "b"], [0.0, 1.0], 0)
    weights = np.array([0.1, 1.4, 1.5])  # of mean 1
    source.record(["k", "x", "y"], ["text", "first", "second"], [1.0, 0.0, 1.0], None, 1, weights=weights)
    value, strength = source.predict(["k"], ["text"], 2)
    assert strength == pytest.approx([0.5 * 1 + 0.1]) and value == pytest.approx([(0.5 * 0.3 + 0.1) / 0.6])


def test_prediction_knows_nothing_of_the_step_and_changes_nothing():
    source = trained(HistoryContextPrior(), 10)
    keys, prompts, rewards = batch(10)
    before = source.state_dict()
    first = source.predict(keys, prompts, 10)
    again = source.predict(keys, prompts, 10)
    np.testing.assert_array_equal(first, again)
    assert source.state_dict() == before


def test_fitted_at_most_once_a_step():
    model = Model()
    source = HistoryContextPrior(model=model, minimum=8)
    for step in range(6):
        keys, prompts, rewards = batch(step)
        for _ in range(3):
            source.predict(keys, prompts, step)
        source.record(keys, prompts, rewards, None, step)
    assert model.fits == 5  # not at the first, when there is no context


@pytest.mark.parametrize("failure", [RuntimeError("no convergence"), MemoryError(), np.linalg.LinAlgError("singular")])
def test_a_model_that_fails_is_told_once_and_training_goes_on(failure, caplog):
    source = HistoryContextPrior(model=Model(failure=failure), minimum=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as a user may have set
        trained(source, 5)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert type(failure).__name__ in caplog.text
    value, _ = source.predict(*batch(0)[:2], 5)
    assert not np.isnan(value).any()  # the history lives


def test_every_kind_of_failure_is_told(caplog):
    """What an early step lacks does not hide what fails at every later one."""
    model = Model(failure=v05.InvalidArgument("scores must differ"))
    source = trained(HistoryContextPrior(model=model, minimum=1), 3)
    model.failure = RuntimeError("CUDA out of memory")
    trained(source, 6, first=3)
    assert [record.args[0] for record in caplog.records] == ["InvalidArgument", "RuntimeError"]


def test_a_prompt_that_has_no_text_ends_no_step(caplog):
    class Recording:  # nothing tells it from others at its next visit
        pass

    source = HistoryContextPrior(model=Model(), minimum=1)
    source.context.add(["a", "b"], [0.0, 1.0], 0)
    prompts = [[{"role": "user", "content": Recording()}], "text"]
    value, _ = source.predict(["k", "l"], prompts, 1)
    assert value[1] == 0.3 and not value[0] == 0.3
    source.record(["k", "l"], prompts, [0.0, 1.0], None, 1)
    assert len(source.context) == 3 and len(caplog.records) == 1 and "no text" not in caplog.text


def test_chats_are_their_text():
    parts = [{"type": "image"}, {"type": "text", "text": "What is"}, {"type": "text", "text": "9+1?"}]
    chat = [{"role": "system", "content": "Be good."}, {"role": "user", "content": "What is 9+1?"}]
    assert prompt_text(chat) == "Be good.\nWhat is 9+1?"
    assert prompt_text([{"role": "user", "content": parts}]) == "What is\n9+1?"
    assert prompt_text("What is 9+1?") == "What is 9+1?" and prompt_text(17) == "17"
    assert prompt_text([{"role": "user", "content": None}]) == '[{"content": null, "role": "user"}]'
    assert prompt_text([]) == "[]" and prompt_text(["a"]) == '["a"]'


@pytest.mark.parametrize("encoder", ["tfidf", lengths])
def test_an_estimator_is_pickled_at_every_step(encoder):
    model = InContextPrior(encoder)
    estimator = v05.AdvantageEstimator(prior=HistoryContextPrior(model=model), reward_range=(0, 1))
    for step in range(11):
        keys, prompts, rewards = batch(step)
        estimator.step(rewards, keys, keys, prompts=prompts)
        again = pickle.loads(pickle.dumps(estimator))
    keys, prompts, rewards = batch(11)
    found = [each.step(rewards, keys, keys, prompts=prompts).advantages for each in (again, estimator)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("value, deviation, known", [(np.nan, 0.1, False), (7.0, 0.1, True), (0.5, np.nan, True)])
def test_a_model_that_says_nonsense(value, deviation, known):
    source = HistoryContextPrior(model=Model(value, deviation), minimum=1)
    source.context.add(["a", "b"], [0.0, 1.0], 0)
    found, strength = source.predict(["k"], ["text"], 1)
    assert np.isnan(found[0]) != known and (not known or 0 <= found[0] <= 1) and strength[0] == known
    source.record(["k"], ["text"], [0.0], None, 1)
    plain = v05.History()
    if known:
        plain.start(["k"], found, strength)
    plain.record(["k"], [0.0])
    assert source.history.predict(["k"])[0] == plain.predict(["k"])[0] > 0


@pytest.mark.parametrize("deviation", [0.0, 0.2, 10.0])
def test_a_single_rollout_is_no_end_of_the_range(deviation):
    """Whatever the model is worth, and where it says nothing: a prompt is not judged by one rollout alone."""
    model = Model(0.3, deviation)
    source = HistoryContextPrior(model=model, minimum=3)
    source.record(["a", "b"], ["a", "b"], [0.0, 1.0], None, 0)
    source.record(["c"], ["c"], [1.0], None, 1)
    source.record(["d"], ["d"], [1.0], None, 2)
    assert model.fits == 1
    value, strength = source.predict(["a", "b", "c", "d"], list("abcd"), 3)
    assert ((0 < value) & (value < 1)).all() and (strength > 1).all()


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_policy_that_always_or_never_succeeds(rate, caplog):
    source = HistoryContextPrior()
    for step in range(12):
        keys, prompts, rewards = batch(step)
        source.predict(keys, prompts, step)
        source.record(keys, prompts, np.full(len(rewards), rate), None, step)
    assert source.predict(["new"], ["new prompt"], 12)[0] == pytest.approx(rate, abs=0.01)
    assert len(caplog.records) == 1 and "from one class nothing can be told" in caplog.text


def test_prompts_without_text_chats_and_megabytes():
    source = trained(HistoryContextPrior(), 10)
    chat = [{"role": "user", "content": "Find the sum of small integers number 5."}]
    prompts = [None, "", "  ", chat, "x" * 3_000_000, 17]
    keys = list(range(6))
    value, _ = source.predict(keys, prompts, 10)
    level = source.history.predict(["other"], step=10)[0]
    assert (value == level).tolist() == [True, True, True, False, False, False]
    source.record(keys, prompts, [1.0] * 6, None, 10)
    assert (source.history.predict(keys)[0] > 0.5).all()
    value, _ = source.predict(["new"], None, 11)
    assert value == source.history.predict(["other"], step=11)[0]
    source.record(["new"], None, [1.0], None, 11)
    assert value[0] < source.history.predict(["new"])[0] < 1


def test_masked_rows_count_nowhere():
    source = HistoryContextPrior()
    source.record(["a", "a", "b"], ["A", "A", "B"], [1.0, np.nan, np.nan], [True, False, False], 0)
    assert source.context.pairs()[0] == ["A"] and source.context.pairs()[1].tolist() == [1.0]
    assert len(source.history) == 1


def test_bad_rewards_are_an_error_and_change_nothing():
    source = trained(HistoryContextPrior(), 10)
    keys, prompts, rewards = batch(10)
    before = source.state_dict()
    for bad in (2.0, np.nan):
        with pytest.raises(v05.InvalidArgument):
            source.record(keys, prompts, np.r_[rewards[:-1], bad], None, 10)
    assert source.state_dict() == before


def test_gone_on_with_after_a_restart():
    whole = trained(HistoryContextPrior(), 14)
    part = HistoryContextPrior()
    part.load_state_dict(trained(HistoryContextPrior(), 11).state_dict())
    trained(part, 14, first=11)
    assert part.state_dict() == whole.state_dict()
    keys, prompts, _ = batch(14)
    np.testing.assert_array_equal(part.predict(keys, prompts, 14), whole.predict(keys, prompts, 14))


def test_states_that_cannot_be_used_change_nothing():
    source = trained(HistoryContextPrior(), 3)
    before = source.state_dict()
    for state, kind in (
        ({"history": before["history"]}, KeyError),
        (before | {"context": b"x"}, v05.CheckpointError),
        (HistoryContextPrior(reward_range=(-1, 1)).state_dict(), v05.CheckpointError),
    ):
        with pytest.raises(kind):
            source.load_state_dict(state)
        assert source.state_dict() == before


def test_reward_ranges_must_agree():
    with pytest.raises(v05.InvalidArgument, match="context must have the reward_range"):
        HistoryContextPrior(reward_range=(-1, 1), context=ContextBuffer())
    with pytest.raises(v05.InvalidArgument, match="model must have the reward_range"):
        HistoryContextPrior(reward_range=(-1, 1), model=Model())


def test_in_the_estimator_of_the_trainers():
    estimator, plain = (
        v05.AdvantageEstimator(prior=prior, reward_range=(0, 1)) for prior in ("history+context", "history")
    )
    errors = {estimator: [], plain: []}
    for step in range(14):
        keys, prompts, rewards = batch(step)
        for each in errors:
            found = each.step(rewards, keys, keys, prompts=prompts)
            truth = np.where([TOPICS[1] in prompt for prompt in prompts], 0.2, 0.9)
            errors[each].append(np.mean((found.baseline - truth) ** 2))
    assert np.mean(errors[estimator][9:]) < 0.8 * np.mean(errors[plain][9:])
    resumed = v05.AdvantageEstimator(prior="history+context", reward_range=(0, 1))
    resumed.load_state_dict(estimator.state_dict())
    keys, prompts, rewards = batch(14)
    found = [each.step(rewards, keys, keys, prompts=prompts).advantages for each in (resumed, estimator)]
    np.testing.assert_array_equal(*found)
