"""v05.trl in TRL's own trainers, with a transformer of a few thousand weights."""

import dataclasses
import os
from collections import defaultdict

import numpy as np
import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl", reason="TRL is not installed: pip install './python[trl]'")
pandas = pytest.importorskip("pandas")

import tiny_trl
import v05
from datasets import Dataset, IterableDataset
from tiny_trl import trained, trainer, weights
from trl import GRPOTrainer, RLOOTrainer
from v05.training.score_weights import score_weights
from v05.trl import V05Config, V05GRPOTrainer, V05RLOOTrainer
from v05.trl.base import V05Trainer
from v05.trl.rounds import Batch, join, spread


class Heard:
    """What reached the loss, and the rewards that this test gives the same completions."""

    def __init__(self):
        self.steps = defaultdict(list)

    def __call__(self, made, inputs):
        self.steps[made.state.global_step] += tiny_trl.rows(inputs)

    def groups(self, step):
        """{prompt: (rewards, advantages)} of the rows that count."""
        groups = defaultdict(lambda: ([], []))
        for prompt, completion, advantage, counts in self.steps[step]:
            if counts:
                groups[prompt][0].extend(tiny_trl.reward([completion], [prompt]))
                groups[prompt][1].append(advantage)
        return {prompt: (np.array(rewards), np.array(found)) for prompt, (rewards, found) in groups.items()}


PRIOR = {row["prompt"]: row["prior"] for row in tiny_trl.dataset()}


def others_mean(rewards):
    return (rewards.sum() - rewards) / (len(rewards) - 1)


def paper_baseline(rewards, prior):
    """Method section 1 with the row left out; rewards in 0 and 1."""
    mean, noise = others_mean(rewards), 0.25 / (len(rewards) - 1)
    bias = np.maximum(0, (mean - prior) ** 2 - noise)
    weight = bias / (bias + noise)
    return weight * mean + (1 - weight) * prior


def calibrated_baselines(groups):
    """Method section 5 fitted on the batch, for groups of one size, with the row left out."""
    size = len(next(iter(groups.values()))[0])
    means = np.array([rewards.mean() for rewards, _ in groups.values()])
    priors = np.array([PRIOR[prompt] for prompt in groups])
    within = sum(((rewards - rewards.mean()) ** 2).sum() for rewards, _ in groups.values()) / (len(groups) * (size - 1))
    centred = priors - priors.mean()
    slope = np.clip(centred @ means / (centred @ centred + 0.2 * 0.25), 0, 1.5)
    intercept = means.mean() - slope * priors.mean()
    residuals = means - intercept - slope * priors
    between = max(0, residuals @ residuals / (len(groups) - 2) - within / size)
    weight = between / (between + within / (size - 1))
    baselines = {}
    for prompt, (rewards, _) in groups.items():
        line = np.clip(intercept + slope * PRIOR[prompt], 0, 1)
        baselines[prompt] = line + weight * (others_mean(rewards) - line)
    return baselines


# Parity with TRL


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_grpo_is_trls_bit_for_bit(tmp_path, scale):
    options = dict(scale_rewards=scale, per_device_train_batch_size=16, gradient_accumulation_steps=2)
    stock = trained(GRPOTrainer, tmp_path, **options)
    swapped = trained(V05GRPOTrainer, tmp_path, V05Config(rule="grpo"), **options)
    assert torch.equal(weights(stock), weights(swapped))
    assert list(stock._logs["advantages"]) == list(swapped._logs["advantages"])


def test_adapters_are_trained_as_by_trl(tmp_path):
    """LoRA: the weights of the model stay, those of the adapters are TRL's bit for bit, and the defaults train them."""
    peft = pytest.importorskip("peft")

    def run(kind, config=None, **options):
        """The weights of the adapters, and those of the model below."""
        lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
        made = trained(kind, tmp_path, config, peft_config=lora, **options)
        found = made.accelerator.unwrap_model(made.model).state_dict()
        adapters = [name for name in found if "lora_" in name]
        return tuple(
            torch.cat([found[name].flatten() for name in names])
            for names in (adapters, [name for name in found if name not in adapters])
        )

    one = V05Config(rule="prior", num_generations=1, baseline_fraction=0.5)
    untrained, base = run(GRPOTrainer, learning_rate=0.0)
    stock = run(GRPOTrainer)
    swapped = run(V05GRPOTrainer, V05Config(rule="grpo"))
    half = run(V05GRPOTrainer, one, per_device_train_batch_size=16, num_iterations=2)
    assert torch.equal(stock[0], swapped[0])
    for adapters, below in (stock, swapped, half):
        assert torch.equal(below, base) and adapters.isfinite().all() and not torch.equal(adapters, untrained)


@pytest.mark.parametrize("normalize", [False, True])
def test_rloo_is_trls_bit_for_bit(tmp_path, normalize):
    stock = trained(RLOOTrainer, tmp_path, beta=0.0, normalize_advantages=normalize)
    swapped = trained(V05RLOOTrainer, tmp_path, V05Config(rule="rloo"), beta=0.0, normalize_advantages=normalize)
    assert torch.equal(weights(stock), weights(swapped))


def test_rloo_with_a_divergence_in_the_reward_is_trls_up_to_rounding(tmp_path):
    stock, swapped = (
        trained(kind, tmp_path, *config, beta=0.3, reward_clip_range=(0.0, 0.5), num_iterations=1, learning_rate=1e-3)
        for kind, config in ((RLOOTrainer, ()), (V05RLOOTrainer, (V05Config(rule="rloo"),)))
    )
    assert list(swapped._logs["advantages"]) == pytest.approx(list(stock._logs["advantages"]), abs=1e-6)


def none_for_some(completions, prompts, **columns):
    """None for a whole group, for all but one of another, and for single rows."""
    rewards = tiny_trl.reward(completions, prompts)
    rewards[0:4] = [None] * 4
    rewards[4:7] = [None] * 3
    rewards[9] = None
    return rewards


@pytest.mark.parametrize(
    "kind, ours, rule", [(GRPOTrainer, V05GRPOTrainer, "grpo"), (RLOOTrainer, V05RLOOTrainer, "rloo")]
)
def test_unscored_rollouts_are_left_out_as_in_trl(tmp_path, kind, ours, rule):
    options = {"beta": 0.0} | ({"normalize_advantages": True} if rule == "rloo" else {})
    stock = trained(kind, tmp_path, reward_funcs=none_for_some, **options)
    swapped = trained(ours, tmp_path, V05Config(rule=rule), reward_funcs=none_for_some, **options)
    assert torch.equal(weights(stock), weights(swapped))


# The baselines that reach the loss


def test_calibrated_leave_one_out_reaches_the_loss(tmp_path):
    heard = Heard()
    trained(V05GRPOTrainer, tmp_path, V05Config(prior="column"), listen=heard, max_steps=1)
    groups = heard.groups(0)
    baselines = calibrated_baselines(groups)
    assert len(groups) == 8
    for prompt, (rewards, found) in groups.items():
        np.testing.assert_allclose(found, rewards - baselines[prompt], atol=1e-6)
    assert any(rewards.std() == 0 and abs(found).min() > 0.01 for rewards, found in groups.values())


def test_a_column_goes_through_a_tracker(tmp_path):
    heard = Heard()
    config = V05Config(prior="tracker+column", num_generations=1, reward_range=(0, 1), weights="none")
    sizes = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
    made = trained(V05GRPOTrainer, tmp_path, config, listen=heard, max_steps=2, **sizes)
    first = heard.groups(0)
    for prompt, (rewards, found) in first.items():  # nothing is learnt yet: the column as it is
        np.testing.assert_allclose(found, rewards - PRIOR[prompt], atol=1e-6)
    assert len(made.v05_estimator.source.history) >= len(first) > 8
    assert made.v05_estimator.source.calibration.groups > 8


