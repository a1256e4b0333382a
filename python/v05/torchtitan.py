"""torchtitan's RL experiment: an advantage estimator for `Rollouter.Config.advantage`. See python/docs/torchtitan.md.

advantage=v05.torchtitan.AdvantageEstimator.Config(options={"rule": "calibrated", "reward_range": (0, 1)})
"""

from dataclasses import dataclass, field
from typing import Any

from torchtitan.config import Configurable

from ._core.prompt_key import token_key
from .training.streaming_estimator import StreamingEstimator

# Options with which torchtitan's own numbers come out: the mean of the group, and with scale="group" its deviation.
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="none", ddof=0, epsilon=1e-6)


class AdvantageEstimator(Configurable):
    """Advantages of one group per call, in the order in which groups are scored.

    A prompt is known by the tokens of its first turn, so the same prompt under another template is another one. Groups
    of validation, which torchtitan numbers from -1 down, teach nothing.
    """

    @dataclass(kw_only=True, slots=True)
    class Config(Configurable.Config):
        options: dict = field(default_factory=dict)
        """Of v05.training.StreamingEstimator."""

    def __init__(self, config: "AdvantageEstimator.Config") -> None:
        self.v05_estimator = StreamingEstimator(**config.options)
        self.v05_estimator.refuse("torchtitan", columns=True, texts=True, tokens=True)

    def __call__(self, group: Any) -> list[float]:
        """Advantages of a RolloutGroup, one per rollout in its order."""
        rollouts = group.rollouts
        key = next(
            (token_key(rollout.turns[0].prompt_token_ids) for rollout in rollouts if rollout.turns), group.group_id
        )
        validates = isinstance(group.group_id, int) and group.group_id < 0
        rewards = [rollout.reward for rollout in rollouts]
        return self.v05_estimator.group(rewards, key, learn=not validates).tolist()
