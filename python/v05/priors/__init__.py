"""What is known of a prompt before its rollouts: its history, what similar prompts gave (method section 10, extra
`v05[priors]`), and which model should answer it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .context_buffer import ContextBuffer as ContextBuffer
    from .history_context import HistoryContextPrior as HistoryContextPrior
    from .history_context import start_strength as start_strength
    from .in_context_prior import InContextPrior as InContextPrior

# Imported when first used: a training run with a history alone needs none of them.
_MODULES = {
    "ContextBuffer": ".context_buffer",
    "HistoryContextPrior": ".history_context",
    "start_strength": ".history_context",
    "InContextPrior": ".in_context_prior",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name in ("routing", "sources"):
        return import_module(f".{name}", __name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
