"""`v05.noise`: what `v05 noise` does, as a call from Python; needs the extra v05[noise]."""

from .commands.noise import NoiseReport, NoiseRow, Rollouts, measure_noise, sample_rollouts

__all__ = ["NoiseReport", "NoiseRow", "Rollouts", "measure_noise", "sample_rollouts"]
