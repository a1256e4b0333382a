"""Parquet files as rows: TRL's `log_completions` tables, and others with one rollout, or one group, per row."""

from ...errors import MissingExtra
from .errors import LogError, UnknownFormat

ROWS = 4096  # that are held at a time


def open_table(path, raw):
    """The parquet file behind the open binary file `raw`."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtra(f"reading the parquet file {path}", "parquet") from error
    try:
        return ParquetFile(raw)
    except Exception as error:  # pyarrow has no one class for what a damaged file brings about
        raise UnknownFormat(path, None, f"is no valid parquet file: {error}") from error


def table_rows(path, table):
    """Yield the rows of a table as dicts."""
    names = table.schema_arrow.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UnknownFormat(path, None, f"two columns are called {twice!r:.60}; rename one")
    try:
        for batch in table.iter_batches(batch_size=ROWS):
            yield from batch.to_pylist()
    except Exception as error:
        raise LogError(path, None, f"is a damaged parquet file: {error}") from error
