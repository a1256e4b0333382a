"""v05.nemo_rl against the calls (trainer_contracts/nemo_rl.json), numbers of NeMo-RL's own tests and the formulas."""

import sys
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
    host,
    stock,
    warnings,
)
from v05 import nemo_rl

torch = pytest.importorskip("torch")

PADDING = 9


def tokens(keys):
    """Prompts of one to five tokens, padded on the right to the longest of the batch."""
    prompts = [[int(digit) for digit in f"{int(key.split()[-1]):b}"] for key in keys]
    longest = max(map(len, prompts))
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    return torch.tensor([prompt + [PADDING] * (longest - len(prompt)) for prompt in prompts]), lengths


def compute(estimator, batch, **arguments):
    prompt_ids, lengths = tokens(batch.keys)
    rewards = torch.tensor(np.array(batch.rewards, dtype=np.float32))
    if estimator.pad_token_id is None:
        arguments.setdefault("repeated_batch", {"length": lengths})
    mask = (torch.arange(4) <= torch.arange(len(rewards))[:, None] % 4).float()
    found = estimator.compute_advantage(prompt_ids=prompt_ids, rewards=rewards, mask=mask, **arguments)
    assert found.dtype == torch.float32 and torch.equal(found, found[:, :1].expand(len(rewards), 4))
    return found[:, 0].double().numpy()


def adapter(**options):
    estimator = nemo_rl.V05AdvantageEstimator(reward_range=(0, 1), **options)
    return lambda batch: compute(estimator, batch)


@pytest.mark.parametrize("pad_token_id", [PADDING, None])
def test_formulas(pad_token_id):
    check_rules(lambda rule: adapter(rule=rule, pad_token_id=pad_token_id))


def test_nemo_rls_convention():
    advantages_of = adapter(**nemo_rl.STOCK)
    for batch in batches():
        np.testing.assert_allclose(advantages_of(batch), stock(batch, leave_one_out=True), atol=2e-6)


# test_calculate_baseline_and_std_per_prompt_mixed_prompt_sizes of tests/unit/algorithms/test_utils.py.
REWARDS, GROUPS = [1.0, 2.0, 4.0, 5.0, 6.0], [0, 0, 1, 1, 1]
BASELINES, DEVIATIONS = np.array([2, 1, 5.5, 5, 4.5]), np.array([0, 0, 0.5**0.5, 2**0.5, 0.5**0.5])


def test_nemo_rls_own_numbers():
    batch = Batch(REWARDS, GROUPS, [f"prompt {group}" for group in GROUPS])
    unscaled = np.array(REWARDS) - BASELINES
    for scale, expected in (("none", unscaled), ("group", unscaled / np.where(DEVIATIONS > 0, DEVIATIONS + 1e-6, 1))):
        estimator = nemo_rl.V05AdvantageEstimator(**nemo_rl.STOCK | {"scale": scale})
        np.testing.assert_allclose(compute(estimator, batch), expected, rtol=1e-6)


def test_rows_that_are_not_valid_count_nowhere():
    estimator = nemo_rl.V05AdvantageEstimator(rule="rloo")
    batch = Batch([1.0, 999.0, 3.0, 4.0, 5.0, 6.0], [0, 0, 0, 1, 1, 1], ["p 1"] * 3 + ["p 2"] * 3)
    found = compute(estimator, batch, valid_mask=torch.tensor([1.0, 0, 1, 1, 1, 1]))
    np.testing.assert_allclose(found, [1 - 3, 0, 3 - 1, 4 - 5.5, 0, 6 - 4.5])


@pytest.mark.parametrize("dtype", ["int64", "bool", "bfloat16", "float64"])
def test_rewards_of_any_kind(dtype):
    """Advantages of whole numbers are none."""
    estimator = nemo_rl.V05AdvantageEstimator(rule="rloo", reward_range=(0, 1), pad_token_id=PADDING)
    rewards = torch.tensor([1, 0, 1]).to(getattr(torch, dtype))
    found = estimator.compute_advantage(torch.ones(3, 2, dtype=torch.int64), rewards, torch.ones(3, 4))
    assert found[:, 3].tolist() == [0.5, -1.0, 0.5]


def test_resume(tmp_path):
    check_resume(lambda name: adapter(state_path=tmp_path / name / "v05.zip"))


def test_id_and_prior_from_the_environment_info():
    estimator = nemo_rl.V05AdvantageEstimator(rule="prior", prior="column", id_field="row", reward_range=(0, 1))
    info = [{"row": 4, "prior": 0.25}, {"row": 4, "prior": 0.25}, {"row": 5, "prior": None}]
    batch = {"length": torch.tensor([2, 2, 2]), "extra_env_info": info}
    found = compute(estimator, Batch([1.0] * 3, [], ["p 2", "p 2", "p 3"]), repeated_batch=batch)
    assert found.tolist() == [0.75, 0.75, 0.0]


