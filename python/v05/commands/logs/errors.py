"""What can go wrong between a user's log and its rollouts."""

from ...errors import Error
from ..printable import printable


class LogError(Error, ValueError):
    """A rollout log that cannot be read or used; names file, line, field, rule and cure, in one line."""

    def __init__(self, path: object, line: int | None, problem: str) -> None:
        super().__init__(str(path), line, problem)

    def __str__(self) -> str:
        path, line, problem = self.args
        return printable(f"{path}, line {line}: {problem}" if line else f"{path}: {problem}")


class UnreadableLog(LogError):
    """A log that is not there or cannot be opened."""


class UnknownFormat(LogError):
    """A file that is no rollout log, or whose fields are not known."""
