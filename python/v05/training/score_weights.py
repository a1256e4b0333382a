"""The weight of a rollout in the noise of the gradient, from what a trainer has at hand (method section 13)."""

from typing import Literal

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
