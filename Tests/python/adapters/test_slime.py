"""v05.slime against slime's contract of the hook (trainer_contracts/slime.json) and the formulas."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from adapter_cases import batches, check_figures, check_resume, check_rules, contract, stock, warnings
from v05 import slime
from v05.priors import HistoryContextPrior

CONTRACT = contract("slime")


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch):
    monkeypatch.setattr(slime, "_estimator", None)


def sample(**fields):
    return SimpleNamespace(**(CONTRACT["fields"] | {"metadata": {}} | fields))


def samples_of(batch, fields_of=lambda row: {}):
    prompts = [[{"role": "user", "content": key}] for key in batch.keys]
    return [
        sample(index=index, group_index=group, reward=reward, prompt=prompt, **fields_of(index))
        for index, (reward, group, prompt) in enumerate(zip(batch.rewards, batch.groups, prompts))
    ]


def adapter(fields_of=lambda row: {}, arguments=SimpleNamespace(reward_key=None), **options):
    # slime loads the function by its path; the estimator of another adapter must not come in between.
    estimator = slime.install(reward_range=(0, 1), **options)

    def advantages_of(batch):
        slime._estimator = estimator
        raw, advantages = slime.post_process_rewards(arguments, samples_of(batch, fields_of))
        assert raw == [0.0 if reward is None else reward for reward in batch.rewards]
        assert all(type(advantage) is float for advantage in advantages)
        return np.array(advantages)

    return advantages_of


def test_slimes_own_contract():
    """What its plug-in contract test does with the function."""
    function = slime.post_process_rewards
    assert list(inspect.signature(function).parameters) == CONTRACT["calls"]["custom_reward_post_process"]
    raw, rewards = function(type("Args", (), {})(), [sample(index=0, reward=0.5), sample(index=1, reward=1.5)])
    assert raw == [0.5, 1.5] and len(rewards) == 2


def test_formulas():
    check_rules(lambda rule: adapter(rule=rule))


def test_slimes_convention():
    advantages_of = adapter(**slime.STOCK)
    for batch in batches():
        np.testing.assert_allclose(advantages_of(batch), stock(batch), atol=1e-9)


def test_resume(tmp_path):
    check_resume(lambda name: adapter(state_path=tmp_path / name / "v05.zip"))


def test_what_is_said_when_a_run_starts_or_goes_on(tmp_path, caplog):
    path = tmp_path / "v05.zip"
    adapter(state_path=path)(next(batches()))
    assert len(warnings(caplog, "there is no state at")) == 1
    adapter(state_path=path, rule="v05")
    assert len(warnings(caplog, "saved with rule 'calibrated' and goes on with 'v05'")) == 1
    path.write_bytes(b"half a file")
    with pytest.raises(v05.CheckpointError, match="is no saved AdvantageEstimator"):
        adapter(state_path=path)


def test_the_earlier_name_of_install():
    assert slime.configure is slime.install


def test_prompts_of_one_group_that_differ_are_told(caplog):
    """group_index is wrong there; parts of an agent's rollout, which have a rollout_id, may have any prompt."""
    slime.install(rule="rloo", reward_range=(0, 1))

    def step(**fields):
        samples = [sample(group_index=0, prompt=f"question {row}", reward=row, **fields) for row in (0, 1)]
        return slime.post_process_rewards(SimpleNamespace(), samples)[1]

    assert step(rollout_id=7) and not warnings(caplog, "different prompts")
    for _ in range(2):
        assert step() == [-1.0, 1.0]
    assert warnings(caplog, "different prompts") == [
        "the samples of group_index 0 have different prompts, 'question 0' and 'question 1' (samples[1]): they count "
        "as rollouts of the first"
    ]


def test_options_that_there_are_not():
    with pytest.raises(v05.ArgumentTypeError, match="there is no option 'reward_rnge'; the options are rule"):
        slime.post_process_rewards(SimpleNamespace(v05={"reward_rnge": [0, 1]}), [sample(reward=1.0)])


def test_options_from_the_custom_config(tmp_path):
    arguments = SimpleNamespace(reward_key="score", v05={"rule": "rloo", "state_path": str(tmp_path / "state")})
    found = slime.post_process_rewards(
        arguments, [sample(group_index=0, reward={"score": reward}) for reward in (0.0, 1.0, 1.0)]
    )
    assert found == ([0.0, 1.0, 1.0], [-1.0, 0.5, 0.5])
    assert (tmp_path / "state").exists()


