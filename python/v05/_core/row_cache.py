"""Rows of numbers that were made of texts, kept for the next time."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InvalidArgument
from .arguments import integer


class RowCache:
    """A row per text, by its hash; those used longest ago go first beyond `capacity`."""

    def __init__(self, capacity: int) -> None:
        if integer("cache_size", capacity) < 0:
            raise InvalidArgument(f"cache_size must be at least 0, got {capacity!r}")
        self._capacity = capacity
        self._rows: OrderedDict[bytes, Any] = OrderedDict()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def rows(self, texts: list[str], make: Callable[[list[str]], Iterable[Any]]) -> list[Any]:
        """A row per text; `make` is called with the texts that are not known, each once, if there are any."""
        keys = [_digest(text) for text in texts]
        known = {key: self._rows[key] for key in keys if key in self._rows}
        new = {key: text for key, text in zip(keys, texts) if key not in known}
        if new:
            known.update(zip(new, make(list(new.values()))))
        for key in keys:
            self._rows[key] = known[key]
            self._rows.move_to_end(key)
        while len(self._rows) > self._capacity:
            self._rows.popitem(last=False)
        return [known[key] for key in keys]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
