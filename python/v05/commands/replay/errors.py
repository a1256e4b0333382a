"""What can go wrong between a user's log and the report."""

from ...errors import Error


class LogError(Error, ValueError):
    """A rollout log that cannot be read or used; names file, line, field, rule and cure."""

    def __init__(self, path, line, problem):
        super().__init__(f"{path}, line {line}: {problem}" if line else f"{path}: {problem}")
