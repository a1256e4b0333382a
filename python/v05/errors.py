"""What v05 raises: everything is a v05.Error, and also the built-in exception that it is a kind of."""


class Error(Exception):
    """Root of all exceptions of v05."""


class InvalidArgument(Error, ValueError):
    """An argument breaks a rule. The message names argument, rule and value; nothing was computed.

    `status` is the v05_status of v05.h where the core found it, else None.
    """

    status = None


class ArgumentTypeError(Error, TypeError):
    """An argument is of a kind that cannot be used."""


class OutOfMemory(Error, MemoryError):
    """Scratch memory could not be allocated."""


class CheckpointError(Error, ValueError):
    """Saved bytes are truncated, damaged, of another format or of another object. Nothing was changed."""

    status = None


class LibraryError(Error, ImportError):
    """libv05.so is missing, cannot be loaded or is of another version than this package."""


class MissingExtra(Error, ImportError):
    """Something was asked for that needs packages which are not installed."""

    def __init__(self, task, extra):
        super().__init__(f"{task} needs packages that are not installed: pip install 'v05[{extra}]'")