def test_parts_of_a_rollout_count_once():
    rewards, rollouts = [1.0, 1.0, 0.0, 0.0, 0.0], [7, 7, 8, 9, 9]
    slime.install(rule="rloo")
    parts = [
        sample(group_index=3, rollout_id=rollout, reward=reward, prompt=f"turn {row}")
        for row, (rollout, reward) in enumerate(zip(rollouts, rewards))
    ]
    _, advantages = slime.post_process_rewards(SimpleNamespace(), parts)
    assert advantages == [1.0, 1.0, -0.5, -0.5, -0.5]


def test_id_and_prior_from_the_metadata(caplog):
    estimator = slime.install(rule="prior", prior="column", id_field="id", prior_field="pass_rate", reward_range=(0, 1))
    records = [{"id": 5, "pass_rate": 0.25}, {"id": 5, "pass_rate": 0.25}, {"id": 6}]
    samples = [sample(group_index=record["id"], reward=1.0, metadata=record) for record in records]
    assert slime.post_process_rewards(SimpleNamespace(), samples)[1][:2] == [0.75, 0.75]
    assert estimator.keys(records, ["same"] * 3) == [5, 5, 6]
    with pytest.raises(v05.InvalidArgument, match="id_field 'id' must be in every record, got .* .row 1."):
        slime.post_process_rewards(SimpleNamespace(), [samples[0], sample(group_index=1, reward=1.0)])


def test_the_same_text_with_another_image_is_another_prompt():
    estimator = slime.install(rule="prior", reward_range=(0, 1), start_strength=0)
    images = [np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)]

    def step(rewards, **fields):
        samples = [
            sample(reward=reward, prompt="How many?", multimodal_inputs={"images": [images[row].copy()]}, **fields)
            for row, reward in enumerate(rewards)
        ]
        return slime.post_process_rewards(SimpleNamespace(), samples)[1]

    step([1.0, 0.0])
    assert step([1.0, 1.0]) == [0.0, 1.0]  # each had its own history, and was a group of its own
    text = sample(reward=1.0, prompt="How many?", multimodal_inputs=None)
    slime.post_process_rewards(SimpleNamespace(), [text])
    assert estimator.source.history.predict(["How many?"])[1][0] == 1  # text alone is known as before


def test_no_reward_is_none_in_the_log_of_slime():
    slime.install(reward_range=(0, 1))
    for nothing in (None, float("nan")):
        batch = [sample(group_index=row, reward=nothing if row == 3 else 1.0, prompt="p") for row in range(5)]
        raw, _ = slime.post_process_rewards(SimpleNamespace(), batch)
        assert raw == [1.0, 1.0, 1.0, 0.0, 1.0]


def test_warnings_once(caplog):
    slime.install(reward_range=(0, 1))
    for step in range(2):
        slime.post_process_rewards(
            SimpleNamespace(),
            [sample(group_index=100 * step + row, reward=None if row == 3 else 1.0, prompt="p") for row in range(30)],
        )
    assert len(warnings(caplog, "a single rollout")) == 1
    assert len(warnings(caplog, "no reward (None or NaN)")) == 1


