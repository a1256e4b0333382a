"""The function that verl calls for `algorithm.adv_estimator=v05`."""

from collections.abc import Sequence
from typing import Any

from verl.trainer.ppo.core_algos import register_adv_est

from .._core.arrays import like
from .._core.types import Tensor
from ..errors import InvalidArgument
from .training import training_of

# With these options verl's own grpo numbers come out (rule="rloo" and singleton="raw": its rloo).
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="group", ddof=1, epsilon=1e-6, singleton="raw")


@register_adv_est("v05")
def compute_v05_advantage(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: Sequence[Any] | None = None,
    config: Any = None,
    reward_baselines: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """(advantages, returns) of a batch of n rollouts of T tokens, both (n, T) and the same, as verl's grpo gives them.

    token_level_rewards: (n, T); a rollout's reward is its sum, NaN: unscorable, the rollout does not count.
    response_mask: (n, T), 1 for the tokens of the response. A row without any does not count, nor does verl's padding.
    index: (n,) uid of each rollout's prompt.
    config: verl's `algorithm` with the options under `v05` (read_options).
    reward_baselines: (n,) priors in reward units, where the dataset has such a column (the legacy trainer).
    """
    if index is None:
        raise InvalidArgument('the advantage estimator "v05" needs the uid of every rollout, the batch has none')
    rewards = token_level_rewards.detach().sum(dim=-1)
    length = (response_mask > 0).sum(dim=-1)
    column = None if reward_baselines is None else reward_baselines.detach().double().cpu().numpy()
    found = training_of(config, column is not None).step(
        rewards, [str(uid) for uid in index], length.cpu().numpy(), column
    )
    advantages = like(rewards, found.advantages).unsqueeze(-1) * response_mask
    return advantages, advantages
