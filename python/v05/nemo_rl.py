"""NeMo-RL: an advantage estimator in place of the one that its configuration names.

`install` before NeMo-RL's own script. See python/docs/nemo_rl.md.
"""

import importlib
import sys
from typing import Any

from ._core.arrays import like
from ._core.prompt_key import token_key
from ._core.types import Tensor
from .errors import InvalidArgument
from .training.stored_estimator import StoredEstimator

# Options with which NeMo-RL's own numbers come out (normalize_rewards and use_leave_one_out_baseline as by default).
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=True, scale="group", ddof=1, epsilon=1e-6)


class V05AdvantageEstimator:
    """What NeMo-RL calls with each batch.

    pad_token_id: of the tokenizer. Prompts come as tokens, padded to the longest of the batch; without the padding they
        are the same in every batch, and that is how they are known. None: the lengths that come with the batch count.
    options: of v05.training.StoredEstimator. id_field and prior_field are looked up in the extra_env_info of
        the batch, where NeMo-RL hands it over.
    """

    def __init__(self, *, pad_token_id: int | None = None, **options: Any) -> None:
        self.pad_token_id = pad_token_id
        self.v05_estimator = StoredEstimator(**options)
        self.v05_estimator.refuse("NeMo-RL", texts=True, probabilities=True)

    def compute_advantage(
        self,
        prompt_ids: Tensor,
        rewards: Tensor,
        mask: Tensor,
        *,
        valid_mask: Tensor | None = None,
        repeated_batch: Any = None,
        **_: Any,
    ) -> Tensor:
        """(n, tokens) advantages, the same for all tokens of a response.

        prompt_ids: (n, prompt tokens) integers; equal prompts, or those of one id, are one group, of any size.
        rewards: (n,). mask: (n, tokens), of the loss: a row without a token in it does not count.
        valid_mask: (n,), 0 for other rows that do not count; None: none.
        repeated_batch: the batch, of which "length" and "extra_env_info" are read where they are there.
        """
        batch = {} if repeated_batch is None else repeated_batch
        prompts = self._prompts(prompt_ids, batch.get("length"))
        records = batch.get("extra_env_info")
        if records is None:
            self.v05_estimator.refuse("this trainer of NeMo-RL", columns=True)
            records = [{}] * len(prompts)
        records = [record or {} for record in records]
        keys = self.v05_estimator.keys(records, prompts)
        found = self.v05_estimator.advantages(
            rewards,
            keys,
            keys,
            column=self.v05_estimator.column(records),
            mask=_counted(mask, valid_mask),
            **self.v05_estimator.step_weights(len(rewards), self.v05_estimator.score_weights, mask),
        )
        return like(rewards, found).unsqueeze(-1).expand(mask.shape)

    def _prompts(self, prompt_ids, lengths):
        """The key of the tokens of every prompt, without padding."""
        if prompt_ids.ndim != 2:
            raise InvalidArgument(
                f"prompt_ids must be (rollouts, tokens), got shape {tuple(prompt_ids.shape)}: a trainer of NeMo-RL "
                "that hands over numbers of groups in place of prompts does not say which prompt they are of; train "
                "with its grpo_train or async_grpo_train"
            )
        rows = prompt_ids.cpu().numpy()
        if self.pad_token_id is not None:
            prompt = rows != self.pad_token_id
            first, last = prompt.argmax(axis=1), rows.shape[1] - prompt[:, ::-1].argmax(axis=1)
            return [token_key(row[start:end]) for row, start, end in zip(rows, first, last)]
        if lengths is None:
            raise InvalidArgument(
                "pad_token_id must be given: prompts come padded to the longest of the batch and "
                "without lengths, so they would not be the same in other batches"
            )
        return [token_key(row[:length]) for row, length in zip(rows, map(int, lengths))]


def _counted(mask, valid_mask):
    counted = (mask != 0).any(dim=-1)
    return (counted if valid_mask is None else counted & (valid_mask != 0).to(counted.device)).cpu().numpy()


def install(*, pad_token_id: int | None = None, **options: Any) -> V05AdvantageEstimator:
    """Makes NeMo-RL's GRPO trainers of this process use one V05AdvantageEstimator, that of the last call, which is
    returned."""
    estimator = V05AdvantageEstimator(pad_token_id=pad_token_id, **options)
    grpo = importlib.import_module("nemo_rl.algorithms.grpo")
    stock = grpo._create_advantage_estimator

    def create_advantage_estimator(master_config):
        return estimator

    # Its other trainers import the function by name.
    modules: list[Any] = list(sys.modules.values())
    for module in modules:
        name = getattr(module, "__name__", "")
        if name.startswith("nemo_rl.") and getattr(module, "_create_advantage_estimator", None) is stock:
            module._create_advantage_estimator = create_advantage_estimator
    return estimator
