"""slime: advantages in place of its rewards normalised by group.

    --custom-reward-post-process-path v05.slime.post_process_rewards

Options come from `install`, else from the entry `v05` of the YAML file given as --custom-config-path, which slime
turns into args.v05. See python/docs/slime.md.
"""

from typing import Any

import numpy as np

from ._core.prompt_key import prompt_key
from .errors import InvalidArgument
from .training.score_weights import lengths
from .training.stored_estimator import StoredEstimator

# Options with which slime's own numbers come out (--advantage-estimator grpo).
STOCK: dict[str, Any] = dict(rule="grpo", leave_one_out=False, scale="group", ddof=1, epsilon=1e-6)

_estimator: StoredEstimator | None = None


def install(**options: Any) -> StoredEstimator:
    """Starts anew with the options of v05.training.StoredEstimator. Returns the estimator."""
    global _estimator
    _estimator = StoredEstimator(**options)
    return _estimator


def post_process_rewards(args: Any, samples: list[Any]) -> tuple[list[float], list[float]]:
    """slime's hook for rewards: (raw rewards, advantages), a list of floats each, from n Samples.

    Samples with one group_index are rollouts of one prompt, in any number; without it, those of the same prompt are.
    Samples with one rollout_id are parts of one rollout: they count once and share its advantage. The prompt is known
    by the field `id_field` of Sample.metadata, else by Sample.prompt and its images and the like. A reward of None or
    NaN counts nowhere, and so does a sample that slime does not train on, with remove_sample or without a token that
    its loss takes: its reward says nothing of the policy. Other aborted and truncated samples count as slime trains
    them, by their reward.
    """
    estimator = _estimator or install(**(getattr(args, "v05", None) or {}))
    rewards = [_reward(row, sample, getattr(args, "reward_key", None)) for row, sample in enumerate(samples)]
    # The parts of an agent's rollout can have prompts of their own; the first sample's is that of the group.
    groups = [prompt_key(_prompt(sample)) if sample.group_index is None else sample.group_index for sample in samples]
    first: dict[Any, Any] = {}
    for group, sample in zip(groups, samples):
        first.setdefault(group, sample)
    for row, (group, sample) in enumerate(zip(groups, samples)):
        whole = getattr(sample, "rollout_id", None) is None and getattr(first[group], "rollout_id", None) is None
        if whole and prompt_key(sample.prompt) != prompt_key(first[group].prompt):
            estimator.tell(
                "prompts",
                f"the samples of group_index {group!r} have different prompts, {first[group].prompt!r:.60} and "
                f"{sample.prompt!r:.60} (samples[{row}]): they count as rollouts of the first",
            )
    records = [sample.metadata or {} for sample in first.values()]
    prompts = [_prompt(sample) for sample in first.values()]
    key_of = dict(zip(first, estimator.keys(records, prompts)))
    prior_of = dict(zip(first, estimator.column(records) or ()))
    advantages = estimator.advantages(
        rewards,
        groups,
        [key_of[group] for group in groups],
        rollouts=[_rollout(row, sample) for row, sample in enumerate(samples)],
        mask=[not _removed(sample) for sample in samples],
        **estimator.step_weights(len(samples), _weights, estimator, args, samples),
        column=[prior_of[group] for group in groups] if prior_of else None,
        prompts=[str(first[group].prompt) for group in groups] if estimator.reads_texts else None,
    )
    # slime averages raw rewards in its log.
    return [0.0 if reward is None or reward != reward else reward for reward in rewards], advantages.tolist()


def _prompt(sample):
    """What tells the prompt of a sample apart: of images, videos and sound the text holds but a mark."""
    beside = getattr(sample, "multimodal_inputs", None)
    return [sample.prompt, beside] if beside else sample.prompt


def _reward(row, sample, name):
    """The reward of a sample; where rewards are dicts that of the key `name`, and None where it has no reward at
    all."""
    if sample.reward is None:
        return None
    if not name:  # slime takes "" for none, too
        if isinstance(sample.reward, dict):
            raise InvalidArgument(
                f"reward_key must name one of {sorted(map(str, sample.reward))}, as the reward of samples[{row}] is a "
                f"dict, got {name!r}"
            )
        return sample.reward
    try:
        return sample.reward[name]
    except (KeyError, TypeError, IndexError) as error:
        held = sorted(map(str, sample.reward)) if isinstance(sample.reward, dict) else repr(sample.reward)
        raise InvalidArgument(
            f"the reward of samples[{row}] must be a dict with reward_key {name!r}, got {held}; a sample that could "
            f"not be scored has the reward None"
        ) from error


def _rollout(row, sample):
    rollout = getattr(sample, "rollout_id", None)
    return ("row", row) if rollout is None or _removed(sample) else ("rollout", rollout)


def _weights(estimator, args, samples):
    """Of each sample, by what slime's loss takes of it; the loss divides by the tokens of a rollout, all its samples
    together, unless asked not to."""
    masks = [_loss_mask(sample) for sample in samples]
    log_probs = None
    # Lists of numbers, too long to read for figures alone; a sample without a token needs none.
    if estimator.weights == "score":
        log_probs = [getattr(sample, "rollout_log_probs", None) if mask else [] for sample, mask in zip(samples, masks)]
        for row, (mask, log_prob) in enumerate(zip(masks, log_probs)):
            if log_prob is not None and len(log_prob) != len(mask):
                raise InvalidArgument(
                    f"rollout_log_probs of samples[{row}] must have one entry per token of its loss_mask, got "
                    f"{len(log_prob)} for {len(mask)}"
                )
    weights = estimator.score_weights(masks, log_probs)
    if getattr(args, "calculate_per_token_loss", False):
        return weights
    rollouts = [_rollout(row, sample) for row, sample in enumerate(samples)]
    length = dict.fromkeys(rollouts, 0.0)
    for rollout, own in zip(rollouts, lengths(masks)):
        length[rollout] += own
    return weights / np.array([max(length[rollout], 1) for rollout in rollouts]) ** 2.0


def _loss_mask(sample):
    """Which tokens of the response the loss takes; of a sample that is not trained on none."""
    mask = getattr(sample, "loss_mask", None)
    if _removed(sample):
        return []
    return [1] * (getattr(sample, "response_length", None) or 0) if mask is None else mask


def _removed(sample):
    """Whether slime trains on no token of it."""
    if getattr(sample, "remove_sample", False):
        return True
    mask = getattr(sample, "loss_mask", None)
    if mask is not None:
        return not any(mask)
    # One that nothing was generated for yet has no tokens either.
    return getattr(sample, "response_length", None) == 0 and len(getattr(sample, "tokens", None) or ()) > 0


configure = install  # its name in programs of before the first release
