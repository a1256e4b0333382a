"""Files of which every line is a JSON object."""

import json
from collections.abc import Iterator
from typing import Any

from ..errors import InvalidArgument


def json_rows(path: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the line, from 1; object) of every line that is not blank. Raises InvalidArgument that names the
    line."""
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.isspace():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise InvalidArgument(f"{path}, line {number}: not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise InvalidArgument(f"{path}, line {number}: must be a JSON object, got {line.strip()[:60]}")
                yield number, row
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}") from error
