"""`v05.stored_estimator.StoredEstimator`: v05.training.StoredEstimator by the path that configurations name."""

from .training.stored_estimator import StoredEstimator

__all__ = ["StoredEstimator"]
