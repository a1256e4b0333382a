"""Advantages of single tokens, by DynaMO (arXiv 2602.19208, method section 8)."""

import dataclasses
from ctypes import byref
from typing import Any, Literal, overload

import numpy as np

from ..errors import ArgumentTypeError, InvalidArgument
from . import prototypes as c
from .arguments import number
from .arrays import address, is_tensor, like, mask_bytes, numbers, to_numpy
from .call import call
from .library import library
from .modulation_statistics import TOKEN_ARRAYS, ModulationStatistics, place
from .types import Array


@overload
def modulate_advantages(
    advantages: Array,
    entropy: Array,
    log_prob: Array,
    old_log_prob: Array,
    mask: Array,
    *,
    alpha: float = 0.2,
    floor: float = 0.6,
    steepness: float = 50.0,
    threshold: float = 0.99,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    statistics: Literal[False] = False,
) -> Array: ...


@overload
def modulate_advantages(
    advantages: Array,
    entropy: Array,
    log_prob: Array,
    old_log_prob: Array,
    mask: Array,
    *,
    alpha: float = 0.2,
    floor: float = 0.6,
    steepness: float = 50.0,
    threshold: float = 0.99,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    statistics: Literal[True],
) -> tuple[Array, ModulationStatistics]: ...


def modulate_advantages(
    advantages: Any,
    entropy: Any,
    log_prob: Any,
    old_log_prob: Any,
    mask: Any,
    *,
    alpha: float = 0.2,
    floor: float = 0.6,
    steepness: float = 50.0,
    threshold: float = 0.99,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    statistics: bool = False,
) -> Any:
    """Advantages of tokens, each times two factors: DynaMO's modulation (arXiv 2602.19208).

        r = exp(log_prob - old_log_prob), at most e^20;  p = exp(log_prob);  H = entropy
        I = 1 where A > 0 and r <= 1 + clip_high, or A < 0 and r >= 1 - clip_low; else 0
        q = p (log_prob + H);  |dH| = I r |A| |q - mean q of the sequence|;  x = |dH| / (largest |dH| + 1e-8)
        stabilization = floor + (1 - floor) / (1 + exp(steepness (x - threshold)))
        compensation  = 1 + alpha (Hmax - H) / (Hmax - Hmin + 1e-8) where A > 0, else 1

    The mean is over the tokens of a sequence that the mask counts; largest, Hmin and Hmax over those of the whole call.

    advantages: (B, T), or (B,), one per sequence. numpy or torch; the result, (B, T), is of its kind, dtype and device.
        Magnitude at most 1e30.
    entropy: (B, T) entropy of the distribution that each token was drawn from, in nats.
    log_prob, old_log_prob: (B, T) log-probability of each token by the current policy and by the one that drew it. -inf
        has p = r = 0 and q = 0.
    mask: (B, T) booleans, or 0 and 1; False: the advantage stays as it is (0 where it is not finite), and nothing else
        is looked at, so that anything may stand there.
    alpha: 0 to 1e6. floor, clip_low: 0 to 1. steepness, clip_high: 0 or more. threshold: finite. The authors' second
        setting: alpha=0.4, floor=0.6, threshold=0.9; their runs have clip_high=0.28.
    statistics: True: returns (result, ModulationStatistics), which waits for the device.

    No gradient flows through the result. torch tensors of float32 and float64 on the CPU and numpy arrays are computed
    by the core; other tensors by torch on their device (half precision in float32), with the same numbers to about
    1e-6.

    All entropies equal: compensation 1. A single token of a sequence: |dH| = 0. A = 0: 0. No token at all: A.
    Raises InvalidArgument for shapes that differ, and for a token that counts with a NaN, an advantage or entropy
    beyond 1e30 or a log-probability above 1.
    """
    settings = {
        name: number(name, value)
        for name, value in dict(
            alpha=alpha, floor=floor, steepness=steepness, threshold=threshold, clip_low=clip_low, clip_high=clip_high
        ).items()
    }
    given = {
        "advantages": advantages,
        "entropy": entropy,
        "log_prob": log_prob,
        "old_log_prob": old_log_prob,
        "mask": mask,
    }
    if is_tensor(advantages):
        others = [name for name, value in given.items() if not is_tensor(value)]
        if others:
            raise ArgumentTypeError(
                f"{others[0]} must be a tensor as advantages is, got {type(given[others[0]]).__name__}"
            )
    shape = _check_shapes(given)
    if is_tensor(advantages) and not _fits_core(given):
        from .modulation_torch import modulate  # torch is there: the caller gave tensors

        result, found = modulate(given, settings, statistics)
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
        value.device.type == "cpu" and value.layout == torch.strided for value in given.values()
    )


def _by_core(given, settings, shape):
    advantages = given["advantages"]
    array = to_numpy(advantages, "advantages")
    single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    dtype = np.float32 if single else np.float64
    arrays = {name: _contiguous(given[name], name, dtype) for name in ("advantages", *TOKEN_ARRAYS)}
    mask = mask_bytes(given["mask"])
    result = np.empty(shape, dtype)
    options = c.ModulationOptions()
    call(library.v05_modulation_options_initialize, byref(options), options.struct_size)
    for name, value in settings.items():
        setattr(options, name, value)
    found = c.ModulationStatistics()
    function = library.v05_advantage_modulate_f32 if single else library.v05_advantage_modulate_f64
    try:
        call(
            function,
            byref(options),
            *shape,
            address(arrays["advantages"]),
            int(arrays["advantages"].ndim == 2),
            *(address(arrays[name]) for name in TOKEN_ARRAYS),
            address(mask),
            address(result),
            byref(found),
        )
    except InvalidArgument as error:
        if error.status == "V05_STATUS_INVALID_TOKEN":
            per_token = arrays["advantages"].ndim == 2 or not error.args[0].startswith("advantages")
            sequence, token = divmod(error.index, shape[1]) if per_token else (error.index, None)
            error.args = (f"{error.args[0]} ({place(sequence, token)})",)
        raise
    names = (field.name for field in dataclasses.fields(ModulationStatistics))
    return like(advantages, result), ModulationStatistics(*(getattr(found, name) for name in names))


def _contiguous(value, name, dtype):
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(numbers(value, name), dtype=dtype)
