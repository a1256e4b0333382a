"""Lists, numpy arrays and torch tensors on the way to the core and back.

The core reads contiguous float32 or float64 rewards, int64 group ids, float64 priors and a byte mask. Arrays
that are that already are passed as they are; everything else is converted once.
"""

import itertools
import numbers as abstract
import sys
from collections import defaultdict
from ctypes import addressof, c_char
from typing import Any

import numpy as np

from ..errors import ArgumentTypeError, InvalidArgument
from .runs import is_object_array, object_runs

_FLOAT64 = np.dtype(np.float64)
_BOOLEAN, _INTEGER, _NUMBER = (bool, np.bool_), abstract.Integral, (abstract.Number, np.bool_)


def is_tensor(value: Any) -> bool:
    """Whether value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_numpy(value: Any, name: str) -> np.ndarray:
    """A numpy array over value; tensors come to the CPU, detached."""
    if isinstance(value, np.ma.MaskedArray):  # numpy would hand on what lies under the mask
        raise ArgumentTypeError(
            f"{name} must not be a masked array: pass its data, and mask=~array.mask for rows to leave out"
        )
    if is_tensor(value):
        try:
            tensor = value.detach().cpu()
            if tensor.is_floating_point() and tensor.dtype.itemsize < 4:
                tensor = tensor.float()
            return tensor.resolve_neg().numpy()
        except Exception as error:
            raise ArgumentTypeError(
                f"{name} must be a dense tensor that can be copied to the CPU, got {value.dtype} on {value.device}: "
                f"{error}"
            ) from error
    try:
        return np.asarray(value)
    except Exception as error:
        raise ArgumentTypeError(f"{name} must be an array of numbers, got {type(value).__name__}: {error}") from error


def listed(values: Any, name: str) -> list:
    """The entries of values in a list, integers and strings of an array as Python's own."""
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
        raise ArgumentTypeError(f"{name} must have one entry per reward, got {type(values).__name__}")
    try:
        if is_tensor(values) or isinstance(values, np.ndarray):
            return to_numpy(values, name).tolist()
        return list(values)
    except ArgumentTypeError:
        raise
    except Exception as error:  # whatever a class of the caller's raises
        raise ArgumentTypeError(f"{name} must be a sequence, got {type(values).__name__}: {error!r}") from error


def in_reward_units(value: Any, name: str, interval: tuple[float, ...]) -> np.ndarray:
    """A numpy array over value, with half precision as float32.

    Half precision cannot say 0.3: what equals a bound of the interval, rounded alike, is taken for that bound.
    """
    if type(value) is np.ndarray and value.dtype is _FLOAT64:
        return value
    array = to_numpy(value, name)
    if is_tensor(value) and value.is_floating_point() and value.dtype.itemsize < 4:
        rounded = value.detach().new_tensor(interval, device="cpu").float().numpy()
    elif array.dtype.kind == "f" and array.dtype.itemsize == 2:  # of either byte order
        with np.errstate(over="ignore"):
            rounded = np.array(interval).astype(np.float16)
    else:
        return array
    array = array.astype(np.float32)
    for bound, near in zip(interval, rounded):
        array[np.isfinite(array) & (array == near)] = bound
    return array


def like(original: Any, array: np.ndarray) -> Any:
    """The array in the kind, dtype and device of what was given; integers and booleans give floats. What half precision
    cannot hold is its largest number, as single precision has it."""
    if is_tensor(original):
        import torch

        dtype = original.dtype if original.is_floating_point() else torch.get_default_dtype()
        found = torch.from_numpy(array)
        if dtype.itemsize < array.dtype.itemsize:
            found = found.clamp(-torch.finfo(dtype).max, torch.finfo(dtype).max)
        return found.to(device=original.device, dtype=dtype)
    if isinstance(original, np.ndarray) and original.dtype.kind == "f":
        if original.dtype.itemsize < array.dtype.itemsize:
            array = np.clip(array, -np.finfo(original.dtype).max, np.finfo(original.dtype).max)
        return array.astype(original.dtype, copy=False)
    return array


