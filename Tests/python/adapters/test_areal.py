"""v05.areal inside AReaL's own actor (released wheel), against its numbers and the formulas."""

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from adapter_cases import (
    Batch,
    Reference,
    batches,
    check_figures,
    check_resume,
    check_rules,
    definitions,
    host,
    recorded,
    released,
    warnings,
)

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def released_actor(request):
    source = released("areal==1.0.4", request.config.cache, "3.11")

    def nothing(*_, **__):
        return lambda function: function

    data = definitions(source("areal/utils/data.py"), ["KLEstimator", "Normalization"], dist=torch.distributed)
    functional = definitions(source("utils/functional/functional.py"), ["reward_overlong_penalty"])
    return definitions(
        source("areal/trainer/ppo/actor.py"),
        ["PPOActor"],
        trace_perf=nothing,
        logger=logging.getLogger("areal"),
        stats_tracker=SimpleNamespace(scope_func_wrapper=nothing),
        **vars(functional),
        **vars(data),
    ).PPOActor


@pytest.fixture
def logged():
    return {}


@pytest.fixture
def areal(monkeypatch, released_actor, logged):
    return host(
        monkeypatch,
        "areal",
        areal__trainer__ppo__actor={"PPOActor": released_actor},
        areal__utils__stats_tracker={"scalar": logged.update},
    )


def config(reward_norm=None, **changes):
    return SimpleNamespace(
        **{
            "reward_bias": 0.0,
            "reward_scaling": 1.0,
            "reward_clip": 20.0,
            "kl_ctl": 0.0,
            "kl_estimator": "k1",
            "adv_norm": None,
            "reward_norm": reward_norm,
            "discount": 1.0,
            "gae_lambda": 1.0,
            "temperature": 1.0,
            "mask_no_eos_with_zero": False,
            "m2_threshold": None,
            "use_decoupled_loss": False,
            "recompute_logprob": False,
            "rejection_sampling": None,
            "eps_clip": 0.2,
            "overlong_reward_penalty": False,
        }
        | changes
    )


def rollouts(batch):
    """Prompts of one to five tokens, two tokens of response, padding on the right."""
    prompts = [[2 + int(digit) for digit in f"{int(key.split()[-1]):b}"] for key in batch.keys]
    width = max(map(len, prompts)) + 3
    ids, present, trained = (torch.zeros(len(prompts), width, dtype=torch.long) for _ in range(3))
    for row, prompt in enumerate(prompts):
        length = len(prompt) + 2
        ids[row, :length] = torch.tensor([*prompt, 50 + row, 7])
        present[row, :length] = 1
        trained[row, len(prompt) : length] = 1
    rewards = torch.tensor(np.array(batch.rewards, dtype=np.float32))
    return {
        "input_ids": ids,
        "attention_mask": present,
        "loss_mask": trained,
        "rewards": rewards,
        "logprobs": torch.zeros(len(prompts), width),
    }


def compute(actor, batch, **more):
    data = rollouts(batch) | more
    trained = data["loss_mask"].bool()
    made = actor._compute_advantages(data)
    assert made["advantages"].dtype == torch.float32
    # Advantages stand where the token before the trained one is.
    first = trained.int().argmax(dim=1) - 1
    return made["advantages"][torch.arange(len(first)), first].double().numpy()


def adapter(areal, config=config(), **options):
    areal.install(**{"reward_range": (0, 1)} | options)
    actor = areal.ppo_actor.PPOActor(config, SimpleNamespace(data_parallel_group=None))
    return lambda batch, **more: compute(actor, batch, **more)


def test_a_reference_model_is_an_actor_that_is_never_asked(areal, tmp_path):
    """AReaL makes it of the same class, from its own section of the configuration, without the actor's scaling."""
    options = dict(reward_range=(0, 1), state_path=tmp_path / "v05.zip")
    for _ in range(2):  # and once more, resumed
        advantages_of = adapter(areal, config(reward_scaling=10.0, reward_bias=-0.5), **options)
        reference = areal.ppo_actor.PPOActor(config(), SimpleNamespace(data_parallel_group=None))
        advantages_of(next(batches()))
        assert "v05_estimator" not in vars(reference.reward_norm)


def test_formulas_with_groups_of_any_size(areal):
    check_rules(lambda rule: adapter(areal, rule=rule))