def test_rows_of_one_text_that_are_two_prompts(caplog):
    """Two rows of the dataset with the same text in one batch, each with its own id; without ids the first prior."""
    info = [{"row": row, "prior": prior} for row, prior in ((4, 0.25), (4, 0.25), (5, 0.75), (5, 0.75))]
    batch = {"length": torch.tensor([2] * 4), "extra_env_info": info}
    for id_field, expected in (("row", [0.75, 0.75, 0.25, 0.25]), (None, [0.75] * 4)):
        estimator = nemo_rl.V05AdvantageEstimator(rule="prior", prior="column", id_field=id_field, reward_range=(0, 1))
        found = compute(estimator, Batch([1.0] * 4, [], ["p 2"] * 4), repeated_batch=batch)
        assert found.tolist() == expected
    assert "the first value counts" in caplog.text


def test_set_ups_that_cannot_work(caplog):
    batch = next(batches())
    with pytest.raises(v05.InvalidArgument, match="pad_token_id must be given"):
        compute(nemo_rl.V05AdvantageEstimator(), batch, repeated_batch={"total_reward": 0})
    with pytest.raises(v05.InvalidArgument, match="does not hand over"):
        compute(nemo_rl.V05AdvantageEstimator(id_field="row", pad_token_id=PADDING), batch)
    with pytest.raises(v05.InvalidArgument, match="needs the texts of prompts"):
        nemo_rl.V05AdvantageEstimator(prior=len)
    estimator = nemo_rl.V05AdvantageEstimator(pad_token_id=PADDING)
    with pytest.raises(v05.InvalidArgument, match="prompt_ids must be .rollouts, tokens., got shape .2,."):
        estimator.compute_advantage(torch.tensor([1, 2]), torch.ones(2), torch.ones(2, 3))
    for step in range(2):
        compute(estimator, Batch([1.0] * 9, [], [f"p {9 * step + row}" for row in range(9)]))
    assert len(warnings(caplog, "a single rollout")) == 1


@pytest.mark.parametrize("valid", [None, [1, 1, 1, 0, 1]])
def test_rows_that_are_out_of_the_loss_count_nowhere(valid):
    """As NeMo-RL's overlong_filtering hands them over: by the mask of their tokens alone."""
    estimator = nemo_rl.V05AdvantageEstimator(rule="rloo", prior="history", reward_range=(0, 1), pad_token_id=PADDING)
    mask = torch.tensor([[0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 1, 1], [0, 1, 0]])
    found = estimator.compute_advantage(
        torch.ones(5, 2, dtype=torch.int64),
        torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0]),
        mask,
        valid_mask=None if valid is None else torch.tensor(valid),
    )
    counted = [1, 1, 0, 1 if valid is None else 0, 1]
    expected = v05.advantages([1, 0, 0, 1, 1], [0] * 5, rule="rloo", mask=counted)
    np.testing.assert_allclose(found[:, 0].numpy(), expected, atol=1e-7)
    assert estimator.v05_estimator.predict([v05._core.prompt_key.token_key([1, 1])])[1] == sum(counted)


def test_install(monkeypatch):
    def stock_creator(master_config):
        raise AssertionError

    def other_creator(master_config):
        return "ppo"

    host(
        monkeypatch,
        "nemo_rl",
        nemo_rl__algorithms__grpo={"_create_advantage_estimator": stock_creator},
        nemo_rl__algorithms__grpo_sync={"_create_advantage_estimator": stock_creator},
        nemo_rl__algorithms__ppo={"_create_advantage_estimator": other_creator},
    )
    installed = nemo_rl.install(pad_token_id=0, rule="rloo")
    for name in ("grpo", "grpo_sync"):
        creator = sys.modules[f"nemo_rl.algorithms.{name}"]._create_advantage_estimator
        check_parameters(creator, contract("nemo_rl")["calls"]["_create_advantage_estimator"])
        assert creator(SimpleNamespace()) is installed
    assert sys.modules["nemo_rl.algorithms.ppo"]._create_advantage_estimator is other_creator
    check_parameters(installed.compute_advantage, dict.fromkeys(contract("nemo_rl")["calls"]["compute_advantage"]))
    again = nemo_rl.install(pad_token_id=0)
    assert sys.modules["nemo_rl.algorithms.grpo_sync"]._create_advantage_estimator(None) is again


def test_weights_are_the_lengths_of_responses():
    estimator = nemo_rl.V05AdvantageEstimator(rule="rloo", reward_range=(0, 1), weights="length", pad_token_id=PADDING)
    mask = torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 1, 0]])
    rewards = torch.tensor([1.0, 0.0, 1.0])
    found = estimator.compute_advantage(torch.ones(3, 2, dtype=torch.int64), rewards, mask)
    expected = v05.advantages([1, 0, 1], [0, 0, 0], rule="rloo", weights=[3, 1, 2])
    np.testing.assert_allclose(found[:, 0].numpy(), expected, atol=1e-7)
    with pytest.raises(v05.InvalidArgument, match="log-probabilities of rollouts, which NeMo-RL does not hand over"):
        nemo_rl.V05AdvantageEstimator(weights="score")


def test_figures_without_weights_are_of_lengths():
    check_figures(
        lambda **options: adapter(pad_token_id=PADDING, **options),
        lambda batch: np.array([1.0 + row % 4 for row in range(len(batch.rewards))]),
    )
