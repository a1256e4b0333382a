"""What tells prompts apart in all of training, as 64-bit integers: integers as they are, strings hashed."""

from typing import Any

import numpy as np

from ..errors import ArgumentTypeError
from .arrays import address, is_tensor, listed, to_numpy
from .cached import cached
from .call import call
from .library import library
from .runs import is_object_array, object_runs
from .types import Keys

_KINDS = str, bytes, int, np.integer
_INT64 = np.dtype(np.int64)
#: Few enough for their copies to lie in memory that is not fresh.
_TEXTS_A_CALL = 256


def key_array(keys: Any) -> np.ndarray:
    """Keys as int64: integers as they are, strings hashed."""
    if type(keys) is np.ndarray and keys.dtype is _INT64 and keys.ndim == 1 and keys.flags.c_contiguous:
        return keys
    if is_tensor(keys) or isinstance(keys, np.ndarray) and keys.dtype.kind in "iu":
        array = to_numpy(keys, "keys")
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise ArgumentTypeError(
                f"keys must be one-dimensional integers or strings, got {array.dtype} of shape {array.shape}"
            )
        return np.ascontiguousarray(array).astype(np.int64, copy=False)
    if isinstance(keys, (str, bytes)) or not hasattr(keys, "__iter__"):
        raise ArgumentTypeError(f"keys must be a sequence of integers or strings, got {keys!r}")
    if isinstance(keys, np.ma.MaskedArray):
        to_numpy(keys, "keys")  # refuses it
    try:
        objects, lengths = object_runs(keys if is_object_array(keys) else list(keys))
        kinds = set(map(type, objects))
        # True and 1.0 would pass for a 1 that came before.
        odd = {kind for kind in kinds if not issubclass(kind, _KINDS) or issubclass(kind, bool)}
        if odd:
            raise TypeError(f"got {next(key for key in objects if type(key) in odd)!r}")
        found = _text_keys(objects) if kinds == {str} else _object_keys(objects)
        return np.repeat(found, lengths)
    except Exception as error:  # whatever a class of the caller's raises
        raise ArgumentTypeError(f"keys must be 64-bit integers or strings: {error}") from error


class BatchKeys:
    """The keys of a batch, made 64-bit integers once, when they are first asked for."""

    def __init__(self, keys: Keys):
        # Where one is asked for, integers and strings of an array or tensor are Python's own.
        self._given: Any = keys if _is_integer_array(keys) else listed(keys, "keys")

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, row: int) -> Any:
        key = self._given[row]
        return key.item() if isinstance(key, np.generic) else key

    @cached
    def hashes(self) -> np.ndarray:
        """(n,) int64, as `key_array` has them."""
        return key_array(self._given)

    @cached
    def listed(self) -> list:
        return listed(self._given, "keys")

    def of(self, source: Any) -> Any:
        """What a source of priors is asked with: the hashes where it `takes_hashes`."""
        return self.hashes if getattr(source, "takes_hashes", False) else self.listed


def _is_integer_array(keys: Any) -> bool:
    """Whether the array is one of integers that all are 64-bit keys."""
    return (
        isinstance(keys, np.ndarray)
        and not isinstance(keys, np.ma.MaskedArray)
        and keys.ndim == 1
        and (keys.dtype.kind == "i" or keys.dtype.kind == "u" and keys.dtype.itemsize < 8)
    )


def _object_keys(objects: list) -> np.ndarray:
    """The keys of integers and strings in a list, (n,) int64."""
    is_text = np.fromiter((isinstance(key, (str, bytes)) for key in objects), bool, len(objects))
    if is_text.all():
        return _text_keys(objects)
    keys = np.empty(len(objects), np.int64)
    for text in (False, True):
        rows = np.flatnonzero(is_text == text)
        chosen = [objects[row] for row in rows.tolist()]
        keys[rows] = _text_keys(chosen) if text else _integer_keys(chosen)
    return keys


def _integer_keys(integers: list) -> list[int]:
    keys = list(map(int, integers))  # numpy 1 compares its own with large integers as floats
    for key in keys:
        if not -(2**63) <= key < 2**63:
            raise TypeError(f"got {key!r}")
    return keys


def _text_keys(texts: list) -> np.ndarray:
    """The hashes of strings and bytes in a list, (n,) int64, by a call of the core for many."""
    keys = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), _TEXTS_A_CALL):
        _hash(texts[start : start + _TEXTS_A_CALL], keys[start : start + _TEXTS_A_CALL])
    return keys


def _hash(texts: list, keys: np.ndarray) -> None:
    if set(map(type, texts)) == {str} and (joined := "".join(texts)).isascii():
        parts, data = texts, joined.encode()
    else:
        parts = [key.encode("utf-8", "surrogatepass") if isinstance(key, str) else bytes(key) for key in texts]
        data = b"".join(parts)
    offsets = np.zeros(len(parts) + 1, np.int64)
    if len(parts) == 1:
        offsets[1] = len(parts[0])
    else:
        np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=offsets[1:])
    if offsets[-1] != len(data):
        raise TypeError("got a string of another length than it says")
    call(library.v05_key_hashes, data, address(offsets), len(parts), address(keys))
