"""The trainers with an adapter here: their packages, what the adapter takes hold of, how it is turned on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trainer:
    """A trainer that v05 has an adapter for.

    packages: distributions of which one is installed where the trainer is. tested: the version that the adapter was
    tested or written against. module: of the adapter; importing it takes hold of what it needs at once. hooks: (module,
    attribute) that it takes hold of later. turn_on: lines to write. page: of the documents.
    """

    name: str
    packages: tuple
    tested: str
    module: str
    turn_on: tuple
    page: str
    hooks: tuple = ()


OPTIONS = 'rule="calibrated", reward_range=(0, 1)'
TRAINERS = {
    trainer.name: trainer
    for trainer in (
        Trainer(
            "trl",
            ("trl",),
            "1.10.0, 1.14.1 and 1.16.0",
            "v05.trl",
            (
                "from v05.trl import V05Config, V05GRPOTrainer",
                "trainer = V05GRPOTrainer(..., v05=V05Config(reward_range=(0, 1)))",
            ),
            "trl.md",
        ),
        Trainer(
            "unsloth",
            ("unsloth",),
            "2026.10.9, by its source",
            "v05.trl",
            ("import unsloth  # before the next line", "from v05.trl import V05Config, V05GRPOTrainer"),
            "others.md",
        ),
        Trainer(
            "axolotl",
            ("axolotl",),
            "0.21.0",
            "v05.axolotl",
            (
                "plugins: [v05.axolotl.V05Plugin]",
                "trainer_cls: v05.axolotl.V05AxolotlGRPOTrainer",
                "v05: {rule: calibrated, reward_range: [0, 1]}",
            ),
            "axolotl.md",
        ),
        Trainer(
            "verl",
            ("verl",),
            "0.9.1",
            "v05.verl",
            ("algorithm.adv_estimator=v05", "+algorithm.v05.reward_range=[0,1]"),
            "verl.md",
        ),
        Trainer(
            "slime",
            ("slime", "miles"),
            "git 624b824",
            "v05.slime",
            (
                "--custom-reward-post-process-path v05.slime.post_process_rewards",
                "--custom-config-path v05.yaml  # v05: {rule: calibrated, reward_range: [0, 1]}",
            ),
            "slime.md",
        ),
        Trainer(
            "rllm",
            ("rllm",),
            "git 9beb6e0",
            "v05.rllm",
            ("import v05.rllm", f"v05.rllm.install({OPTIONS})", "algorithm.adv_estimator=v05"),
            "rllm.md",
        ),
        Trainer(
            "skyrl",
            ("skyrl", "skyrl-train"),
            "0.4.0",
            "v05.skyrl",
            ("import v05.skyrl", f"v05.skyrl.install({OPTIONS})", "trainer.algorithm.advantage_estimator=v05"),
            "skyrl.md",
        ),
        Trainer(
            "openrlhf",
            ("openrlhf",),
            "0.11.2",
            "v05.openrlhf",
            ("import v05.openrlhf", f"v05.openrlhf.install({OPTIONS})  # then run openrlhf.cli.train_ppo_ray"),
            "openrlhf.md",
            (("openrlhf.trainer.ppo_trainer", "PPOTrainer"), ("openrlhf.trainer.ppo_trainer_async", "TrainingActor")),
        ),
        Trainer(
            "nemo_rl",
            ("nemo-rl",),
            "git 7ea279a",
            "v05.nemo_rl",
            (
                "import v05.nemo_rl",
                f"v05.nemo_rl.install(pad_token_id=..., {OPTIONS})  # then run examples/run_grpo.py",
            ),
            "nemo_rl.md",
            (("nemo_rl.algorithms.grpo", "_create_advantage_estimator"),),
        ),
        Trainer(
            "ms_swift",
            ("ms-swift",),
            "4.6.0",
            "v05.ms_swift",
            ("from v05.ms_swift import install", f"install({OPTIONS})  # in a file for --external_plugins"),
            "ms_swift.md",
        ),
        Trainer(
            "areal",
            ("areal",),
            "1.0.4",
            "v05.areal",
            ("import v05.areal", f"v05.areal.install({OPTIONS})  # before the engine is made"),
            "areal.md",
        ),
        Trainer(
            "tinker_cookbook",
            ("tinker-cookbook",),
            "0.6.1",
            "v05.tinker_cookbook",
            ("import v05.tinker_cookbook", f"v05.tinker_cookbook.install({OPTIONS})  # before the recipe's main"),
            "tinker_cookbook.md",
        ),
        Trainer(
            "torchtitan",
            ("torchtitan",),
            "0.3.0",
            "v05.torchtitan",
            (
                "from v05.torchtitan import AdvantageEstimator",
                'advantage=AdvantageEstimator.Config(options={"rule": "calibrated", "reward_range": (0, 1)})  # of '
                "Rollouter.Config",
            ),
            "torchtitan.md",
        ),
        Trainer(
            "prime_rl",
            ("prime-rl",),
            "git 559b447 (0.8.0), by its contract",
            "v05.prime_rl",
            ("import v05.prime_rl", f"v05.prime_rl.install({OPTIONS})  # in a start script of the orchestrator"),
            "prime_rl.md",
        ),
    )
}
