"""The settings of TRL's trainers, each trained with TRL's class and with ours in its place: the same weights, bit for
bit.

TRL's own suites cannot be a part of this one: they are in no release, and their models and data come from a hub
(python/docs/README.md says what came of them). These are the settings that they go through and that a tiny model on a
CPU can have.
"""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl", reason="TRL is not installed: pip install './python[trl]'")

import tiny_trl
from tiny_trl import trained, weights
from trl import GRPOTrainer, RLOOTrainer
from v05.trl import V05Config, V05GRPOTrainer, V05RLOOTrainer


def longer(completions, **columns):
    return [float(len(text) > 4) for text in completions]


def some(completions, prompts, **columns):
    """None where another function says more, as a reward function for a part of the tasks gives."""
    return [None if len(text) % 2 else 1.0 for text in completions]


async def awaited(completions, prompts, **columns):
    return tiny_trl.reward(completions, prompts)


def by_column(completions, name, **columns):
    return [float(len(each) % 2) for each in name]


GRPO = {
    **{f"loss {name}": {"loss_type": name} for name in ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo")},
    "several updates a batch": {"num_iterations": 2},
    "smaller steps than batches": {
        "per_device_train_batch_size": 16,
        "steps_per_generation": 2,
        "gradient_accumulation_steps": 1,
    },
    "accumulated gradients": {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2},
    "a reference model": {"beta": 0.1},
    "a reference model, corrected": {"beta": 0.1, "use_bias_correction_kl": True},
    "a reference model that follows": {
        "beta": 0.1,
        "sync_ref_model": True,
        "ref_model_sync_steps": 1,
        "ref_model_mixup_alpha": 0.5,
    },
    "sequence importance": {"importance_sampling_level": "sequence", "loss_type": "grpo", "num_iterations": 2},
    "two-sided clipping": {"delta": 1.5, "loss_type": "grpo", "num_iterations": 2},
    "tokens of high entropy": {"top_entropy_quantile": 0.2},
    "a bonus for entropy": {"entropy_coef": 0.01},
    "no truncated completion": {"mask_truncated_completions": True},
    "a colder policy": {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "repetition_penalty": 1.1},
    "options of generation": {"generation_kwargs": {"min_p": 0.01}},
    "padding to a multiple": {"pad_to_multiple_of": 8},
    "checkpointed gradients": {"gradient_checkpointing": True},
    "dropout": {"disable_dropout": True},
    "the order of the dataset": {"shuffle_dataset": False},
    "no scaling": {"scale_rewards": "none"},
    "scaling by the batch": {"scale_rewards": "batch"},
    "two functions": {"reward_funcs": [tiny_trl.reward, longer]},
    "two functions of different weight": {"reward_funcs": [tiny_trl.reward, longer], "reward_weights": [0.5, 0.5]},
    "a function for a part": {"reward_funcs": [tiny_trl.reward, some]},
    "a function that is awaited": {"reward_funcs": [awaited]},
    "a function of a column": {"reward_funcs": [by_column, tiny_trl.reward]},
    "a table of completions": {"log_completions": True, "num_completions_to_print": 2},
}
RLOO = {
    name: GRPO[name] | {"beta": 0.0}
    for name in (
        "several updates a batch",
        "smaller steps than batches",
        "accumulated gradients",
        "no truncated completion",
        "a colder policy",
        "two functions",
        "two functions of different weight",
        "a function for a part",
        "a function that is awaited",
        "a function of a column",
    )
} | {
    "normalised": {"beta": 0.0, "normalize_advantages": True},
    "clipped rewards": {"beta": 0.0, "reward_clip_range": (-0.5, 0.5)},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "stock, swapped, rule, options",
    [
        *(pytest.param(GRPOTrainer, V05GRPOTrainer, "grpo", each, id=f"GRPO: {name}") for name, each in GRPO.items()),
        *(pytest.param(RLOOTrainer, V05RLOOTrainer, "rloo", each, id=f"RLOO: {name}") for name, each in RLOO.items()),
    ],
)
def test_the_swapped_class_trains_the_same_weights(tmp_path, stock, swapped, rule, options):
    theirs = trained(stock, tmp_path / "stock", max_steps=2, **options)
    ours = trained(swapped, tmp_path / "swapped", V05Config(rule=rule), max_steps=2, **options)
    start = torch.cat([value.detach().flatten() for value in tiny_trl.model(tmp_path / "start").parameters()])
    assert theirs.state.global_step == 2 and not torch.equal(weights(theirs), start)
    # Sums of rewards of more than two values are added in another order.
    exact = len(options.get("reward_funcs", [0])) == 1
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0 if exact else 1e-6)
