"""`v05 noise`: how noisy the gradient of a model is with every baseline, measured on the model itself."""

from typing import TYPE_CHECKING

from ..._core.lazy import lazy

if TYPE_CHECKING:
    from .measure import measure_noise as measure_noise
    from .report import NoiseReport as NoiseReport
    from .report import NoiseRow as NoiseRow
    from .sampling import Rollouts as Rollouts
    from .sampling import sample_rollouts as sample_rollouts

# Imported when first used: `v05 --help` must not wait for PyTorch, nor need it.
_MODULES = {
    "NoiseReport": "report",
    "NoiseRow": "report",
    "Rollouts": "sampling",
    "measure_noise": "measure",
    "sample_rollouts": "sampling",
}

__all__ = list(_MODULES)
__getattr__ = lazy(__name__, _MODULES)
