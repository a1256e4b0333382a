"""What v05 raises: everything is a v05.Error, and also the built-in exception that it is a kind of."""


class Error(Exception):
    """Root of all exceptions of v05.

    `status` is the v05_status of v05.h where the core found it, else None; `index` the row or prompt, -1 for none.
    """

    __module__ = "v05"

    status: str | None = None
    index: int = -1


class InvalidArgument(Error, ValueError):
    """An argument breaks a rule. The message names argument, rule and value; nothing was computed."""

    __module__ = "v05"


class ArgumentTypeError(Error, TypeError):
    """An argument is of a kind that cannot be used."""

    __module__ = "v05"


class OutOfMemory(Error, MemoryError):
    """Scratch memory could not be allocated."""

    __module__ = "v05"


class CheckpointError(Error, ValueError):
    """Saved bytes are truncated, damaged, of another format or of another object. Nothing was changed."""

    __module__ = "v05"


class LibraryError(Error, ImportError):
    """libv05.so is missing, cannot be loaded or is of another version than this package."""

    __module__ = "v05"


class MissingExtra(Error, ImportError):
    """Something was asked for that needs packages which are not installed. The message names the extra of v05 that
    brings them."""

    __module__ = "v05"

    def __init__(self, task: str, extra: str) -> None:
        super().__init__(task, extra)

    def __str__(self) -> str:
        task, extra = self.args
        return f"{task} needs packages that are not installed: pip install 'v05[{extra}]'"
