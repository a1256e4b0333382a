"""ms-swift: its GRPO trainer with the advantages of v05.

`install` in a file given as --external_plugins. See python/docs/ms_swift.md.
"""

import copy
import hashlib
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from swift.rlhf_trainers import GRPOTrainer
from swift.trainers import TrainerFactory

from ._core.prompt_key import prompt_key
from .errors import InvalidArgument
from .training.stored_estimator import StoredEstimator

# Options with which ms-swift's own numbers come out (advantage_estimator grpo, scale_rewards group).
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="group", ddof=1, epsilon=1e-4)

_MEDIA = ("images", "videos", "audios")


class V05GRPOTrainer(GRPOTrainer):
    """GRPOTrainer whose training advantages are those of v05; evaluation stays ms-swift's and teaches nothing.

    The rollouts of a prompt are a group, of any size. A prompt is known by its messages with their images, videos and
    audio, or by the dataset's column `id_field`; the column `prior_field` holds its prior, for the priors that read a
    column. The parts of a rollout of several turns count once. The state is in the trainer's checkpoints.
    """

    options: dict[str, Any] = {}

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        if self.kl_in_reward and self.beta != 0.0:
            raise InvalidArgument("kl_in_reward must be false for v05: the penalty takes rewards out of their range")
        self.v05_estimator = StoredEstimator(**self.options | {"log": _in_the_trainers_log})
        self.v05_estimator.refuse("ms-swift", tokens=True)

    def _add_prompt_id_to_inputs(self, samples):
        """The prompt id that groups go by is made of the prompt, so that it is the same in every batch."""
        samples = super()._add_prompt_id_to_inputs(samples)
        for sample in samples:
            # Images and the like tell prompts apart, too; where the dataset has ids of its own they need not.
            media = () if self.v05_estimator.id_field else [getattr(sample, name, None) or [] for name in _MEDIA]
            known = [sample.messages, *media] if any(media) else sample.messages
            text = str(prompt_key(known)).encode("utf-8", "surrogatepass")
            sample.prompt_id = "prompt_" + hashlib.blake2b(text, digest_size=16).hexdigest()
            if self.v05_estimator.reads_texts:
                # Of the reference answer a prior must know nothing, nor of what the model will have said.
                known = sample.messages[:-1] if _is_answer(sample.messages[-1]) else sample.messages
                sample.v05_prompt = copy.deepcopy(known)
        return samples

    def _compute_advantages(self, samples, rewards_per_func, batch_encoded_inputs):
        stock = super()._compute_advantages(samples, rewards_per_func, batch_encoded_inputs)  # and its logs of rewards
        if not self.model.training or rewards_per_func.shape[1] == 0:
            return stock
        weighted = rewards_per_func * self.reward_weights.unsqueeze(0)
        unscored = rewards_per_func.isnan().all(dim=1)
        rewards = torch.where(unscored, float("nan"), weighted.nansum(dim=1))

        records = [sample.extra for sample in samples]
        own = list(
            zip(
                self.v05_estimator.keys(records, [sample.prompt_id for sample in samples]),
                self.v05_estimator.column(records) or [None] * len(samples),
                [sample.request_id for sample in samples],
                [getattr(sample, "v05_prompt", None) for sample in samples],
            )
        )
        rows = gather_object(own)
        if len(rows) != len(rewards):
            raise InvalidArgument(
                f"samples and rewards must be of one length over all processes, got {len(rows)} and {len(rewards)}"
            )
        keys, column, requests, prompts = map(list, zip(*rows))
        found = self.v05_estimator.advantages(
            rewards,
            keys,
            keys,
            rollouts=requests,
            column=column if self.v05_estimator.reads_column else None,
            prompts=prompts if self.v05_estimator.reads_texts else None,
        )
        for name, value in self.v05_estimator.metrics.items():
            self._metrics["train"][name].append(value)
        return stock.new_tensor(found)

    def _save_checkpoint(self, *arguments, **others):
        result = super()._save_checkpoint(*arguments, **others)
        if self.args.should_save:
            self.v05_estimator.save_in(Path(self.args.output_dir, f"checkpoint-{self.state.global_step}"))
        return result

    def _load_optimizer_and_scheduler(self, checkpoint, *arguments, **others):
        super()._load_optimizer_and_scheduler(checkpoint, *arguments, **others)
        if checkpoint is not None and not self.args.resume_only_model:
            self.v05_estimator.resume_from(checkpoint)


def _is_answer(message):
    return isinstance(message, dict) and message.get("role") == "assistant"


def _in_the_trainers_log(metrics):
    """Where the trainer has put them already."""


def install(**options: Any) -> None:
    """Makes --rlhf_type grpo train with V05GRPOTrainer and these options of v05.training.StoredEstimator."""
    if "state_path" in options or "log" in options:
        raise InvalidArgument("state_path and log must not be given: ms-swift has checkpoints and a log of its own")
    StoredEstimator.check(**options).refuse("ms-swift", tokens=True)
    V05GRPOTrainer.options = options
    TrainerFactory.TRAINER_MAPPING["grpo"] = f"{__name__}.{V05GRPOTrainer.__name__}"
