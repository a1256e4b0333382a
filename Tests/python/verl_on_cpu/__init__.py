"""Lets verl's V1 trainer run on a machine without a GPU, for tests only: VERL_USE_EXTERNAL_MODULES=verl_on_cpu.

All through verl's own registries, but for one patch: torch refuses the process group "cpu:gloo,cpu:gloo" that verl asks
for.
"""

import contextlib

import torch
import torch.distributed
from verl.plugin.platform.platform_cuda import PlatformCUDA
from verl.plugin.platform.platform_manager import PlatformRegistry


class _Device:
    """torch.cpu with the rest of torch.cuda's names as functions that do nothing."""

    def mem_get_info(self):
        return 0, 0

    def get_device_name(self):
        return "cpu"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(torch.cpu, name, lambda *_, **__: 0)


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformCUDA):
    device_name = "cpu"
    vendor_name = "none"
    device_module = _Device()

    def is_available(self):
        return True

    def is_platform_available(self, use_smi_check=False):
        return True

    def current_device(self):
        return "cpu"  # verl passes it to Module.to

    def device_count(self):
        return 1

    def set_device(self, device_index):
        pass

    def synchronize(self, device_index=None):
        pass

    def manual_seed(self, seed):
        torch.manual_seed(seed)

    def manual_seed_all(self, seed):
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings):
        pass

    def empty_cache(self):
        pass

    def get_device_capability(self, device_index=0):
        return None, None

    def communication_backend_name(self):
        return "gloo"

    def is_ipc_supported(self):
        return False

    def rollout_env_vars(self):
        return {}

    def get_collective_module(self):
        return None

    def nvtx_range(self, message):
        return contextlib.nullcontext()

    def profiler_start(self):
        pass

    def profiler_stop(self):
        pass

    def cudart(self):
        return None


_init_process_group = torch.distributed.init_process_group


def _init_with_gloo(backend=None, *arguments, **options):
    return _init_process_group("gloo" if backend == "cpu:gloo,cpu:gloo" else backend, *arguments, **options)


torch.distributed.init_process_group = _init_with_gloo


def _replica():
    from .rollout import Replica

    return Replica


def _register_rollout():
    from verl.workers.rollout.base import _ROLLOUT_REGISTRY
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    RolloutReplicaRegistry.register("hfcpu", _replica)
    _ROLLOUT_REGISTRY["hfcpu", "async"] = "verl_on_cpu.rollout.Weights"


_register_rollout()
