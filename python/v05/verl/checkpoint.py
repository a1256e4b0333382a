"""What v05 learnt, in verl's checkpoints."""

import logging
import os
from typing import Any

from verl.trainer.ppo.checkpoint_callback import CheckpointCallback
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

from ..errors import InvalidArgument
from ..training.estimator_state import STATE_FILE
from .training import training_of

_log = logging.getLogger("v05")


class V05Checkpoint(CheckpointCallback):
    """Saves history, calibration and reward range with each checkpoint of the V1 trainer (global_step_N/v05.zip), and
    loads them when it resumes:

        trainer.checkpoint_callback_class=v05.verl.V05Checkpoint

    Raises CheckpointError for a state that cannot be used, InvalidArgument for another advantage estimator. A
    checkpoint without a state, or one of another rule or prior, gives a warning.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        name = config.algorithm.adv_estimator
        if name != "v05":
            known = ", ".join(sorted(ADV_ESTIMATOR_REGISTRY))
            raise InvalidArgument(
                f"V05Checkpoint goes with algorithm.adv_estimator=v05, got {name!r}; registered are {known}"
            )
        self.v05_estimator = training_of(config.algorithm).v05_estimator
        folder = _resumed(config.trainer)
        if folder is None:
            return
        path = os.path.join(folder, STATE_FILE)
        if os.path.exists(path):
            self.v05_estimator.load(path)
        else:
            _log.warning("%s has no %s: history and calibration start anew", folder, STATE_FILE)

    def on_save(
        self, trainer: Any, global_step: int, checkpoint_dir: str, async_save: bool = False, **kwargs: Any
    ) -> None:
        self.v05_estimator.save_or_tell(os.path.join(checkpoint_dir, STATE_FILE))


def _resumed(trainer):
    """The folder that verl's trainer resumes from, found as it does; None for a new run."""
    from verl.utils.checkpoint.checkpoint_manager import find_latest_ckpt_path

    mode = trainer.get("resume_mode", "disable")
    if mode == "auto":
        return find_latest_ckpt_path(os.path.abspath(trainer.default_local_dir))
    if mode == "resume_path":
        return os.path.abspath(trainer.resume_from_path)
    return None
