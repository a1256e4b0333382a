"""V_0: how likely the current policy solves a prompt, judged in context from (prompt, score) pairs (method section 10).

Needs the extra `v05[value-model]`: PyTorch, transformers and, for the official head, tabpfn. Source: arXiv 2602.03584.
"""

from importlib import import_module

# Imported when first used: `v05 --help` must not wait for PyTorch.
_MODULES = {
    "V0Prior": ".prior",
    "PromptEmbedding": ".embedding",
    "ResidualQueryAdapter": ".query_adapter",
    "KernelHead": ".heads",
    "TabPFNHead": ".heads",
    "ClassifierHead": ".heads",
    "make_head": ".heads",
    "TrainingOptions": ".training",
    "train": ".training",
    "evaluate": ".evaluation",
    "Score": ".scores",
    "read_scores": ".scores",
}

__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_MODULES[name], __name__), name)
    except ModuleNotFoundError as error:
        from ..errors import MissingExtra

        raise MissingExtra(f"v05.v0.{name}", "value-model") from error
