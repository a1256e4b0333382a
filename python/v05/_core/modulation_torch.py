"""The modulation of tokens by torch operations, for tensors that must stay on their device."""

import math
from ctypes import byref
from typing import NamedTuple

import torch

from ..errors import InvalidArgument
from . import prototypes as c
from .call import call
from .library import library
from .modulation_statistics import TOKEN_ARRAYS, ModulationStatistics, place

_LARGEST_LOG_RATIO = 20.0
_LARGEST = 1e30
_LARGEST_LOG_PROBABILITY = 1.0


class _Tokens(NamedTuple):
    """The (B, T) tensors of a call, 0 where the mask takes a token out; `given` are the advantages with those."""

    mask: torch.Tensor
    given: torch.Tensor
    advantage: torch.Tensor
    entropy: torch.Tensor
    log_prob: torch.Tensor
    old_log_prob: torch.Tensor

    @property
    def zero(self):
        return self.given.new_zeros(())


@torch.no_grad()
def modulate(given, settings, wants_statistics):
    """(modulated advantages, ModulationStatistics or None) of tensors by name and checked-for-kind settings."""
    _check_settings(settings)
    original = given["advantages"]
    tokens = _checked_tokens(given, torch.float64 if original.dtype == torch.float64 else torch.float32)
    mask, zero = tokens.mask, tokens.zero
    nothing = ModulationStatistics(0, 0.0, 1.0, 1.0, 0.0, math.nan, math.nan)
    if mask.numel() == 0:
        return original.new_empty(mask.shape), nothing
    passes, change = _entropy_change(tokens, settings)
    largest = change.max()
    stabilization = settings["floor"] + (1 - settings["floor"]) * torch.sigmoid(
        settings["steepness"] * (settings["threshold"] - change / (largest + 1e-8))
    )
    highest = torch.where(mask, tokens.entropy, zero - math.inf).max()
    smallest = torch.where(mask, tokens.entropy, zero + math.inf).min()
    gain = settings["alpha"] / (highest - smallest + 1e-8)
    compensation = torch.where(mask & (tokens.advantage > 0), 1 + gain * (highest - tokens.entropy), zero + 1)

    left_alone = torch.where(tokens.given.isfinite(), tokens.given, zero)
    result = torch.where(mask, tokens.advantage * compensation * stabilization, left_alone)
    dtype = original.dtype if original.is_floating_point() else tokens.given.dtype
    limit = torch.finfo(dtype).max
    result = result.clamp(min=-limit, max=limit).to(dtype)
    if not wants_statistics:
        return result, None
    count = mask.sum()
    if count == 0:
        return result, nothing
    clipped = (mask & ~passes & (tokens.advantage != 0)).sum() / count
    means = [torch.where(mask, factor, zero).sum() / count for factor in (compensation, stabilization)]
    return result, ModulationStatistics(
        int(count), *(float(value) for value in (clipped, *means, largest, smallest, highest))
    )


def _entropy_change(tokens, settings):
    """(which tokens' gradient the clipping lets pass, |dH| of each token), both (B, T)."""
    mask, advantage, zero = tokens.mask, tokens.advantage, tokens.zero
    log_ratio = (tokens.log_prob - tokens.old_log_prob).clamp(max=_LARGEST_LOG_RATIO)
    log_ratio = torch.where(tokens.log_prob == -math.inf, zero - math.inf, log_ratio)
    lowest = math.log1p(-settings["clip_low"]) if settings["clip_low"] < 1 else -math.inf
    passes = (advantage > 0) & (log_ratio <= math.log1p(settings["clip_high"]))
    passes = passes | (advantage < 0) & (log_ratio >= lowest)
    limits = torch.finfo(advantage.dtype)
    contribution = tokens.log_prob.exp() * (tokens.log_prob.clamp(min=limits.min) + tokens.entropy)
    contribution = torch.where(mask, contribution, zero)
    mean = contribution.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    weight = (log_ratio.exp() * advantage.abs()).clamp(max=limits.max)
    change = (weight * (contribution - mean).abs()).clamp(max=limits.max)
    return passes, torch.where(passes & mask, change, zero)


def _checked_tokens(given, dtype):
    mask = given["mask"].detach()
    if mask.dtype != torch.bool:
        if bool(((mask != 0) & (mask != 1)).any()):
            raise InvalidArgument("mask must be booleans, or 0 and 1")
        mask = mask != 0
    advantages = given["advantages"].detach().to(dtype)
    advantages = (advantages[:, None] if advantages.ndim == 1 else advantages).expand(mask.shape)
    arrays = [given[name].detach().to(dtype) for name in TOKEN_ARRAYS]
    _check_tokens(mask, advantages, *arrays)
    zero = advantages.new_zeros(())
    return _Tokens(mask, advantages, *(torch.where(mask, value, zero) for value in (advantages, *arrays)))


def _check_settings(settings):
    """The rules of the core."""
    options = c.ModulationOptions()
    for name, value in settings.items():
        setattr(options, name, value)
    call(library.v05_advantage_modulate_f32, byref(options), 0, 0, None, 0, None, None, None, None, None, None)


def _check_tokens(mask, advantages, entropy, log_prob, old_log_prob):
    fine = (advantages.abs() <= _LARGEST) & (entropy.abs() <= _LARGEST)
    fine = fine & (log_prob <= _LARGEST_LOG_PROBABILITY) & (old_log_prob <= _LARGEST_LOG_PROBABILITY)
    refused = mask & ~fine
    if not bool(refused.any()):
        return
    sequence, token = refused.nonzero()[0].tolist()
    for name, values, limit, rule in (
        ("advantages", advantages.abs(), _LARGEST, "be at most 1e30 in absolute value"),
        ("entropy", entropy.abs(), _LARGEST, "be at most 1e30 in absolute value"),
        ("log_prob", log_prob, _LARGEST_LOG_PROBABILITY, "be a log-probability (1 at most)"),
        ("old_log_prob", old_log_prob, _LARGEST_LOG_PROBABILITY, "be a log-probability (1 at most)"),
    ):
        if not values[sequence, token] <= limit:
            raise InvalidArgument(
                f"{name} must {rule} where mask counts it, got {values[sequence, token].item():g} "
                f"({place(sequence, token)})"
            )
