"""V_0: how likely the current policy solves a prompt, judged in context from (prompt, score) pairs (method section 10).

Needs the extra `v05[value-model]`: PyTorch, transformers and, for the official head, tabpfn. Source: arXiv 2602.03584.
"""

from typing import TYPE_CHECKING

from .._core.lazy import lazy

if TYPE_CHECKING:
    from .embedding import PromptEmbedding as PromptEmbedding
    from .evaluation import evaluate as evaluate
    from .heads import ClassifierHead as ClassifierHead
    from .heads import KernelHead as KernelHead
    from .heads import TabPFNHead as TabPFNHead
    from .heads import make_head as make_head
    from .prior import V0Prior as V0Prior
    from .query_adapter import ResidualQueryAdapter as ResidualQueryAdapter
    from .scores import Score as Score
    from .scores import read_scores as read_scores
    from .training import TrainingOptions as TrainingOptions
    from .training import train as train

# Imported when first used: `v05 --help` must not wait for PyTorch.
_MODULES = {
    "V0Prior": "prior",
    "PromptEmbedding": "embedding",
    "ResidualQueryAdapter": "query_adapter",
    "KernelHead": "heads",
    "TabPFNHead": "heads",
    "ClassifierHead": "heads",
    "make_head": "heads",
    "TrainingOptions": "training",
    "train": "training",
    "evaluate": "evaluation",
    "Score": "scores",
    "read_scores": "scores",
}

__all__ = list(_MODULES)
__getattr__ = lazy(__name__, _MODULES, extra="value-model")