def test_areals_numbers(areal):
    for scale in ("group", "none"):
        advantages_of = adapter(areal, **areal.STOCK | {"scale": scale, "reward_range": None})
        for case in recorded("areal", "Normalization", scale=scale, ddof=1, leave_one_out=False):
            batch = Batch(case["rewards"], [], [f"prompt {group}" for group in case["groups"]])
            np.testing.assert_allclose(advantages_of(batch), case["advantages"], atol=case["tolerance"])


def test_stock_actor_and_this_one_agree_where_both_normalise_alike(areal, released_actor):
    norm = SimpleNamespace(
        mean_level="group", mean_leave1out=False, std_level="group", std_unbiased=True, group_size=4, eps=1e-5
    )
    settings = dict(reward_bias=-0.5, reward_scaling=10.0, discount=0.9, gae_lambda=0.95)
    theirs = released_actor(config(norm, **settings), None)
    ours = adapter(areal, config(**settings), **areal.STOCK)
    for batch in batches(missing=False, even=4):
        np.testing.assert_allclose(ours(batch), compute(theirs, batch), atol=1e-6)


def test_range_and_priors_are_in_the_units_of_the_verifier(areal):
    settings = config(reward_bias=-0.5, reward_scaling=10.0)
    batch = Batch([1.0, 0.0], [], ["p 1", "p 1"])
    advantages_of = adapter(areal, settings, rule="prior", prior="column")
    found = advantages_of(batch, prior=torch.tensor([0.25, 0.25]))
    np.testing.assert_allclose(found, [7.5, -2.5])
    scaled, reference = adapter(areal, settings, rule="v05"), Reference("v05")
    for batch in batches():
        np.testing.assert_allclose(scaled(batch), 10 * reference.step(batch), atol=2e-5)


def test_ids_of_the_workflow(areal):
    advantages_of = adapter(areal, rule="rloo", id_field="row")
    batch = Batch([1.0, 0.0], [], ["p 1", "p 2"])
    assert advantages_of(batch, row=torch.tensor([5, 5])).tolist() == [1.0, -1.0]
    with pytest.raises(v05.InvalidArgument, match="id_field 'row' must be in the batch"):
        advantages_of(batch)


