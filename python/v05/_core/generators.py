"""Torch's random generators, lent and given back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


def kept_generators(device: Any) -> AbstractContextManager[Any]:
    """Torch's generators of the CPU and of this device are afterwards as they were; no other device is touched."""
    device = torch.device(device)
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


@contextmanager
def seeded_generators(seed: int, device: Any) -> Iterator[None]:
    """Those generators begin at a seed, and are afterwards as they were.

    torch.manual_seed would seed those of all devices: the ranks of a trainer, whose rollouts must differ, would draw
    the same from then on.
    """
    with kept_generators(device):
        torch.default_generator.manual_seed(seed)
        if torch.device(device).type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
