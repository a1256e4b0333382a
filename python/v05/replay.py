"""`v05.replay`: what `v05 replay` does, as a call from Python."""

from .commands.replay import LogError, Report, Row, replay, shipped_log

__all__ = ["LogError", "Report", "Row", "replay", "shipped_log"]
