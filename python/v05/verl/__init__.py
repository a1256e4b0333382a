"""verl's plug-in: the advantage estimator "v05", switched on by configuration alone.

    algorithm.adv_estimator=v05  +algorithm.v05.reward_range=[0,1]

verl imports this module by itself, in every process, through the entry point group "verl.plugins"; it hides errors of
plug-ins, but `v05 info --verl` tells them. Options and limits: docs/verl.md.
"""

from typing import TYPE_CHECKING, Any

from .advantages import STOCK, compute_v05_advantage
from .checkpoint import V05Checkpoint

if TYPE_CHECKING:
    from .rollouts import V05AgentLoopManager


def __getattr__(name: str) -> Any:
    # Not imported by every process that imports verl: it brings the whole trainer along.
    if name == "V05AgentLoopManager":
        from .rollouts import V05AgentLoopManager

        return V05AgentLoopManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["STOCK", "V05AgentLoopManager", "V05Checkpoint", "compute_v05_advantage"]
