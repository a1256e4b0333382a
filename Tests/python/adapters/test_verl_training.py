"""verl's own V1 trainer on a local Ray cluster without a GPU (verl_on_cpu): what it logs against the formulas by
hand."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
for package in ("verl", "transfer_queue", "hydra"):
    pytest.importorskip(
        package, reason=f"{package} is not installed: verl needs an environment of its own (Tests/run slow)"
    )

HERE = Path(__file__).parents[1]
CONFIGURATION = """
    data.train_batch_size=4 data.max_prompt_length=16 data.max_response_length=6 data.dataloader_num_workers=0
    data.shuffle=False actor_rollout_ref.model.use_remove_padding=False
    +actor_rollout_ref.model.override_config.attn_implementation=eager actor_rollout_ref.actor.strategy=fsdp2
    actor_rollout_ref.actor.ppo_mini_batch_size=4 actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4
    actor_rollout_ref.actor.optim.lr=1e-3 actor_rollout_ref.actor.use_kl_loss=False actor_rollout_ref.rollout.name=hfcpu
    actor_rollout_ref.rollout.n=4 actor_rollout_ref.rollout.tensor_model_parallel_size=1
    actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4 actor_rollout_ref.rollout.agent.num_workers=2
    actor_rollout_ref.rollout.calculate_log_probs=True reward.custom_reward_function.name=reward reward.num_workers=1
    trainer.device=cpu trainer.n_gpus_per_node=1 trainer.nnodes=1 trainer.total_epochs=9 trainer.val_before_train=False
    trainer.test_freq=-1 trainer.logger=[console,file] ray_kwargs.ray_init.num_cpus=64 +ray_kwargs.ray_init.num_gpus=1
    +ray_kwargs.ray_init.include_dashboard=False transfer_queue.backend.SimpleStorage.num_data_storage_units=1
    algorithm.adv_estimator=v05 +algorithm.v05.reward_range=[0,1]
    +actor_rollout_ref.rollout.agent.agent_loop_manager_class=v05.verl.V05AgentLoopManager
    +algorithm.v05.allocation.rule=osla +algorithm.v05.allocation.initial=4 +algorithm.v05.allocation.maximum=12
""".split()


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """The folder of model and data, and the module that made them."""
    sys.path.insert(0, str(HERE))
    try:
        from verl_on_cpu import task
    finally:
        sys.path.remove(str(HERE))
    folder = tmp_path_factory.mktemp("task")
    task.make(folder)
    return folder, task


def train(task_folder, folder, *options, modules="verl_on_cpu"):
    """Runs verl's trainer; gives back {step: what it logged} and {step: rows that it dumped}."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        "VERL_USE_EXTERNAL_MODULES": modules,
        "VERL_PLATFORM": "cpu",
        "VERL_ENGINE_DEVICE": "cuda",
        "VERL_FILE_LOGGER_PATH": str(folder / "log.jsonl"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_MEMORY_MONITOR": "1",
    }
    command = [
        sys.executable,
        "-m",
        "verl.trainer.main_ppo",
        *CONFIGURATION,
        f"data.train_files={task_folder}/data.parquet",
        f"data.val_files={task_folder}/data.parquet",
        f"actor_rollout_ref.model.path={task_folder}/model",
        f"reward.custom_reward_function.path={HERE}/verl_on_cpu/task.py",
        f"trainer.default_local_dir={folder}/checkpoints",
        f"trainer.rollout_data_dir={folder}/rollouts",
        *options,
    ]
    ended = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900
    )
    assert ended.returncode == 0, ended.stdout[-6000:]
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    dumps = {
        int(path.stem): [json.loads(line) for line in path.read_text().splitlines()]
        for path in (folder / "rollouts").iterdir()
    }
    return {line["step"]: line["data"] for line in logged}, dumps


def groups_of(dump, task):
    """{number of the prompt: rewards in the order of their sessions}, without verl's padding."""
    number_of = {task.prompt(number): number for number in range(task.PROMPTS)}
    rewards = defaultdict(dict)
    for row in dump:
        uid, session, _ = row["uid"].rsplit("_", 2)
        if not uid.startswith("pad"):
            rewards[number_of[row["input"].replace(" ", "")]][int(session)] = row["score"]
    return {
        number: np.array([by_session[session] for session in range(len(by_session))])
        for number, by_session in rewards.items()
    }


