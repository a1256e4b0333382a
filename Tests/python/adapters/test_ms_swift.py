"""v05.ms_swift around the methods of ms-swift's own trainer (released wheel), against its numbers and the formulas."""

import ast
import json
import pickle
import uuid
from collections import defaultdict, deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from adapter_cases import (
    Batch,
    batches,
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
    return released("ms-swift==4.6.0", request.config.cache, "3.11")


@pytest.fixture(scope="module")
def released_trainer(source):
    """GRPOTrainer's methods that matter here, on a trainer without a model."""
    advantage = definitions(
        source("swift/rl_core/advantage.py"),
        ["compute_advantages", "compute_advantages_dynamic", "compute_reward_metrics"],
        nanstd=None,
        RewardMetrics=SimpleNamespace,
    )
    names = dict(vars(advantage), gather_object=list, gather=lambda tensor: tensor, json=json, uuid=uuid)
    grpo = definitions(source("rlhf_trainers/grpo_trainer.py"), ["_compute_advantages", "_get_last_indices"], **names)
    mixin = definitions(source("rlhf_trainers/rollout_mixin.py"), ["_add_prompt_id_to_inputs"], **names)

    class GRPOTrainer:
        _compute_advantages, _get_last_indices = grpo._compute_advantages, grpo._get_last_indices
        _add_prompt_id_to_inputs = mixin._add_prompt_id_to_inputs

        def __init__(self, folder=".", **settings):
            vars(self).update(
                {
                    "model": SimpleNamespace(training=True),
                    "reward_weights": torch.ones(1),
                    "reward_func_names": ["r"],
                    "advantage_estimator": "grpo",
                    "scale_rewards": "group",
                    "kl_in_reward": False,
                    "beta": 0.04,
                    # Its metrics want a multiple of this number of rollouts; its advantages do not.
                    "dynamic_num_samples": True,
                    "num_generations": 1,
                    "num_generations_eval": 1,
                    "accelerator": SimpleNamespace(device="cpu"),
                    "state": SimpleNamespace(global_step=0),
                    "args": SimpleNamespace(output_dir=str(folder), should_save=True, resume_only_model=False),
                    "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
                    "_logs": {"rewards": defaultdict(deque)},
                }
                | settings
            )

        def _save_checkpoint(self, model, trial):
            Path(self.args.output_dir, f"checkpoint-{self.state.global_step}").mkdir(parents=True)
            return "saved"

        def _load_optimizer_and_scheduler(self, checkpoint):
            pass

    return GRPOTrainer


@pytest.fixture
def mapping():
    return {"grpo": "swift.rlhf_trainers.GRPOTrainer"}


@pytest.fixture
def ms_swift(monkeypatch, released_trainer, mapping):
    return host(
        monkeypatch,
        "ms_swift",
        accelerate__utils={"gather_object": list},
        swift__rlhf_trainers={"GRPOTrainer": released_trainer},
        swift__trainers={"TrainerFactory": SimpleNamespace(TRAINER_MAPPING=mapping)},
    )


def samples_of(trainer, batch, extra=None):
    samples = [
        SimpleNamespace(messages=[{"role": "user", "content": key}], prompt_id="", request_id="", extra=record)
        for key, record in zip(batch.keys, extra or [{}] * len(batch.keys))
    ]
    return trainer._add_prompt_id_to_inputs(samples)


def compute(trainer, batch, extra=None):
    samples = samples_of(trainer, batch, extra)
    for sample in samples:
        sample.messages.append({"role": "assistant", "content": "what the model said"})
    rewards = torch.tensor([[float("nan") if reward is None else reward] for reward in batch.rewards])
    found = trainer._compute_advantages(samples, rewards, [])
    assert found.dtype == torch.float32 and found.shape == (len(rewards),)
    return found.double().numpy()


def adapter(ms_swift, **options):
    ms_swift.install(reward_range=(0, 1), **options)
    trainer = ms_swift.V05GRPOTrainer()
    return lambda batch: compute(trainer, batch)


def test_formulas(ms_swift):
    check_rules(lambda rule: adapter(ms_swift, rule=rule))


def test_ms_swifts_numbers(ms_swift):
    for scale in ("group", "batch", "none"):
        advantages_of = adapter(ms_swift, **ms_swift.STOCK | {"scale": scale})
        cases = [
            *recorded("ms_swift", "compute_advantages_dynamic", scale=scale, rule="grpo"),
            *recorded("ms_swift", "compute_advantages", scale=scale, rule="grpo"),
        ]
        for case in cases:
            if min(case["rewards"]) >= 0:
                batch = Batch(case["rewards"], [], [f"prompt {group}" for group in case["groups"]])
                np.testing.assert_allclose(advantages_of(batch), case["advantages"], atol=case["tolerance"])


def test_stock_trainer_and_this_one_agree_where_both_scale_alike(ms_swift, released_trainer):
    for dynamic in (True, False):
        ms_swift.install(**ms_swift.STOCK)
        theirs, ours = (
            kind(dynamic_num_samples=dynamic, num_generations=4) for kind in (released_trainer, ms_swift.V05GRPOTrainer)
        )
        for batch in batches(missing=False, even=4):
            np.testing.assert_allclose(compute(ours, batch), compute(theirs, batch), atol=1e-6)
        for name, values in theirs._metrics["train"].items():
            assert ours._metrics["train"][name] == values
        assert ours._metrics["train"]["v05/groups"] == [16.0] * 5
        assert ours._logs == theirs._logs


def test_several_reward_functions_are_weighted(ms_swift):
    ms_swift.install(rule="rloo")
    trainer = ms_swift.V05GRPOTrainer(reward_weights=torch.tensor([1.0, 0.5]), reward_func_names=["a", "b"])
    samples = samples_of(trainer, Batch([], [], ["p"] * 3))
    rewards = torch.tensor([[1.0, float("nan")], [0.0, 1.0], [float("nan"), float("nan")]])
    assert trainer._compute_advantages(samples, rewards, []).tolist() == [0.5, -0.5, 0.0]


def test_turns_of_a_rollout_count_once(ms_swift):
    ms_swift.install(rule="rloo")
    trainer = ms_swift.V05GRPOTrainer()
    samples = samples_of(trainer, Batch([], [], ["p"] * 4))
    for sample, request in zip(samples, "aabc"):
        sample.request_id = request
    found = trainer._compute_advantages(samples, torch.tensor([[1.0], [1.0], [0.0], [0.0]]), [])
    assert found.tolist() == [1.0, 1.0, -0.5, -0.5]


def test_evaluation_is_stock_and_teaches_nothing(ms_swift, released_trainer):
    ms_swift.install(reward_range=(0, 1))
    trainer, theirs = (
        kind(model=SimpleNamespace(training=False)) for kind in (ms_swift.V05GRPOTrainer, released_trainer)
    )
    batch = next(batches(missing=False))
    np.testing.assert_array_equal(compute(trainer, batch), compute(theirs, batch))
    assert trainer.v05_estimator.steps == 0


def test_resume(ms_swift, tmp_path):
    count = {}

    def stored(name):
        ms_swift.install(reward_range=(0, 1))
        trainer = ms_swift.V05GRPOTrainer(tmp_path / name)
        if name in count:
            trainer._load_optimizer_and_scheduler(str(tmp_path / name / f"checkpoint-{count[name]}"))

        def advantages_of(batch):
            found = compute(trainer, batch)
            trainer.state.global_step = count[name] = count.get(name, 0) + 1
            assert trainer._save_checkpoint(None, None) == "saved"
            return found

        return advantages_of

    check_resume(stored)


def test_id_and_prior_from_the_dataset(ms_swift):
    ms_swift.install(rule="prior", prior="column", id_field="row", reward_range=(0, 1))
    extra = [{"row": 1, "prior": 0.25}, {"row": 1, "prior": 0.25}, {"row": 2}]
    found = compute(ms_swift.V05GRPOTrainer(), Batch([1.0] * 3, [], ["same"] * 3), extra)
    assert found.tolist() == [0.75, 0.75, 0.0]


def test_install(ms_swift, mapping):
    with pytest.raises(v05.InvalidArgument, match="rule"):
        ms_swift.install(rule="gpro")
    with pytest.raises(v05.InvalidArgument, match="state_path and log must not be given"):
        ms_swift.install(state_path=None)
    assert mapping["grpo"] == "swift.rlhf_trainers.GRPOTrainer"
    ms_swift.install()
    assert mapping["grpo"] == "v05.ms_swift.V05GRPOTrainer"


def test_set_ups_that_cannot_work(ms_swift, tmp_path, caplog):
    ms_swift.install()
    with pytest.raises(v05.InvalidArgument, match="kl_in_reward must be false"):
        ms_swift.V05GRPOTrainer(kl_in_reward=True)
    trainer = ms_swift.V05GRPOTrainer(tmp_path)
    for step in range(2):
        compute(trainer, Batch([1.0] * 9, [], [f"{step} {row}" for row in range(9)]))
        trainer._load_optimizer_and_scheduler(str(tmp_path / "checkpoint-7"))
    assert len(warnings(caplog, "a single rollout")) == len(warnings(caplog, "there is no state at")) == 1


def test_a_prior_made_of_the_prompt_knows_nothing_of_the_answers(ms_swift):
    """ms-swift has put the answer behind the prompt before advantages are made, another one for every rollout."""
    asked = []

    def prior(prompts):
        asked.extend(prompts)
        return [0.5] * len(prompts)

    ms_swift.install(prior=prior, reward_range=(0, 1))
    trainer = ms_swift.V05GRPOTrainer()
    compute(trainer, Batch([1.0, 0.0, 1.0], [], ["one", "one", "two"]))
    assert asked == [[{"role": "user", "content": text}] for text in ("one", "two")]

    # A dataset with answers: ms-swift takes them off only after it has named the prompts. And a sample may be scored by
    # another process than the one that drew it.
    question, answer = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "REFERENCE 4"}
    (sample,) = trainer._add_prompt_id_to_inputs(
        [SimpleNamespace(messages=[question, answer], request_id="", extra={})]
    )
    sample.messages[1:] = [{"role": "assistant", "content": "what the model said"}]
    asked.clear()
    ms_swift.V05GRPOTrainer()._compute_advantages([pickle.loads(pickle.dumps(sample))], torch.ones(1, 1), [])
    assert asked == [[question]]

    ms_swift.install(prior="history+context", reward_range=(0, 1))
    trainer = ms_swift.V05GRPOTrainer()
    for step in range(8):
        prompts = [f"What is {step} plus {number}?" for number in range(40) for _ in range(4)]
        compute(trainer, Batch((np.arange(160) % 3 % 2.0).tolist(), [], prompts))
    context = trainer.v05_estimator.source.context
    assert len(context) == 256 and all("what the model said" not in text for text in context.pairs()[0])


