"""verl's V1 trainers with the figures of v05 in their log, and the state of v05 in their checkpoints; with one rollout
per prompt score weights are their default:

    VERL_USE_EXTERNAL_MODULES=v05.verl.trainers  trainer.v1.trainer_mode=v05_sync

and likewise v05_colocate_async, v05_separate_async. A module of its own, as it brings the whole trainer along.
"""

import transfer_queue as tq
from omegaconf import OmegaConf
from verl.trainer.ppo.v1 import get_trainer_cls, register_trainer

from ..training.score_weights import score_weights
from .training import read_options, recipe_weights, training_of


def _tell_score(training, batch, asked):
    """Tells a Training the score weights of a batch. asked: by the user; else no failure ends a run. Where for figures
    alone there are none once, they are not fetched again."""
    if training.weights == "length" or training.score_unknown:
        return
    training.score = None
    try:
        training.score = _score(batch, training.per_token)
    except Exception:  # whatever TransferQueue raises
        if asked:
            raise
    training.score_unknown = training.weights == "none" and training.score is None


def _score(batch, per_token):
    """(n,) score weights of the rows of a batch, from the log-probabilities that the trainer keeps."""
    names = ["old_log_probs", "rollout_log_probs", "response_mask"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=names).to_padded_tensor()
    name = next((name for name in names[:2] if name in data.keys()), None)
    if name is None:
        return None
    return score_weights("score", data["response_mask"], data[name], per_token=per_token).double().numpy()


def _register(mode):
    @register_trainer(f"v05_{mode}")
    class V05Trainer(get_trainer_cls(mode)):
        def __init__(self, config):
            # verl's own code asks for the name of its mode.
            config.trainer.v1.trainer_mode = mode
            self._score_asked = read_options(config.algorithm).get("weights") == "score"
            OmegaConf.update(config, "algorithm.v05.weights", recipe_weights(config), force_add=True)
            if not config.trainer.get("checkpoint_callback_class"):
                config.trainer.checkpoint_callback_class = "v05.verl.V05Checkpoint"
            super().__init__(config)

        def _compute_advantage(self, batch, metrics):
            training = training_of(self.config.algorithm)
            training.batch_keys = batch.keys
            _tell_score(training, batch, self._score_asked)
            batch = super()._compute_advantage(batch, metrics)
            metrics.update(training.metrics)
            return batch


for _mode in ("sync", "colocate_async", "separate_async"):
    _register(_mode)
