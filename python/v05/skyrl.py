"""SkyRL: an advantage estimator in its registry, and a callback that logs and saves with it.

`trainer.algorithm.advantage_estimator=v05` after `install`. SkyRL hands over rewards and uids only; its uid is the row
of the dataset, the same in every epoch, so it tells prompts apart. See python/docs/skyrl.md.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from skyrl.backends.skyrl_train.utils.ppo_utils import AdvantageEstimatorRegistry
from skyrl.train.utils.callbacks import TrainingCallback

from ._core.arrays import like
from ._core.types import Tensor
from .errors import InvalidArgument
from .training.stored_estimator import StoredEstimator

# Options with which SkyRL's own numbers come out (advantage_estimator=grpo).
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="group", ddof=1, epsilon=1e-6, singleton="raw")

_PADDING = re.compile(r"pad\d+")  # the uids of rows that fill a batch up


def install(name: str = "v05", **options: Any) -> "SkyRLEstimator":
    """Registers an estimator with the options of v05.training.StoredEstimator, in place of an earlier one of
    that name. Call it before the configuration is validated. Returns it."""
    estimator = SkyRLEstimator(**options)
    if name in AdvantageEstimatorRegistry.list_available():
        AdvantageEstimatorRegistry.unregister(name)
    AdvantageEstimatorRegistry.register(name, estimator)
    return estimator


class SkyRLEstimator:
    """A StoredEstimator that is called as SkyRL calls its estimators.

    Copies that SkyRL sends to other processes start anew with the same options; one process, the trainer's, calls it.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.v05_estimator = StoredEstimator(**options)
        self.v05_estimator.refuse("SkyRL", columns=True, texts=True, probabilities=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_options, (self.options,)

    def __call__(
        self, token_level_rewards: Tensor, response_mask: Tensor, index: Sequence[Any], config: Any = None, **_: Any
    ) -> tuple[Tensor, Tensor]:
        """(advantages, returns), both (n, tokens): the same for all tokens of a response, whose rewards are summed.

        token_level_rewards, response_mask: (n, tokens) tensors. index: (n,) uids. A response without a token that is
        trained counts nowhere.
        """
        if getattr(config, "use_kl_in_reward", False):
            raise InvalidArgument("use_kl_in_reward must be false: the penalty takes rewards out of their range")
        rewards = token_level_rewards.sum(dim=-1)
        uids = [str(uid) for uid in index]
        counts = np.array([_PADDING.fullmatch(uid) is None for uid in uids], dtype=bool)
        counts &= (response_mask != 0).any(dim=-1).cpu().numpy()
        per_token = getattr(config, "loss_reduction", "token_mean") == "sequence_mean"
        weighted = self.v05_estimator.step_weights(
            len(uids), self.v05_estimator.score_weights, response_mask, per_token=per_token
        )
        found = self.v05_estimator.advantages(rewards, uids, uids, mask=counts, **weighted)
        advantages = like(rewards, found).unsqueeze(-1) * response_mask
        return advantages, advantages


class Callback(TrainingCallback):
    """Adds the metrics to SkyRL's log and keeps the state in its checkpoints: trainer.add_callback(Callback())."""

    def on_log(self, trainer: Any, callback_input: Any, control: Any) -> None:
        if callback_input.logs is not None:
            callback_input.logs.update(_of(trainer).metrics)

    def on_save(self, trainer: Any, callback_input: Any, control: Any) -> None:
        _of(trainer).save_in(callback_input.ckpt_path)

    def on_train_start(self, trainer: Any, callback_input: Any, control: Any) -> None:
        if not callback_input.global_step:
            return
        settings = trainer.cfg.trainer
        given = settings.resume_mode == "from_path"
        folder = settings.resume_path if given else f"{settings.ckpt_path}/global_step_{callback_input.global_step}"
        _of(trainer).resume_from(folder)


register = install  # its name in programs of before the first release


def _of(trainer):
    return AdvantageEstimatorRegistry.get(trainer.cfg.trainer.algorithm.advantage_estimator).v05_estimator


def _with_options(options):
    return SkyRLEstimator(**options)
