"""v05.skyrl in SkyRL's own registry, called by its function (released wheel), against its numbers and the formulas."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from adapter_cases import (
    Batch,
    batches,
    check_figures,
    check_parameters,
    check_resume,
    check_rules,
    contract,
    definitions,
    host,
    recorded,
    released,
    warnings,
)

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def source(request):
    return released("skyrl==0.4.0", request.config.cache)


@pytest.fixture
def skyrl(monkeypatch, source):
    utilities = definitions(
        source("skyrl_train/utils/ppo_utils.py"),
        ["BaseFunctionRegistry", "AdvantageEstimatorRegistry", "compute_advantages_and_returns"],
        ray=SimpleNamespace(is_initialized=lambda: False),
        StrEnum=type("StrEnum", (str,), {}),
    )
    callbacks = definitions(source("skyrl/train/utils/callbacks.py"), ["TrainingCallback"])
    return host(
        monkeypatch,
        "skyrl",
        skyrl__backends__skyrl_train__utils__ppo_utils=vars(utilities),
        skyrl__train__utils__callbacks=vars(callbacks),
    )


def compute(batch, config=None, padding=0, name="v05"):
    """One step by SkyRL's own function; padding rows are copies of the first, at the end."""
    from skyrl.backends.skyrl_train.utils.ppo_utils import compute_advantages_and_returns

    rewards = np.array(batch.rewards + batch.rewards[:1] * padding, dtype=np.float32)
    lengths = torch.tensor([1 + row % 3 for row in range(len(rewards))])
    mask = (torch.arange(3) < lengths[:, None]).float()
    tokens = torch.zeros(len(rewards), 3)
    tokens[torch.arange(len(rewards)), lengths - 1] = torch.from_numpy(rewards)
    advantages, returns = compute_advantages_and_returns(
        token_level_rewards=tokens,
        response_mask=mask,
        index=[*batch.keys, *(f"pad{n}" for n in range(padding))],
        adv_estimator=name,
        config=config,
    )
    assert advantages.dtype == torch.float32
    assert torch.equal(advantages, advantages[:, :1] * mask) and torch.equal(advantages, returns)
    return advantages[:, 0].double().numpy()


def adapter(skyrl, padding=0, config=None, **options):
    name = f"v05 {len(skyrl.AdvantageEstimatorRegistry.list_available())}"
    skyrl.install(name, reward_range=(0, 1), **options)
    return lambda batch: compute(batch, config, padding=padding, name=name)


def test_formulas(skyrl):
    check_rules(lambda rule: adapter(skyrl, rule=rule))


def test_skyrls_numbers(skyrl):
    for scale, function in (("group", "compute_grpo_outcome_advantage"), ("none", "compute_grpo_outcome_advantage")):
        skyrl.install(**skyrl.STOCK | {"scale": scale})
        for case in recorded("skyrl", function, scale=scale):
            found = compute(Batch(case["rewards"], case["groups"], [str(group) for group in case["groups"]]))
            np.testing.assert_allclose(found, case["advantages"], atol=case["tolerance"])


def test_padding_counts_nowhere(skyrl):
    padded, without = adapter(skyrl, padding=3), adapter(skyrl)
    for batch in batches():
        found = padded(batch)
        np.testing.assert_array_equal(found[:-3], without(batch))
        assert not found[-3:].any()


def test_responses_without_a_trained_token_count_nowhere(skyrl):
    estimator = skyrl.install(rule="rloo", reward_range=(0, 1))
    rewards, mask = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), torch.tensor([[1, 0], [1, 1], [0, 0]])
    found, _ = estimator(rewards, mask, ["a"] * 3)
    assert found.tolist() == [[1.0, 0.0], [-1.0, -1.0], [0.0, 0.0]]


@pytest.mark.parametrize("dtype", ["int64", "int8", "bool", "bfloat16", "float64"])
def test_rewards_of_any_kind(skyrl, dtype):
    """Advantages of whole numbers are none."""
    estimator = skyrl.install(rule="rloo", reward_range=(0, 1))
    rewards = torch.tensor([[0, 1], [0, 0], [0, 1]]).to(getattr(torch, dtype))
    found, _ = estimator(rewards, torch.ones(3, 2), ["a"] * 3)
    assert found[:, 0].tolist() == [0.5, -1.0, 0.5] and not found.requires_grad


def test_the_earlier_name_of_install(skyrl):
    assert skyrl.register is skyrl.install


