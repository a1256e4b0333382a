"""TRL's asynchronous GRPO, which scores one group at a time in a process of its own, with another baseline.

import v05.trl.async_grpo
v05.trl.async_grpo.install(rule="calibrated", reward_range=(0, 1), state_path="run-7/v05.zip")
trainer = AsyncGRPOTrainer(...)                                          # TRL's own, as ever
"""

import functools
from typing import Any

import numpy as np
from trl.experimental.async_grpo.async_rollout_worker import AsyncRolloutWorker, _AsyncRolloutLoop

from ..training.streaming_estimator import StreamingEstimator

# Options with which TRL's own numbers come out.
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="group", ddof=0, epsilon=1e-8)


class V05RolloutLoop(_AsyncRolloutLoop):
    """TRL's loop of generation and scoring, whose advantages are those of v05. v05: options of StreamingEstimator.

    A prompt is known by `id_field` among the dataset's columns, else by its messages. The rows of one conversation
    share its advantage; a conversation without a row is not trained, and counts nowhere.
    """

    def __init__(self, *, v05: dict[str, Any] | None = None, **others: Any) -> None:
        super().__init__(**others)
        self.v05_estimator = StreamingEstimator(**v05 or {})
        self.v05_estimator.refuse("TRL's AsyncGRPOTrainer", tokens=True)

    async def _score_group(self, group):
        samples = await super()._score_group(group)
        first = np.cumsum([0] + [len(rows) for rows in group.completions_sequences])
        trained = [number for number, rows in enumerate(group.completions_sequences) if rows]
        if not trained:
            return samples
        record = {name: values[0] for name, values in group.reward_kwargs.items() if len(values)}
        (key,) = self.v05_estimator.keys([record], [group.prompts[0]])
        prior = self.v05_estimator.column([record])
        found = self.v05_estimator.group(
            [samples[first[number]].metrics["reward"] for number in trained],
            key,
            prompt=group.prompts[0],
            prior=prior and prior[0],
        )
        for number, advantage in zip(trained, found):
            for sample in samples[first[number] : first[number + 1]]:
                sample.advantage = float(advantage)
        return samples


def install(**options: Any) -> None:
    """Makes every AsyncRolloutWorker of this process start V05RolloutLoop with these options of
    v05.training.StreamingEstimator, which must be picklable: the loop runs in a process of its own.

    A worker class with a loop of its own, as TRL's HarnessRolloutWorker, keeps that, and TRL's advantages.
    """
    # A wrong option is told here, not in another process.
    StreamingEstimator.check(**options).refuse("TRL's AsyncGRPOTrainer", tokens=True)
    worker: Any = AsyncRolloutWorker  # it calls what it holds as its class
    worker._loop_cls = staticmethod(functools.partial(V05RolloutLoop, v05=options))
