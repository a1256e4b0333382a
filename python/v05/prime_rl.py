"""prime-rl: an algorithm whose advantages are those of v05, in the place of its "grpo". See python/docs/prime_rl.md.

import v05.prime_rl
v05.prime_rl.install(rule="calibrated", reward_range=(0, 1), state_path="run-7/v05.zip")
...                                         # in the process of the orchestrator, before its main
"""

from typing import Any

from prime_rl.orchestrator.algo import ALGORITHM_CLASSES
from prime_rl.orchestrator.algo.base import iter_trainable_traces
from prime_rl.orchestrator.algo.grpo import GRPOAlgorithm
from prime_rl.orchestrator.algo.routing import assign_advantages

from ._core.prompt_key import prompt_key
from .errors import InvalidArgument
from .training.streaming_estimator import StreamingEstimator

# Options with which prime-rl's own numbers come out.
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="none")

_estimator: StreamingEstimator | None = None


def install(**options: Any) -> StreamingEstimator:
    """Makes the algorithm "grpo" of this process V05Algorithm, with the options of v05.training.StreamingEstimator.
    Returns the estimator, which all environments share."""
    global _estimator
    estimator = StreamingEstimator(**options)
    estimator.refuse("prime-rl", tokens=True)
    _estimator = estimator
    ALGORITHM_CLASSES["grpo"] = V05Algorithm
    return _estimator


class V05Algorithm(GRPOAlgorithm):
    """prime-rl's GRPO with the advantages of v05; prime-rl makes one for each environment.

    A group is what prime-rl hands over, of any size: every trace that it trains on counts, others nowhere. The task is
    known by its environment and `id_field` among the fields of its data, or its key.
    """

    def __init__(self, config: Any, clients: Any) -> None:
        super().__init__(config, clients)
        for name in ("length_penalty", "length_weighted_baseline"):
            if getattr(config, name, None):
                raise InvalidArgument(
                    f"algo.{name} must be unset with v05: it makes every reward, or the baseline, depend on the whole "
                    f"group, got {getattr(config, name)!r}"
                )
        self.v05_estimator = _estimator or install()

    async def score_group(self, episodes: list[Any]) -> None:
        await super().score_group(episodes)  # with whatever else it writes to the traces
        traces = [trace for _, trace in iter_trainable_traces(episodes)]
        if not traces:
            return
        data = episodes[0].task.data
        record = dict(data)
        if self.v05_estimator.id_field is None:
            key = _key(episodes[0])
        else:  # of a row of its environment's data
            key = prompt_key([_environment(episodes[0]), *self.v05_estimator.keys([record], [None])])
        prior = self.v05_estimator.column([record])
        found = self.v05_estimator.group(
            [trace.reward for trace in traces], key, prompt=data.prompt_text, prior=prior[0] if prior else None
        )
        for trace, advantage in zip(traces, found.tolist()):
            assign_advantages(trace, advantage)


def _key(episode):
    """What tells a task apart: verifiers' key or hash of its data, else its number or prompt, in its environment."""
    task = episode.task
    known = (task.key, task.hash, task.data.idx, task.data.prompt_text)
    return prompt_key([_environment(episode), next(each for each in known if each is not None)])


def _environment(episode):
    return episode.env.name or episode.env.id
