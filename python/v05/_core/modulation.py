"""Advantages of single tokens, by DynaMO (arXiv 2602.19208, method section 8)."""

import dataclasses
import math
from ctypes import byref

import numpy as np

from ..errors import ArgumentTypeError, InvalidArgument
from . import prototypes as c
from .arguments import number
from .arrays import address, is_tensor, to_numpy
from .call import call
from .library import library

_ARRAYS = ("entropy", "log_prob", "old_log_prob")
_LARGEST_LOG_RATIO = 20.0
_LARGEST = 1e30
_LARGEST_LOG_PROBABILITY = 1.0


@dataclasses.dataclass(frozen=True)
class ModulationStatistics:
    """What became of the tokens that the mask counts.

    token_count: their number.
    clipped: share with an advantage other than 0 whose gradient the clipping of the ratio takes away.
    compensation, stabilization: mean of each factor; 1 without tokens.
    largest_change: the largest |dH|, the change of a token's entropy that the others are measured by.
    smallest_entropy, largest_entropy: range of the entropies; NaN without tokens.
    """

    __module__ = "v05"

    token_count: int
    clipped: float
    compensation: float
    stabilization: float
    largest_change: float
    smallest_entropy: float
    largest_entropy: float


def modulate_advantages(advantages, entropy, log_prob, old_log_prob, mask, *, alpha=0.2, floor=0.6, steepness=50.0,
                        threshold=0.99, clip_low=0.2, clip_high=0.2, statistics=False):
    """Advantages of tokens, each times two factors: DynaMO's modulation (arXiv 2602.19208).

        r = exp(log_prob - old_log_prob), at most e^20;  p = exp(log_prob);  H = entropy
        I = 1 where A > 0 and r <= 1 + clip_high, or A < 0 and r >= 1 - clip_low; else 0
        q = p (log_prob + H);  |dH| = I r |A| |q - mean q of the sequence|;  x = |dH| / (largest |dH| + 1e-8)
        stabilization = floor + (1 - floor) / (1 + exp(steepness (x - threshold)))
        compensation  = 1 + alpha (Hmax - H) / (Hmax - Hmin + 1e-8) where A > 0, else 1

    The mean is over the tokens of a sequence that the mask counts; largest, Hmin and Hmax over those of the whole call.

    advantages: (B, T), or (B,) for one a sequence. numpy or torch; the result, (B, T), is of its kind, dtype and device.
        Magnitude at most 1e30.
    entropy: (B, T) entropy of the distribution that each token was drawn from, in nats.
    log_prob, old_log_prob: (B, T) log-probability of each token by the current policy and by the one that drew it. -inf has
        p = r = 0 and q = 0.
    mask: (B, T) booleans, or 0 and 1; False: the advantage stays as it is (0 where it is not finite), and nothing else is
        looked at, so that anything may stand there.
    alpha: 0 to 1e6. floor: 0 to 1. clip_low: 0 to 1. The authors' second setting: alpha=0.4, floor=0.6, threshold=0.9.
    statistics: True: returns (result, ModulationStatistics), which waits for the device.

    No gradient flows through the result. torch tensors of float32 and float64 on the CPU and numpy arrays are computed by
    the core; other tensors by torch on their device (half precision in float32), with the same numbers to about 1e-6.

    All entropies equal: compensation 1. A single token of a sequence: |dH| = 0. A = 0: 0. No token at all: A.
    Raises InvalidArgument for shapes that differ, and for a token that counts with a NaN, an advantage or entropy beyond
    1e30 or a log-probability above 1.
    """
    settings = {
        name: number(name, value) for name, value in dict(
            alpha=alpha, floor=floor, steepness=steepness, threshold=threshold, clip_low=clip_low, clip_high=clip_high
        ).items()
    }
    given = {
        "advantages": advantages, "entropy": entropy, "log_prob": log_prob, "old_log_prob": old_log_prob, "mask": mask}
    if is_tensor(advantages):
        others = [name for name, value in given.items() if not is_tensor(value)]
        if others:
            raise ArgumentTypeError(f"{others[0]} must be a tensor as advantages is, got {type(given[others[0]]).__name__}")
    shape = _check_shapes(given)
    if is_tensor(advantages) and not _fits_core(given):
        result, found = _by_torch(given, settings, statistics)
    else:
        result, found = _by_core(given, settings, shape)
    return (result, found) if statistics else result


