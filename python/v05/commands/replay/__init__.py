"""`v05 replay`: what V_0.5 would have done to the baselines of a training run, from its rollout log."""

from ..logs import LogError
from .replay import replay, shipped_log
from .report import AllocationRow, Report, Row

__all__ = ["AllocationRow", "LogError", "Report", "Row", "replay", "shipped_log"]
