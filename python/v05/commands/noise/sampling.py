"""Rollouts of a model and their rewards."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import isawaitable
from math import nan
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, TrainerState

from ..._core.arguments import integer
from ..._core.evaluation_mode import evaluating
from ..._core.generators import kept_generators, seeded_generators
from ..._core.types import Progress
from ...errors import Error, InvalidArgument
from ..endings import place
from .options import check_options

# What the reward is given besides the columns of the dataset.
_OWN = ("prompt", "completion", "completion_ids")


@dataclass(frozen=True)
class Rollouts:
    """k rollouts of each of P prompts, in rows of prompts.

    prompt_ids: P lists of tokens. completion_ids: (P k) lists of tokens, of which each is at least one long.
    rewards: (P, k) float64; NaN where the reward function said None.
    """

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    rewards: np.ndarray


@torch.no_grad()
def sample_rollouts(
    model: Any,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    reward: Callable[..., Any],
    *,
    rollouts: int = 16,
    maximum_tokens: int = 256,
    temperature: float = 1.0,
    batch_size: int = 64,
    seed: int = 0,
    chat_template_kwargs: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Rollouts:
    """Rollouts of `model` for rows of a dataset.

    rows: dicts with a "prompt", text or chat messages, as TRL has them; the other columns go to the reward.
    reward: function as TRL calls it, with lists `prompts`, `completions`, `completion_ids` and one of every other
        column, and `trainer_state`, `log_extra` and `log_metric`, which here say and do nothing; may be async. Returns
        one float per completion, or None where it cannot judge. It is called for whole prompts, as soon as their
        rollouts are drawn.
    rollouts, maximum_tokens: per prompt, of a completion; at least 1. temperature: at which it is sampled, above 0.
    batch_size: completions generated at a time. seed: at least 0.
    chat_template_kwargs: for the chat template, as in TRL's GRPOConfig.
    progress: called as progress(stage, done, total).

    Sampled is from the model's probabilities: of its generation_config only the tokens that end an answer count. Model
    and torch's generators stay as they were. Raises InvalidArgument for prompts without a token and for rewards that
    are no finite numbers, one per completion, and Error where the reward raises.
    """
    check_options(maximum_tokens=maximum_tokens, temperature=temperature, batch_size=batch_size, seed=seed)
    if integer("rollouts", rollouts) < 1:
        raise InvalidArgument(f"rollouts must be at least 1, got {rollouts}")
    if not rows:
        raise InvalidArgument("rows must hold at least one prompt, got none")
    prompt_ids = [_tokens(tokenizer, row, chat_template_kwargs or {}) for row in rows]
    columns = list({name: None for row in rows for name in row if name not in _OWN})
    quiet = progress or (lambda stage, done, total: None)
    total = len(rows) * rollouts
    completion_ids: list[list[int]] = []
    rewards: list[np.ndarray] = []
    device = next(model.parameters()).device
    with _generator(model, tokenizer, device, seed, maximum_tokens, temperature) as generate:
        # A reward is seldom right at the first attempt, which should show before all rollouts have been drawn.
        at_a_time = max(1, batch_size // rollouts)
        for first in range(0, len(rows), at_a_time):
            numbers = range(first, min(first + at_a_time, len(rows)))
            prompts = [prompt_ids[number] for number in numbers for _ in range(rollouts)]
            made: list[list[int]] = []
            for start in range(0, len(prompts), batch_size):
                quiet("rollouts", len(completion_ids) + start, total)
                made += generate(prompts[start : start + batch_size])
            asked = [rows[number] for number in numbers for _ in range(rollouts)]
            with kept_generators(device):
                rewards.append(_rewards(tokenizer, asked, columns, made, reward))
            completion_ids += made
    quiet("rollouts", total, total)
    return Rollouts(prompt_ids, completion_ids, np.concatenate(rewards).reshape(-1, rollouts))


def _tokens(tokenizer, row, chat_template_kwargs):
    prompt = row.get("prompt") if isinstance(row, dict) else None
    if isinstance(prompt, str):
        found = tokenizer(prompt)["input_ids"]
    elif isinstance(prompt, list) and prompt:
        try:
            found = tokenizer.apply_chat_template(
                prompt, add_generation_prompt=True, tokenize=True, return_dict=False, **chat_template_kwargs
            )
        except Exception as error:  # whatever a template raises
            raise InvalidArgument(f"every prompt must fit the chat template, got {prompt!r:.200}: {error}") from error
    else:
        raise InvalidArgument(f"every row of the dataset must have a prompt, text or messages, got {row!r:.200}")
    if not found:
        raise InvalidArgument(f"every prompt of the dataset must have at least one token, got {row!r:.200}")
    return list(found)


@contextmanager
def _generator(model, tokenizer, device, seed, maximum_tokens, temperature):
    """A function from lists of prompt tokens to lists of sampled ones; afterwards the model is as it was."""
    own = model.generation_config
    # One, several or none.
    ends = {tokenizer.eos_token_id, *np.ravel(own.eos_token_id).tolist()} - {None}
    pad = next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None)
    # The policy itself: models come with penalties and cut-offs that their authors recommend for chats, and whose
    # rollouts are not drawn with the probabilities that the gradient is taken of. What a call leaves out is taken from
    # the model, so the model has to hold this.
    plain = GenerationConfig(
        do_sample=True,
        temperature=float(temperature),
        top_k=0,
        top_p=1.0,
        max_new_tokens=maximum_tokens,
        eos_token_id=sorted(ends) or None,
        pad_token_id=pad,
        cache_implementation=own.cache_implementation,
    )

    def generate(prompts):
        longest = max(map(len, prompts))
        made = model.generate(
            input_ids=torch.tensor([[pad] * (longest - len(each)) + each for each in prompts], device=device),
            attention_mask=torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in prompts]).to(device),
        )
        return [_until_end(each, ends) for each in made[:, longest:].tolist()]

    # The model itself below whatever wraps it.
    holders = {module: module.generation_config for module in model.modules() if "generation_config" in vars(module)}
    with evaluating(model), seeded_generators(seed, device):
        try:
            for module in holders:
                module.generation_config = plain
            yield generate
        finally:
            for module, config in holders.items():
                module.generation_config = config


def _until_end(tokens, ends):
    for number, token in enumerate(tokens, 1):
        if token in ends:
            return tokens[:number]
    return tokens


def _rewards(tokenizer, rows, columns, completion_ids, reward):
    """One per completion, NaN for None; rows: what each is an answer to."""
    texts = tokenizer.batch_decode(completion_ids, skip_special_tokens=True)
    prompts = [row["prompt"] for row in rows]
    completions = [
        text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
        for prompt, text in zip(prompts, texts)
    ]
    others = {name: [row.get(name) for row in rows] for name in columns}
    others |= {"trainer_state": TrainerState(), "log_extra": _ignore, "log_metric": _ignore}
    try:
        found = reward(prompts=prompts, completions=completions, completion_ids=completion_ids, **others)
        if isawaitable(found):
            found = asyncio.run(_waited_for(found))
    except Exception as error:
        raise Error(f"reward raised {type(error).__name__}{place(error)}: {error}") from error
    try:
        found = np.array([nan if value is None else float(value) for value in found])
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"reward must return one number per completion: {error}") from error
    if len(found) != len(rows):
        raise InvalidArgument(f"reward must return one number per completion ({len(rows)}), got {len(found)}")
    if np.isinf(found).any():
        raise InvalidArgument(f"reward must return finite numbers, got {found[np.isinf(found)][0]}")
    return found


async def _waited_for(found):
    return await found


def _ignore(*_, **__):
    pass
