"""Weights of V_0 on disk, in the layout of the official checkpoints.

A file of torch.save holds a dict with the weights under `model_state_dict`: `backbone.*` and `adapter_layer.*`, perhaps
each behind `module.`, as distributed training leaves it. A .safetensors file holds the weights alone.
"""

import pickle
from pathlib import Path
from typing import Any

import torch

from .._core.files import whole_file
from .._core.types import FilePath
from ..errors import CheckpointError, InvalidArgument

WEIGHTS = "model_state_dict"


def read_checkpoint(path: FilePath) -> dict[str, Any]:
    """The dict of the file, with the weights under `model_state_dict`, without `module.` prefixes.

    Nothing in the file is executed: of pickled objects only tensors and plain values are read.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidArgument(f"checkpoint must be a file, got {str(path)!r}")
    content = {WEIGHTS: _read_safetensors(path)} if path.suffix == ".safetensors" else _read_torch(path)
    weights = content.get(WEIGHTS) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        found = ", ".join(map(repr, content)) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path} must hold a dict of tensors under {WEIGHTS!r}, got {found}")
    return content | {WEIGHTS: {name.removeprefix("module."): value for name, value in weights.items()}}


def load_weights(embedding, weights, path):
    """Puts weights into a PromptEmbedding.

    Raises CheckpointError that names everything that does not fit, and then changes nothing.
    """
    expected = embedding.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is not part of the model" for name in weights if name not in expected]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, the model {tuple(value.shape)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    problems += [f"{name} is not finite" for name, value in weights.items() if not value.isfinite().all()]
    if problems:
        raise CheckpointError(
            f"{path} does not fit a backbone of width {embedding.backbone.config.hidden_size}: " + "; ".join(problems)
        )
    embedding.load_state_dict(weights)


def write_checkpoint(path: FilePath, content: dict[str, Any]) -> None:
    """Writes a dict for read_checkpoint. A crash in the middle leaves an old file whole."""
    with whole_file(path) as file:
        torch.save(content, file)


def _read_torch(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as weights: {error}") from error


def _read_safetensors(path):
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
