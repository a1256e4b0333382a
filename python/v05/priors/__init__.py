"""What is known of a prompt before its rollouts: its history, what similar prompts gave (method section 10, extra
`v05[priors]`), and which model should answer it."""

from typing import TYPE_CHECKING

from .._core.lazy import lazy

if TYPE_CHECKING:
    from .context_buffer import ContextBuffer as ContextBuffer
    from .history_context import HistoryContextPrior as HistoryContextPrior
    from .history_context import start_strength as start_strength
    from .in_context_prior import InContextPrior as InContextPrior

# Imported when first used: a training run with a history alone needs none of them.
_MODULES = {
    "ContextBuffer": "context_buffer",
    "HistoryContextPrior": "history_context",
    "start_strength": "history_context",
    "InContextPrior": "in_context_prior",
}

__all__ = list(_MODULES)
__getattr__ = lazy(__name__, _MODULES, ("routing", "sources"))