def _check_shapes(given):
    shape = tuple(np.shape(given["entropy"]))
    if len(shape) != 2:
        raise InvalidArgument(f"entropy must have two dimensions (sequences, tokens), got shape {shape}")
    for name in ("log_prob", "old_log_prob", "mask"):
        if tuple(np.shape(given[name])) != shape:
            raise InvalidArgument(f"{name} must have the shape of entropy {shape}, got {tuple(np.shape(given[name]))}")
    found = tuple(np.shape(given["advantages"]))
    if found not in (shape, shape[:1]):
        raise InvalidArgument(f"advantages must have shape {shape} or {shape[:1]}, got {found}")
    return shape


def _fits_core(given):
    import torch

    return given["advantages"].dtype in (torch.float32, torch.float64) and all(
        value.device.type == "cpu" and value.layout == torch.strided for value in given.values())


def _by_core(given, settings, shape):
    advantages = given["advantages"]
    array = to_numpy(advantages, "advantages")
    single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    dtype = np.float32 if single else np.float64
    arrays = {name: _numbers(given[name], name, dtype) for name in ("advantages", *_ARRAYS)}
    mask = _mask(given["mask"])
    result = np.empty(shape, dtype)
    options = c.ModulationOptions()
    call(library.v05_modulation_options_initialize, byref(options), options.struct_size)
    for name, value in settings.items():
        setattr(options, name, value)
    found = c.ModulationStatistics()
    function = library.v05_advantage_modulate_f32 if single else library.v05_advantage_modulate_f64
    try:
        call(function, byref(options), *shape, address(arrays["advantages"]), int(arrays["advantages"].ndim == 2),
             *(address(arrays[name]) for name in _ARRAYS), address(mask), address(result), byref(found))
    except InvalidArgument as error:
        if error.status == "V05_STATUS_INVALID_TOKEN":
            per_token = arrays["advantages"].ndim == 2 or not error.args[0].startswith("advantages")
            sequence, token = divmod(error.index, shape[1]) if per_token else (error.index, None)
            error.args = (f"{error.args[0]} ({_place(sequence, token)})",)
        raise
    names = (field.name for field in dataclasses.fields(ModulationStatistics))
    return _like(advantages, result), ModulationStatistics(*(getattr(found, name) for name in names))


def _numbers(value, name, dtype):
    array = to_numpy(value, name)
    if array.dtype.kind not in "fiu":
        raise ArgumentTypeError(f"{name} must be numbers, got dtype {array.dtype}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=dtype)


def _mask(mask):
    array = to_numpy(mask, "mask")
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"mask must be booleans, got dtype {array.dtype}")
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array).view(np.uint8)
    others = array[(array != 0) & (array != 1)]
    if others.size:
        raise InvalidArgument(f"mask must be booleans, or 0 and 1, got {others[0]}")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _like(advantages, result):
    if is_tensor(advantages):
        import torch

        return torch.from_numpy(result)
    if isinstance(advantages, np.ndarray) and advantages.dtype.kind == "f":
        return result.astype(advantages.dtype, copy=False)
    return result


def _place(sequence, token):
    return f"sequence {sequence}" if token is None else f"sequence {sequence}, token {token}"


