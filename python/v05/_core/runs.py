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
    array = values if isinstance(values, np.ndarray) else np.fromiter(values, object, len(values))
    array = np.ascontiguousarray(array)
    compared = np.frombuffer(array, np.intp) if array.dtype.kind == "O" else array  # where the objects lie
    first = np.ones(len(array), bool)
    np.not_equal(compared[1:], compared[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    return array[starts].tolist(), np.diff(starts, append=len(array))
