"""Rows that hold the same object as the row before: in a batch most do, and what is looked up once a run is looked up
seldom."""

from typing import Any

import numpy as np


def is_object_array(values: Any) -> bool:
    """Whether values are an array of objects or strings, which `object_runs` takes as it is."""
    return (
        isinstance(values, np.ndarray)
        and not isinstance(values, np.ma.MaskedArray)
        and values.ndim == 1
        and values.dtype.kind in "OUS"
    )


def object_runs(values: list | np.ndarray) -> tuple[list, np.ndarray | int]:
    """(objects, lengths): the entries of a list or array of objects or strings, each run of the same one once, and the
    rows of each run, one number where all are as long. Equal entries in different objects may be runs of their own."""
    if len(values) < 2:
        return values if isinstance(values, list) else values.tolist(), 1
    array = values if isinstance(values, np.ndarray) else np.fromiter(values, object, len(values))
    array = np.ascontiguousarray(array)
    compared = np.frombuffer(array, np.intp) if array.dtype.kind == "O" else array  # where the objects lie
    changes = compared[1:] != compared[:-1]
    length = int(changes.argmax()) + 1  # of the first run, and most often of all
    if (
        len(array) % length == 0
        and np.count_nonzero(changes) == len(array) // length - 1
        and changes[length - 1 :: length].all()
    ):
        return array[::length].tolist(), length
    starts = np.concatenate([[0], changes.nonzero()[0] + 1, [len(array)]])
    return array[starts[:-1]].tolist(), np.diff(starts)