def test_paper_rule_reaches_the_loss_of_both_trainers(tmp_path):
    for kind in V05GRPOTrainer, V05RLOOTrainer:
        heard = Heard()
        made = trained(kind, tmp_path, V05Config(rule="v05", prior="column"), listen=heard, max_steps=2, beta=0.0)
        for step in range(2):
            for prompt, (rewards, found) in heard.groups(step).items():
                np.testing.assert_allclose(found, rewards - paper_baseline(rewards, PRIOR[prompt]), atol=1e-6)
        prompts, completions = (
            [text.replace(" ", "") for text in made._logs[name]] for name in ("prompt", "completion")
        )
        logged = zip(prompts, completions, made._logs["advantages"])  # spaces: of the tokenizer, in older TRL in both
        assert sorted(logged) == sorted(row[:3] for row in heard.steps[1])


@pytest.mark.parametrize("size", [1, 2])
def test_the_history_of_every_prompt_is_the_prior(tmp_path, size):
    """Rule "prior" with one rollout (which GRPOConfig forbids) and with two, from the start value on (method section
    15)."""
    heard = Heard()
    trained(
        V05GRPOTrainer,
        tmp_path,
        V05Config(rule="prior", num_generations=size, reward_range=(0, 1), discount=0.5, weights="none"),
        listen=heard,
        max_steps=4,
        per_device_train_batch_size=16,
    )
    successes, rollouts = defaultdict(float), defaultdict(float)
    level, known = None, 0
    for step in range(4):
        groups = heard.groups(step)
        assert {len(rewards) for rewards, _ in groups.values()} == {size}
        total = np.concatenate([rewards for rewards, _ in groups.values()])
        for prompt, (rewards, found) in groups.items():
            if level is None:  # at the very first step the mean of the other prompts
                prior = (total.sum() - rewards.sum()) / (len(total) - size)
            else:
                known += rollouts[prompt] > 0
                prior = (successes[prompt] + level) / (rollouts[prompt] + 1)
            np.testing.assert_allclose(found, rewards - prior, atol=1e-6)
            successes[prompt] = 0.5 * successes[prompt] + rewards.sum()
            rollouts[prompt] = 0.5 * rollouts[prompt] + size
        level = (total.sum() + 0.5) / (len(total) + 1) if level is None else level + 0.2 * (total.mean() - level)
    assert known > 15


def test_ids_of_the_dataset_tell_prompts_apart(tmp_path):
    """Two prompts of one text but with ids of their own have a history each."""
    same = tiny_trl.dataset(8)
    same = same.remove_columns("prompt").add_column("prompt", ["1+1="] * 8)
    made = trained(V05GRPOTrainer, tmp_path, V05Config(id_field="name"), train_dataset=same, max_steps=2)
    assert len(made.v05_estimator.source.history) == 8
    made = trained(V05GRPOTrainer, tmp_path, V05Config(), train_dataset=same, max_steps=2)
    assert len(made.v05_estimator.source.history) == 1


def test_images_tell_prompts_of_one_text_apart(tmp_path):
    def picture(level):
        return np.full((2, 2, 3), level, np.uint8)

    made = trainer(V05GRPOTrainer, tmp_path, V05Config())
    pictures = ["image", 0], ["image", 1], ["images", 0], ["images", 1], ["image", None]

    def keys():
        """With the images read anew, as at every visit."""
        read = [{} if level is None else {name: picture(level)} for name, level in pictures]
        return [row.key for row in made._gathered_rows([{"prompt": "1+1=", "image": None} | each for each in read])]

    assert keys() == keys() and len(set(keys())) == 3  # in either column
    assert keys()[-1] == made._gathered_rows([{"prompt": "1+1="}])[0].key


class Sums:
    """An environment that makes the prompt, from a row that holds none."""

    def reset(self, first, second, **columns):
        return f"{first}+{second}="


def scored_sums(completions, first, **columns):
    texts = [completion[-1]["content"] for completion in completions]
    return tiny_trl.reward(texts, [str(number) for number in first])


