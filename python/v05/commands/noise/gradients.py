"""The score of every rollout, the gradient of its log-probability: its squared norm, and a sketch of it."""

from dataclasses import dataclass

import numpy as np
import torch

from ..._core.evaluation_mode import evaluating
from ...errors import InvalidArgument
from .options import check_options


@dataclass(frozen=True)
class Scores:
    """Of n rollouts.

    squared_norm: (n,) exact squared norm of each score. sketch: (n, width) float32 random projections: the inner
        product of two is that of the scores, without bias, with a standard deviation of about their norms over
        sqrt(width).
    miss, length: (n,) proxies of the squared norm: sum over tokens of (1 - p)^2, and the number of tokens.
    """

    squared_norm: np.ndarray
    sketch: np.ndarray
    miss: np.ndarray
    length: np.ndarray


def weights_of(model, scope, blocks=1):
    """The parameters that a scope names: "all" that train, "lora" those of adapters, "last" those of the last
    `blocks`."""
    check_options(scope=scope, blocks=blocks)
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    if scope == "lora":
        named = [(name, weight) for name, weight in named if "lora_" in name]
    elif scope == "last":
        last = sorted({number for name, _ in named if (number := _block(name)) is not None})[-blocks:]
        named = [(name, weight) for name, weight in named if _block(name) in last]
    if not named:
        raise InvalidArgument(f"scope {scope!r} must name weights of the model that train, and there are none")
    return [weight for _, weight in named]


def _block(name):
    """The number of the block that a parameter belongs to: the first in its name, as experts have numbers, too."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


def scores(
    model, rollouts, *, temperature=1.0, scope="all", blocks=1, width=4096, per_token=False, seed=0, progress=None
):
    """The Scores of Rollouts, one backward pass each.

    temperature: at which they were drawn. width: of the sketch, a count sketch: every weight is added to one of `width`
        sums, with a random sign.
    per_token: the loss divides the terms of a rollout by its own length.
    """
    quiet = progress or (lambda stage, done, total: None)
    weights = weights_of(model, scope, blocks)
    device = weights[0].device
    count, k = len(rollouts.completion_ids), rollouts.rewards.shape[1]
    found = Scores(np.empty(count), np.empty((count, width), np.float32), np.empty(count), np.empty(count))
    with evaluating(model):
        for row, completion in enumerate(rollouts.completion_ids):
            quiet("gradients", row, count)
            prompt = rollouts.prompt_ids[row // k]
            ids = torch.tensor([prompt + completion], device=device)
            logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float() / temperature
            log_prob = torch.log_softmax(logits, -1).gather(1, ids[0, len(prompt) :, None])[:, 0]
            total = log_prob.sum() / len(completion) if per_token else log_prob.sum()
            gradients = torch.autograd.grad(total, weights, allow_unused=True)
            squares, sketch = _sketch(gradients, weights, width, seed)
            share = 1 / len(completion) ** 2 if per_token else 1.0
            found.squared_norm[row], found.sketch[row] = squares, sketch
            found.miss[row] = float((torch.expm1(log_prob.detach()) ** 2).sum()) * share
            found.length[row] = len(completion) * share
    quiet("gradients", count, count)
    return found


def _sketch(gradients, weights, width, seed):
    generator = torch.Generator(device="cpu").manual_seed(seed)  # the same places and signs for every rollout
    sums = torch.zeros(width, device=weights[0].device)
    squares = 0.0
    for gradient, weight in zip(gradients, weights):
        size = weight.numel()
        place = torch.randint(2 * width, (size,), generator=generator).to(sums.device)
        if gradient is None:
            continue
        flat = gradient.detach().reshape(-1).float()
        squares += float((flat.double() ** 2).sum())
        sums.index_add_(0, place % width, torch.where(place < width, flat, -flat))
    return squares, sums.cpu().numpy()
