"""The shortest way from tensors and arrays that need no conversion to the core and back: what `advantages` is mostly
called with.

Everything else, and everything that the core refuses, goes the general way, which gives the same numbers and the
messages.
"""

import sys
import threading
from ctypes import byref, c_size_t

import numpy as np

from . import prototypes as c
from .library import library

#: A thread keeps up to so many bytes of workspace from call to call; fresh memory costs more than the estimation.
_LARGEST_WORKSPACE = 64 << 20
_FLOAT32, _FLOAT64, _INT64 = map(np.dtype, (np.float32, np.float64, np.int64))
#: By the arguments they were made from; a program has a few.
_options: dict = {}
_MOST_OPTIONS = 64


class _Call:
    """The structs of a call and its workspace, used again by the next one of the thread."""

    def __init__(self):
        self.batch = c.Batch()
        self.batch_reference = byref(self.batch)
        self.estimate = c.Estimate()
        self.estimate_reference = byref(self.estimate)
        self.error = c.Error()
        self.error_reference = byref(self.error)
        self.size = c_size_t()
        self.workspace = None
        self.address = None
        self.available = 0
        self.sized_for = None

    def reserve(self, count, options):
        """(address, bytes) of the workspace for so many rows; of none where that would be too much to keep."""
        if self.sized_for != (count, options):
            library.v05_estimation_workspace_size(self.batch_reference, options, byref(self.size), None)
            self.sized_for = count, options
        needed = self.size.value
        if needed > _LARGEST_WORKSPACE:
            return None, 0
        if needed > self.available:
            self.workspace = np.empty(needed + needed // 4, np.uint8)
            self.address, self.available = _array_address(self.workspace), len(self.workspace)
        return self.address, self.available


class _Calls(threading.local):
    """Of a thread. Taken out while in use: what interrupts a call in its own thread, such as a signal handler, gets
    another."""

    free = None


_calls = _Calls()


def options_reference(key, make):
    """byref of the options struct of these arguments, made once; None where they cannot be kept apart."""
    try:
        found = _options.get(key)
    except TypeError:
        return None
    if found is None:
        struct = make()
        if len(_options) >= _MOST_OPTIONS:
            _options.clear()
        found = _options[key] = byref(struct)
    return found


def advantages(rewards, groups, prior, options):
    """The advantages, in the kind of the rewards, or None where the general way is needed.

    rewards float32 or float64, groups int64, prior None or float64: each a tensor or array, plain, one-dimensional and
    contiguous, of one length. options: of `options_reference`.
    """
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    kind = type(rewards)
    if kind is tensor:
        if rewards.dim() != 1 or not _is_plain(rewards, torch):
            return None
        single = rewards.dtype is torch.float32
        if not single and rewards.dtype is not torch.float64:
            return None
        address, count = rewards.data_ptr(), rewards.shape[0]
    elif kind is np.ndarray:
        single = rewards.dtype is _FLOAT32
        if rewards.ndim != 1 or not single and rewards.dtype is not _FLOAT64 or not _is_behaved(rewards):
            return None
        address, count = _array_address(rewards), len(rewards)
    else:
        return None
    ids = _address(groups, count, _INT64, "int64", tensor, torch)
    if ids is None:
        return None
    values = None
    if prior is not None:
        values = _address(prior, count, _FLOAT64, "float64", tensor, torch)
        if values is None:
            return None
    if count == 0:
        return None
    result = torch.empty_like(rewards) if kind is tensor else np.empty_like(rewards)
    output = result.data_ptr() if kind is tensor else _array_address(result)

    call = _calls.free or _Call()
    _calls.free = None
    batch, estimate = call.batch, call.estimate
    batch.row_count = count
    batch.group_ids = ids
    batch.prior = values
    if single:
        batch.rewards_f32, batch.rewards_f64 = address, None
        estimate.advantages_f32, estimate.advantages_f64 = output, None
    else:
        batch.rewards_f32, batch.rewards_f64 = None, address
        estimate.advantages_f32, estimate.advantages_f64 = None, output
    workspace, size = call.reserve(count, options)
    status = library.v05_baseline_estimate(
        call.batch_reference, options, None, None, workspace, size, call.estimate_reference, call.error_reference
    )
    _calls.free = call
    return result if status == 0 else None


def _is_plain(value, torch):
    """A tensor whose memory holds its numbers, on the CPU, without a gradient to care for."""
    return (
        value.layout is torch.strided
        and value.is_cpu
        and value.is_contiguous()
        and not value.requires_grad
        and not value.is_neg()
    )


def _is_behaved(array):
    return array.flags.c_contiguous and array.flags.aligned


def _array_address(array):
    return array.__array_interface__["data"][0]


def _address(value, count, dtype, name, tensor, torch):
    """Where (count,) numbers of a type lie; None for anything else."""
    kind = type(value)
    if kind is tensor:
        if value.dtype is getattr(torch, name) and value.shape == (count,) and _is_plain(value, torch):
            return value.data_ptr()
    elif kind is np.ndarray and value.dtype is dtype and value.shape == (count,) and _is_behaved(value):
        return _array_address(value)
    return None