class Rewards:
    """Rewards as the core reads them, and how to give results back in their kind, dtype and device.

    Floating dtypes are kept; half precision is computed as float32; integers and booleans as float64.
    """

    def __init__(self, rewards: Any, interval: tuple[float, float]) -> None:
        self.original = rewards
        array = in_reward_units(rewards, "rewards", interval)
        if array.dtype.kind not in "fiub" and array.size:
            raise ArgumentTypeError(
                f"rewards must be numbers, got dtype {array.dtype} (an unscorable rollout belongs in the mask)"
            )
        if array.ndim != 1:
            raise InvalidArgument(f"rewards must have one dimension (rollouts), got shape {array.shape}")
        self.single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
        self.array = np.ascontiguousarray(array, dtype=np.float32 if self.single else np.float64)

    def __len__(self) -> int:
        return len(self.array)

    @property
    def address(self) -> int | None:
        return address(self.array)

    def output(self) -> np.ndarray:
        """Memory for the advantages that the core writes; `like_original` makes the result of it."""
        return np.empty_like(self.array)

    def like_original(self, array: np.ndarray) -> Any:
        return array.tolist() if isinstance(self.original, (list, tuple)) else like(self.original, array)


class Groups:
    """Group ids as int64 for the core; any hashables are numbered in order of first appearance."""

    def __init__(self, groups: Any, count: int) -> None:
        self.dtype: np.dtype = np.dtype(np.int64)
        self.named: list | None = None  # by the numbers that the core gets
        if is_tensor(groups) or isinstance(groups, np.ndarray) and groups.dtype.kind in "iubfc":
            array = to_numpy(groups, "groups")
            if array.ndim != 1 or array.dtype.kind not in "iub":
                raise ArgumentTypeError(
                    f"groups must be one-dimensional integers or hashables, got {array.dtype} of shape {array.shape}"
                )
            if array.dtype.kind == "u":
                self.dtype = array.dtype
            self.ids = np.ascontiguousarray(array).astype(np.int64, copy=False)
        else:
            self.ids = self.number(groups)
        if len(self.ids) != count:
            raise InvalidArgument(f"groups must have one entry per reward, got {len(self.ids)} for {count} rewards")

    def number(self, groups: Any) -> np.ndarray:
        objects, lengths = object_runs(groups if is_object_array(groups) else listed(groups, "groups"))
        try:
            # In order of first appearance. Most often each run is a group: then there is nothing to look up.
            if len(set(objects)) == len(objects):
                labels, ids = objects, np.arange(len(objects))
            else:
                number_of: defaultdict[Any, int] = defaultdict(itertools.count().__next__)
                ids = np.fromiter(map(number_of.__getitem__, objects), np.int64, len(objects))
                labels = list(number_of)
        except Exception as error:  # no hash, or one that raises
            raise ArgumentTypeError(f"groups must be integers or hashables: {error}") from error
        self._check_kinds(objects)
        self.named = labels
        return ids.repeat(lengths)

    @staticmethod
    def _check_kinds(groups):
        """NaN and tensors equal nothing, so that each row would be a group of its own; True and 1.0 equal 1."""
        if _are_texts(groups):
            return
        kinds = set(map(type, groups))
        integers = {kind for kind in kinds if issubclass(kind, _INTEGER) and not issubclass(kind, _BOOLEAN)}
        booleans = {kind for kind in kinds if issubclass(kind, _BOOLEAN)}
        numbers = {kind for kind in kinds if issubclass(kind, _NUMBER)}
        odd = numbers - integers - (set() if integers else booleans)
        odd |= {kind for kind in kinds if kind.__module__.partition(".")[0] == "torch"}
        if odd:
            label = next(label for label in groups if type(label) in odd)
            rule = (
                "not mix booleans with integers, which they equal"
                if type(label) in booleans
                else "be integers or hashables, neither floats nor tensors"
            )
            raise ArgumentTypeError(f"groups must {rule}, got {label!r:.100}")

    def labels(self, ids: np.ndarray) -> np.ndarray:
        """The caller's ids of the groups that the core lists."""
        if self.named is None:
            return ids.astype(self.dtype, copy=False)
        dtype = np.int64 if all(map(_is_int64, self.named)) else object
        return np.fromiter(map(self.named.__getitem__, ids.tolist()), dtype, len(ids))

    def label(self, row: int) -> Any:
        """The caller's id of the group of one row."""
        return self.labels(self.ids[row : row + 1]).tolist()[0]

    def distinct(self) -> tuple[list, np.ndarray]:
        """The caller's ids, each once, and which of them each row has."""
        if self.named is not None:
            return self.named, self.ids
        ids, rows = np.unique(self.ids, return_inverse=True)
        return self.labels(ids).tolist(), rows


