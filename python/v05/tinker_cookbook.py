"""tinker-cookbook: advantages in place of its rewards centred by group. See python/docs/tinker_cookbook.md.

import v05.tinker_cookbook
v05.tinker_cookbook.install(rule="calibrated", reward_range=(0, 1), state_path="run-7/v05.zip")
...                                                         # then the recipe's own main
"""

import functools
import hashlib
from typing import Any

import torch
from tinker_cookbook.rl import data_processing, train

from ._core.prompt_key import content_key
from .errors import InvalidArgument
from .training.streaming_estimator import StreamingEstimator

# Options with which tinker-cookbook's own numbers come out.
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="none")

_displaying = False  # while a group is printed, whose advantages are computed once more


def install(**options: Any) -> StreamingEstimator:
    """Makes tinker-cookbook's training use an estimator with the options of v05.training.StreamingEstimator, which it
    returns. Recipes that took `compute_advantages` by name before keep the old one: call it first."""
    estimator = StreamingEstimator(**options)
    estimator.refuse("tinker-cookbook", columns=True, texts=True)

    def compute_advantages(trajectory_groups_P):
        """Advantages of each group, (G,) float32 tensors, group after group in their order."""
        known = [  # before any is learnt
            (group.get_total_rewards(), _key(group), _acted(group), _weighted(estimator, group))
            for group in trajectory_groups_P
        ]
        return [
            torch.tensor(
                estimator.group(rewards, key, mask=acted, learn=not _displaying, **weighted), dtype=torch.float32
            )
            for rewards, key, acted, weighted in known
        ]

    for module in (data_processing, train):
        module.compute_advantages = compute_advantages
    if not hasattr(train.print_group, "__wrapped__"):
        train.print_group = _display(train.print_group)
    return estimator


def _display(print_group):
    @functools.wraps(print_group)
    def printed(*arguments, **options):
        global _displaying
        _displaying = True
        try:
            return print_group(*arguments, **options)
        finally:
            _displaying = False

    return printed


def _weighted(estimator, group):
    return estimator.step_weights(len(group.trajectories_G), _weights, estimator, group)


def _weights(estimator, group):
    """Of each trajectory, by the tokens that its actions drew; the loss adds up those of all actions that could be
    parsed."""
    tokens, log_probs = [], []
    for trajectory in group.trajectories_G:
        masks = [[int(not _masked(transition))] * len(transition.ac.tokens) for transition in trajectory.transitions]
        tokens.append([each for mask in masks for each in mask])
        if estimator.weights != "score":  # lists of numbers, too long to read for figures alone
            continue
        drawn = [transition.ac.maybe_logprobs for transition in trajectory.transitions]
        log_probs.append(None if any(each is None for each in drawn) else [number for each in drawn for number in each])
    return estimator.score_weights(tokens, log_probs)


def _masked(transition):
    return (getattr(transition, "metrics", None) or {}).get("parse_error_masked", 0.0) >= 1.0


def _acted(group):
    """Which trajectories have a token to train on; None where all have."""
    acted = [any(transition.ac.tokens for transition in each.transitions) for each in group.trajectories_G]
    return None if all(acted) else acted


def _key(group):
    """What tells the prompt of a group apart: the first observation of its first trajectory. One that was stopped
    before its first turn has an empty one."""
    observed = [trajectory.transitions[0].ob for trajectory in group.trajectories_G if trajectory.transitions]
    observed.sort(key=lambda observation: not observation.chunks)
    if not observed:
        raise InvalidArgument(
            f"a group must have a trajectory with a transition, which tells its prompt, got "
            f"{len(group.trajectories_G)} trajectories without any"
        )
    (first, *_) = observed
    digest = hashlib.blake2b(digest_size=16)
    for chunk in first.chunks:
        digest.update(repr(list(chunk.tokens) if hasattr(chunk, "tokens") else content_key(chunk)).encode())
    return digest.hexdigest()
