"""The records of a text log: lines of JSON, JSON documents, CSV."""

import csv
import json
import re

from .errors import LogError, UnknownFormat
from .streams import MOST
from .words import DECIMAL

SPACE = re.compile(r"\s*")
COMMENTS = ("#", "//")  # what people write before a table, and between lines of JSON
DELIMITERS = ",;\t|"


def json_values(path, lines, cut):
    """Yield (line, text, value) of lines of JSON, or of the documents of a file that has others.

    The text is that of the line, or "" in a document. A last line that is not whole, as of a file that is still being
    written, is left out, and the path told to the list `cut`.
    """
    first = True
    for number, line in lines:
        if line.isspace() or line.startswith(COMMENTS):
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            if not first and not line.endswith(("\n", "\r")):
                cut.append(path)
                return
            if not first:
                raise LogError(path, number, f"is not valid JSON ({error}); mend or delete the line") from error
            yield from _documents(path, number, line, lines)
            return
        except RecursionError as error:
            raise LogError(path, number, "is nested too deep; flatten it") from error
        yield number, line, value
        first = False


def _documents(path, begin, text, lines):
    """The values of a file that are written over several lines."""
    parts, size = [text], len(text)
    for _, line in lines:
        parts.append(line)
        size += len(line)
        if size > MOST:
            problem = (
                f"begins a JSON document of more than {MOST >> 20} MiB; write one object per line, for instance by "
                "jq -c '.[]' FILE"
            )
            raise LogError(path, begin, problem)
    text = "".join(parts)
    decode, place, line = json.JSONDecoder().raw_decode, SPACE.match(text).end(), begin
    while place < len(text):
        try:
            value, end = decode(text, place)
        except ValueError as error:
            at = begin + text.count("\n", 0, getattr(error, "pos", place))
            kind = UnknownFormat if line == begin else LogError
            problem = (
                f"is not valid JSON, neither as a line nor as a document ({getattr(error, 'msg', error)}); mend it"
            )
            raise kind(path, at, problem) from error
        except RecursionError as error:
            raise LogError(path, line, "is nested too deep; flatten it") from error
        yield line, "", value
        end = SPACE.match(text, end).end()
        line, place = line + text.count("\n", place, end), end


def has_as_many_cells(line, other):
    """Whether a line separates as many cells, several, as another line does."""
    delimiter = max(DELIMITERS, key=other.count)
    return line.count(delimiter) == other.count(delimiter) > 0


def csv_rows(path, number, header, lines, cut):
    """Yield (line, text, row) of text separated by commas, semicolons, tabs or bars. Where semicolons separate, numbers
    may have a comma in the place of the point. cut: as of `json_values`."""
    if header[:4].lower() == "sep=":  # Excel tells itself what separates
        number, header = next(lines, (number, header))
    delimiter = max(DELIMITERS, key=header.count)
    limit = csv.field_size_limit(MOST)
    place, last = number, header

    def rest():
        nonlocal place, last
        yield header
        for number, line in lines:
            place, last = number, line
            yield line

    try:
        rows = csv.reader(rest(), delimiter=delimiter)
        names = next(rows, [])
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UnknownFormat(path, number, f"no known log format: two columns are called {twice!r:.60}; rename one")
        for cells in rows:
            if len(cells) != len(names):
                if cells and not last.endswith(("\n", "\r")):
                    cut.append(path)
                elif cells:
                    raise LogError(path, place, f"has {len(cells)} fields where the header has {len(names)}")
                continue
            if cells == names:  # files that were joined, each with its header
                continue
            if delimiter == ";":
                cells = [cell.replace(",", ".") if DECIMAL.fullmatch(cell) else cell for cell in cells]
            yield place, "\0".join(cells), dict(zip(names, cells))
    except csv.Error as error:
        raise LogError(path, place, f"is no valid CSV: {error}; is a quotation mark left open?") from error
    finally:
        csv.field_size_limit(limit)
