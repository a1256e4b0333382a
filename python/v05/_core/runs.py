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


def object_runs(values: list | np.ndarray) -> tuple[list, np.ndarray]:
    """(objects, lengths): the entries of a list or array of objects or strings, each run of the same one once, and the
    rows of each run. Equal entries in different objects may be runs of their own."""
    if type(values) is list and len(values) == 1:
        return values, np.ones(1, np.int64)
    array = values if isinstance(values, np.ndarray) else np.fromiter(values, object, len(values))
    array = np.ascontiguousarray(array)
    compared = np.frombuffer(array, np.intp) if array.dtype.kind == "O" else array  # where the objects lie
    changes = np.flatnonzero(compared[1:] != compared[:-1])
    starts = np.zeros(len(changes) + min(len(array), 1) + 1, np.int64)
    np.add(changes, 1, out=starts[1:-1])
    starts[-1] = len(array)
    return array[starts[:-1]].tolist(), starts[1:] - starts[:-1]
