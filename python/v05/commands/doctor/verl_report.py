"""`v05 doctor verl`, also `v05 info --verl`: whether verl would find the estimator "v05". verl itself hides errors of
its plug-ins."""

import importlib
import os
from importlib.metadata import entry_points

from ...errors import Error

_GROUP = "verl.plugins"


def print_verl_report(find=entry_points):
    """Prints what is registered in the verl that is installed. Raises v05.Error where "v05" is not, saying why."""
    found = [point.value for point in find(group=_GROUP) if point.name == "v05"]
    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto").strip()
    modules = os.environ.get("VERL_USE_EXTERNAL_MODULES", "")
    try:
        import verl
        from verl.trainer.ppo import core_algos
    except ImportError as error:
        raise Error(f"verl cannot be imported: {error}") from error
    loaded = "v05" in core_algos.ADV_ESTIMATOR_REGISTRY
    reason = None if loaded else _reason(found, policy)
    rows = {
        "verl": getattr(verl, "__version__", "unknown"),
        "entry point": found[0] if found else f"none named v05 in the group {_GROUP}",
        "plug-ins": f"VERL_USE_EXTERNAL_PLUGINS={policy}",
        "modules": f"VERL_USE_EXTERNAL_MODULES={modules}",
        "registered": "yes" if loaded else "no",
        "estimators": ", ".join(sorted(core_algos.ADV_ESTIMATOR_REGISTRY)),
    }
    for name, value in rows.items():
        print(f"{name:<11} {value}")
    if reason:
        raise Error(f'"v05" is not registered in verl: {reason}')


def _reason(found, policy):
    """Why verl did not load the plug-in, found by loading it without verl's silence."""
    try:
        importlib.import_module("v05.verl")
    except Exception as error:  # whatever it is, it is what verl hides
        return f"the plug-in cannot be loaded: {error!r}"
    if not found:
        return (
            "the installed package v05 has no entry point for verl: install it again, or set "
            "VERL_USE_EXTERNAL_MODULES=v05.verl"
        )
    if policy != "auto":
        return f"VERL_USE_EXTERNAL_PLUGINS={policy} keeps verl from loading it"
    return "it can be loaded, but verl did not load it; set VERL_USE_EXTERNAL_MODULES=v05.verl"
