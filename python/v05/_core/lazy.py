"""Names of a package that are imported when they are first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ..errors import MissingExtra


def lazy(
    package: str, module_of: Mapping[str, str], modules: tuple[str, ...] = (), extra: str | None = None
) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names lie in its modules, {name: module}.

    modules: those that are names of the package themselves.
    extra: of v05, which has what the modules import; raises MissingExtra where that is not installed.
    """

    def __getattr__(name: str) -> Any:
        if name in modules:
            return import_module(f".{name}", package)
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(f".{module_of[name]}", package), name)
        except ModuleNotFoundError as error:
            if extra is None:
                raise
            raise MissingExtra(f"{package}.{name}", extra) from error
        vars(sys.modules[package])[name] = value  # found without this from now on
        return value

    return __getattr__
