"""Baselines and rollout allocation for reinforcement learning with verifiable rewards.

    advantages = v05.advantages(rewards, groups, prior)

takes the place of GRPO's `rewards - group_mean` (V_0.5, arXiv 2603.10848). See `help(v05.advantages)`.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import errors
from ._core.estimate import Estimate, advantages, estimate, prior_from_probability
from ._core.lazy import lazy as _lazy
from ._core.library import PATH as _PATH
from ._core.library import library as _library
from .errors import ArgumentTypeError, CheckpointError, Error, InvalidArgument, LibraryError, MissingExtra, OutOfMemory

if _TYPE_CHECKING:
    from ._core.allocation import allocate
    from ._core.allocator import Allocator
    from ._core.calibration import Calibration, RunningCalibration, fit_calibration
    from ._core.history import History
    from ._core.mixture import Mixture, RunningMixture, fit_mixture
    from ._core.modulation import ModulationStatistics, modulate_advantages
    from ._core.tracker import Tracker
    from .priors.routing import RoutingFrontier, route, route_frontier
    from .training.advantage_estimator import AdvantageEstimator

# Imported when first used: a program that only wants advantages waits for none of them.
_MODULES = {
    "allocate": "_core.allocation",
    "Allocator": "_core.allocator",
    "Calibration": "_core.calibration",
    "RunningCalibration": "_core.calibration",
    "fit_calibration": "_core.calibration",
    "History": "_core.history",
    "Mixture": "_core.mixture",
    "RunningMixture": "_core.mixture",
    "fit_mixture": "_core.mixture",
    "ModulationStatistics": "_core.modulation",
    "modulate_advantages": "_core.modulation",
    "Tracker": "_core.tracker",
    "RoutingFrontier": "priors.routing",
    "route": "priors.routing",
    "route_frontier": "priors.routing",
    "AdvantageEstimator": "training.advantage_estimator",
}
_PACKAGES = "priors", "training"

__version__ = "0.1.0"


def abi_version() -> int:
    """ABI version of the loaded library (V05_ABI_VERSION of its header)."""
    return _library.v05_abi_version()


def library_path() -> str:
    """Path of the loaded libv05.so. Header: ../include/v05.h, pkg-config file: pkgconfig/v05.pc, both from its
    folder."""
    return _PATH


def build_mode() -> str:
    """How the library was built: "embedded" (what ships) or "hosted"."""
    return _library.v05_build_mode().decode()


__getattr__ = _lazy(__name__, _MODULES, _PACKAGES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})


__all__ = [
    "AdvantageEstimator",
    "Allocator",
    "ArgumentTypeError",
    "Calibration",
    "CheckpointError",
    "Error",
    "Estimate",
    "History",
    "InvalidArgument",
    "LibraryError",
    "MissingExtra",
    "Mixture",
    "ModulationStatistics",
    "OutOfMemory",
    "RoutingFrontier",
    "RunningCalibration",
    "RunningMixture",
    "Tracker",
    "abi_version",
    "advantages",
    "allocate",
    "build_mode",
    "errors",
    "estimate",
    "fit_calibration",
    "fit_mixture",
    "library_path",
    "modulate_advantages",
    "prior_from_probability",
    "route",
    "route_frontier",
]
