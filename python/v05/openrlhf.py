"""OpenRLHF: an experience maker whose advantages are those of v05.

`install` before OpenRLHF's own command puts it into its trainers, synchronous and asynchronous. See
python/docs/openrlhf.md.
"""

import itertools
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker, apply_length_penalties

from ._core.arrays import like
from ._core.prompt_key import prompt_key
from .errors import InvalidArgument
from .training.stored_estimator import StoredEstimator

# Options with which OpenRLHF's own numbers come out (--algo.advantage.estimator group_norm).
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="group", ddof=1, epsilon=1e-9)

# Those that put one reward on all tokens; gae needs a critic's values, reinforce has no groups.
_ESTIMATORS = ("group_norm", "dr_grpo", "rloo", "reinforce_baseline", "flash_reinforce")


class V05ExperienceMaker(RemoteExperienceMaker):
    """RemoteExperienceMaker with the rewards of a batch shaped by v05 instead of by their groups.

    Everything else is OpenRLHF's: length penalties before, clipping, KL penalty and returns after. There is no
    whitening. A prompt is known by its text, label and images; its rollouts in a batch are a group, however many: one
    is enough with the estimator flash_reinforce, which alone OpenRLHF allows one. A rollout without any token that an
    action made counts nowhere.
    """

    def __init__(self, *arguments: Any, v05: dict[str, Any] | None = None, **others: Any) -> None:
        super().__init__(*arguments, **others)
        if self.advantage_estimator not in _ESTIMATORS:
            raise InvalidArgument(
                f"algo.advantage.estimator must be one of {', '.join(_ESTIMATORS)} for v05, "
                f"got {self.advantage_estimator}"
            )
        self.v05_estimator = StoredEstimator(**v05 or {})
        self.v05_estimator.refuse("OpenRLHF", columns=True)

    @torch.no_grad()
    def compute_advantages_and_returns(self, experiences: list[Any]) -> list[Any]:
        arguments = self.strategy.args
        for experience in experiences:
            experience.rewards = experience.rewards.to(torch.promote_types(experience.rewards.dtype, torch.float32))
        apply_length_penalties(experiences, arguments)
        penalised = [experience.rewards for experience in experiences]
        rewards = torch.cat(penalised)
        keys = [key for experience in experiences for key in _keys(experience)]
        prompts = list(itertools.chain.from_iterable(experience.prompts for experience in experiences))
        acted = torch.cat([experience.action_mask.any(-1) for experience in experiences])
        found = self.v05_estimator.step(
            rewards,
            keys,
            keys,
            prompts=prompts,
            mask=acted,
            **self.v05_estimator.step_weights(len(rewards), self._weights, experiences),
        )
        sizes = [len(part) for part in penalised]
        advantages = like(rewards, found.advantages).split(sizes)
        spreads = like(rewards, _spread(rewards, acted, found)).split(sizes)
        for experience, shaped, spread in zip(experiences, advantages, spreads):
            experience.rewards = shaped
            experience.info["group_reward_std"] = spread
            for name, value in found.metrics.items():
                experience.info[name] = torch.full_like(shaped, value)
        with _already_shaped(arguments):
            experiences = super().compute_advantages_and_returns(experiences)
        for experience, rewards in zip(experiences, penalised):
            experience.rewards = rewards
            if "reward" in experience.info:
                experience.info["reward"] = rewards.clone()
        return experiences

    def _weights(self, experiences):
        """Of each rollout, by what the loss takes of it."""
        actor = getattr(self.strategy.args, "actor", None)
        per_token = (
            getattr(actor, "loss_agg_mode", "token-mean") != "token-mean"
            or getattr(actor, "policy_loss_type", "ppo") == "gspo"
        )
        parts = [(experience.action_mask, getattr(experience, "action_log_probs", None)) for experience in experiences]
        known = all(found is not None for _, found in parts)
        weights_of = self.v05_estimator.score_weights
        return np.concatenate(
            [weights_of(mask, found if known else None, per_token=per_token) for mask, found in parts]
        )


def _keys(experience):
    images = experience.images or [None] * len(experience.prompts)
    labels = experience.labels or [None] * len(experience.prompts)
    return [prompt_key([prompt, label, image]) for prompt, label, image in zip(experience.prompts, labels, images)]


def _spread(rewards, acted, found):
    """Standard deviation of the rewards of each row's group, which OpenRLHF logs."""
    index, count = found.estimate.row_group, found.estimate.count
    deviation = np.nan_to_num(rewards.double().cpu().numpy() - found.estimate.mean[index])
    deviation[~acted.cpu().numpy()] = 0.0
    squares = np.bincount(index, deviation**2, minlength=len(count))
    return np.sqrt(squares / np.maximum(count - 1, 1))[index]


@contextmanager
def _already_shaped(arguments):
    """Settings under which RemoteExperienceMaker takes rewards as they are: groups of one, no baseline, no whitening,
    no penalties, which are done. The maker's own name of the estimator stays, and its returns with it."""
    changes = [
        (arguments.rollout, "n_samples_per_prompt", 1),
        (arguments.algo.advantage, "estimator", "v05"),
        (arguments.reward, "overlong_buffer_len", None),
        (arguments.reward, "stop_properly_penalty_coef", None),
    ]
    before = [(space, name, getattr(space, name)) for space, name, _ in changes if hasattr(space, name)]
    for space, name, value in changes:
        setattr(space, name, value)
    try:
        yield
    finally:
        for space, name, value in before:
            setattr(space, name, value)


def install(**options: Any) -> None:
    """Makes the trainers that OpenRLHF starts from this process use V05ExperienceMaker, with the options of
    v05.training.StoredEstimator."""
    # A wrong option is told here, not in another process.
    StoredEstimator.check(**options).refuse("OpenRLHF", columns=True)
    from openrlhf.trainer import ppo_trainer, ppo_trainer_async

    ppo_trainer.PPOTrainer = _trainer(ppo_trainer.PPOTrainer, options)
    ppo_trainer_async.TrainingActor = _trainer(ppo_trainer_async.TrainingActor, options)


def _trainer(actor, options):
    """A Ray actor like `actor` whose experience maker is V05ExperienceMaker. A class made here is sent whole to the
    process of the actor, with the options."""
    import ray

    class V05Trainer(actor.__ray_metadata__.modified_class):
        def __init__(self, *arguments, **others):
            super().__init__(*arguments, **others)
            stock = self.experience_maker
            self.experience_maker = V05ExperienceMaker(
                stock.actor_model_group,
                stock.critic_model_group,
                stock.reward_model_group,
                stock.initial_model_group,
                stock.kl_ctl,
                stock.strategy,
                stock.tokenizer,
                v05=options,
            )

    return ray.remote(V05Trainer)
