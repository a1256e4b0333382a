"""The shortest way from tensors and arrays that need no conversion to the core and back: what `advantages` is mostly
called with.

Everything else, and everything that the core refuses, goes the general way, which gives the same numbers and the
messages.
"""

import sys
from collections.abc import Callable
from ctypes import byref, c_size_t, c_void_p
from typing import Any

import numpy as np

from . import prototypes as c
from .arrays import address
from .library import library
from .scratch import Scratch, put_back, take, workspace_size

_FLOAT32, _FLOAT64, _INT64 = map(np.dtype, (np.float32, np.float64, np.int64))
#: By the arguments they were made from; a program has a few.
_options: dict[tuple, c.EstimationOptions] = {}
_MOST_OPTIONS = 64
#: Without argument types, which take as long to convert as a small batch to estimate.
_estimate = library["v05_baseline_estimate"]


def kept_options(arguments: tuple, make: Callable[[], c.EstimationOptions]) -> c.EstimationOptions | None:
    """The options struct of these arguments, made once; None where they cannot be told apart."""
    try:
        found = _options.get(arguments)
    except TypeError:
        return None
    if found is None:
        found = make()
        if len(_options) >= _MOST_OPTIONS:
            _options.clear()
        _options[arguments] = found
    return found


def advantages(rewards: Any, groups: Any, prior: Any, options: c.EstimationOptions) -> Any:
    """The advantages, in the kind of the rewards, or None where the general way is needed.

    rewards float32 or float64, groups int64, prior None or float64: each a tensor or array, plain, one-dimensional and
    contiguous, of one length. options: of `kept_options`.
    """
    torch: Any = sys.modules.get("torch")
    kind = type(rewards)
    if kind is np.ndarray:
        single = rewards.dtype is _FLOAT32
        if rewards.ndim != 1 or not single and rewards.dtype is not _FLOAT64 or not _is_behaved(rewards):
            return None
        count, values = rewards.size, address(rewards)
    else:
        if kind is not getattr(torch, "Tensor", None):
            return None
        single = rewards.dtype is torch.float32
        if rewards.dim() != 1 or not single and rewards.dtype is not torch.float64 or not _is_plain(rewards, torch):
            return None
        count, values = rewards.numel(), rewards.data_ptr()
    ids = _address(groups, count, _INT64, torch, "int64")
    priors = None if prior is None else _address(prior, count, _FLOAT64, torch, "float64")
    if ids is None or priors is None and prior is not None or count == 0:
        return None

    if kind is np.ndarray:
        result = np.empty_like(rewards)
        output = address(result)
    else:
        result = torch.empty_like(rewards)
        output = result.data_ptr()
    scratch = take()
    batch, estimate = scratch.batch, scratch.result
    batch.row_count = count
    batch.group_ids = ids
    batch.prior = priors
    if single:
        batch.rewards_f32, batch.rewards_f64 = values, None
        estimate.advantages_f32, estimate.advantages_f64 = output, None
    else:
        batch.rewards_f32, batch.rewards_f64 = None, values
        estimate.advantages_f32, estimate.advantages_f64 = None, output
    if scratch.made_for != (count, options):
        _prepare(scratch, count, options)
    status = _estimate(*scratch.arguments)
    put_back(scratch)
    return result if status == 0 else None


def _prepare(scratch: Scratch, count: int, options: c.EstimationOptions) -> None:
    """The arguments of a call with this many rows."""
    scratch.reserve(workspace_size(scratch.batch, options))
    structs = byref(scratch.batch), byref(options), None, None
    memory = c_void_p(scratch.address), c_size_t(scratch.size)
    scratch.arguments = *structs, *memory, byref(scratch.result), byref(scratch.error)
    scratch.made_for = count, options


def _is_plain(value: Any, torch: Any) -> bool:
    """Whether it is a tensor whose memory holds its numbers, on the CPU."""
    return value.layout is torch.strided and value.is_cpu and value.is_contiguous() and not value.is_neg()


def _is_behaved(array: np.ndarray) -> bool:
    return array.flags.c_contiguous and array.flags.aligned


def _address(value: Any, count: int, dtype: np.dtype, torch: Any, name: str) -> int | None:
    """Where (count,) numbers of a type, by its names in numpy and torch, lie; None for anything else."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype is dtype and value.shape == (count,) and _is_behaved(value):
            return address(value)
    elif kind is getattr(torch, "Tensor", None):
        if (
            value.dtype is getattr(torch, name)
            and value.dim() == 1
            and value.numel() == count
            and _is_plain(value, torch)
        ):
            return value.data_ptr()
    return None