def test_the_same_text_with_another_image_is_another_prompt(areal):
    advantages_of = adapter(areal, rule="rloo", prior="none")
    batch = Batch([1.0, 0.0, 0.0, 0.0], [], ["p 1"] * 4)
    pictures = [{"pixel_values": torch.full((2, 3), float(row // 2))} for row in range(4)]
    assert advantages_of(batch, multi_modal_input=pictures).tolist() == [1.0, -1.0, 0.0, 0.0]
    assert advantages_of(batch, multi_modal_input=[{}] * 4).tolist() == advantages_of(batch).tolist()
    with pytest.raises(v05.InvalidArgument, match="multi_modal_input must have one entry per row, got 3 for 4 rows"):
        advantages_of(batch, multi_modal_input=pictures[:3])


def test_rows_without_a_trained_token_count_nowhere(areal):
    advantages_of = adapter(areal, rule="rloo")
    batch = Batch([1.0, 0.0, 0.5], [], ["p 1"] * 3)
    trained = rollouts(batch)["loss_mask"]
    trained[2] = 0
    assert advantages_of(batch, loss_mask=trained)[:2].tolist() == [1.0, -1.0]


def test_resume_and_metrics(areal, tmp_path, logged):
    check_resume(lambda name: adapter(areal, state_path=tmp_path / name / "v05.zip"))
    assert logged["v05/groups"] == 16


def test_set_ups_that_cannot_work(areal, caplog):
    with pytest.raises(v05.InvalidArgument, match="needs a V05PPOActor"):
        areal.RewardNormalization(SimpleNamespace())(torch.ones(2))
    with pytest.raises(v05.InvalidArgument, match="rule"):
        areal.install(rule="gpro")
    with pytest.raises(v05.InvalidArgument, match="AReaL does not hand over"):
        areal.install(prior="history+context")
    advantages_of = adapter(areal)
    for step in range(2):
        advantages_of(Batch([1.0] * 9, [], [f"p {9 * step + row}" for row in range(9)]))
    assert len(warnings(caplog, "a single rollout")) == 1


def test_the_released_engines_make_the_actor_that_install_replaces(request):
    source = released("areal==1.0.4", request.config.cache, "3.11")
    for engine in ("fsdp_engine", "megatron_engine"):
        text = source(f"areal/engine/{engine}.py")
        assert "from areal.trainer.ppo.actor import PPOActor\n" in text
        assert "self.actor = PPOActor(config, self)" in text


@pytest.mark.slow
def test_two_processes_are_one(areal, tmp_path):
    """Each holds the rollouts of its prompts; both give what one process gives for all, and one writes the state."""
    logged = []
    whole = adapter(areal, rule="v05", log=logged.append)
    expected = [whole(batch, logprobs=log_probs_by_prompt(rollouts(batch))) for batch in batches()]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    workers = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path)], env=environment | {"RANK": str(rank)})
        for rank in range(2)
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    for step, (batch, advantages) in enumerate(zip(batches(), expected)):
        found = np.empty(len(advantages))
        for rank in range(2):
            found[share(batch, rank)] = np.load(tmp_path / f"{rank}-{step}.npy")
            metrics = json.loads((tmp_path / f"{rank}-{step}.json").read_text())
            assert "v05/noise/rule" in metrics and metrics == pytest.approx(logged[step])
        np.testing.assert_allclose(found, advantages, atol=1e-6)
    assert (tmp_path / "v05.zip").exists()


def log_probs_by_prompt(data):
    return (-0.1 * data["attention_mask"].sum(1, keepdim=True)).expand(data["loss_mask"].shape)


def share(batch, rank):
    return [row for row, key in enumerate(batch.keys) if int(key.split()[-1]) % 2 == rank]


def worker(folder):
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    patch = pytest.MonkeyPatch()
    module = host(
        patch,
        "areal",
        areal__trainer__ppo__actor={"PPOActor": object},
        areal__utils__stats_tracker={"scalar": lambda **_: None},
    )
    actor = SimpleNamespace(
        reward_bias=0.0, reward_scaling=1.0, reward_clip=20.0, engine=SimpleNamespace(data_parallel_group=None)
    )
    normalization = module.RewardNormalization(actor, rule="v05", reward_range=(0, 1), state_path=f"{folder}/v05.zip")
    for step, batch in enumerate(batches()):
        rows = share(batch, rank)
        own = Batch([batch.rewards[row] for row in rows], [], [batch.keys[row] for row in rows])
        normalization.batch = rollouts(own)
        normalization.batch["logprobs"] = log_probs_by_prompt(normalization.batch)
        np.save(f"{folder}/{rank}-{step}.npy", normalization(normalization.batch["rewards"]).numpy())
        Path(folder, f"{rank}-{step}.json").write_text(json.dumps(normalization.v05_estimator.metrics))
    assert normalization.v05_estimator.writes == (rank == 0)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    worker(sys.argv[1])


def log_probs(batch):
    shape = rollouts(batch)["loss_mask"].shape
    return -torch.rand(shape, generator=torch.Generator().manual_seed(2))


def score_weights(batch):
    miss = torch.where(rollouts(batch)["loss_mask"].bool(), 1 - log_probs(batch).exp(), 0.0)
    return (miss**2).sum(1).double().numpy()


def lengths(batch):
    return rollouts(batch)["loss_mask"].sum(1).double().numpy()


@pytest.mark.parametrize("weights", ["length", "score"])
def test_weights_from_masks_and_log_probabilities(areal, weights):
    batch = next(batches(missing=False))
    log_prob = log_probs(batch)
    expected = (score_weights if weights == "score" else lengths)(batch)
    found = adapter(areal, rule="rloo", weights=weights)(batch, logprobs=log_prob)
    np.testing.assert_allclose(
        found, v05.advantages(batch.rewards, batch.keys, rule="rloo", weights=expected), atol=1e-5
    )


def test_figures_without_weights_are_of_log_probabilities(areal):
    def made(**options):
        advantages_of = adapter(areal, **options)
        return lambda batch: advantages_of(batch, logprobs=log_probs(batch))

    check_figures(made, score_weights)


def test_odd_log_probabilities_end_no_training_without_weights(areal, caplog):
    def normalization():
        actor = SimpleNamespace(reward_bias=0.0, reward_scaling=1.0, reward_clip=20.0)
        return areal.RewardNormalization(actor, reward_range=(0, 1))

    def advantages_of(odd, normalize):
        normalize.batch = rollouts(batch) | {"logprobs": odd}
        return normalize(normalize.batch["rewards"])

    batch = next(batches())
    expected, known = advantages_of(None, normalization()), log_probs(batch)
    for odd in (known[:2], known[:, :1], known.tolist(), [None] * len(known), "abc", 7, known * np.nan, {}):
        assert torch.equal(advantages_of(odd, normalization()), expected)
    assert not warnings(caplog, "length")
