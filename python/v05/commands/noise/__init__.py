"""`v05 noise`: how noisy the gradient of a model is with every baseline, measured on the model itself."""

from importlib import import_module

# Imported when first used: `v05 --help` must not wait for PyTorch, nor need it.
_MODULES = {
    "NoiseReport": ".report",
    "NoiseRow": ".report",
    "Rollouts": ".sampling",
    "measure_noise": ".measure",
    "sample_rollouts": ".sampling",
}

__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
