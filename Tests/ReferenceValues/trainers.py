"""Record what the released trainers compute, so that v05 can be held against it.

    python Tests/ReferenceValues/trainers.py verl
    python Tests/ReferenceValues/trainers.py trl
    python Tests/ReferenceValues/trainers.py openrlhf | ms_swift | skyrl | areal
    python Tests/ReferenceValues/trainers.py prime_rl PATH

Each run executes the trainer's own released code on fixed batches of rewards and replaces that
trainer's part of trainers.json. Nothing of the trainers is kept here but the numbers.

verl and TRL need incompatible versions of their dependencies, hence an environment each:

    pip install torch==2.13.0+cpu numpy packaging ray "tensordict<=0.10.0,!=0.9.0" omegaconf \
        "transformers>=5.5.3,!=5.6.0,<5.11" codetiming && pip install --no-deps verl==0.9.1
    pip install torch==2.13.0+cpu numpy transformers trl==1.16.0 accelerate datasets peft

The others would bring much more than this needs. Their wheel is downloaded when the script runs, and
only the functions that compute advantages are taken out of it; torch and numpy are all these need
(SkyRL: and loguru), so either environment does. prime-rl is on no index: PATH is that of its source.

A case holds the rewards, the groups, the rows that count (mask, null for all), the trainer's
advantages, the options with which v05.advantages must arrive at them, and how near. The rewards are
exact float32 values, and so are the advantages, but for TRL's asynchronous worker, which computes in
float64. A case with the key "differs" says why no options of v05 reproduce all of it; its options are
the nearest.
"""

import ast
import asyncio
import importlib.metadata
import itertools
import json
import logging
import random
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy
import torch

DESTINATION = Path(__file__).with_name("trainers.json")

UNEVEN_SIZES = (4, 8, 12, 16, 4, 1, 5)

# Float32 arithmetic on rewards and advantages of about 1.
TOLERANCE = 1e-6
# In the close batches one step of float32 is 1/84 of the difference between the two rewards. A mean off by
# half a step moves an advantage divided by their deviation, which is 36 steps or more, by up to 1/72.
CLOSE_TOLERANCE = 0.015

CONSTANT_DIFFERS = (
    "The float32 mean of equal rewards is not exactly that reward, so the trainer's advantages in a group "
    "without spread are rounding noise; v05 gives exactly 0."
)


# Batches: name -> (rewards, groups). A reward of None is one that the trainer could not score.


def grouped(*rewards_by_group):
    """One batch out of the rewards of each group, its groups numbered from 0."""
    rewards = [reward for group in rewards_by_group for reward in group]
    groups = [number for number, group in enumerate(rewards_by_group) for _ in group]
    return [None if reward is None else float(numpy.float32(reward)) for reward in rewards], groups


def shuffled(batch, seed):
    rows = list(zip(*batch))
    random.Random(seed).shuffle(rows)
    return tuple(map(list, zip(*rows)))


def binary_groups(sizes, seed):
    """0/1 rewards; the first group is all 0 and the second last all 1 whatever the draw."""
    generator = random.Random(seed)
    groups = []
    for size in sizes:
        chance = generator.random()
        groups.append([float(generator.random() < chance) for _ in range(size)])
    groups[0] = [0.0] * sizes[0]
    groups[-2] = [1.0] * sizes[-2]
    return groups


def signed_groups(sizes, seed):
    return [[2.0 * reward - 1.0 for reward in group] for group in binary_groups(sizes, seed)]


def continuous_groups(sizes, seed):
    generator = random.Random(seed)
    return [[generator.random() for _ in range(size)] for size in sizes]


def close_groups(*sizes):
    """Rewards of 1.0 and 1.00001: the spread is 84 steps of float32."""
    return [[1.00001 if row % 3 == 0 else 1.0 for row in range(size)] for size in sizes]


def uneven_batches():
    binary = grouped(*binary_groups(UNEVEN_SIZES, seed=1))
    return {
        "binary": binary,
        "binary, rows shuffled": shuffled(binary, seed=2),
        "signed": shuffled(grouped(*signed_groups(UNEVEN_SIZES, seed=3)), seed=4),
        "continuous": shuffled(grouped(*continuous_groups(UNEVEN_SIZES, seed=5)), seed=6),
        "close": grouped(*close_groups(4, 8, 5)),
        "constant": grouped([0.1] * 5, [0.7] * 12, [1 / 3] * 7, [0.1, 0.7, 0.2]),
        "singletons": grouped([1.0], [0.0], [0.0, 1.0, 1.0, 1.0], [0.25], [1.0, 0.0]),
    }


