"""What can go wrong between a user's log and the report."""

from ..errors import Error


class LogError(Error, ValueError):
    """A rollout log that cannot be read or used; names file, line, field, rule and cure."""

    def __init__(self, path, line, problem):
        super().__init__(f"{path}, line {line}: {problem}" if line else f"{path}: {problem}")


class MissingExtra(Error, ImportError):
    """Something was asked for that needs packages which are not installed."""

    def __init__(self, task, extra):
        super().__init__(f"{task} needs packages that are not installed: pip install 'v05[{extra}]'")