def test_a_state_that_cannot_be_written_and_a_log_that_fails_do_not_stop_training(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    advantages_of = adapter(state_path=tmp_path / "file" / "state", log=lambda metrics: 1 / 0)
    for batch in batches(steps=2):
        advantages_of(batch)
    assert len(warnings(caplog, "could not be written")) == 1
    assert len(warnings(caplog, "function given as log failed: ZeroDivisionError")) == 1


def test_reward_outside_the_given_range_is_an_error_and_changes_nothing():
    estimator = slime.install(reward_range=(0, 1))
    with pytest.raises(v05.InvalidArgument, match="reward"):
        slime.post_process_rewards(SimpleNamespace(), [sample(group_index=0, reward=reward) for reward in (2.0, 0.0)])
    assert estimator.steps == 0


def test_a_prior_made_of_texts():
    slime.install(rule="prior", prior=lambda prompts: [0.25 if "easy" in prompt else None for prompt in prompts])
    samples = [sample(group_index=0, reward=1.0, prompt=[{"role": "user", "content": "easy"}])] * 2
    assert slime.post_process_rewards(SimpleNamespace(), samples)[1] == [0.75, 0.75]


def test_a_source_made_of_texts_is_given_them():
    """An object, as one with a value model of its own."""
    estimator = slime.install(prior=HistoryContextPrior(reward_range=(0, 1)), reward_range=(0, 1))
    slime.post_process_rewards(SimpleNamespace(reward_key=None), [sample(prompt="2+2?", reward=1.0)])
    assert estimator.source.context.pairs()[0] == ["2+2?"]


def test_removed_samples_count_nowhere():
    """slime does not train on them, so their rewards say nothing of the policy; an aborted agent comes as one."""
    estimator = slime.install(rule="rloo", reward_range=(0, 1), prior="history")
    samples = [
        sample(group_index=0, prompt="question", reward=reward, remove_sample=removed)
        for reward, removed in ((1.0, False), (0.0, True), (1.0, False), (0.0, False))
    ]
    _, advantages = slime.post_process_rewards(SimpleNamespace(reward_key=None), samples)
    np.testing.assert_allclose(advantages, [0.5, 0.0, 0.5, -1.0])
    assert estimator.source.history.predict(["question"])[1][0] == 3

    # So do those of which the loss takes no token, as where nothing was said.
    for silent in (
        dict(tokens=[1, 2, 3], response_length=2, loss_mask=[0, 0]),
        dict(tokens=[1], response_length=0, loss_mask=[]),
        dict(tokens=[1], response_length=0),
    ):
        spoken = dict(tokens=[1, 2, 3], response_length=2)
        samples = [
            sample(group_index=0, prompt="silent", reward=reward, **fields)
            for reward, fields in ((1.0, spoken | {"loss_mask": [0, 1]}), (0.0, silent), (1.0, spoken), (0.0, spoken))
        ]
        _, advantages = slime.post_process_rewards(SimpleNamespace(reward_key=None), samples)
        np.testing.assert_allclose(advantages, [0.5, 0.0, 0.5, -1.0])

    # A rollout of several samples counts by those that are trained.
    parts = [
        sample(group_index=1, prompt="other", reward=reward, rollout_id=rollout, remove_sample=removed)
        for reward, rollout, removed in ((1.0, 7, True), (1.0, 7, False), (0.0, 8, False))
    ]
    _, advantages = slime.post_process_rewards(SimpleNamespace(reward_key=None), parts)
    np.testing.assert_allclose(advantages, [0.0, 1.0, -1.0])


@pytest.mark.parametrize("reward, held", [({"format": 1.0}, r"\['format'\]"), (0.5, "0.5"), ({}, r"\[\]")])
def test_a_reward_without_the_key_is_named(reward, held):
    slime.install(rule="rloo", reward_range=(0, 1))
    samples = [sample(group_index=0, prompt="q", reward=value) for value in ({"acc": 1.0}, reward, {"acc": 0.0})]
    with pytest.raises(v05.InvalidArgument, match=rf"samples\[1\] must be a dict with reward_key 'acc', got {held}"):
        slime.post_process_rewards(SimpleNamespace(reward_key="acc"), samples)


def test_a_reward_of_several_without_a_key_is_named():
    slime.install(rule="rloo", reward_range=(0, 1))
    samples = [sample(group_index=0, reward=value) for value in (1.0, {"acc": 1.0, "form": 0.0})]
    for name in (None, ""):
        with pytest.raises(v05.InvalidArgument, match=r"reward_key must name one of \['acc', 'form'\], .*samples\[1\]"):
            slime.post_process_rewards(SimpleNamespace(reward_key=name), samples)
    samples = [sample(group_index=0, reward=value) for value in (1.0, 0.0)]
    assert slime.post_process_rewards(SimpleNamespace(reward_key=""), samples)[1] == [1.0, -1.0]


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("weights", ["length", "score"])
def test_weights_from_masks_and_log_probabilities(weights, per_token):
    slime.install(rule="rloo", reward_range=(0, 1), weights=weights)
    random = np.random.default_rng(4)
    samples, expected, rewards = [], [], []
    for row in range(6):
        length = int(random.integers(2, 6))
        mask = None if row % 2 else [1, 0] + [1] * (length - 2)
        log_prob = np.log(random.uniform(0.2, 1, length)).tolist()
        counted = np.ones(length) if mask is None else np.array(mask)
        size = (counted * (1 - np.exp(log_prob)) ** 2).sum() if weights == "score" else counted.sum()
        expected.append(size if per_token else size / counted.sum() ** 2)
        rewards.append(float(row % 3 == 0))
        samples.append(
            sample(
                group_index=0,
                reward=rewards[-1],
                tokens=[1] * length,
                response_length=length,
                loss_mask=mask,
                rollout_log_probs=log_prob,
            )
        )
    arguments = SimpleNamespace(reward_key=None, calculate_per_token_loss=per_token)
    found = slime.post_process_rewards(arguments, samples)[1]
    np.testing.assert_allclose(found, v05.advantages(rewards, [0] * 6, rule="rloo", weights=expected), atol=1e-6)


def test_the_parts_of_a_rollout_are_weighted_by_its_whole_length():
    """slime divides the loss of each part by the tokens of all of them."""
    slime.install(rule="rloo", reward_range=(0, 1), weights="length")
    parts = [(7, 1.0, 1), (7, 1.0, 3), (8, 0.0, 2), (9, 1.0, 5)]
    samples = [
        sample(group_index=0, reward=reward, rollout_id=rollout, tokens=[1] * size, response_length=size)
        for rollout, reward, size in parts
    ]
    found = slime.post_process_rewards(SimpleNamespace(reward_key=None), samples)[1]
    expected = v05.advantages([1, 0, 1], [0] * 3, rule="rloo", weights=[4 / 16, 2 / 4, 5 / 25])
    np.testing.assert_allclose(found, [expected[0], *expected])


def test_what_is_not_trained_needs_no_log_probabilities(caplog):
    slime.install(rule="rloo", reward_range=(0, 1), weights="score")
    fields = dict(tokens=[1, 1], response_length=2)
    samples = [
        sample(group_index=0, reward=1.0, rollout_log_probs=[-0.1, -0.2], **fields),
        sample(group_index=0, reward=0.0, rollout_log_probs=[-0.9, -1.2], **fields),
        sample(group_index=0, reward=1.0, rollout_log_probs=[-0.5, -0.5], **fields),
        sample(group_index=0, reward=0.0, remove_sample=True, **fields),
        sample(group_index=0, reward=0.0, loss_mask=[0, 0], rollout_log_probs=[-0.1], **fields),
    ]
    found = slime.post_process_rewards(SimpleNamespace(reward_key=None), samples)[1]
    sizes = [((1 - np.exp(each.rollout_log_probs)) ** 2).sum() for each in samples[:3]]
    expected = v05.advantages([1, 0, 1], [0] * 3, rule="rloo", weights=sizes)
    np.testing.assert_allclose(found, [*expected, 0, 0], atol=1e-6)
    assert not warnings(caplog, "weights are the lengths of rollouts")


def test_samples_without_log_probabilities_are_weighted_by_length(caplog):
    slime.install(rule="rloo", reward_range=(0, 1), weights="score")
    samples = [
        sample(group_index=0, reward=reward, tokens=[1], response_length=length, rollout_log_probs=log_prob)
        for reward, length, log_prob in ((1.0, 2, [-0.1, -0.2]), (0.0, 3, None), (1.0, 1, [-1.0]))
    ]
    for _ in range(2):
        found = slime.post_process_rewards(SimpleNamespace(reward_key=None, calculate_per_token_loss=True), samples)[1]
        np.testing.assert_allclose(found, v05.advantages([1, 0, 1], [0] * 3, rule="rloo", weights=[2, 3, 1]))
    assert len(warnings(caplog, "weights are the lengths of rollouts")) == 1
    samples[0].rollout_log_probs = [-0.1]
    with pytest.raises(
        v05.InvalidArgument, match=r"rollout_log_probs of samples\[0\] must have one entry per token.*1 for 2"
    ):
        slime.post_process_rewards(SimpleNamespace(reward_key=None), samples)


@pytest.mark.parametrize("per_token", [False, True])
def test_figures_without_weights_are_of_lengths(per_token):
    """Log-probabilities come as lists, too long to read for figures alone."""
    arguments = SimpleNamespace(reward_key=None, calculate_per_token_loss=per_token)
    fields = [
        dict(tokens=[1] * 3, response_length=3, rollout_log_probs=[-1.0, -2.0, -3.0]),
        dict(tokens=[1] * 3, response_length=2, loss_mask=[1, 0, 1]),
        dict(tokens=[1], response_length=1, loss_mask=(1,)),
    ]
    lengths = np.array([3.0, 2.0, 1.0])

    def norms_of(batch):
        length = lengths[np.arange(len(batch.rewards)) % 3]
        return length if per_token else 1 / length

    check_figures(lambda **options: adapter(lambda row: fields[row % 3], arguments, **options), norms_of)


@pytest.mark.parametrize(
    "odd",
    [
        dict(rollout_log_probs=[-0.1]),
        dict(rollout_log_probs="abc"),
        dict(rollout_log_probs=7),
        dict(rollout_log_probs=[None, float("nan")]),
        dict(response_length="two"),
        dict(response_length=2.5),
    ],
)
def test_odd_samples_end_no_training_without_weights(odd, caplog):
    batch = next(batches())
    expected = adapter(lambda row: dict(response_length=2))(batch)
    for _ in range(2):
        caplog.clear()
        fields_of = lambda row: dict(tokens=[1, 1], response_length=2) | (odd if row == 3 else {})  # noqa: E731
        np.testing.assert_array_equal(adapter(fields_of)(batch), expected)
        assert not warnings(caplog, "length")
