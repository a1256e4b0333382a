"""Rollouts of a model and their rewards."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import TrainerState

from ..._core.arguments import integer
from ..._core.types import Progress
from ...errors import InvalidArgument
from .options import check_options


@dataclass(frozen=True)
class Rollouts:
    """k rollouts of each of P prompts, in rows of prompts.

    prompt_ids: P lists of tokens. completion_ids: (P k) lists of tokens, of which each is at least one long.
    rewards: (P, k) float64.
    """

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    rewards: np.ndarray


# The policy itself: models come with penalties and cut-offs that their authors recommend for chats, and whose rollouts
# are not drawn with the probabilities that the gradient is taken of.
_PLAIN = {
    "do_sample": True,
    "num_beams": 1,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": None,
    "bad_words_ids": None,
    "sequence_bias": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
}


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
        column, and `trainer_state`, `log_extra` and `log_metric`, which here say and do nothing; returns floats. It is
        called for whole prompts, as soon as their rollouts are drawn.
    rollouts, maximum_tokens: per prompt, of a completion; at least 1. temperature: at which it is sampled, above 0.
    batch_size: completions generated at a time. seed: at least 0.
    chat_template_kwargs: for the chat template, as in TRL's GRPOConfig.
    progress: called as progress(stage, done, total).

    Sampled is from the model's probabilities: of its generation_config only the tokens that end an answer count. Model
    and torch's generators stay as they were. Raises InvalidArgument for prompts without a token and for rewards that
    are no finite numbers, one per completion.
    """
    check_options(maximum_tokens=maximum_tokens, temperature=temperature, batch_size=batch_size, seed=seed)
    if integer("rollouts", rollouts) < 1:
        raise InvalidArgument(f"rollouts must be at least 1, got {rollouts}")
    prompt_ids = [_tokens(tokenizer, row, chat_template_kwargs or {}) for row in rows]
    quiet = progress or (lambda stage, done, total: None)
    total = len(rows) * rollouts
    completion_ids: list[list[int]] = []
    rewards: list[np.ndarray] = []
    with _generator(model, tokenizer, seed, max_new_tokens=maximum_tokens, temperature=temperature) as generate:
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
            rewards.append(_rewards(tokenizer, asked, made, reward))
            completion_ids += made
    quiet("rollouts", total, total)
    return Rollouts(prompt_ids, completion_ids, np.concatenate(rewards).reshape(-1, rollouts))


def _tokens(tokenizer, row, chat_template_kwargs):
    prompt = row.get("prompt") if isinstance(row, dict) else None
    if isinstance(prompt, str):
        found = tokenizer(prompt)["input_ids"]
    elif isinstance(prompt, list) and prompt:
        found = tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, tokenize=True, return_dict=False, **chat_template_kwargs
        )
    else:
        raise InvalidArgument(f"every row of the dataset must have a prompt, text or messages, got {row!r:.200}")
    if not found:
        raise InvalidArgument(f"every prompt of the dataset must have at least one token, got {row!r:.200}")
    return list(found)


@contextmanager
def _generator(model, tokenizer, seed, **options):
    """A function from lists of prompt tokens to lists of sampled ones; afterwards the model is as it was."""
    own = model.generation_config.eos_token_id  # one, several or none
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list | tuple) else [own])} - {None}
    pad = next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None)
    device = next(model.parameters()).device

    def generate(prompts):
        longest = max(map(len, prompts))
        made = model.generate(
            input_ids=torch.tensor([[pad] * (longest - len(each)) + each for each in prompts], device=device),
            attention_mask=torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in prompts]).to(device),
            pad_token_id=pad,
            eos_token_id=sorted(ends) or None,
            **_PLAIN,
            **options,
        )
        return [_until_end(each, ends) for each in made[:, longest:].tolist()]

    was_training = model.training
    model.eval()
    try:
        # A caller may be in the middle of training.
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(seed)
            yield generate
    finally:
        model.train(was_training)


def _until_end(tokens, ends):
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[: place + 1]
    return tokens


def _rewards(tokenizer, rows, completion_ids, reward):
    """One per completion; rows: what each is an answer to."""
    texts = tokenizer.batch_decode(completion_ids, skip_special_tokens=True)
    names = {name: None for row in rows for name in row if name not in ("prompt", "completion", "completion_ids")}
    columns = {name: [row.get(name) for row in rows] for name in names}
    of_the_trainer = {"trainer_state": TrainerState(), "log_extra": _ignore, "log_metric": _ignore}
    found = reward(
        prompts=[row["prompt"] for row in rows],
        completions=[
            text if isinstance(row["prompt"], str) else [{"role": "assistant", "content": text}]
            for row, text in zip(rows, texts)
        ],
        completion_ids=completion_ids,
        **columns | of_the_trainer,
    )
    try:
        found = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"reward must return one number per completion: {error}") from error
    if found.shape != (len(rows),) or not np.isfinite(found).all():
        raise InvalidArgument(f"reward must return one finite number per completion ({len(rows)}), got {found!r:.200}")
    return found


def _ignore(*_):
    pass
