"""Rollouts of a model and their rewards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..._core.types import Progress
from ...errors import InvalidArgument


@dataclass(frozen=True)
class Rollouts:
    """k rollouts of each of P prompts, in rows of prompts.

    prompt_ids: P lists of tokens. completion_ids: (P k) lists of tokens, of which each is at least one long.
    rewards: (P, k) float64.
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
    progress: Progress | None = None,
) -> Rollouts:
    """Rollouts of `model` for rows of a dataset.

    rows: dicts with a "prompt", text or chat messages, as TRL has them; the other columns go to the reward.
    reward: function of lists `prompts` and `completions` and of every other column, as TRL calls it; returns floats.
    maximum_tokens: of a completion. temperature: at which it is sampled. batch_size: completions generated at a time.
    progress: called as progress(stage, done, total).

    Torch's generators stay as they were. Raises InvalidArgument for rewards that are no finite numbers, one per
    completion.
    """
    quiet = progress or (lambda stage, done, total: None)
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    prompt_ids = [_tokens(tokenizer, row["prompt"]) for row in rows]
    ends = {tokenizer.eos_token_id, model.generation_config.eos_token_id} - {None}
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    completion_ids = []
    order = [number for number in range(len(rows)) for _ in range(rollouts)]
    # Torch's generators stay as they were: a caller may be in the middle of training.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        for start in range(0, len(order), batch_size):
            quiet("rollouts", start, len(order))
            given = [prompt_ids[number] for number in order[start : start + batch_size]]
            longest = max(map(len, given))
            ids = torch.tensor([[pad] * (longest - len(each)) + each for each in given], device=device)
            mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in given], device=device)
            made = model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                max_new_tokens=maximum_tokens,
                pad_token_id=pad,
            )
            completion_ids += [_until_end(each, ends) for each in made[:, longest:].tolist()]
    model.train(was_training)
    quiet("rollouts", len(order), len(order))
    return Rollouts(prompt_ids, completion_ids, _rewards(tokenizer, rows, order, completion_ids, reward, rollouts))


def _tokens(tokenizer, prompt):
    if isinstance(prompt, str):
        return tokenizer(prompt)["input_ids"]
    return tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True)


def _until_end(tokens, ends):
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[: place + 1]
    return tokens


def _rewards(tokenizer, rows, order, completion_ids, reward, rollouts):
    texts = tokenizer.batch_decode(completion_ids, skip_special_tokens=True)
    chat = not isinstance(rows[0]["prompt"], str)
    completions = [[{"role": "assistant", "content": text}] for text in texts] if chat else texts
    columns = {name: [rows[number][name] for number in order] for name in rows[0] if name != "prompt"}
    found = reward(prompts=[rows[number]["prompt"] for number in order], completions=completions, **columns)
    try:
        found = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"reward must return one number per completion: {error}") from error
    if found.shape != (len(order),) or not np.isfinite(found).all():
        raise InvalidArgument(
            f"reward must return one finite number per completion ({len(order)}), got shape {found.shape}"
        )
    return found.reshape(-1, rollouts)
