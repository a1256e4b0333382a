"""AReaL: a PPO actor whose reward normalisation is that of v05.

`install` in every process that trains, before its engine is made. See python/docs/areal.md.
"""

from typing import Any

import numpy as np
import torch
import torch.distributed
from areal.trainer.ppo import actor as ppo_actor
from areal.utils import stats_tracker

from ._core.arrays import optional_numbers
from ._core.cached import cached
from ._core.prompt_key import prompt_key, token_key
from ._core.types import RewardRange
from .errors import InvalidArgument
from .training.stored_estimator import StoredEstimator

# Options with which AReaL's own numbers come out (reward_norm with mean_level and std_level "group").
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="group", ddof=1, epsilon=1e-5)


class RewardNormalization:
    """What an actor holds as reward_norm: rewards to advantages, row by row, from the rollouts of all processes.

    actor: a PPOActor; its reward_bias, reward_scaling and reward_clip apply before this.
    reward_range, and priors: in the units of the verifier, before bias and scaling.
    id_field, prior_field: tensors (n,) that the workflow adds to its results.
    options: of v05.training.StoredEstimator.
    """

    def __init__(self, actor: Any, *, reward_range: RewardRange | None = None, **options: Any) -> None:
        self.actor = actor
        self.batch: dict[str, Any] | None = None
        if reward_range is not None:
            reward_range = tuple(sorted(self._in_actors_units(np.array(reward_range, dtype=np.float64)).tolist()))
        self._options: dict[str, Any] = dict(reward_range=reward_range, **options)
        StoredEstimator.check(**self._options).refuse("AReaL", texts=True)

    @cached
    def v05_estimator(self) -> StoredEstimator:
        """Made, and its state read, when it is first needed: AReaL makes its reference model an actor, too, with other
        settings of rewards, and never asks that one for advantages."""
        return StoredEstimator(**self._options)

    def __call__(self, rewards: torch.Tensor, loss_mask: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        """(n,) float32 advantages of (n,) rewards. `batch` holds the rollouts they belong to: input_ids, attention_mask
        and loss_mask, (n, tokens). Rollouts with the same prompt, the tokens before the first that is trained and the
        images (multi_modal_input), are a group."""
        if self.batch is None:
            raise InvalidArgument("reward_norm of v05 needs a V05PPOActor around it, which tells it the prompts")
        keys, trained = self._keys()
        column = self._column()
        weighted = self.v05_estimator.step_weights(
            len(keys), self.v05_estimator.score_weights, self.batch["loss_mask"], self.batch.get("logprobs")
        )
        weights = next((found.tolist() for found in weighted.values()), [None] * len(keys))
        rows, own = self._of_all_processes(list(zip(rewards.tolist(), keys, trained, column, weights)))
        rewards_of_all, keys_of_all, trained_of_all, column_of_all, weights = (
            map(list, zip(*rows)) if rows else ([],) * 5
        )
        known = None not in weights  # in every process
        of_all: dict[str, Any] = {self.v05_estimator.weights_argument: weights} if known else {}
        found = self.v05_estimator.advantages(
            rewards_of_all,
            keys_of_all,
            keys_of_all,
            mask=np.array(trained_of_all, dtype=bool),
            column=column_of_all if self.v05_estimator.reads_column else None,
            **of_all,
        )
        stats_tracker.scalar(**self.v05_estimator.metrics)
        return torch.as_tensor(found[own], dtype=torch.float32, device=rewards.device)

    def _in_actors_units(self, values):
        scaled = (values + self.actor.reward_bias) * self.actor.reward_scaling
        return np.clip(scaled, -self.actor.reward_clip, self.actor.reward_clip)

    def _keys(self):
        """The key of each row's prompt, and whether the row has tokens to train on."""
        trained = self.batch["loss_mask"].bool().cpu().numpy()
        if self.v05_estimator.id_field is not None:
            if self.v05_estimator.id_field not in self.batch:
                raise InvalidArgument(
                    f"id_field {self.v05_estimator.id_field!r} must be in the batch, which holds {sorted(self.batch)}"
                )
            ids = self.batch[self.v05_estimator.id_field].tolist()
            return [prompt_key(number) for number in ids], trained.any(axis=1).tolist()
        tokens = self.batch["input_ids"].cpu().numpy()
        present = self.batch["attention_mask"].bool().cpu().numpy()
        first = np.where(trained.any(axis=1), trained.argmax(axis=1), tokens.shape[1])
        prompts = (tokens[row, : first[row]][present[row, : first[row]]] for row in range(len(tokens)))
        keys = [token_key(prompt) for prompt in prompts]
        pictures = self.batch.get("multi_modal_input")  # of which the tokens tell no more than the size
        if pictures:
            if len(pictures) != len(keys):
                raise InvalidArgument(
                    f"multi_modal_input must have one entry per row, got {len(pictures)} for {len(keys)} rows; give "
                    "id_field"
                )
            keys = [prompt_key([key, picture]) if picture else key for key, picture in zip(keys, pictures)]
        return keys, trained.any(axis=1).tolist()

    def _column(self):
        values = self.batch.get(self.v05_estimator.prior_field) if self.v05_estimator.reads_column else None
        if values is None:
            return [None] * len(self.batch["loss_mask"])
        return self._in_actors_units(optional_numbers(values, self.v05_estimator.prior_field, (0.0, 1.0))).tolist()

    def _of_all_processes(self, rows):
        """The rows of all data parallel processes, in the same order in each, and which of them are this one's."""
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized()):
            return rows, slice(None)
        self.v05_estimator.writes = distributed.get_rank() == 0
        group = self.actor.engine.data_parallel_group
        parts = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(parts, rows, group=group)
        start = sum(map(len, parts[: distributed.get_rank(group)]))
        return [row for part in parts for row in part], slice(start, start + len(rows))


class V05PPOActor(ppo_actor.PPOActor):
    """PPOActor with RewardNormalization; all else is AReaL's."""

    options: dict[str, Any] = {}

    def __init__(self, config: Any, engine: Any) -> None:
        super().__init__(config, engine)
        self.reward_norm = RewardNormalization(self, **self.options)

    def _compute_advantages(self, data):
        self.reward_norm.batch = data
        try:
            return super()._compute_advantages(data)
        finally:
            self.reward_norm.batch = None


def install(**options: Any) -> None:
    """Makes every actor that this process creates from now on a V05PPOActor with the options of RewardNormalization."""
    StoredEstimator.check(**options).refuse("AReaL", texts=True)
    V05PPOActor.options = options
    ppo_actor.PPOActor = V05PPOActor
