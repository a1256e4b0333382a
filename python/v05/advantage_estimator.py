"""`v05.advantage_estimator`: v05.training.AdvantageEstimator by the path that saved programs name."""

from .training.advantage_estimator import AdvantageEstimator, Step, read_state

__all__ = ["AdvantageEstimator", "Step", "read_state"]