def test_environments_make_prompts_of_all_that_a_row_holds(tmp_path):
    if tuple(map(int, trl.__version__.split(".")[:2])) < (1, 16):
        pytest.skip("TRL before 1.16 wants a prompt in every row")
    sums = Dataset.from_dict({"first": [row % 8 for row in range(16)], "second": [row // 8 for row in range(16)]})
    options = dict(environment=Sums, train_dataset=sums, reward_funcs=scored_sums, max_steps=2)
    theirs = trained(GRPOTrainer, tmp_path / "theirs", **options)
    ours = trained(V05GRPOTrainer, tmp_path / "ours", V05Config(rule="grpo"), **options)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0)

    made = trained(V05GRPOTrainer, tmp_path / "history", V05Config(reward_range=(0, 1)), **options)
    assert len(made.v05_estimator.source.history) == 16  # two steps of 8 prompts


class OwnSums:
    """An environment that owns its data."""

    def reset(self, **columns):
        return "1+1="


def test_environments_without_rows(tmp_path, caplog):
    """With fewer rollouts per prompt than GRPOConfig knows there are more prompts than TRL makes rows for."""
    if tuple(map(int, trl.__version__.split(".")[:2])) < (1, 16):
        pytest.skip("TRL before 1.16 wants a dataset")
    options = dict(
        environment=OwnSums, train_dataset=False, reward_funcs=lambda completions, **_: [1.0] * len(completions)
    )
    config = V05Config(rule="prior", num_generations=1, reward_range=(0, 1))
    made = trained(V05GRPOTrainer, tmp_path, config, max_steps=2, **options)
    assert made.state.global_step == 2 and len(made.v05_estimator.source.history) == 1
    assert len([text for text in caplog.messages if "share one history" in text]) == 1

    def constant(prompts):
        assert all(prompts)
        return [0.5] * len(prompts)

    rows = Dataset.from_dict({"prompt": [[{"role": "user", "content": f"1+{row}="}] for row in range(8)]})
    trained(V05GRPOTrainer, tmp_path, V05Config(prior=constant), max_steps=1, **options | {"train_dataset": rows})
    for prior in (constant, "history+context"):
        with pytest.raises(v05.InvalidArgument, match="texts of prompts, which environments make"):
            trainer(V05GRPOTrainer, tmp_path, V05Config(prior=prior), max_steps=2, **options)


def test_rows_of_an_environment_stay_where_a_trainer_in_between_names_no_arguments(tmp_path):
    """As axolotl's, whose __init__ passes on what it is given."""
    if tuple(map(int, trl.__version__.split(".")[:2])) < (1, 16):
        pytest.skip("TRL before 1.16 wants a prompt in every row")

    class Between(GRPOTrainer):
        def __init__(self, *arguments, **others):
            super().__init__(*arguments, **others)

    class Ours(V05Trainer, Between):
        def _modulation_options(self, config):
            return {}

    sums = Dataset.from_dict({"first": [row % 8 for row in range(16)], "second": [row // 8 for row in range(16)]})
    made = trainer(Ours, tmp_path, V05Config(), environment=Sums, train_dataset=sums, reward_funcs=scored_sums)
    assert made.train_dataset[9] == {"first": 1, "second": 1}


def test_messages_are_prompts_too(tmp_path):
    made = trainer(V05GRPOTrainer, tmp_path, V05Config())
    messages = [{"role": "user", "content": "1+1="}]
    rows = made._gathered_rows([{"prompt": messages}, {"prompt": [dict(messages[0])]}, {"prompt": "1+1="}])
    assert rows[0].key == rows[1].key != rows[2].key


def test_a_function_of_prompts_is_a_prior(tmp_path):
    heard = Heard()
    config = V05Config(rule="prior", prior=lambda prompts: [PRIOR[prompt] for prompt in prompts])
    trained(V05GRPOTrainer, tmp_path, config, listen=heard, max_steps=1)
    for prompt, (rewards, found) in heard.groups(0).items():
        np.testing.assert_allclose(found, rewards - PRIOR[prompt], atol=1e-6)


def test_what_was_decided_is_in_the_trainers_log(tmp_path):
    made = trained(V05GRPOTrainer, tmp_path, V05Config(prior="column"), logging_steps=1)
    logged = made.state.log_history[0]
    assert logged["v05/rollouts"] == 4 and logged["v05/groups"] == 8 and logged["v05/without_prior"] == 0
    assert logged["v05/calibrated"] == 1 and 0 < logged["v05/slope"] < 1.5
    assert not any(name.startswith("v05/") for name in trained(GRPOTrainer, tmp_path).state.log_history[0])


def test_evaluation_keeps_trls_advantages_and_learns_nothing(tmp_path):
    made = trained(V05GRPOTrainer, tmp_path, V05Config(), max_steps=2)
    before = made.v05_estimator.state_dict()
    made.args.per_device_eval_batch_size = 4
    figures = made.evaluate(tiny_trl.dataset(2))
    assert made.v05_estimator.state_dict() == before
    assert figures["eval_reward"] >= 0 and not any("v05" in name for name in figures)


# Sequential allocation

ALLOCATED = dict(per_device_train_batch_size=16, max_steps=4)


@pytest.mark.parametrize("rule", ["osla", "neyman"])
@pytest.mark.parametrize(
    "kind, options",
    [
        (V05GRPOTrainer, {}),
        (V05GRPOTrainer, {"loss_type": "grpo"}),
        (V05RLOOTrainer, {"beta": 0.0}),
        (
            V05GRPOTrainer,
            {"beta": 0.1, "per_device_train_batch_size": 8, "steps_per_generation": 2, "num_iterations": 2},
        ),
    ],
)
def test_groups_of_different_size_reach_the_loss(tmp_path, kind, rule, options):
    heard = Heard()
    config = V05Config(
        rule="v05", prior="column", reward_range=(0, 1), allocation=rule, initial=2, maximum=8, budget=29, wave=3
    )
    made = trained(kind, tmp_path, config, listen=heard, **ALLOCATED | options)
    steps = options.get("steps_per_generation", 1)
    sizes = set()
    for first in range(0, 4, steps * options.get("num_iterations", 1)):
        for step in range(first + 1, first + steps):
            heard.steps[first] += heard.steps[step]
        rows, groups = heard.steps[first], heard.groups(first)
        counted = sum(len(rewards) for rewards, _ in groups.values())
        assert len(groups) == 8 and 16 <= counted <= 29 and len(rows) % steps == 0 and len(rows) - counted < steps
        assert all(advantage == 0 for _, _, advantage, counts in rows if not counts)
        total = counted if made.args.__dict__.get("loss_type") == "dapo" else len(rows)
        for prompt, (rewards, found) in groups.items():
            sizes.add(len(rewards))
            assert 2 <= len(rewards) <= 8
            weight = total / (8 * len(rewards))  # every prompt weighs the same
            np.testing.assert_allclose(found, weight * (rewards - paper_baseline(rewards, PRIOR[prompt])), atol=1e-5)
    assert len(sizes) > 1
    logged = [line for line in made.state.log_history if "v05/rollouts" in line][-1]
    last = heard.groups(first)
    rewards = np.concatenate([rewards for rewards, _ in last.values()])
    assert logged["v05/rollouts"] == pytest.approx(len(rewards) / 8) and logged["v05/rounds"] >= 1
    assert logged["v05/rollouts_saved"] == pytest.approx(1 - len(rewards) / 64)
    assert logged["reward"] == logged["rewards/reward/mean"] == pytest.approx(rewards.mean())
    assert logged["reward_std"] == pytest.approx(rewards.std(ddof=1))
    assert logged["frac_reward_zero_std"] == pytest.approx(
        sum(len(group) for group, _ in last.values() if group.std() == 0) / len(rewards)
    )


def test_with_equal_weight_a_rollout(tmp_path):
    heard = Heard()
    config = V05Config(
        rule="v05", prior="column", reward_range=(0, 1), allocation="neyman", initial=2, budget=30, weigh="rollouts"
    )
    trained(V05GRPOTrainer, tmp_path, config, listen=heard, **ALLOCATED | {"max_steps": 1})
    for prompt, (rewards, found) in heard.groups(0).items():
        np.testing.assert_allclose(found, rewards - paper_baseline(rewards, PRIOR[prompt]), atol=1e-6)


def test_trls_own_scaling_of_groups_of_different_size(tmp_path):
    heard = Heard()
    config = V05Config(
        rule="grpo", prior="column", reward_range=(0, 1), allocation="neyman", initial=2, budget=30, weigh="rollouts"
    )
    trained(V05GRPOTrainer, tmp_path, config, listen=heard, **ALLOCATED | {"max_steps": 1})
    assert len({len(rewards) for rewards, _ in heard.groups(0).values()}) > 1
    for rewards, found in heard.groups(0).values():
        np.testing.assert_allclose(found, (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4), atol=1e-5)


def test_the_table_of_completions_has_every_rollout_once(tmp_path):
    """Padding is not in it; what a reward function logs in some rounds only stays beside its rollouts."""
    calls = []

    def telling(completions, prompts, log_extra, log_metric, **columns):
        calls.append(len(prompts))
        if len(calls) % 2:
            log_extra("text", list(completions))
        log_metric("rows", len(prompts))
        return tiny_trl.reward(completions, prompts)

    heard = Heard()
    config = V05Config(rule="v05", prior="column", allocation="neyman", initial=2, budget=29, reward_range=(0, 1))
    made = trained(
        V05GRPOTrainer,
        tmp_path,
        config,
        listen=heard,
        reward_funcs=telling,
        log_completions=True,
        steps_per_generation=2,
        **ALLOCATED | {"per_device_train_batch_size": 8, "max_steps": 2},
    )
    assert len(calls) > 1
    table = pandas.read_parquet(tmp_path / "completions" / "completions_00002.parquet")
    counted = [row for step in (0, 1) for row in heard.steps[step] if row[3]]
    assert len(table) == len(counted) == 29 and len(heard.steps[0] + heard.steps[1]) == 30
    texts = (table[name].str.replace(" ", "") for name in ("prompt", "completion"))
    assert sorted(zip(*texts, table["advantage"])) == sorted(row[:3] for row in counted)
    assert table["telling"].tolist() == tiny_trl.reward(table["completion"], table["prompt"])
    extra = table["text"].notna()
    assert 0 < extra.sum() < len(table) and (table["text"] == table["completion"])[extra].all()
    assert made.state.log_history[0]["num_tokens"] == made.state.num_input_tokens_seen


def test_prompts_that_cannot_be_scored_are_not_asked_for_for_ever(tmp_path):
    def unscored(completions, prompts, **columns):
        rewards = tiny_trl.reward(completions, prompts)
        return [None if prompt[0] in "57" else reward for prompt, reward in zip(prompts, rewards)]

    heard = Heard()
    config = V05Config(rule="v05", prior="column", allocation="osla", initial=2, maximum=5, budget=20)
    made = trained(V05GRPOTrainer, tmp_path, config, listen=heard, reward_funcs=unscored, logging_steps=4, **ALLOCATED)
    assert made.state.log_history[0]["num_tokens"] == made.state.num_input_tokens_seen  # the last figure, not a mean
    for step in range(4):
        assert len(heard.steps[step]) <= 20
        for prompt, (rewards, found) in heard.groups(step).items():
            assert len(rewards) <= 5
            assert (found == 0).all() or prompt[0] not in "57"
    trained(
        V05GRPOTrainer,
        tmp_path,
        V05Config(allocation="osla", initial=2, maximum=5),
        max_steps=1,
        reward_funcs=lambda completions, **columns: [None] * len(completions),
    )


def test_a_reward_beyond_the_detected_range_ends_the_rounds(tmp_path, caplog):
    calls = []

    def growing(completions, prompts, **columns):
        calls.append(len(prompts))
        return [reward * len(calls) for reward in tiny_trl.reward(completions, prompts)]

    config = V05Config(rule="v05", prior="none", allocation="osla", initial=2, wave=1)
    trained(V05GRPOTrainer, tmp_path, config, reward_funcs=growing, **ALLOCATED | {"max_steps": 1})
    assert len(calls) == 2 and "lies outside the reward_range (0.0, 1.0)" in caplog.text


def test_rollout_functions_with_a_mask_of_their_own(tmp_path):
    """Optional tensors (the mask of tool calls, log-probabilities of the sampler) go through the rounds."""

    def rollouts(prompts, made):
        ids = [made.processing_class(prompt)["input_ids"] for prompt in prompts]
        completions = [[3 + (len(prompts) + place) % 10] * (1 + place % 4) for place in range(len(prompts))]
        return {
            "prompt_ids": ids,
            "completion_ids": completions,
            "logprobs": [[-1.0] * len(c) for c in completions],
            "env_mask": [[1] + [0] * (len(c) - 1) for c in completions],
            "own": [len(prompt) for prompt in prompts],
        }

    seen = []

    def listen(made, inputs):
        mask = inputs["completion_mask"] * inputs["tool_mask"]
        seen.append((inputs["num_items_in_batch"].item(), mask.sum().item(), inputs["sampling_per_token_logps"].shape))

    config = V05Config(rule="v05", prior="column", allocation="neyman", initial=2, budget=29, reward_range=(0, 1))
    made = trainer(V05GRPOTrainer, tmp_path, config, listen=listen, **ALLOCATED | {"max_steps": 1})
    made.rollout_func = rollouts
    made.train()
    assert seen == [(29, 29, (29, 4))]


def test_rows_are_spread_evenly_and_side_by_side():
    dice = np.random.default_rng(0)
    for _ in range(300):
        held = dice.integers(0, 9, dice.integers(1, 6))
        wanted = dice.integers(0, 4, dice.integers(1, 9))
        if not wanted.any():
            continue
        plan = spread(wanted, held)
        planned = plan[plan >= 0]
        assert (np.bincount(planned, minlength=len(wanted)) == wanted).all()
        assert (np.diff(planned) >= 0).all()  # contiguous
        counts = (plan >= 0).sum(axis=1)
        assert plan.shape[1] == counts.max() == -(-wanted.sum() // len(held)) and counts.max() - counts.min() <= 1
        if counts.max() > counts.min():
            assert held[counts == counts.max()].max() <= held[counts == counts.min()].min()


def test_rounds_of_different_lengths_are_joined():
    """Prompts end and completions begin where they meet; padding goes; the order is that of the prompts."""

    def batch(prompt, prompts, completions, **others):
        output = {
            "prompt_ids": torch.tensor(prompts),
            "prompt_mask": (torch.tensor(prompts) > 0).long(),
            "completion_ids": torch.tensor(completions),
            "advantages": torch.zeros(len(prompts)),
            "importance_sampling_ratio": torch.full((len(prompts), len(completions[0])), 0.5),
        }
        prompt = np.array(prompt)
        rewards = torch.tensor(prompt)[:, None].float()
        return Batch(output | others, prompt, np.zeros(len(prompt), int), rewards, None, {}, {})

    first = batch([0, 1], [[0, 5], [6, 6]], [[7, 7, 7], [8, 8, 8]])
    second = batch([1, 0, -1], [[6], [5], [5]], [[9], [9], [9]])
    joined = join([second, first], 0, pad_token=0)
    assert joined.prompt.tolist() == [0, 0, 1, 1] == joined.rewards_per_function[:, 0].tolist()
    assert joined.output["prompt_ids"].tolist() == [[0, 5], [0, 5], [0, 6], [6, 6]]
    assert joined.output["prompt_mask"].tolist() == [[0, 1], [0, 1], [0, 1], [1, 1]]
    assert joined.output["completion_ids"].tolist() == [[9, 0, 0], [7, 7, 7], [9, 0, 0], [8, 8, 8]]
    assert joined.output["importance_sampling_ratio"][0].tolist() == [0.5, 1.0, 1.0]
    with pytest.raises(v05.InvalidArgument, match="cannot join 'pixel_values'"):
        join([batch([0], [[5]], [[7]], pixel_values=torch.zeros(1, 3))] * 2, 0, pad_token=0)


def test_figures_of_rounds_are_those_of_all_their_rollouts():
    def figures(mean, clipped, ended, least, divergence):
        return {
            "completions/mean_length": [mean],
            "completions/clipped_ratio": [clipped],
            "kl": [divergence],
            "completions/mean_terminated_length": [ended],
            "completions/min_terminated_length": [least],
            "completions/max_length": [mean],
            "num_tokens": [mean],
            "rewards/none/mean": [float("nan")],
        }

    rounds = [
        Batch({}, np.zeros(count, int), np.zeros(count, int), torch.zeros(count, 1), None, {}, found)
        for count, found in ((4, figures(10.0, 0.5, 2.0, 1.0, 0.1)), (12, figures(2.0, 1.0, 0.0, 0.0, 0.3)))
    ]
    found = join(rounds, 0, pad_token=0).metrics
    assert np.isnan(found.pop("rewards/none/mean"))
    assert found == {
        "completions/mean_length": 4.0,
        "completions/clipped_ratio": 0.875,
        "kl": pytest.approx((4 + 7.2) / 64),
        "completions/mean_terminated_length": 2.0,
        "completions/min_terminated_length": 1.0,
        "completions/max_length": 10.0,
        "num_tokens": 2.0,
    }


# State


@pytest.mark.parametrize(
    "config",
    [
        dict(rule="v05"),
        dict(rule="calibrated"),
        dict(rule="v05", allocation="osla", initial=2, maximum=6, reward_range=(0, 1)),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, config):
    """Within an epoch: TRL orders the prompts anew in a later one. Ids repeat, so that the history matters."""
    prompts = tiny_trl.dataset(64)
    prompts = prompts.remove_columns("name").add_column("name", [row % 4 for row in range(64)])
    config = V05Config(id_field="name", **config)
    options = dict(
        max_steps=6, save_strategy="steps", save_steps=3, per_device_train_batch_size=16, train_dataset=prompts
    )
    whole = trained(V05GRPOTrainer, tmp_path, config, **options)
    saved = tmp_path / "checkpoint-3"
    resumed = trainer(V05GRPOTrainer, tmp_path, config, **options)
    resumed.train(resume_from_checkpoint=str(saved))
    assert torch.equal(weights(whole), weights(resumed))
    assert whole.v05_estimator.state_dict() == resumed.v05_estimator.state_dict()
    assert resumed.v05_estimator.steps == 6
    (saved / "v05.zip").unlink()
    forgetful = trainer(V05GRPOTrainer, tmp_path, config, **options)
    forgetful.train(resume_from_checkpoint=str(saved))
    assert not torch.equal(weights(whole), weights(forgetful))


def test_resuming_without_state_or_with_other_options_warns_once(tmp_path, caplog):
    options = dict(max_steps=2, save_strategy="steps", save_steps=1)
    trained(V05GRPOTrainer, tmp_path, V05Config(), **options)
    saved = tmp_path / "checkpoint-1"
    caplog.clear()
    other = V05Config(rule="v05", reward_range=(0, 1))
    trainer(V05GRPOTrainer, tmp_path, other, **options).train(resume_from_checkpoint=str(saved))
    assert [record.message for record in caplog.records if record.name == "v05" and "saved" in record.message] == [
        "the state was saved with rule 'calibrated' and goes on with 'v05'"
    ]
    (saved / "v05.zip").write_bytes(b"PK nonsense")
    with pytest.raises(v05.CheckpointError, match="no saved AdvantageEstimator"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(), **options).train(resume_from_checkpoint=str(saved))
    (saved / "v05.zip").unlink()
    caplog.clear()
    made = trainer(V05GRPOTrainer, tmp_path, V05Config(reward_range=(0, 1)), **options)
    made.train(resume_from_checkpoint=str(saved))
    assert [record.message for record in caplog.records if record.name == "v05"] == [
        f"{saved} has no v05.zip: what v05 had learnt before is lost, and it starts anew"
    ]
    assert made.v05_estimator.steps == 1


# Bad set-ups


def test_missing_columns(tmp_path):
    bare = tiny_trl.dataset().remove_columns(["prior", "name"])
    with pytest.raises(v05.InvalidArgument, match="prior_field 'prior' is not in the dataset, whose .* 'prompt'"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(prior="column"), train_dataset=bare)
    with pytest.raises(v05.InvalidArgument, match="id_field 'uid' is not in the dataset, whose .*'prompt'"):
        trainer(V05RLOOTrainer, tmp_path, V05Config(id_field="uid"))
    with pytest.raises(v05.InvalidArgument, match="remove_unused_columns must be False"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(prior="column"), remove_unused_columns=True)
    # The columns of a stream are not known before its first rows.
    stream = IterableDataset.from_generator(lambda: ({"prompt": f"{row}+1="} for row in range(32)))
    with pytest.raises(v05.InvalidArgument, match="prior_field 'prior' is not in the dataset, whose .* 'prompt'"):
        trained(V05GRPOTrainer, tmp_path, V05Config(prior="column"), train_dataset=stream)


@pytest.mark.parametrize(
    "value, message", [(1.5, "prior"), ("high", "prior column must be numbers"), (float("inf"), "prior")]
)
def test_a_prior_that_is_none(tmp_path, value, message):
    bad = tiny_trl.dataset().remove_columns("prior").add_column("prior", [value] * 16)
    with pytest.raises(v05.Error, match=message):
        trained(V05GRPOTrainer, tmp_path, V05Config(prior="column", reward_range=(0, 1)), train_dataset=bad)


def test_nan_priors_are_no_priors_and_said_so_once(tmp_path, caplog):
    unknown = tiny_trl.dataset().remove_columns("prior").add_column("prior", [float("nan")] * 16)
    heard = Heard()
    config = V05Config(rule="v05", prior="column", reward_range=(0, 1))
    trained(V05GRPOTrainer, tmp_path, config, train_dataset=unknown, listen=heard)
    assert [record.message for record in caplog.records if record.name == "v05"] == [
        "the prior column holds no number in this batch: it says nothing of its prompts"
    ]
    for rewards, found in heard.groups(0).values():
        np.testing.assert_allclose(found, rewards - others_mean(rewards), atol=1e-6)


def test_rewards_outside_the_range(tmp_path):
    with pytest.raises(v05.InvalidArgument, match="reward.*range|range.*reward"):
        trained(V05GRPOTrainer, tmp_path, V05Config(reward_range=(0.0, 0.5)))
    with pytest.raises(v05.InvalidArgument, match="reward"):
        trained(
            V05GRPOTrainer,
            tmp_path,
            V05Config(),
            reward_funcs=lambda completions, **columns: [float("inf")] * len(completions),
        )


def test_no_reward_at_all(tmp_path):
    heard = Heard()
    made = trained(
        V05GRPOTrainer,
        tmp_path,
        V05Config(),
        listen=heard,
        reward_funcs=lambda completions, **columns: [None] * len(completions),
    )
    assert all(advantage == 0 for step in heard.steps.values() for _, _, advantage, _ in step)
    assert len(made.v05_estimator.source.history) == 0


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(rule="grpo", num_generations=1), "num_generations must be at least 2 for rule 'grpo'"),
        (dict(num_generations=5), "positive divisor of the generation batch size 32, got 5"),
        (dict(num_generations=0), "positive divisor"),
        (dict(num_generations="4"), "num_generations must be an integer, got '4'"),
        (dict(num_generations=4, initial=2), "initial must be num_generations, got 2 and 4"),
        (dict(allocation="best"), "allocation must be one of 'off', 'osla', 'neyman', got 'best'"),
        (dict(allocation="osla", weigh="tokens"), "weigh must be one of"),
        (dict(allocation="osla", budget=31), "budget must be at least the 32 rollouts"),
        (dict(allocation="osla", maximum=3), "maximum"),
        (dict(allocation="osla", wave=0), "wave"),
        (dict(rule="best"), "rule must be one of"),
        (dict(prior=3), "prior must be one of"),
        (dict(prior_field="name"), "prior_field 'name' is read with prior .* only, got prior 'history'"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    with pytest.raises(v05.Error, match=message):
        trainer(V05GRPOTrainer, tmp_path, V05Config(**options))


def test_the_earlier_names_of_columns(tmp_path):
    config = V05Config(prior="column", key_column="name", prior_column="pass_rate")
    assert config == V05Config(prior="column", id_field="name", prior_field="pass_rate")
    assert dataclasses.replace(config, rule="v05").id_field == "name"
    assert not {"key_column", "prior_column"} & dataclasses.asdict(config).keys()
    with pytest.raises(v05.InvalidArgument, match="key_column is the earlier name of id_field: both were given"):
        V05Config(id_field="name", key_column="uid")


def test_options_of_allocation_without_it_are_told(tmp_path, caplog):
    trainer(V05GRPOTrainer, tmp_path, V05Config(budget=64, wave=2))
    assert "budget, wave of V05Config change nothing with allocation 'off'" in caplog.text


def test_ids_that_are_none_or_not_of_one_prompt(tmp_path, caplog):
    def with_ids(ids):
        return tiny_trl.dataset().remove_columns("name").add_column("name", ids)

    config, halves = V05Config(id_field="name"), [row // 2 for row in range(16)]
    trainer(V05GRPOTrainer, tmp_path, config, train_dataset=with_ids(halves))
    assert "id_field 'name' has 8 ids for 16 different prompts" in caplog.text
    with pytest.raises(v05.ArgumentTypeError, match="id_field 'name': keys must be .* got None"):
        trained(V05GRPOTrainer, tmp_path, config, train_dataset=with_ids([None] * 16))
    with pytest.raises(v05.ArgumentTypeError, match="id_field 'name': keys must be"):
        trained(V05GRPOTrainer, tmp_path, config, train_dataset=with_ids([[1, 2]] * 16))


def test_ids_where_rows_are_made_when_they_are_read(tmp_path):
    """By a transform, or by an environment that makes the prompt."""
    stored = tiny_trl.dataset(8)

    def rows(batch):
        return batch | {"uid": [f"row {name}" for name in batch["name"]]}

    made = trained(
        V05GRPOTrainer, tmp_path, V05Config(id_field="uid"), train_dataset=stored.with_transform(rows), max_steps=2
    )
    assert len(made.v05_estimator.source.history) == 8
    with pytest.raises(v05.InvalidArgument, match="id_field 'other' is not in the dataset"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(id_field="other"), train_dataset=stored.with_transform(rows))
    twice = stored.remove_columns("name").add_column("name", ["a", "b"] * 4)
    made = trainer(V05GRPOTrainer, tmp_path, V05Config(id_field="name"), train_dataset=twice)
    made._check_keys(twice.remove_columns("prompt"))


@pytest.mark.parametrize("rule", ["grpo", "rloo"])
def test_a_lowered_baseline_is_not_scaled(tmp_path, rule):
    """A group whose rewards are all 1 has no deviation to divide by."""
    lowered = V05Config(rule=rule, baseline_fraction=0.5)
    with pytest.raises(v05.InvalidArgument, match="baseline_fraction 0.5 needs advantages that are not scaled, got sc"):
        trainer(V05GRPOTrainer, tmp_path, lowered)
    with pytest.raises(v05.InvalidArgument, match="not scaled, got normalize_advantages"):
        trainer(V05RLOOTrainer, tmp_path, lowered, normalize_advantages=True)
    for options in (dict(v05=lowered, scale_rewards="none"), dict(v05=dataclasses.replace(lowered, scale="none"))):
        made = trained(V05GRPOTrainer, tmp_path, **options)
        assert 0 < max(made._logs["advantages"]) <= 1


def test_a_batch_of_truncated_rollouts_alone(tmp_path):
    """With mask_truncated_completions their score weights are all 0; TRL goes on, and so does this."""
    for config in (V05Config(rule="batch_mean", num_generations=1), V05Config(weights="length")):
        made = trained(
            V05GRPOTrainer,
            tmp_path,
            dataclasses.replace(config, reward_range=(0, 1)),
            per_device_train_batch_size=16,
            max_completion_length=1,
            mask_truncated_completions=True,
            max_steps=4,
        )
        assert made.state.global_step == 4


def test_a_state_that_cannot_be_written_ends_no_run(tmp_path, monkeypatch, caplog):
    replace = os.replace

    def refusing(source, target, **options):
        if str(target).endswith("v05.zip"):
            raise OSError(38, "Function not implemented")
        return replace(source, target, **options)

    monkeypatch.setattr("os.replace", refusing)
    made = trained(V05GRPOTrainer, tmp_path, V05Config(reward_range=(0, 1)), save_strategy="steps", save_steps=1)
    assert made.state.global_step == 3 and "the state could not be written" in caplog.text
    assert (tmp_path / "checkpoint-3" / "trainer_state.json").exists()


def test_unsupported_set_ups(tmp_path):
    with pytest.raises(v05.ArgumentTypeError, match="v05 must be a V05Config"):
        trainer(V05GRPOTrainer, tmp_path, {"rule": "v05"})
    with pytest.raises(v05.InvalidArgument, match="multi_objective_aggregation must be 'sum_then_normalize'"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(), multi_objective_aggregation="normalize_then_sum")
    pictures = tiny_trl.dataset().add_column("image", [None] * 16)
    with pytest.raises(v05.InvalidArgument, match="allocation must be 'off' with images"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(allocation="osla"), train_dataset=pictures)
    made = trainer(V05GRPOTrainer, tmp_path, V05Config())
    with pytest.raises(v05.InvalidArgument, match="id_field must be given for rows without a prompt"):
        made._gathered_rows([{"environment": "chess"}])


def test_the_memory_that_allocation_may_need_is_said(tmp_path, caplog):
    trainer(V05GRPOTrainer, tmp_path, V05Config(allocation="osla", budget=40))
    assert "may hold 40 rollouts instead of 32" in caplog.text


# Modulation of the advantages of tokens


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps_per_generation": 4, "per_device_train_batch_size": 8, "beta": 0.1},
        {"loss_type": "grpo", "num_iterations": 2},
    ],
)
def test_tokens_are_modulated_where_the_loss_computes_them(tmp_path, monkeypatch, options):
    calls = []

    def modulate(advantages, entropy, log_prob, old_log_prob, mask, *, clip_low, clip_high, alpha=0.2):
        if len(advantages):
            calls.append((advantages, entropy, log_prob, old_log_prob, mask, clip_low, clip_high, alpha))
        return advantages[:, None] * torch.ones_like(entropy) if len(advantages) else advantages

    monkeypatch.setattr("v05.trl.grpo.modulate_advantages", modulate)
    options = options | {"epsilon_high": 0.28}
    plain = trained(V05GRPOTrainer, tmp_path, V05Config(rule="grpo"), **options)
    modulated = trained(V05GRPOTrainer, tmp_path, V05Config(rule="grpo", modulation={"alpha": 0.4}), **options)
    assert len(calls) == 3 and torch.equal(weights(plain), weights(modulated))
    for advantages, entropy, log_prob, old_log_prob, mask, clip_low, clip_high, alpha in calls:
        assert advantages.shape == (options.get("per_device_train_batch_size", 32),)
        assert entropy.shape == log_prob.shape == old_log_prob.shape == mask.shape
        assert entropy.shape[0] == len(advantages)
        assert not any(values.requires_grad for values in (advantages, entropy, log_prob, old_log_prob))
        assert (clip_low, clip_high, alpha) == (0.2, 0.28, 0.4)
        assert (entropy[mask.bool()] > 0).all() and (log_prob[mask.bool()] < 0).all()
    if len(options) > 1:
        assert not torch.equal(calls[1][2], calls[1][3])  # old log-probabilities are those of before an update
    else:
        assert torch.equal(calls[1][2], calls[1][3])

    monkeypatch.setattr("v05.trl.grpo.modulate_advantages", lambda advantages, entropy, *others, **options: 0 * entropy)
    still = trained(V05GRPOTrainer, tmp_path, V05Config(modulation=True))
    assert torch.equal(weights(still), weights(trainer(V05GRPOTrainer, tmp_path)))


def test_where_modulation_is_not_possible(tmp_path):
    with pytest.raises(v05.InvalidArgument, match="modulation must be False in RLOO"):
        trainer(V05RLOOTrainer, tmp_path, V05Config(modulation=True))
    with pytest.raises(v05.ArgumentTypeError, match="modulation must be False, True or a dict"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(modulation="strong"))


def test_a_loss_that_goes_another_way_is_no_silent_nothing(tmp_path):
    """As under Unsloth, which replaces compute_loss, and with fused losses: the advantages would stay as they are."""

    class Elsewhere(GRPOTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return GRPOTrainer._compute_loss(self, model, inputs)

    class Ours(V05GRPOTrainer, Elsewhere):
        pass

    with pytest.raises(v05.InvalidArgument, match="modulation must be False: the loss of this trainer"):
        trained(Ours, tmp_path, V05Config(modulation=True))
    trained(Ours, tmp_path, V05Config())


def test_dynamo_trains(tmp_path):
    options = dict(steps_per_generation=2, per_device_train_batch_size=16, max_steps=4)
    plain = trained(V05GRPOTrainer, tmp_path, V05Config(), **options)
    modulated = trained(V05GRPOTrainer, tmp_path, V05Config(modulation=True), **options)
    assert torch.isfinite(weights(modulated)).all() and not torch.equal(weights(plain), weights(modulated))
    with pytest.raises(TypeError, match="strength"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(modulation={"strength": 1}))


# Score weights


def test_score_weights_are_those_of_a_loop():
    generator = np.random.default_rng(3)
    probability = generator.uniform(0.05, 1, (40, 7))
    mask = generator.random((40, 7)) < 0.7
    mask[0] = False
    log_prob = np.log(probability)
    log_prob[1, mask[1].argmax()] = np.nan
    unknown = mask & np.isnan(log_prob)
    expected = np.zeros(40)
    for row in range(40):
        terms = [
            (1 - probability[row, token]) ** 2 for token in range(7) if mask[row, token] and not unknown[row, token]
        ]
        expected[row] = sum(terms) / max(len(terms), 1) * mask[row].sum()
    given = torch.from_numpy(np.where(mask, log_prob, np.nan)), torch.from_numpy(mask.astype(int))
    np.testing.assert_allclose(score_weights("score", given[1], given[0]), expected, rtol=2e-6)
    length = mask.sum(1)
    np.testing.assert_allclose(score_weights("length", given[1]), length)
    np.testing.assert_allclose(
        score_weights("length", given[1], per_token=True), 1 / np.maximum(length, 1) * (length > 0)
    )
    np.testing.assert_allclose(  # a loss that divides by the length divides the score by it
        score_weights("score", given[1], given[0], per_token=True), expected / np.maximum(length, 1) ** 2, rtol=2e-6
    )


def test_score_weights_of_what_they_cannot_be_of():
    mask = torch.ones(3, 4)
    for kind in ("none", "scores"):
        with pytest.raises(v05.InvalidArgument, match=f'kind must be "length" or "score", got .{kind}'):
            score_weights(kind, mask, torch.zeros(3, 4))
    with pytest.raises(v05.InvalidArgument, match=r"log_prob must have the shape of mask, got \(1, 4\) for \(3, 4\)"):
        score_weights("score", mask, torch.zeros(1, 4))


@pytest.mark.parametrize("kind", ["score", "length"])
def test_weighted_baselines_by_hand(tmp_path, kind):
    """The mean of all other prompts' rewards, weighted by what the model's own probabilities say of the tokens."""

    class Watched(V05GRPOTrainer):
        checked = 0

        def _advantages(self, batch, prompts):
            found, metrics = super()._advantages(batch, prompts)
            ids, mask = batch.output["completion_ids"], batch.output["completion_mask"]
            whole = torch.cat([batch.output["prompt_ids"], ids], dim=1)
            attention = torch.cat([batch.output["prompt_mask"], mask], dim=1)
            with torch.no_grad():
                logits = self.model(whole, attention_mask=attention).logits[:, -ids.size(1) - 1 : -1]
            drawn = torch.softmax(logits / self.temperature, -1).gather(2, ids[..., None])[..., 0]
            norm = (((1 - drawn) ** 2 if kind == "score" else 1) * mask).sum(1).double().numpy()
            rewards = batch.rewards_per_function.sum(1).double().numpy()
            assert len(prompts) >= 9  # fewer are filled up from earlier steps
            for row, advantage in enumerate(found):
                others = batch.prompt != batch.prompt[row]
                baseline = np.average(rewards[others], weights=norm[others])
                assert float(advantage) == pytest.approx(rewards[row] - baseline, abs=2e-5)
                Watched.checked += 1
            return found, metrics

    config = V05Config(rule="batch_mean", num_generations=1, reward_range=(0, 1), weights=kind)
    made = trained(Watched, tmp_path, config, max_steps=2, loss_type="dapo", per_device_train_batch_size=16)
    assert Watched.checked >= 16
    figures = made.state.log_history[0]
    assert figures["v05/noise/batch_mean_weighted"] >= 1


def test_the_share_of_steps_that_were_clipped(tmp_path):
    """Of all since the last log, not of the one logged; at the end of an epoch TRL tells of its last step again."""
    common = dict(learning_rate=0.0, max_steps=6, shuffle_dataset=False)  # 2 an epoch
    every = trained(V05GRPOTrainer, tmp_path, V05Config(reward_range=(0, 1)), **common)
    norms = [figures["grad_norm"] for figures in every.state.log_history if "grad_norm" in figures]
    assert len(norms) == 6 and every._step_seen == 6
    for limit in (np.sort(norms)[:-1] + np.sort(norms)[1:]) / 2:  # every step is on one side or on the other
        options = common | dict(max_grad_norm=float(limit))
        for each in (1, 3):
            made = trained(V05GRPOTrainer, tmp_path, V05Config(reward_range=(0, 1)), logging_steps=each, **options)
            shares = [figures["v05/clipped"] for figures in made.state.log_history if "v05/clipped" in figures]
            assert shares == pytest.approx((np.reshape(norms, (-1, each)) > limit).mean(1))
    unlimited = trained(V05GRPOTrainer, tmp_path, V05Config(reward_range=(0, 1)), max_grad_norm=0.0, max_steps=1)
    assert "v05/clipped" not in unlimited.state.log_history[0]


@pytest.mark.parametrize("loss", ["grpo", "dapo"])
@pytest.mark.parametrize("updates", [1, 2])
def test_noise_without_weights_is_of_what_the_trainer_has(tmp_path, loss, updates):
    """Log-probabilities with several updates, else lengths, divided as the loss divides; for the log alone."""

    class Watched(V05GRPOTrainer):
        norms = []

        def _advantages(self, batch, prompts):
            mask, log_prob = batch.output["completion_mask"], batch.output.get("old_per_token_logps")
            assert (log_prob is None) == (updates == 1)
            norm = (mask if log_prob is None else (1 - log_prob.exp()) ** 2 * mask).sum(1)
            expected = norm / mask.sum(1) ** 2 if loss == "grpo" else norm
            torch.testing.assert_close(batch.squared_norms, expected.float())
            Watched.norms += [batch.squared_norms]
            found, metrics = super()._advantages(batch, prompts)
            assert {name for name in metrics if "noise" in name} >= {"v05/noise/none", "v05/noise/rule"}
            return found, metrics

    class Without(V05GRPOTrainer):
        def _squared_norms(self, output):
            return None

    config = V05Config(reward_range=(0, 1))
    watched, without = (
        trained(kind, tmp_path, config, loss_type=loss, num_iterations=updates, max_steps=4)
        for kind in (Watched, Without)
    )
    assert len(Watched.norms) == 4 / updates and torch.equal(weights(watched), weights(without))
    assert list(watched._logs["advantages"]) == list(without._logs["advantages"])
    assert "v05/noise/rule" in watched.state.log_history[0]


@pytest.mark.parametrize(
    "weights, options, told", [("score", {}, 1), ("length", {}, 0), ("score", {"num_iterations": 2}, 0)]
)
def test_a_forward_pass_for_score_weights_is_said_once(tmp_path, caplog, weights, options, told):
    with caplog.at_level("INFO", logger="v05"):
        trained(V05GRPOTrainer, tmp_path, V05Config(reward_range=(0, 1), weights=weights), **options)
    said = [record for record in caplog.records if "costs one forward pass" in record.message]
    assert len(said) == told and all(record.levelname == "INFO" for record in said)


def test_each_generation_is_learnt_from_once_whatever_the_updates(tmp_path):
    class Counted(V05GRPOTrainer):
        generations = 0

        def _generate_and_score_completions(self, inputs):
            Counted.generations += 1
            return super()._generate_and_score_completions(inputs)

    options = dict(per_device_train_batch_size=16, steps_per_generation=2, num_iterations=3, max_steps=12)
    made = trained(Counted, tmp_path, V05Config(reward_range=(0, 1)), **options)
    assert made.state.global_step == 12 and made.v05_estimator.steps == Counted.generations == 2


def test_a_baseline_that_is_lowered_to_nothing_trains_as_none_does(tmp_path):
    """Rollouts used twice, rewards of 0 and 1: at fraction 0 the history is worth as much as a prior of 0."""
    common = dict(rule="prior", num_generations=1, weights="none", reward_range=(0, 1))
    lowered, none, plain = (
        trained(
            V05GRPOTrainer,
            tmp_path / name,
            V05Config(**common, **given),
            per_device_train_batch_size=16,
            num_iterations=2,
            max_steps=6,
        )
        for name, given in (
            ("lowered", dict(baseline_fraction=0)),
            ("none", dict(prior=lambda prompts: [0.0] * len(prompts))),
            ("plain", {}),
        )
    )
    assert torch.equal(weights(lowered), weights(none))
    assert not torch.equal(weights(lowered), weights(plain))


def test_one_rollout_per_prompt_is_weighted_unless_one_says_no(tmp_path):
    options = dict(rule="prior", num_generations=1, reward_range=(0, 1))
    short = dict(max_steps=4, per_device_train_batch_size=16)
    default, score, none = (
        weights(trained(V05GRPOTrainer, tmp_path, V05Config(**options, **given), **short))
        for given in ({}, dict(weights="score"), dict(weights="none"))
    )
    assert torch.equal(default, score) and not torch.equal(default, none)


@pytest.mark.parametrize(
    "options",
    [
        dict(rule="calibrated", num_generations=2),
        dict(rule="mixture", num_generations=1),
        dict(rule="v05", num_generations=1, test="exact"),
        dict(rule="v05", num_generations=1, allocation="osla"),
    ],
)
def test_weights_are_only_a_default_where_they_were_measured_and_can_be(tmp_path, options):
    made = trainer(V05GRPOTrainer, tmp_path, V05Config(reward_range=(0, 1), **options), per_device_train_batch_size=16)
    assert made._weights_in_use == "none"


def test_tools_may_return_images_whose_log_probabilities_are_not_at_hand(tmp_path):
    config = V05Config(rule="prior", num_generations=1, reward_range=(0, 1))
    made = trainer(V05GRPOTrainer, tmp_path, config, per_device_train_batch_size=16)
    assert made._weights_to_use(config) == "score"
    made.tools = [len]
    assert made._weights_to_use(config) == "none"


def test_the_policy_whose_weights_are_taken_sees_the_pictures_of_messages(tmp_path, monkeypatch):
    """Images that stand in chat messages are in no column: they come with what TRL makes of a batch."""
    seen = []

    def log_prob(
        self, model, ids, mask, kept, batch_size=None, compute_entropy=False, pixel_values=None, num_images=None
    ):
        seen.append((pixel_values, num_images))
        return torch.zeros(len(ids), kept), None

    made = trainer(V05GRPOTrainer, tmp_path, V05Config(rule="prior", num_generations=1), per_device_train_batch_size=16)
    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", log_prob)
    tokens = dict.fromkeys(("prompt_ids", "prompt_mask", "completion_ids", "completion_mask"), torch.ones(2, 3).long())
    made._squared_norms(tokens | {"pixel_values": torch.ones(2, 1), "num_images": [1, 1]})
    made._squared_norms(tokens)
    assert torch.equal(seen[0][0], torch.ones(2, 1)) and seen[0][1] == [1, 1] and seen[1] == (None, None)


@pytest.mark.parametrize("kind", ["score", "length"])
def test_what_the_correction_for_the_engine_takes_out_of_the_loss_weighs_nothing(tmp_path, kind):
    """vLLM's default: a rollout whose ratio to the policy that drew it is too large has the ratio 0."""
    config = V05Config(rule="prior", num_generations=1, weights=kind)
    made = trainer(V05GRPOTrainer, tmp_path, config, per_device_train_batch_size=16)
    output = {"completion_mask": torch.ones(3, 4).long(), "old_per_token_logps": torch.full((3, 4), -1.0)}
    whole = made._squared_norms(output)
    assert (whole > 0).all()
    of_rollouts = made._squared_norms(output | {"importance_sampling_ratio": torch.tensor([[0.0], [1.0], [0.7]])})
    torch.testing.assert_close(of_rollouts, whole * torch.tensor([0.0, 1.0, 1.0]))
    of_tokens = made._squared_norms(output | {"importance_sampling_ratio": torch.tensor([[0.0, 1, 1, 1]]).repeat(3, 1)})
    assert ((0 < of_tokens) & (of_tokens < whole)).all()
    made.loss_type = "vespo"  # which has a factor of its own in its place
    assert (made._squared_norms(output | {"importance_sampling_ratio": torch.zeros(3, 1)}) > 0).all()


def test_allocation_knows_the_weights(tmp_path, monkeypatch):
    heard, observe = [], v05.Allocator.observe

    def watched(self, prompt_index, rewards, *, weights=None):
        heard.append((len(rewards), weights))
        observe(self, prompt_index, rewards, weights=weights)

    monkeypatch.setattr(v05.Allocator, "observe", watched)
    options = dict(rule="calibrated", reward_range=(0, 1), allocation="neyman", initial=2, maximum=8, wave=3)
    trained(V05GRPOTrainer, tmp_path, V05Config(weights="length", **options), **ALLOCATED)
    assert heard and all(len(weights) == count and (weights >= 1).all() for count, weights in heard)
    assert any(len(set(weights)) > 1 for _, weights in heard)
    heard.clear()
    trained(V05GRPOTrainer, tmp_path, V05Config(**options), **ALLOCATED)
    assert heard and all(weights is None for _, weights in heard)


def test_too_few_prompts_for_a_batch_are_told(tmp_path):
    with pytest.raises(v05.InvalidArgument, match="at least the 32 prompts of a generation batch .* got 16: lower"):
        trainer(V05GRPOTrainer, tmp_path, V05Config(num_generations=1, reward_range=(0, 1)))


@pytest.mark.parametrize(
    "options, message", [(dict(weights="entropy"), "weights must be one of 'none', 'length', 'score', got 'entropy'")]
)
def test_wrong_weights(tmp_path, options, message):
    with pytest.raises(v05.InvalidArgument, match=message):
        trainer(V05GRPOTrainer, tmp_path, V05Config(**options))


# Advantages of another kind beside these


class Hooked(GRPOTrainer):
    """Stands in for a TRL with the hook of its pull request 7298: called before advantages are logged and sliced."""

    def _transform_advantages(self, advantages):
        return advantages

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        output["advantages"] = self._transform_advantages(output["advantages"])
        for _ in inputs:
            self._logs["advantages"].pop()
        self._logs["advantages"].extend(output["advantages"].tolist())
        return output


class Adding(V05GRPOTrainer):
    def _transform_advantages(self, advantages):
        self.calls = getattr(self, "calls", 0) + 1
        return super()._transform_advantages(advantages) + torch.arange(len(advantages)) / 64


class AddingHooked(Adding, Hooked):
    pass


@pytest.mark.parametrize("kind", [Adding, AddingHooked])
@pytest.mark.parametrize("allocation", [False, True])
def test_a_subclass_adds_advantages_of_its_own(tmp_path, kind, allocation):
    config = V05Config(rule="v05", prior="column", reward_range=(0, 1))
    options = {"max_steps": 1}
    if allocation:
        config = dataclasses.replace(config, allocation="neyman", initial=2, budget=29)
        options = ALLOCATED | options
    plain, added = Heard(), Heard()
    trained(V05GRPOTrainer, tmp_path / "plain", config, listen=plain, **options)
    made = trained(kind, tmp_path / "added", config, listen=added, **options)
    assert made.calls == 1
    for row, other in zip(sorted(plain.steps[0]), sorted(added.steps[0])):
        assert row[:2] == other[:2]
    logged = list(made._logs["advantages"])
    counted = [row[2] for row in added.steps[0] if row[3]]
    assert sorted(logged) == sorted(counted)
    total = sum(row[2] for row in plain.steps[0]) + sum(range(len(counted))) / 64
    assert sum(counted) == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("wrong, shape", [(lambda a: a[:3], r"\(3,\)"), (lambda a: None, "NoneType")])
def test_what_a_subclass_adds_has_one_number_per_rollout(tmp_path, wrong, shape):
    class Wrong(V05GRPOTrainer):
        def _transform_advantages(self, advantages):
            return wrong(advantages)

    with pytest.raises(v05.InvalidArgument, match=rf"_transform_advantages must return .* \(32,\).* got {shape}"):
        trained(Wrong, tmp_path, V05Config(rule="v05", reward_range=(0, 1)), max_steps=1)