def _are_texts(values):
    try:
        "".startswith(tuple(values), 1)  # Python's quickest look at the kind of each: nothing starts behind the end
    except TypeError:
        return False
    return True


def _is_int64(label):
    return type(label) is int and -(2**63) <= label < 2**63


def numbers(values: Any, name: str) -> np.ndarray:
    """A numpy array over values, which must be numbers."""
    array = to_numpy(values, name)
    if array.dtype.kind not in "fiub":
        raise ArgumentTypeError(f"{name} must be numbers, got dtype {array.dtype}")
    return array


def optional_numbers(value: Any, name: str, interval: tuple[float, ...]) -> np.ndarray:
    """Numbers as float64, NaN for None."""
    array = in_reward_units(value, name, interval)
    try:
        if array.dtype.kind not in "fiubO":
            raise TypeError("a number is needed")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{name} must be numbers, got dtype {array.dtype}: {error}") from error


def column(
    values: Any, name: str, dtype: type[np.generic], count: int | None = None, per: str = "prompt"
) -> np.ndarray:
    """One number per prompt as a contiguous array, a single number as one of length 1; None becomes NaN."""
    given = to_numpy(values, name)
    try:
        if given.dtype.kind not in "fiubO":
            raise TypeError("numbers are needed")
        array = np.ascontiguousarray(given, dtype=dtype)
        if (
            dtype == np.int64
            and given.size
            and (given.dtype.kind == "f" or not np.array_equal(array, np.atleast_1d(given)))
        ):
            raise TypeError("64-bit integers are needed")
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{name} must be numbers, got dtype {given.dtype}: {error}") from error
    if array.ndim != 1 or count is not None and len(array) != count:
        wanted = "one dimension (prompts)" if count is None else f"one entry per {per} ({count})"
        raise InvalidArgument(f"{name} must have {wanted}, got shape {array.shape}")
    return array


def prior_rows(prior: Any, groups: Groups, interval: tuple[float, float], name: str = "prior") -> np.ndarray | None:
    """Prior values (or strengths) per row as float64, or None: from a scalar, one per row, or a dict by group id."""
    if prior is None:
        return None
    count = len(groups.ids)
    if isinstance(prior, dict):
        labels, rows = groups.distinct()
        array = optional_numbers([prior.get(label) for label in labels], name, interval)[rows]
    else:
        array = optional_numbers(prior, name, interval)
    if array.ndim == 0:
        return np.full(count, array)
    if array.shape != (count,):
        raise InvalidArgument(
            f"{name} must be a number, a dict by group or one value per reward, got shape {array.shape} for {count} "
            "rewards"
        )
    return np.ascontiguousarray(array)


def mask_bytes(mask: Any) -> np.ndarray:
    """A byte an entry from booleans, or 0 and 1, of any shape."""
    array = to_numpy(mask, "mask")
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"mask must be booleans, got dtype {array.dtype}")
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array).view(np.uint8)
    others = array[(array != 0) & (array != 1)]
    if others.size:
        raise InvalidArgument(f"mask must be booleans, or 0 and 1, got {others[0]}")
    return np.ascontiguousarray(array, dtype=np.uint8)


def weight_rows(weights: Any, count: int, name: str = "weights") -> np.ndarray | None:
    """One weight per row as float64, or None."""
    if weights is None:
        return None
    array = optional_numbers(weights, name, ())
    if array.shape != (count,):
        raise InvalidArgument(f"{name} must have one entry per reward, got shape {array.shape} for {count} rewards")
    return np.ascontiguousarray(array)


def mask_rows(mask: Any, count: int) -> np.ndarray | None:
    """A byte a row, 0 takes the row out; or None."""
    if mask is None:
        return None
    array = mask_bytes(mask)
    if array.shape != (count,):
        raise InvalidArgument(f"mask must have one entry per reward, got shape {array.shape} for {count} rewards")
    return array


def address(array: np.ndarray | None) -> int | None:
    """Where a contiguous array lies, or None. The attribute `ctypes` of an array takes five times as long."""
    if array is None:
        return None
    buffer: Any = array
    try:
        return addressof(c_char.from_buffer(buffer))
    except (TypeError, ValueError):  # read only, or empty
        return array.ctypes.data
