"""The weight of a rollout in the noise of the gradient, from what a trainer has at hand (method section 13)."""

from typing import Any, Literal

import numpy as np

from .._core.arrays import is_tensor
from .._core.types import Tensor
from ..errors import InvalidArgument

KINDS = ("none", "length", "score")


def score_weights(
    kind: Literal["length", "score"], mask: Tensor, log_prob: Tensor | None = None, *, per_token: bool = False
) -> Tensor:
    """(n,) float32: the squared norm of each rollout's score, up to a factor that all share.

    kind: "score": sum over its tokens of (1 - p)^2, with p the probability of the token that was drawn: what the
        sampled tokens alone tell of the squared norm at the logits. "length": the number of its tokens (OPO, arXiv
        2505.23585).
    mask: (n, T), not 0 for the tokens that reach the loss.
    log_prob: (n, T) log-probabilities of the tokens by the policy that drew them, NaN where unknown; for "score".
    per_token: whether the loss divides the terms of a rollout by its own length; the score is divided by it, too.

    A token whose log-probability is unknown counts as the mean of the others of its rollout; a rollout without a token
    that counts has weight 0.
    """
    import torch

    if kind not in KINDS[1:]:
        raise InvalidArgument(f'kind must be "length" or "score", got {kind!r:.100}')
    mask = mask != 0
    length = mask.sum(1).float()
    if kind == "length":
        weight = length
    else:
        if log_prob is None:
            raise InvalidArgument('log_prob must be given for the kind "score", got None')
        if log_prob.shape != mask.shape:
            raise InvalidArgument(
                f"log_prob must have the shape of mask, got {tuple(log_prob.shape)} for {tuple(mask.shape)}"
            )
        known = mask & ~torch.isnan(log_prob)
        miss = torch.where(known, -torch.expm1(torch.where(known, log_prob.float(), 0.0).clamp(max=0.0)), 0.0)
        weight = (miss**2).sum(1) * length / known.sum(1).clamp(min=1)
    return weight / length.clamp(min=1) ** 2 if per_token else weight


def squared_norms(mask: Any, log_prob: Any = None, *, per_token: bool = False) -> np.ndarray:
    """(n,) score weights for the figures v05/noise/... alone, which must cost little: scores where log-probabilities
    are tensors, else lengths.

    mask: (n, T) tensor or n sequences of any lengths. log_prob: the same of log-probabilities, or None; lists of them
        take long to convert. per_token: as in score_weights.
    """
    if not _tensors_alike(mask, log_prob):
        length = lengths(mask)
        return length / np.maximum(length, 1) ** 2 if per_token else length
    if is_tensor(mask):
        return score_weights("score", mask, log_prob, per_token=per_token).double().cpu().numpy()
    # One by one, as tensors of many lengths may take much memory when they are padded.
    rows = (score_weights("score", row[None], known[None], per_token=per_token) for row, known in zip(mask, log_prob))
    return np.array([row.item() for row in rows], dtype=np.float64)


def lengths(mask: Any) -> np.ndarray:
    """(n,) entries of each row that are not 0, of an (n, T) tensor or n sequences of any lengths."""
    if is_tensor(mask):
        return (mask != 0).sum(1).double().cpu().numpy()
    counts = (len(row) - row.count(0) if isinstance(row, (list, tuple)) else int((row != 0).sum()) for row in mask)
    return np.array(list(counts), dtype=np.float64)


def _tensors_alike(mask, log_prob):
    """Whether there is a tensor of log-probabilities for every one of the mask, of its shape."""
    if log_prob is None or len(mask) != len(log_prob):
        return False
    pairs = [(mask, log_prob)] if is_tensor(log_prob) else zip(mask, log_prob)
    return all(is_tensor(row) and is_tensor(known) and row.shape == known.shape for row, known in pairs)
