"""Lists, numpy arrays and torch tensors on the way to the core and back.

The core reads contiguous float32 or float64 rewards, int64 group ids, float64 priors and a byte mask. Arrays
that are that already are passed as they are; everything else is converted once.
"""

import collections
import itertools
import sys

import numpy as np

from .errors import ArgumentTypeError, InvalidArgument


def is_tensor(value):
    """Whether value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_numpy(value, name):
    """A numpy array over value; tensors come to the CPU, detached."""
    if is_tensor(value):
        try:
            tensor = value.detach().cpu()
            if tensor.is_floating_point() and tensor.dtype.itemsize < 4:
                tensor = tensor.float()
            return tensor.resolve_neg().numpy()
        except Exception as error:
            raise ArgumentTypeError(
                f"{name} must be a dense tensor that can be copied to the CPU, got {value.dtype} on {value.device}: {error}"
            ) from error
    try:
        return np.asarray(value)
    except Exception as error:
        raise ArgumentTypeError(f"{name} must be an array of numbers, got {type(value).__name__}: {error}") from error


class Rewards:
    """Rewards as the core reads them, and how to give results back in their kind, dtype and device.

    Floating dtypes are kept; half precision is computed as float32; integers and booleans as float64.
    """

    def __init__(self, rewards):
        self.original = rewards
        array = to_numpy(rewards, "rewards")
        if array.ndim != 1:
            raise InvalidArgument(f"rewards must have one dimension (rollouts), got shape {tuple(array.shape)}")
        if array.dtype.kind not in "fiub" and not (array.size == 0):
            raise ArgumentTypeError(
                f"rewards must be numbers, got dtype {array.dtype} (an unscorable rollout belongs in the mask)"
            )
        self.single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
        self.array = np.ascontiguousarray(array, dtype=np.float32 if self.single else np.float64)

    def __len__(self):
        return len(self.array)

    @property
    def address(self):
        return self.array.ctypes.data

    def output(self):
        """Memory for advantages: the array that the core writes and the function that turns it into the result."""
        return np.empty_like(self.array)

    def like_original(self, array):
        original = self.original
        if is_tensor(original):
            import torch

            dtype = original.dtype if original.is_floating_point() else torch.get_default_dtype()
            return torch.from_numpy(array).to(device=original.device, dtype=dtype)
        if isinstance(original, np.ndarray):
            return array.astype(original.dtype, copy=False) if original.dtype.kind == "f" else array
        return array.tolist() if isinstance(original, (list, tuple)) else array

    def rounded(self, low, high):
        """The interval in the precision of the rewards: half precision cannot say 0.3 as float32 does."""
        original = self.original
        if is_tensor(original) and original.is_floating_point() and original.dtype.itemsize < 4:
            import torch

            return tuple(torch.tensor([low, high], dtype=original.dtype).double().tolist())
        if isinstance(original, np.ndarray) and original.dtype == np.float16:
            return float(np.float16(low)), float(np.float16(high))
        return low, high


class Groups:
    """Group ids as int64 for the core; any hashables are numbered in order of first appearance."""

    def __init__(self, groups, count):
        self.original = groups
        self.numbers = None
        if is_tensor(groups) or isinstance(groups, np.ndarray) and groups.dtype.kind in "iub":
            array = to_numpy(groups, "groups")
            if array.ndim != 1 or array.dtype.kind not in "iub":
                raise ArgumentTypeError(
                    f"groups must be one-dimensional integers or hashables, got {array.dtype} of shape {tuple(array.shape)}"
                )
            self.ids = np.ascontiguousarray(array).astype(np.int64, copy=False)
        else:
            self.ids = self.number(groups)
        if len(self.ids) != count:
            raise InvalidArgument(f"groups must have one entry a reward, got {len(self.ids)} for {count} rewards")

    def number(self, groups):
        if isinstance(groups, np.ndarray):
            if groups.ndim != 1 or groups.dtype.kind in "fc":
                raise ArgumentTypeError(
                    f"groups must be one-dimensional integers or hashables, got {groups.dtype} of shape {groups.shape}"
                )
            groups = groups.tolist()
        elif isinstance(groups, (str, bytes, dict)) or not hasattr(groups, "__iter__"):
            raise ArgumentTypeError(f"groups must have one entry a reward, got {type(groups).__name__}")
        elif not hasattr(groups, "__len__"):
            groups = list(groups)
        numbers = collections.defaultdict(itertools.count().__next__)
        try:
            ids = np.fromiter(map(numbers.__getitem__, groups), np.int64, len(groups))
        except TypeError as error:
            raise ArgumentTypeError(f"groups must be integers or hashables: {error}") from error
        self.numbers = numbers
        return ids

    def labels(self, ids):
        """The caller's ids of the groups that the core lists."""
        if self.numbers is None:
            if is_tensor(self.original) or self.original.dtype.kind != "u":
                return ids
            return ids.astype(self.original.dtype)
        labels = list(self.numbers)
        return np.array([labels[number] for number in ids], dtype=object) if not _all_int(labels) else np.array(
            [labels[number] for number in ids])

    def label(self, row):
        """The caller's id of the group of one row."""
        if self.numbers is None:
            return self.ids[row].item()
        return list(self.numbers)[self.ids[row]]


def _all_int(labels):
    return all(type(label) is int and -(2**63) <= label < 2**63 for label in labels)


def prior_rows(prior, groups):
    """Prior values a row as float64, or None: from a scalar, a value a row, or a dict by group id."""
    if prior is None:
        return None
    count = len(groups.ids)
    if isinstance(prior, dict):
        if groups.numbers is not None:
            labels, rows = list(groups.numbers), groups.ids
        else:
            labels, rows = np.unique(groups.ids, return_inverse=True)
            labels = groups.labels(labels).tolist()
        try:
            return np.array([prior.get(label, np.nan) for label in labels], dtype=np.float64)[rows]
        except (TypeError, ValueError) as error:
            raise ArgumentTypeError(f"prior must map group ids to numbers: {error}") from error
    array = to_numpy(prior, "prior")
    try:
        array = np.ascontiguousarray(array, dtype=np.float64) if array.ndim else np.full(count, float(array))
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"prior must be numbers, got dtype {array.dtype}: {error}") from error
    if array.shape != (count,):
        raise InvalidArgument(
            f"prior must be a number, a dict by group or one value a reward, got shape {array.shape} for {count} rewards"
        )
    return array


def mask_rows(mask, count):
    """A byte a row, 0 takes the row out; or None."""
    if mask is None:
        return None
    array = to_numpy(mask, "mask")
    if array.dtype.kind not in "biuf" and array.size:
        raise ArgumentTypeError(f"mask must be booleans, got dtype {array.dtype}")
    if array.shape != (count,):
        raise InvalidArgument(f"mask must have one entry a reward, got shape {array.shape} for {count} rewards")
    return np.ascontiguousarray(array != 0).view(np.uint8)


def address(array):
    return None if array is None else array.ctypes.data
