"""What is known of a prompt before its rollouts: its history, what similar prompts gave (method section 10, extra
`v05[priors]`), and which model should answer it."""

from importlib import import_module

# Imported when first used: a training run with a history alone needs none of them.
_MODULES = {
    "ContextBuffer": ".context_buffer",
    "HistoryContextPrior": ".history_context",
    "start_strength": ".history_context",
    "InContextPrior": ".in_context_prior",
}

__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
