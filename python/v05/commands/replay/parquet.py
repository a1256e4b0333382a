"""Parquet logs: TRL's `log_completions` tables, and tables with one rollout a row."""

import json
from hashlib import blake2b

from ...errors import MissingExtra
from .errors import LogError
from .rows import Layout, recognise

TRL = {"prompt", "completion", "advantage"}


def open_table(path, raw):
    """The parquet file behind the open binary file `raw`."""
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtra(f"reading the parquet file {path}", "parquet") from error
    try:
        return ParquetFile(raw)
    except ArrowInvalid as error:
        raise LogError(path, None, f"is no valid parquet file: {error}") from error


def table_layout(table, reward=()):
    """The layout of a table, or None.

    TRL writes one column of floats for each reward function, named after it; the reward is
    their sum.
    """
    from pyarrow import types

    schema = table.schema_arrow
    if reward or not TRL.issubset(schema.names):
        return recognise(schema.names, reward)
    floats = [field.name for field in schema if types.is_floating(field.type)]
    functions = [name for name in floats if name not in ("step", "advantage", "prior")]
    return Layout("TRL completions", "prompt", tuple(functions)) if functions else None


def table_rows(table, layout):
    """All rows of a table as dicts, reduced to the columns that matter here."""
    wanted = {layout.prompt, *layout.reward, layout.step, layout.prior, "completion", "advantage"}
    names = [name for name in table.schema_arrow.names if name in wanted]
    return table.read(columns=names).to_pylist()


class Repetitions:
    """Finds the rows at the start of a table that end the table before it.

    TRL writes the completions that it holds at every logging step, so one batch stands in
    several files when it logs more often than it generates.
    """

    def __init__(self):
        self._last = []

    def count(self, rows):
        """How many leading rows of this table the table before ended with."""
        digests = [_digest(row) for row in rows]
        last, self._last = self._last, digests
        for start in range(len(last)):
            if last[start:] == digests[: len(last) - start]:
                return len(last) - start
        return 0


def _digest(row):
    content = {name: value for name, value in row.items() if name != "step"}
    return blake2b(json.dumps(content, sort_keys=True, default=str).encode(), digest_size=16).digest()
