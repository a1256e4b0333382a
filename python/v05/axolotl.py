"""axolotl: its GRPO trainer with another baseline, by its YAML alone. See python/docs/axolotl.md.

plugins: [v05.axolotl.V05Plugin]
trainer_cls: v05.axolotl.V05AxolotlGRPOTrainer
v05: {rule: calibrated, reward_range: [0, 1]}
"""

from dataclasses import fields
from typing import Any

from axolotl.core.trainers.grpo.trainer import AxolotlGRPOTrainer
from axolotl.integrations.base import BasePlugin
from pydantic import BaseModel

from .errors import ArgumentTypeError, InvalidArgument
from .trl import V05Config, V05GRPOTrainer

_options: dict = {}


class V05Arguments(BaseModel):
    """The entry `v05` of axolotl's YAML: options of v05.trl.V05Config."""

    v05: dict | None = None


class V05Plugin(BasePlugin):
    """Makes the entry `v05` known to axolotl and keeps it for the trainer."""

    def get_input_args(self) -> str:
        return f"{__name__}.{V05Arguments.__name__}"

    def register(self, cfg: Any) -> None:
        given = cfg.get("v05") or {}
        if not isinstance(given, dict):
            raise ArgumentTypeError(f"v05 in the YAML must be options of V05Config, got {given!r}")
        known = [field.name for field in fields(V05Config)]
        unknown = set(given) - set(known)
        if unknown:
            raise InvalidArgument(
                f"v05 in the YAML must hold options of V05Config, which are {', '.join(known)}, got "
                f"{', '.join(sorted(unknown))}"
            )
        _options.clear()
        _options.update(given)


class V05AxolotlGRPOTrainer(V05GRPOTrainer, AxolotlGRPOTrainer):
    """AxolotlGRPOTrainer with the baseline of the YAML's entry `v05`, or of V05Config `v05`."""

    def __init__(self, *args: Any, v05: V05Config | None = None, **kwargs: Any) -> None:
        super().__init__(*args, v05=V05Config(**_options) if v05 is None else v05, **kwargs)
