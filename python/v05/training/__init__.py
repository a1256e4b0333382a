"""What a training run holds: an estimator with its state, and the figures that tell how it does."""

from .advantage_estimator import AdvantageEstimator, Step
from .health import PriorHealth, prior_health
from .stored_estimator import StoredEstimator
from .streaming_estimator import StreamingEstimator

__all__ = ["AdvantageEstimator", "PriorHealth", "Step", "StoredEstimator", "StreamingEstimator", "prior_health"]
