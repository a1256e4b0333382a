"""Options of `v05 noise`, checked before the model is loaded and rollouts are drawn, which may take hours."""

from math import inf
from typing import Any

from ..._core.arguments import integer, number
from ...errors import ArgumentTypeError, InvalidArgument

_SCOPES = ("all", "lora", "last")
# A perfect prior takes two halves of the other rollouts of a prompt.
_LOWEST = {"prompts": 2, "rollouts": 4, "maximum_tokens": 1, "blocks": 1, "batch_size": 1, "width": 1, "seed": 0}


def check_options(**options: Any) -> None:
    """Raise for the first of these options of measure_noise that cannot be."""
    for name, value in options.items():
        if name in _LOWEST and integer(name, value) < _LOWEST[name]:
            raise InvalidArgument(f"{name} must be at least {_LOWEST[name]}, got {value}")
        if name == "temperature" and not 0 < number(name, value) < inf:
            raise InvalidArgument(f"temperature must be above 0 and finite, got {value}")
        if name == "scope" and value not in _SCOPES:
            raise InvalidArgument(f"scope must be one of {', '.join(map(repr, _SCOPES))}, got {value!r}")
        if name == "blocks" and value > 1 and options.get("scope") != "last":
            raise InvalidArgument(f'blocks must be 1 where scope is not "last", got {value}')
        if name == "per_token" and not isinstance(value, bool):
            raise ArgumentTypeError(f"per_token must be true or false, got {value!r}")
        if name == "chat_template_kwargs" and not isinstance(value, dict | None):
            raise ArgumentTypeError(f"chat_template_kwargs must be a dict or None, got {value!r}")


def check_prompts(prompts: int, rows: int) -> None:
    """Raise where that many cannot be drawn from a dataset of so many rows."""
    if prompts > rows:
        raise InvalidArgument(f"prompts must lie between 2 and the {rows} of the dataset, got {prompts}")
