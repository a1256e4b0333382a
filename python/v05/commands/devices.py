"""The device that a command is told to use."""

from ..errors import InvalidArgument


def check_device(device):
    """Raise where PyTorch does not have it, before anything is loaded."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an unknown name, a build without CUDA
        raise InvalidArgument(f"device must be one that PyTorch has here, got {device!r}: {error}") from error
