"""Numbers for equal rows of several columns."""

import numpy as np


def numbered(*columns):
    """(n,) int64: equal numbers for rows that are equal in all columns, from 0 in the order of the columns' values."""
    order = np.lexsort(columns[::-1])
    begins = np.zeros(len(order), bool)
    for column in columns:
        values = column[order]
        begins[1:] |= values[1:] != values[:-1]
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(begins)
    return number


def earlier_occurrences(values):
    """For each value how many equal ones stand before it, (n,) int64; values are >= 0."""
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(np.diff(values[order], prepend=-1))
    lengths = np.diff(begins, append=len(values))
    number = np.empty(len(values), dtype=np.int64)
    number[order] = np.arange(len(values)) - np.repeat(begins, lengths)
    return number