def _by_torch(given, settings, wants_statistics):
    """The same by torch operations, on the device of the tensors."""
    import torch

    _check_settings(settings)
    original = given["advantages"]
    dtype = torch.float64 if original.dtype == torch.float64 else torch.float32
    with torch.no_grad():
        mask = given["mask"].detach()
        if mask.dtype != torch.bool:
            if bool(((mask != 0) & (mask != 1)).any()):
                raise InvalidArgument("mask must be booleans, or 0 and 1")
            mask = mask != 0
        a = given["advantages"].detach().to(dtype)
        a = (a[:, None] if a.ndim == 1 else a).expand(mask.shape)
        h, now, old = (given[name].detach().to(dtype) for name in _ARRAYS)
        _check_tokens(mask, a, h, now, old)
        zero = torch.zeros((), dtype=dtype, device=a.device)
        h, now, old = (torch.where(mask, value, zero) for value in (h, now, old))
        valid = torch.where(mask, a, zero)

        least = torch.finfo(dtype).min
        log_ratio = torch.where(now == -math.inf, zero - math.inf, (now - old).clamp(max=_LARGEST_LOG_RATIO))
        passes = (valid > 0) & (log_ratio <= math.log1p(settings["clip_high"]))
        lowest = math.log1p(-settings["clip_low"]) if settings["clip_low"] < 1 else -math.inf
        passes = passes | (valid < 0) & (log_ratio >= lowest)
        contribution = torch.where(mask, now.exp() * (now.clamp(min=least) + h), zero)
        mean = contribution.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
        greatest = torch.finfo(dtype).max
        weight = (log_ratio.exp() * valid.abs()).clamp(max=greatest)
        change = torch.where(passes & mask, (weight * (contribution - mean).abs()).clamp(max=greatest), zero)
        del contribution, weight, log_ratio, now, old
        if mask.numel() == 0:
            return original.new_empty(mask.shape), ModulationStatistics(0, 0.0, 1.0, 1.0, 0.0, math.nan, math.nan)
        largest = change.max()
        share = change / (largest + 1e-8)
        stabilization = settings["floor"] + (1 - settings["floor"]) * torch.sigmoid(
            settings["steepness"] * (settings["threshold"] - share))
        highest = torch.where(mask, h, zero - math.inf).max()
        smallest = torch.where(mask, h, zero + math.inf).min()
        gain = settings["alpha"] / (highest - smallest + 1e-8)
        compensation = torch.where(mask & (valid > 0), 1 + gain * (highest - h), zero + 1)
        result = torch.where(mask, valid * compensation * stabilization, torch.where(a.isfinite(), a, zero))
        limit = torch.finfo(original.dtype if original.is_floating_point() else dtype).max
        result = result.clamp(min=-limit, max=limit)
        result = result.to(original.dtype if original.is_floating_point() else dtype)
        if not wants_statistics:
            return result, None
        count = mask.sum()
        clipped = (mask & ~passes & (valid != 0)).sum() / count
        means = [torch.where(mask, factor, zero).sum() / count for factor in (compensation, stabilization)]
        if count == 0:
            return result, ModulationStatistics(0, 0.0, 1.0, 1.0, 0.0, math.nan, math.nan)
        return result, ModulationStatistics(
            int(count), *(float(value) for value in (clipped, *means, largest, smallest, highest)))


def _check_settings(settings):
    """The rules of the core."""
    options = c.ModulationOptions()
    for name, value in settings.items():
        setattr(options, name, value)
    call(library.v05_advantage_modulate_f32, byref(options), 0, 0, None, 0, None, None, None, None, None, None)


def _check_tokens(mask, a, h, now, old):
    fine = (a.abs() <= _LARGEST) & (h.abs() <= _LARGEST)
    fine = fine & (now <= _LARGEST_LOG_PROBABILITY) & (old <= _LARGEST_LOG_PROBABILITY)
    refused = mask & ~fine
    if not bool(refused.any()):
        return
    sequence, token = refused.nonzero()[0].tolist()
    for name, values, limit, rule in (
        ("advantages", a.abs(), _LARGEST, "be at most 1e30 in absolute value"),
        ("entropy", h.abs(), _LARGEST, "be at most 1e30 in absolute value"),
        ("log_prob", now, _LARGEST_LOG_PROBABILITY, "be a log-probability (1 at most)"),
        ("old_log_prob", old, _LARGEST_LOG_PROBABILITY, "be a log-probability (1 at most)"),
    ):
        if not values[sequence, token] <= limit:
            raise InvalidArgument(
                f"{name} must {rule} where mask counts it, got {values[sequence, token].item():g} "
                f"({_place(sequence, token)})")