def even_batches(size):
    """The same for trainers that know one group size only; rows stay together."""
    sizes = (size,) * 6
    return {
        f"binary, groups of {size}": grouped(*binary_groups(sizes, seed=7)),
        f"signed, groups of {size}": grouped(*signed_groups(sizes, seed=8)),
        f"continuous, groups of {size}": grouped(*continuous_groups(sizes, seed=9)),
        f"close, groups of {size}": grouped(*close_groups(*sizes)),
    }


# Cases.


def options(rule="grpo", scale="none", epsilon=1e-6, ddof=1, singleton="zero"):
    return {
        "rule": rule,
        "scale": scale,
        "ddof": ddof,
        "epsilon": epsilon,
        "singleton": singleton,
        "leave_one_out": rule == "rloo",
    }


def case(name, function, batch, options, advantages, differs=None):
    rewards, groups = batch
    mask = [reward is not None for reward in rewards] if None in rewards else None
    advantages = [float(advantage) for advantage in advantages]
    assert len(advantages) == len(rewards)
    close = name.startswith("close") and options["scale"] != "none"
    recorded = {
        "name": f"{function}: {name}",
        "function": function,
        "rewards": rewards,
        "groups": groups,
        "mask": mask,
        "options": options,
        "advantages": advantages,
        "tolerance": CLOSE_TOLERANCE if close else TOLERANCE,
    }
    return recorded | ({"differs": differs} if differs else {})


def float32_of(rewards):
    return torch.tensor(rewards, dtype=torch.float32)


def token_level(rewards):
    """Responses of one to three tokens, each with its reward on the last one, and their mask."""
    lengths = torch.tensor([1 + row % 3 for row in range(len(rewards))])
    mask = (torch.arange(3) < lengths[:, None]).float()
    tokens = torch.zeros(len(rewards), 3)
    tokens[torch.arange(len(rewards)), lengths - 1] = float32_of(rewards)
    return tokens, mask


def one_per_row(advantages, mask):
    """The advantage of each response, which must be that of all its tokens."""
    assert torch.equal(advantages, advantages[:, :1] * mask)
    return advantages[:, 0]


def noisy_constant(name, knobs):
    """Why a trainer that works in float32 differs on the constant batch, if it does."""
    return CONSTANT_DIFFERS if name == "constant" and knobs["scale"] == "group" else None


def token_level_cases(function, estimator, knobs, label="", **arguments):
    """The cases of an estimator that takes the rewards of tokens, their mask and a uid for each row."""
    for name, batch in uneven_batches().items():
        rewards, groups = batch
        tokens, mask = token_level(rewards)
        uids = numpy.array([f"prompt {group}" for group in groups], dtype=object)
        advantages = one_per_row(estimator(tokens, mask, uids, **arguments)[0], mask)
        yield case(name + label, function, batch, knobs, advantages, noisy_constant(name, knobs))


# verl: the registered estimators.


def verl():
    from verl.trainer.ppo import core_algos

    scaled, unscaled = options(scale="group", singleton="raw"), options(singleton="raw")
    estimator = core_algos.get_adv_estimator_fn
    cases = []
    for function in ("grpo", "grpo_vectorized"):
        cases += token_level_cases(function, estimator(function), scaled, norm_adv_by_std_in_grpo=True)
        cases += token_level_cases(function, estimator(function), unscaled, ", unscaled", norm_adv_by_std_in_grpo=False)
    cases += token_level_cases("rloo", estimator("rloo"), options("rloo", singleton="raw"))
    cases += token_level_cases("rloo_vectorized", estimator("rloo_vectorized"), options("rloo"))
    return importlib.metadata.version("verl"), cases


# TRL: its trainers, unchanged, on a model of two layers and with rewards that are prescribed.


def trl():
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    cases = []
    for size in (4, 8):
        batches = even_batches(size)
        batches[f"unscorable, groups of {size}"] = grouped(*unscorable_groups(size))
        for scale in ("group", "batch", "none"):
            knobs = options(scale=scale, epsilon=1e-4)
            for name, batch, advantages in trained(GRPOTrainer, GRPOConfig, batches, size, scale_rewards=scale):
                cases.append(case(f"{name}, scale_rewards={scale}", "GRPOTrainer", batch, knobs, advantages))
        for name, batch, advantages in trained(RLOOTrainer, RLOOConfig, batches, size, normalize_advantages=False):
            cases.append(case(name, "RLOOTrainer", batch, options("rloo"), advantages))
    return importlib.metadata.version("trl"), cases + asynchronous_trl()


