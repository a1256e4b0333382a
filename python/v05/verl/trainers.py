"""verl's V1 trainers with the figures of v05 in their log, and the state of v05 in their checkpoints:

    VERL_USE_EXTERNAL_MODULES=v05.verl.trainers  trainer.v1.trainer_mode=v05_sync

and likewise v05_colocate_async, v05_separate_async. A module of its own, as it brings the whole trainer along.
"""

from verl.trainer.ppo.v1 import get_trainer_cls, register_trainer

from .training import training_of


def _register(mode):
    @register_trainer(f"v05_{mode}")
    class V05Trainer(get_trainer_cls(mode)):
        def __init__(self, config):
            # verl's own code asks for the name of its mode.
            config.trainer.v1.trainer_mode = mode
            if not config.trainer.get("checkpoint_callback_class"):
                config.trainer.checkpoint_callback_class = "v05.verl.V05Checkpoint"
            super().__init__(config)

        def _compute_advantage(self, batch, metrics):
            training = training_of(self.config.algorithm)
            training.batch_keys = batch.keys
            batch = super()._compute_advantage(batch, metrics)
            metrics.update(training.metrics)
            return batch


for _mode in ("sync", "colocate_async", "separate_async"):
    _register(_mode)
