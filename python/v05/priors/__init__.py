"""Priors for prompts never seen, from what similar prompts gave (method section 10); needs the extra `v05[priors]`."""

from .context_buffer import ContextBuffer
from .first_visit import HistoryContextPrior, start_strength
from .in_context_prior import InContextPrior

__all__ = ["ContextBuffer", "HistoryContextPrior", "InContextPrior", "start_strength"]
