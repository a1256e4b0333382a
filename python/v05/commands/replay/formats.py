"""Log files of every known format, recognised by content, as one stream of rollouts."""

import csv
import gzip
import io
import json
import os
import zlib

from .errors import LogError
from .parquet import Repetitions, open_table, table_layout, table_rows
from .rows import PASS_COUNTS, check_fields, flat_rollout, pass_counts, recognise

REPORT_EVERY = 4096  # rollouts


class LogReader:
    """Streams the rollouts of log files, one file after the other.

    `reward` names the fields that hold the reward, in place of those of the format;
    `progress(stage, done, total)` hears now and then how many of all bytes were read.
    """

    def __init__(self, reward=(), progress=None, total=0):
        self.reward = tuple(reward)
        self.layouts = {}  # every layout met so far, in order
        self.repeated = 0  # rollouts that the trainer wrote twice
        self._repetitions = Repetitions()
        self._progress = progress or (lambda stage, done, total: None)
        self._total = total
        self._finished = 0

    def read(self, path):
        """Yield every rollout of one file."""
        try:
            with open(path, "rb") as raw:
                for number, rollout in enumerate(self._rollouts(path, raw)):
                    if number % REPORT_EVERY == 0:
                        self._progress("reading", self._finished + raw.tell(), self._total)
                    yield rollout
            self._finished += os.path.getsize(path)
        except (OSError, EOFError, zlib.error) as error:
            raise LogError(path, None, f"cannot be read: {error}") from error
        except UnicodeDecodeError as error:
            raise LogError(path, None, f"is neither UTF-8 text nor gzip nor parquet: {error}") from error
        self._progress("reading", self._finished, self._total)

    def _rollouts(self, path, raw):
        magic = raw.read(4)
        raw.seek(0)
        if magic == b"PAR1":
            return self._tables(path, raw)
        stream = gzip.GzipFile(fileobj=raw) if magic[:2] == b"\x1f\x8b" else raw
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        line, first = 1, text.readline()
        while first and first.isspace():
            line, first = line + 1, text.readline()
        if first.startswith("["):
            raise LogError(path, line, "a JSON array is not read as a stream; write one object per line")
        parse = self._json_lines if first.startswith("{") else self._comma_separated
        return parse(path, text, line, first)

    def _adopt(self, path, line, names, layout):
        check_fields(path, line, names, layout)
        self.layouts[layout] = True
        return layout

    def _json_lines(self, path, text, line, row):
        layout = None
        while row:
            if not row.isspace():
                fields = _json_object(path, line, row)
                layout = layout or self._adopt(path, line, list(fields), recognise(fields, self.reward))
                if layout is PASS_COUNTS:
                    yield from pass_counts(path, line, fields)
                else:
                    yield flat_rollout(path, line, fields, layout)
            line, row = line + 1, text.readline()

    def _comma_separated(self, path, text, line, header):
        delimiter = max(",;\t", key=header.count)
        rows = csv.reader(text, delimiter=delimiter)
        names = next(csv.reader([header], delimiter=delimiter), [])
        layout = self._adopt(path, line, names, recognise(names, self.reward)) if header else None
        if layout is PASS_COUNTS:
            raise LogError(path, line, "pass counts are read from JSON lines only")
        try:
            for cells in rows:
                place = line + rows.line_num
                if cells and len(cells) != len(names):
                    raise LogError(path, place, f"has {len(cells)} fields where the header has {len(names)}")
                if cells:
                    yield flat_rollout(path, place, dict(zip(names, cells, strict=True)), layout)
        except csv.Error as error:
            raise LogError(path, line + rows.line_num, f"is no valid CSV: {error}") from error

    def _tables(self, path, raw):
        table = open_table(path, raw)
        layout = table_layout(table, self.reward)
        self._adopt(path, None, table.schema_arrow.names, layout)
        rows = table_rows(table, layout)
        repeated = self._repetitions.count(rows)
        self.repeated += repeated
        for line in range(repeated, len(rows)):
            yield flat_rollout(path, line + 1, rows[line], layout)


def _json_object(path, line, row):
    try:
        fields = json.loads(row)
    except ValueError as error:
        raise LogError(path, line, f"is not valid JSON ({error}); mend or delete the line") from error
    if not isinstance(fields, dict):
        raise LogError(path, line, f"must be a JSON object, got {row.strip():.40}")
    return fields
