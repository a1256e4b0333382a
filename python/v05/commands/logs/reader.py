"""Log files of every known format, recognised by content, as one stream of rollouts."""

from itertools import chain, islice

from .archives import archived
from .errors import LogError, UnknownFormat
from .expand import flat_rows
from .field_names import GROUPS, PROMPTS, REWARDS, STEPS, written
from .fields import Fields
from .layout import check_layout, find_layout, is_evaluation, run_field
from .parquet import open_table, table_rows
from .repetitions import Repetitions
from .rows import pass_counts, rollout
from .streams import PARQUET, ZIP, opened, text_lines, unpacked, whole
from .values import COMMENTS, csv_rows, has_as_many_cells, json_values
from .words import is_folded

REPORT_EVERY = 4096  # rollouts
FIRST_ROWS = 100  # of a parquet file, that its columns are judged by
MOST_OTHERS = 1000  # records before the first that is a rollout
VISITS = {*STEPS, *GROUPS}


class LogReader:
    """Streams the rollouts of log files, one file after the other.

    fields: `Fields` to be used. progress(stage, done, total) hears now and then how many of `total` bytes were read.
    """

    def __init__(self, fields=None, progress=None, total=0):
        self.fields = fields or Fields()
        self.layouts = []  # every layout met so far, in order
        self.run = None  # the first field met that tells which run a row is of
        self.padding = 0  # rows that stand for no rollout
        self.repeated = 0  # rollouts of a batch that its trainer wrote again
        self.tables = 0  # batches that were read
        self.others = 0  # rows that are no rollouts
        self.cut = []  # paths of files whose last line is not whole
        self.unmet = set(self.fields.where)  # fields that rows are chosen by and that none had so far
        self.unwanted = None  # the first row that was left out
        self._repetitions = Repetitions()
        self._progress = progress or (lambda stage, done, total: None)
        self._total = total
        self._finished = 0

    def read(self, file):
        """Yield (number of the layout, number of the table or -1, rollout) for every rollout of a `LogFile`."""
        path = "standard input" if file.path == "-" else file.path
        try:
            with opened(file.path) as (head, stream):
                for number, found in enumerate(self._rollouts(path, head, stream)):
                    if number % REPORT_EVERY == 0:
                        done = self._finished + (stream.tell() if stream.seekable() else 0)
                        self._progress("reading", done, max(done, self._total))
                    yield found
        except RecursionError as error:
            raise LogError(path, None, "is nested too deep; flatten it") from error
        self._finished += file.size
        self._progress("reading", self._finished, max(self._finished, self._total))

    def _rollouts(self, path, head, stream):
        if head.startswith(PARQUET):
            return self._parquet(path, stream if stream.seekable() else whole(path, stream))
        if head.startswith(ZIP):
            return self._json(path, archived(path, stream if stream.seekable() else whole(path, stream)))
        lines = text_lines(path, unpacked(path, head, stream))
        comment, number, first = None, 0, ""
        for number, first in lines:
            if first.isspace():
                continue
            if not first.startswith(COMMENTS):
                break
            comment = number, first
        if not first or first.isspace():
            return iter(())
        if first.lstrip().startswith(("{", "[")):
            return self._json(path, json_values(path, chain([(number, first)], lines), self.cut))
        if comment and has_as_many_cells(comment[1], first):  # "#step,prompt,reward" is the header
            lines = chain([(number, first)], lines)
            number, first = comment[0], comment[1].lstrip("#/ ")
        return self._comma_separated(path, csv_rows(path, number, first, lines, self.cut))

    def _json(self, path, values):
        layout, untold, others, problem = None, False, 0, None
        for line, text, value in values:
            for item in value if isinstance(value, list) else [value]:
                if not isinstance(item, dict):
                    kind = UnknownFormat if layout is None else LogError
                    raise kind(path, line, f"must be a JSON object, got {item!r:.40}")
                mark = hash(text if item is value and text else repr(item)) | 1
                late = untold and not VISITS.isdisjoint(item)  # the rows before had neither step nor group
                if layout is None or layout.table or late or not self._is_flat(item, layout):
                    rows = self._parts(path, line, item)
                    if not rows:
                        continue
                    if len(rows) == 1 and (layout or others < MOST_OTHERS) and self._is_other(rows[0], layout):
                        others += 1
                        problem = problem or (line, rows[0])
                        continue
                    if len(rows) == 1 and layout is not None and self._lacks_reward(rows[0], layout):
                        yield from self._row(path, line, rows[0], layout, mark)  # which asks for it
                        continue
                    layout = self._layout(path, line, _sample(rows), layout, table=len(rows) > 1)
                    if len(rows) > 1:
                        yield from self._batch(path, line, rows, layout, "columns" in item)
                        continue
                    item = rows[0]
                    untold = VISITS.isdisjoint(item) and layout.step is None and layout.group is None
                elif not self._wants(item):
                    continue
                yield from self._row(path, line, item, layout, mark)
        if layout is None and problem:
            check_layout(path, *problem, self.fields, None)
        self.others += others

    def _comma_separated(self, path, rows):
        layout = None
        for line, text, row in rows:
            if layout is None or not self._is_flat(row, layout):
                parts = self._parts(path, line, row)
            else:
                parts = [row] if self._wants(row) else []
            if not parts:
                continue
            layout = layout or self._layout(path, line, parts[0], None)
            if layout.name == "pass counts":
                raise UnknownFormat(path, line, "pass counts are read from JSON lines only")
            for part in parts:
                yield from self._row(path, line, part, layout, hash(text) | 1 if len(parts) == 1 else 0)

    def _parquet(self, path, raw):
        rows = table_rows(path, open_table(path, raw))
        first = list(islice(rows, FIRST_ROWS))
        if not first:
            return
        known = first
        sample = _sample(first)
        inside = any(isinstance(value, dict) for value in sample.values())  # an object may hold reward or step
        if inside or find_layout(sample, self.fields, table=True) is None:
            known = [
                part for line, row in enumerate(first, start=1) for part in flat_rows(path, line, row, self.fields)
            ]
        layout = self._layout(path, None, _sample(known), None, table=True)

        def parts(line, row):
            if not self._is_flat(row, layout):
                return self._parts(path, line, row)
            return [row] if self._wants(row) else []

        if layout.table:
            batch = [part for line, row in enumerate(chain(first, rows), start=1) for part in parts(line, row)]
            yield from self._batch(path, None, batch, layout)
            return
        for line, row in enumerate(chain(first, rows), start=1):
            for part in parts(line, row):
                known = layout if part is row else self._layout(path, line, part, layout)
                yield from self._row(path, line, part, known, hash(repr(row)) | 1 if part is row else 0)

    def _parts(self, path, line, item):
        """The rows in a record that are to be read."""
        return [row for row in flat_rows(path, line, item, self.fields) if self._wants(row)]

    def _wants(self, row):
        """Whether a row is to be read."""
        if self.unmet:  # mostly none is left, and this is done for every row
            self.unmet.difference_update(row)
        wanted = self.fields.want(row)
        if not wanted and self.unwanted is None:
            self.unwanted = row
        return wanted

    def _is_flat(self, row, layout):
        """Whether a row holds one rollout, with the fields of the layout."""
        if layout.prompt not in row or layout.step is not None and "." in layout.step and layout.step not in row:
            return False
        values = [row.get(name, ()) for name in (*layout.rewards, *self.fields.where)]
        return not any(isinstance(value, (list, dict, tuple)) or is_folded(value) for value in values)

    def _is_other(self, row, known):
        """Whether a record is something else than a rollout, such as a configuration or an event: it has neither a
        prompt nor a reward, by any name; known: the layout of the rows before."""
        if find_layout(row, self.fields) is not None:
            return False
        names = {*self.fields.names(), *written((*PROMPTS, *REWARDS), row)}
        if known is not None:
            names |= {known.prompt, *known.rewards}
        return names.isdisjoint(row)

    def _lacks_reward(self, row, known):
        """Whether a row has the prompt of the rows before and another reward, which would be on another scale."""
        if known.table or known.prompt not in row or is_evaluation(row) or find_layout(row, self.fields) is None:
            return False
        return not any(name == field or name.startswith(f"{field}.") for field in known.rewards for name in row)

    def _layout(self, path, line, row, known, table=False):
        """The layout of a row; where it has none, that of the rows before, so that the error is about the row."""
        layout = check_layout(path, line, row, self.fields, find_layout(row, self.fields, table=table) or known)
        if layout not in self.layouts:
            self.layouts.append(layout)
        return layout

    def _batch(self, path, line, rows, layout, logged_whole=False):
        """The rows that stand together in a table; of a trainer's batch, and of a table logged whole, those that
        were not written before."""
        table, repeated = -1, 0
        if layout.table:
            table, self.tables = self.tables, self.tables + 1
        if layout.table or logged_whole:
            repeated = self._repetitions.count(rows, layout.step, whole=not layout.table)
            self.repeated += repeated
        for place, row in enumerate(rows[repeated:], start=repeated + 1):
            yield from self._row(path, place if line is None else line, row, layout, 0, table)

    def _row(self, path, line, row, layout, mark, table=-1):
        number = self.layouts.index(layout)
        self.run = self.run or run_field(row)
        if layout.name == "pass counts":
            for found in pass_counts(path, line, row):
                yield number, table, found
        elif (found := rollout(path, line, row, layout, mark, self.run)) is None:
            self.padding += 1
        else:
            yield number, table, found


def _sample(rows):
    """One row with a value for every column that has one anywhere."""
    sample = {}
    for row in rows:
        for name, value in row.items():
            if sample.get(name) is None:
                sample[name] = value
    return sample