def test_resume(skyrl, tmp_path):
    check_resume(lambda name: adapter(skyrl, state_path=tmp_path / name / "v05.zip"))


def test_what_goes_to_other_processes(skyrl):
    estimator = skyrl.install(rule="rloo", reward_range=(0, 1))
    estimator(torch.ones(2, 1), torch.ones(2, 1), ["0", "0"])
    copy = pickle.loads(pickle.dumps(estimator))
    assert copy.v05_estimator.rule == "rloo" and copy.v05_estimator.steps == 0
    check_parameters(copy, dict.fromkeys(contract("skyrl")["calls"]["estimator"]))


def test_callback_logs_and_saves(skyrl, tmp_path, caplog):
    def trainer(**settings):
        algorithm = SimpleNamespace(advantage_estimator="v05")
        return SimpleNamespace(
            cfg=SimpleNamespace(
                trainer=SimpleNamespace(
                    algorithm=algorithm, ckpt_path=str(tmp_path), resume_mode="latest", resume_path=None, **settings
                )
            )
        )

    def event(**fields):
        return SimpleNamespace(**{"global_step": 0, "ckpt_path": None, "logs": {}, **fields})

    callback, estimator = skyrl.Callback(), skyrl.install(reward_range=(0, 1))
    steps = list(batches())
    callback.on_train_start(trainer(), event(), None)
    for batch in steps[:3]:
        compute(batch)
    logs = event()
    callback.on_log(trainer(), logs, None)
    assert logs.logs["v05/groups"] == 16 and set(logs.logs) == set(estimator.v05_estimator.metrics)
    (tmp_path / "global_step_3").mkdir()
    callback.on_save(trainer(), event(ckpt_path=str(tmp_path / "global_step_3")), None)
    expected = compute(steps[3])

    skyrl.install(reward_range=(0, 1))
    callback.on_train_start(trainer(), event(global_step=3), None)
    np.testing.assert_array_equal(compute(steps[3]), expected)

    callback.on_train_start(trainer(), event(global_step=4), None)
    callback.on_save(trainer(), event(ckpt_path=str(tmp_path / "nowhere")), None)
    assert len(warnings(caplog, "there is no state at")) == len(warnings(caplog, "could not be written")) == 1


def test_set_ups_that_cannot_work(skyrl, caplog):
    with pytest.raises(v05.InvalidArgument, match="id_field 'id' needs the columns .* SkyRL does not hand over"):
        skyrl.install(id_field="id")
    with pytest.raises(v05.InvalidArgument, match="prior 'column' needs"):
        skyrl.install(prior="column")
    with pytest.raises(v05.InvalidArgument, match="needs the texts of prompts, which SkyRL does not hand over"):
        skyrl.install(prior=len)
    skyrl.install()
    with pytest.raises(v05.InvalidArgument, match="use_kl_in_reward must be false"):
        compute(next(batches()), config=SimpleNamespace(use_kl_in_reward=True))
    for step in range(2):
        compute(Batch([1.0] * 9, [], [f"{step} {row}" for row in range(9)]))
    assert len(warnings(caplog, "a single rollout")) == 1


def test_the_uid_is_the_row_of_the_dataset(source):
    assert "uid = str(item)" in source("skyrl/train/dataset/dataset.py")


@pytest.mark.parametrize("reduction, power", [("token_mean", 1), ("sequence_mean", -1)])
def test_weights_are_the_lengths_of_responses(skyrl, reduction, power):
    skyrl.install("weighted", rule="rloo", reward_range=(0, 1), weights="length")
    batch = next(batches(missing=False))
    found = compute(batch, SimpleNamespace(loss_reduction=reduction), name="weighted")
    lengths = np.array([1.0 + row % 3 for row in range(len(batch.rewards))])
    np.testing.assert_allclose(
        found, v05.advantages(batch.rewards, batch.keys, rule="rloo", weights=lengths**power), atol=1e-6
    )
    with pytest.raises(
        v05.InvalidArgument, match="log-probabilities of rollouts, which SkyRL does not.*weights=.length"
    ):
        skyrl.install(weights="score")


@pytest.mark.parametrize("reduction, power", [("token_mean", 1), ("sequence_mean", -1)])
def test_figures_without_weights_are_of_lengths(skyrl, reduction, power):
    settings = SimpleNamespace(loss_reduction=reduction)
    check_figures(
        lambda **options: adapter(skyrl, config=settings, **options),
        lambda batch: np.array([1.0 + row % 3 for row in range(len(batch.rewards))]) ** power,
    )