def unscorable_groups(size):
    """One reward missing here, all but one there, all of them in a third group."""
    groups = binary_groups((size,) * 6, seed=10)
    groups[1] = [None, 1.0] + [0.0] * (size - 2)
    groups[2] = [0.5] + [None] * (size - 1)
    groups[3] = [None] * size
    return groups


def trained(trainer_class, configuration_class, batches, size, **settings):
    """Train one step on each batch; gives its name, the batch and the advantages that were logged."""
    from datasets import Dataset
    from transformers import TrainerCallback

    waiting = [rewards for rewards, _ in batches.values()]
    rows = len(waiting[0])
    logs = []

    def prescribed(completions, **_):
        return waiting.pop(0)

    class Recorder(TrainerCallback):
        def on_step_end(self, *_, **__):
            logs.append((list(trainer._logs["rewards"]["prescribed"]), list(trainer._logs["advantages"])))

    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_class(
            model=tiny_model(),
            processing_class=tiny_tokenizer(),
            reward_funcs=prescribed,
            train_dataset=Dataset.from_dict({"prompt": list("abcdefgh") * len(batches)}),
            callbacks=[Recorder()],
            args=configuration_class(
                output_dir=folder,
                per_device_train_batch_size=rows,
                num_generations=size,
                max_completion_length=3,
                max_steps=len(batches),
                beta=0.0,
                use_cpu=True,
                bf16=False,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
                **settings,
            ),
        )
        trainer.train()

    assert len(logs) == len(batches)
    for (name, batch), (rewards, advantages) in zip(batches.items(), logs):
        numpy.testing.assert_array_equal(rewards, numpy.array(batch[0], dtype=float))
        yield name, batch, advantages


def tiny_model():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=12,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=32,
        )
    )


