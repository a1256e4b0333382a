"""`v05 noise`: how noisy the gradient of a model is with every baseline, measured on the model itself."""

from .measure import measure_noise
from .report import NoiseReport, NoiseRow
from .sampling import Rollouts, sample_rollouts

__all__ = ["NoiseReport", "NoiseRow", "Rollouts", "measure_noise", "sample_rollouts"]