def paper_baseline(rewards, prior):
    """Method section 1 with h = 1/2, in plain numbers; prior None: the mean."""
    mean, noise = np.mean(rewards), 0.25 / len(rewards)
    if prior is None:
        return mean
    excess = max(0.0, (mean - prior) ** 2 - noise)
    weight = excess / (excess + noise)
    return weight * mean + (1 - weight) * prior


def rollouts_by_osla(rewards, prior):
    """Number of rollouts that the paper's look-ahead takes of these rewards (method section 3, same_bias)."""
    k, cost = 4, 0.25 / 12**2
    while k < 12:
        noise = 0.25 / k
        if prior is None:
            gain = 0.25 / (k * (k + 1))
        else:
            excess = max(0.0, (np.mean(rewards[:k]) - prior) ** 2 - noise)
            error = [excess * noise / (excess + noise) for noise in (0.25 / k, 0.25 / (k + 1))]
            gain = error[0] - error[1]
        if gain <= cost:
            return k
        k += 1
    return k


def check_step(logged, groups, prior_of, advantages_of):
    sizes = {number: len(rewards) for number, rewards in groups.items()}
    assert sizes == {number: rollouts_by_osla(rewards, prior_of[number]) for number, rewards in groups.items()}
    expected = np.concatenate([advantages_of(rewards, prior_of[number]) for number, rewards in groups.items()])
    assert logged["critic/advantages/max"] == pytest.approx(expected.max(), abs=1e-6)
    assert logged["critic/advantages/min"] == pytest.approx(expected.min(), abs=1e-6)
    assert np.isfinite(logged["actor/grad_norm"]) and np.isfinite(logged["actor/pg_loss"])
    return set(sizes.values())


def test_column_as_prior_in_the_stock_trainer(task, tmp_path):
    """Configuration alone: entry point, prior from extra_info, OSLA, the paper's rule with the group's own mean."""
    folder, module = task
    logged, dumps = train(
        folder,
        tmp_path,
        "+algorithm.v05.rule=v05",
        "+algorithm.v05.leave_one_out=False",
        "+algorithm.v05.prior_field=prior",
        "trainer.total_training_steps=2",
        "trainer.save_freq=-1",
    )
    prior_of = {
        number: None if np.isnan(module.prior(number)) else module.prior(number) for number in range(module.PROMPTS)
    }
    sizes = set()
    for step in (1, 2):
        sizes |= check_step(
            logged[step],
            groups_of(dumps[step], module),
            prior_of,
            lambda rewards, prior: rewards - paper_baseline(rewards, prior),
        )
    assert len(sizes) > 1
    assert not any(name.startswith("v05/") for name in logged[1])


def test_history_as_prior_and_resumed(task, tmp_path):
    """The history is in the trainer process, goes to the workers with the prompts and through a checkpoint."""
    folder, module = task
    # Without a start value a prompt never seen has no prior, which the formulas below say.
    options = ["trainer.v1.trainer_mode=v05_sync", "trainer.save_freq=3", "+algorithm.v05.start_strength=0"]
    modules = "verl_on_cpu,v05.verl.trainers"
    logged, dumps = train(folder, tmp_path, *options, "trainer.total_training_steps=3", modules=modules)
    assert (tmp_path / "checkpoints" / "global_step_3" / "v05.zip").exists()
    more, dumps_after = train(folder, tmp_path, *options, "trainer.total_training_steps=4", modules=modules)
    assert set(logged) == {1, 2, 3} and set(more) == {4}  # the second run writes a log of its own
    logged, dumps = logged | more, dumps | dumps_after

    def leave_one_out(rewards, prior):
        return np.array([reward - paper_baseline(np.delete(rewards, row), prior) for row, reward in enumerate(rewards)])

    visited = {number: None for number in range(module.PROMPTS)}
    for step in range(1, 5):
        groups = groups_of(dumps[step], module)
        check_step(logged[step], groups, visited, leave_one_out)
        assert {"v05/noise/rule", "v05/noise/none"} < set(logged[step])
        assert logged[step]["v05/without_prior"] == np.mean([visited[number] is None for number in groups])
        assert logged[step]["v05/rollouts"] == np.mean([len(rewards) for rewards in groups.values()])
        assert logged[step]["v05/rollouts_saved"] == pytest.approx(1 - logged[step]["v05/rollouts"] / 12)
        for number, rewards in groups.items():
            visited[number] = rewards.mean()
    assert logged[4]["v05/without_prior"] == 0
