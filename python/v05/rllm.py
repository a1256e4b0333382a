"""rLLM: an advantage estimator in its registry, under "v05" and under "other".

Importing this module registers it. rLLM reads `algorithm.adv_estimator` as an enumeration in which every name that it
does not know, "v05" too, is OTHER; so the entry "other" is what `adv_estimator: v05` finds, and "v05" is for the map of
estimators by role. See python/docs/rllm.md.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from rllm.trainer.algorithms.advantage import RLLM_ADV_ESTIMATOR_REGISTRY, register_rllm_adv_estimator

from ._core.arrays import optional_numbers
from ._core.files import file_path
from .errors import InvalidArgument
from .training.stored_estimator import StoredEstimator
from .training.streaming_estimator import StreamingEstimator

# Options with which rLLM's own numbers come out (adv_estimator: grpo).
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="group", ddof=0, epsilon=1e-6, singleton="raw")

_options: dict = {}
_estimators: dict = {}


def install(**options: Any) -> None:
    """Starts anew with the options of v05.training.StoredEstimator, for every role of trajectories."""
    StoredEstimator.check(**options).refuse("rLLM", tokens=True)
    _options.clear()
    _options.update(options)
    _estimators.clear()


def compute_advantages(
    rewards: list[Any], algorithm_config: Any = None, traj_groups: list[Any] | None = None, **_: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """rLLM's signature: g arrays of rewards, a group each, of any sizes, to (advantages, returns), both g arrays.

    A prompt is known by the task of the trajectories (the field `id_field` of it, else all of it); where they carry
    none, by the task id in the group's id. Roles are kept apart, as the same task has another value for each. rLLM's
    asynchronous training asks for one group at a time: where the first call of a role brings one group, groups are
    steps, and less is forgotten from one to the next (v05.training.StreamingEstimator).
    """
    if traj_groups is None or len(traj_groups) != len(rewards):
        raise InvalidArgument("traj_groups must hold the group of each of the rewards: they tell the prompts apart")
    roles = list(dict.fromkeys(group.group_role for group in traj_groups))
    if len(roles) > 1:
        return _by_role(roles, rewards, algorithm_config, traj_groups)
    role = roles[0] if roles else ""
    estimator = _estimators.get(role)
    if estimator is None:
        kind = StreamingEstimator if len(rewards) == 1 else StoredEstimator
        estimator = _estimators[role] = kind(**_options | _state_of(role))
    interval = estimator.reward_range or (0.0, 1.0)
    rows = [optional_numbers(group, f"rewards[{number}]", interval) for number, group in enumerate(rewards)]
    for number, group in enumerate(rows):
        if group.ndim != 1:
            raise InvalidArgument(f"rewards[{number}] must have one dimension (rollouts), got shape {group.shape}")
    sizes = [len(group) for group in rows]
    tasks = [_task(group) for group in traj_groups]
    records = [_record(task) for task in tasks]
    column = estimator.column(records)
    texts = [str(_content(task)) for task in tasks] if estimator.reads_texts else None
    if isinstance(estimator, StreamingEstimator) and len(rows) == 1:
        (key,) = estimator.keys(records, [_content(task) for task in tasks])
        found = [estimator.group(rows[0], key, prompt=texts and texts[0], prior=None if column is None else column[0])]
        return found, found
    advantages = estimator.advantages(
        np.concatenate(rows) if rows else np.zeros(0),
        np.repeat(np.arange(len(sizes)), sizes),
        _repeated(estimator.keys(records, [_content(task) for task in tasks]), sizes),
        prompts=None if texts is None else _repeated(texts, sizes),
        column=None if column is None else _repeated(column, sizes),
    )
    advantages = np.split(advantages, np.cumsum(sizes)[:-1]) if sizes else []
    return advantages, advantages


def _by_role(roles, rewards, algorithm_config, traj_groups):
    """The answer for groups of several roles in one call, each role by itself."""
    found = [None] * len(rewards)
    for role in roles:
        places = [place for place, group in enumerate(traj_groups) if group.group_role == role]
        own, groups = ([values[place] for place in places] for values in (rewards, traj_groups))
        for place, advantages in zip(places, compute_advantages(own, algorithm_config, groups)[0]):
            found[place] = advantages
    return found, found


def _state_of(role):
    """A file of its own for every role."""
    path = _options.get("state_path")
    if path is None or not role:
        return {}
    path = Path(file_path(path, "state_path"))
    return {"state_path": path.with_name(f"{path.stem}-{role.replace('/', '%2F')}{path.suffix}")}


def _task(group):
    task = group.trajectories[0].task if group.trajectories else None
    if task is None and not group.task_id:
        raise InvalidArgument(f"a trajectory must have a task, or its group an id, got group_id {group.group_id!r}")
    return group.task_id if task is None else task


def _record(task):
    """The task's fields: itself where it is a dict, else the metadata of a Task with its id."""
    if isinstance(task, dict):
        return task
    metadata = getattr(task, "metadata", None)
    return (metadata if isinstance(metadata, dict) else {}) | ({"id": task.id} if hasattr(task, "id") else {})


def _content(task):
    """What tells the task apart: id and instruction of a Task, or the dict or id itself."""
    if hasattr(task, "instruction"):
        return [task.id, task.instruction]
    return task


def _repeated(values, sizes):
    return [value for value, size in zip(values, sizes) for _ in range(size)]


configure = install  # its name in programs of before the first release

register_rllm_adv_estimator("v05")(compute_advantages)
if "other" in RLLM_ADV_ESTIMATOR_REGISTRY:
    logging.getLogger("v05").warning(
        'the entry "other" is taken: adv_estimator "v05" does not reach v05, name it in traj_group_adv_estimator_map'
    )
else:
    register_rllm_adv_estimator("other")(compute_advantages)
