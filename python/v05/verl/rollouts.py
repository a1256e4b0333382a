"""Rollouts where they are needed: a prompt of verl's V1 trainer goes on until one more rollout is not worth its
cost."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import ray
import torch
import transfer_queue
from tensordict import NonTensorData
from verl.trainer.ppo.v1 import AgentLoopManagerTQ, AgentLoopWorkerTQ
from verl.trainer.ppo.v1.agent_loop_tq import apply_greedy_sampling_params

from .._core.allocator import Allocator
from ..errors import Error, InvalidArgument
from .prompts import dataset_rows
from .training import training_of

_log = logging.getLogger("v05")
_PRIOR, _STRENGTH, _OPTIONS = "__v05_prior__", "__v05_strength__", "__v05_allocation__"


class AllocatingWorker(AgentLoopWorkerTQ.__ray_metadata__.modified_class):
    """verl's worker, which asks a v05.Allocator how many rollouts a prompt gets, in rounds."""

    async def _run_prompt(self, prompt, sampling_params, trajectory, trace=False):
        prior, strength, options = (prompt.pop(name, None) for name in (_PRIOR, _STRENGTH, _OPTIONS))
        if options is None or "__rollout_n__" in prompt:  # validation, or a number that the dataset gives
            return await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        uid = prompt["uid"]
        sampling_params = dict(sampling_params)
        if not prompt.pop("__do_sample__", True):
            apply_greedy_sampling_params(sampling_params)
        await transfer_queue.async_kv_put(key=uid, partition_id="train", tag={"status": "running"})

        async def roll_out(session):
            return await self._run_agent_loop(
                sampling_params, trajectory=trajectory, trace=trace, session_id=session, **prompt
            )

        try:
            await allocate_rollouts(Allocator([float(prior)], strength=[float(strength)], **options), roll_out, uid)
            status = "finished"
        except Exception:  # as in verl's own: the group is given up, the run goes on
            _log.exception("rollouts of the prompt with uid %s failed", uid)
            status = "failure"
        await transfer_queue.async_kv_put(key=uid, partition_id="train", tag={"status": status})

    async def _agent_loop_postprocess(self, output, validate, **kwargs):
        """Stores a rollout as verl does, and gives back its reward."""
        await super()._agent_loop_postprocess(output, validate, **kwargs)
        outputs = output if isinstance(output, list) else [output]
        return outputs[-1].reward_score if outputs else None


async def allocate_rollouts(allocator: Allocator, roll_out: Callable[[int], Awaitable[float | None]], uid: str) -> int:
    """Runs the rollouts of one prompt round by round; returns how many.

    allocator: v05.Allocator of one prompt.
    roll_out: coroutine function of a session number, 0, 1, ..., that returns the reward, or None for a rollout that
        gave nothing to learn from.

    Raises RuntimeError for a rollout that failed, once the others of its round are back. A reward that is missing or
    cannot be used ends the prompt's rollouts: the trainer's estimator tells what is wrong with it.
    """
    sessions = 0
    while not allocator.done:
        count = int(allocator.request()[0])
        round_ = (roll_out(session) for session in range(sessions, sessions + count))
        results: list[Any] = await asyncio.gather(*round_, return_exceptions=True)
        sessions += count
        for result in results:
            if isinstance(result, BaseException):
                # A cancelled rollout, too, must end in the status "failure": the trainer waits for one.
                raise RuntimeError(f"a rollout of the prompt with uid {uid} failed: {result!r}") from result
        for reward in results:
            try:
                if reward is None or math.isnan(reward):
                    raise InvalidArgument(f"got {reward!r}")
                allocator.observe(0, float(reward))
            except Error as error:
                allocator.cancel(0)
                allocator.stop()
                _log.warning("a reward of the prompt with uid %s does not count, it goes no further: %s", uid, error)
    return sessions


class V05AgentLoopManager(AgentLoopManagerTQ):
    """Sequential allocation in verl's V1 trainer, with the options under algorithm.v05.allocation:

        +actor_rollout_ref.rollout.agent.agent_loop_manager_class=v05.verl.V05AgentLoopManager
        +algorithm.v05.allocation.rule=osla  +algorithm.v05.allocation.initial=4  +algorithm.v05.allocation.maximum=16

    It stays in the trainer process, where the history is, and sends each prompt's prior along with it. Rewards must be
    known where rollouts are made: by a function, or a reward model with resources of its own.
    """

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.agent_loop_workers_class = ray.remote(AllocatingWorker)
        self._training = training_of(config.algorithm)
        if self._training.allocation is None:
            raise InvalidArgument("V05AgentLoopManager needs options under algorithm.v05.allocation, such as rule=osla")
        if self.reward_loop_worker_handles is None:
            raise InvalidArgument(
                "V05AgentLoopManager needs the reward of a rollout at once, a reward model that shares the GPUs of the "
                "trainer scores too late: set reward.reward_model.enable_resource_pool=True"
            )

    def generate_sequences(self, prompts: Any) -> None:
        if not ("validate" in prompts and prompts["validate"]):
            prior, strength = self._training.predict(dataset_rows(prompts, len(prompts)))
            prompts[_PRIOR], prompts[_STRENGTH] = torch.from_numpy(prior), torch.from_numpy(strength)
            prompts[_OPTIONS] = NonTensorData(self._training.allocation_options(), batch_size=prompts.batch_size)
        super().generate_sequences(prompts)