def test_the_released_methods_are_those_of_the_contract(source):
    """Names and first parameters, wherever in the classes of the trainer they are defined."""
    trees = [
        ast.parse(source(name))
        for name in ("rlhf_trainers/grpo_trainer.py", "rlhf_trainers/rollout_mixin.py", "swift/trainers/mixin.py")
    ]
    defined = {
        node.name: [argument.arg for argument in node.args.args]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    for name, parameters in contract("ms_swift")["methods"].items():
        assert defined[name][: len(parameters)] == parameters
    assert "'grpo': 'swift.rlhf_trainers.GRPOTrainer'" in source("trainers/trainer_factory.py")


def test_the_same_text_with_another_image_is_another_prompt(ms_swift):
    images = [[{"bytes": b"cat", "path": None}], [{"bytes": b"dog", "path": None}], ["cat.png"], []]

    def ids(options=(), **media):
        ms_swift.install(**dict(options))
        samples = [
            SimpleNamespace(messages=[{"role": "user", "content": "How many?"}], extra={"id": 1}, **{name: value})
            for name, values in media.items()
            for value in values
        ]
        return [sample.prompt_id for sample in ms_swift.V05GRPOTrainer()._add_prompt_id_to_inputs(samples)]

    found = ids(images=images, videos=[["cat.png"]])
    assert len(set(found)) == 5 and found == ids(images=images, videos=[["cat.png"]])
    assert found[3:4] == ids(audios=[None])  # text alone is known as before
    with pytest.raises(v05.ArgumentTypeError, match="give id_field"):
        ids(images=[[object()]])
    assert len(set(ids({"id_field": "id"}, images=[[object()], [object()]]))) == 1