def tiny_tokenizer():
    """One token per letter, so that nothing has to be fetched."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<pad>", "<eos>", "<unk>", *"abcdefgh"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def asynchronous_trl():
    """The worker of the asynchronous trainer scores a group at a time, in float64 and with ddof 0."""
    from trl.experimental.async_grpo import async_rollout_worker

    def scored(rewards):
        worker = object.__new__(async_rollout_worker._AsyncRolloutLoop)
        worker.reward_funcs = [lambda **_: rewards]
        worker.reward_func_names = ["prescribed"]
        worker._env_reward_types = []
        worker._provides_rollout_reward = False
        size = len(rewards)
        row = async_rollout_worker.TrainingSequence([1], completion_mask=[1], old_log_probs=[0.0], rollout_id=None)
        group = async_rollout_worker.RolloutGroup(
            prompts=[[]] * size,
            reward_kwargs={},
            completions=[[]] * size,
            completions_ids=[[1]] * size,
            completions_sequences=[[row]] * size,
            tool_call_counts=[0] * size,
            tool_failure_counts=[0] * size,
            model_version=0,
            group_id=0,
            env_rewards=[None] * size,
            rollout_rewards=[None] * size,
        )
        return [sample.advantage for sample in asyncio.run(worker._score_group(group))]

    batches = uneven_batches() | {"unscorable": grouped(*unscorable_groups(6))}
    knobs = options(scale="group", ddof=0, epsilon=1e-8)
    return [
        case(name, "_AsyncRolloutLoop", batch, knobs, group_by_group(scored, batch)) for name, batch in batches.items()
    ]


def group_by_group(function, batch):
    """Apply a function that knows one group at a time; gives its results in the order of the rows."""
    rows_of = defaultdict(list)
    for row, group in enumerate(batch[1]):
        rows_of[group].append(row)
    results = [None] * len(batch[0])
    for rows in rows_of.values():
        for row, result in zip(rows, function([batch[0][row] for row in rows])):
            results[row] = result
    return results


# The trainers whose wheel is opened instead of installed.


def wheel(requirement, python_version):
    """Download a released wheel; gives a function from the end of a path to the text of that file."""
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*download, "--python-version", python_version, "--dest", folder, requirement], check=True)
        (path,) = Path(folder).iterdir()
        with zipfile.ZipFile(path) as archive:
            sources = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}

    def source(ending):
        (name,) = (name for name in sources if name.endswith(ending))
        return sources[name]

    return source


def definitions(source, names, **namespace):
    """Run the named functions, methods and classes of a module without the rest of it."""
    found = {
        node.name: node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names
    }
    for name in names:
        found[name].decorator_list = []  # a registry that is not there
    later = ast.parse("from __future__ import annotations").body  # types that are not there
    module = ast.Module(body=[*later, *(found[name] for name in names)], type_ignores=[])
    namespace = {"torch": torch, "np": numpy, **namespace}
    exec(compile(module, "released", "exec"), namespace)
    return SimpleNamespace(**{name: namespace[name] for name in names})


def openrlhf():
    source = wheel("openrlhf==0.11.2", "3.11")
    logger = logging.getLogger("openrlhf")
    shaping = definitions(source("openrlhf/models/utils.py"), ["compute_reward"])
    penalties = definitions(source("ppo_utils/length_penalty.py"), ["apply_length_penalties"], logger=logger)
    maker = definitions(
        source("ppo_utils/experience_maker.py"),
        ["compute_advantages_and_returns", "get_cumulative_returns"],
        itertools=itertools,
        logger=logger,
        compute_reward=shaping.compute_reward,
        apply_length_penalties=penalties.apply_length_penalties,
    )

    def advantages_of(estimator, rewards, size):
        _, mask = token_level(rewards)
        arguments = SimpleNamespace(
            rollout=SimpleNamespace(n_samples_per_prompt=size),
            reward=SimpleNamespace(clip_range=None),
            algo=SimpleNamespace(advantage=SimpleNamespace(estimator=estimator, gamma=1.0, no_std_norm=False)),
        )
        experience_maker = SimpleNamespace(
            strategy=SimpleNamespace(args=arguments), advantage_estimator=estimator, kl_ctl=SimpleNamespace(value=0.0)
        )
        experience_maker.get_cumulative_returns = maker.get_cumulative_returns.__get__(experience_maker)
        experience = SimpleNamespace(
            rewards=float32_of(rewards),
            index=list(range(len(rewards))),
            kl=torch.zeros_like(mask),
            action_mask=mask,
            info={},
        )
        maker.compute_advantages_and_returns(experience_maker, [experience])
        return experience.advantages[:, 0]

    variants = [("group_norm", options(scale="group", epsilon=1e-9)), ("rloo", options("rloo")), ("dr_grpo", options())]
    cases = [
        case(name, estimator, batch, knobs, advantages_of(estimator, batch[0], size))
        for estimator, knobs in variants
        for size in (4, 12)
        for name, batch in even_batches(size).items()
    ]
    return "0.11.2", cases


def ms_swift():
    source = wheel("ms-swift==4.6.0", "3.11")
    released = definitions(source("swift/rl_core/advantage.py"), ["compute_advantages", "compute_advantages_dynamic"])
    weights = torch.ones(1)
    rloo_differs = (
        "Leave-one-out advantages are divided by the deviation of the whole group; "
        "v05 divides by that of the other rewards."
    )
    variants = [
        ("grpo", "group", options(scale="group", epsilon=1e-4), None),
        ("grpo", "batch", options(scale="batch", epsilon=1e-4), None),
        ("grpo", "none", options(), None),
        ("rloo", "none", options("rloo"), None),
        ("rloo", "group", options("rloo", scale="group", epsilon=1e-4), rloo_differs),
        ("rloo", "batch", options("rloo", scale="batch", epsilon=1e-4), None),
    ]
    cases = []
    for estimator, scale, knobs, differs in variants:
        for name, batch in uneven_batches().items():
            rewards, groups = batch
            prompts = [f"prompt {group}" for group in groups]
            requests = [f"request {row}" for row in range(len(rewards))]
            advantages, _ = released.compute_advantages_dynamic(
                float32_of(rewards)[:, None], weights, prompts, requests, estimator, scale
            )
            why = differs or noisy_constant(name, knobs)
            label = f"{name}, {estimator}, {scale}"
            cases.append(case(label, "compute_advantages_dynamic", batch, knobs, advantages, why))
        for name, batch in even_batches(8).items():
            advantages, _ = released.compute_advantages(float32_of(batch[0])[:, None], weights, 8, estimator, scale)
            label = f"{name}, {estimator}, {scale}"
            cases.append(case(label, "compute_advantages", batch, knobs, advantages, differs))
    return "4.6.0", cases


def skyrl():
    source = wheel("skyrl==0.4.0", "3.12")
    grpo, rloo = "compute_grpo_outcome_advantage", "compute_rloo_outcome_advantage"
    released = definitions(source("skyrl_train/utils/ppo_utils.py"), [grpo, rloo], defaultdict=defaultdict)
    scaled, unscaled = options(scale="group", singleton="raw"), options(singleton="raw")
    cases = [
        *token_level_cases(grpo, getattr(released, grpo), scaled, grpo_norm_by_std=True),
        *token_level_cases(grpo, getattr(released, grpo), unscaled, ", unscaled", grpo_norm_by_std=False),
        *token_level_cases(rloo, getattr(released, rloo), options("rloo")),
    ]
    return "0.4.0", cases


def areal():
    source = wheel("areal==1.0.4", "3.11")
    released = definitions(source("areal/utils/data.py"), ["Normalization"], dist=torch.distributed)
    batch_differs = (
        "The deviation of the batch is taken around the mean of each group; v05 takes it around that of the batch."
    )
    rloo_differs = (
        "The deviation is taken over the whole group, each reward around the mean of the others; "
        "v05 takes that of the other rewards."
    )
    variants = [
        ("group", True, False, options(scale="group", epsilon=1e-5), None),
        ("group", False, False, options(scale="group", ddof=0, epsilon=1e-5), None),
        (None, True, False, options(), None),
        (None, True, True, options("rloo", singleton="raw"), None),
        ("group", True, True, options("rloo", scale="group", epsilon=1e-5, singleton="raw"), rloo_differs),
        ("batch", True, False, options(scale="batch", epsilon=1e-5), batch_differs),
    ]
    cases = []
    for scale, unbiased, leave_one_out, knobs, differs in variants:
        batches = [(8, name, batch) for name, batch in even_batches(8).items()]
        batches.append((1, "groups of 1", grouped([1.0], [0.0], [0.25])))
        for size, name, batch in batches:
            normalization = released.Normalization(
                SimpleNamespace(
                    mean_level="group",
                    mean_leave1out=leave_one_out,
                    std_level=scale,
                    std_unbiased=unbiased,
                    group_size=size,
                    eps=1e-5,
                )
            )
            advantages = normalization(float32_of(batch[0]))
            label = f"{name}, std_level={scale}, std_unbiased={unbiased}, mean_leave1out={leave_one_out}"
            cases.append(case(label, "Normalization", batch, knobs, advantages, differs if size > 1 else None))
    return "1.0.4", cases


def prime_rl(checkout):
    def source(name):
        return Path(checkout, "src/prime_rl/orchestrator/algo", name).read_text()

    base = definitions(source("base.py"), ["Algorithm", "iter_trainable_traces"])
    routing = definitions(source("routing.py"), ["assign_advantages"])
    released = definitions(source("grpo.py"), ["GRPOAlgorithm"], **vars(base), **vars(routing))
    configuration = SimpleNamespace(action_loss_type="rl", length_penalty=None, length_weighted_baseline=False)
    algorithm = released.GRPOAlgorithm(configuration, None)

    def scored(rewards):
        nodes = [SimpleNamespace(mask=[False, True, True], token_ids=[1, 2, 3]) for _ in rewards]
        episodes = [
            SimpleNamespace(
                traces=[
                    SimpleNamespace(
                        id="trace",
                        reward=reward,
                        has_error=False,
                        agent=SimpleNamespace(trainable=True),
                        nodes=[node],
                        branches=[SimpleNamespace(trainable=True, nodes=[node])],
                    )
                ]
            )
            for reward, node in zip(rewards, nodes)
        ]
        asyncio.run(algorithm.score_group(episodes))
        assert all(len(set(node.advantages)) == 1 for node in nodes)
        return [node.advantages[0] for node in nodes]

    return "0.8.0", [
        case(name, "GRPOAlgorithm", batch, options(), group_by_group(scored, batch))
        for name, batch in uneven_batches().items()
    ]


def write(trainers):
    """One case to a line."""
    parts = []
    for trainer, record in sorted(trainers.items()):
        lines = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in record["cases"])
        parts.append(f'"{trainer}": {{"version": "{record["version"]}", "cases": [\n{lines}\n]}}')
    DESTINATION.write_text("{\n" + ",\n".join(parts) + "\n}\n")


TRAINERS = {function.__name__: function for function in (verl, trl, openrlhf, ms_swift, skyrl, areal, prime_rl)}


def main():
    if len(sys.argv) != (3 if sys.argv[1:2] == ["prime_rl"] else 2) or sys.argv[1] not in TRAINERS:
        sys.exit(f"usage: trainers.py {' | '.join(TRAINERS)} PATH")
    trainer, *checkout = sys.argv[1:]
    version, cases = TRAINERS[trainer](*checkout)
    recorded = json.loads(DESTINATION.read_text()) if DESTINATION.exists() else {}
    write(recorded | {trainer: {"version": version, "cases": cases}})
    print(f"{trainer} {version}: {len(cases)} cases")


if __name__ == "__main__":
    main()
