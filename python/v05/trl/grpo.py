"""GRPO with another baseline, and with DynaMO's modulation of tokens in the loss."""

from typing import Any

import numpy as np
from trl import GRPOTrainer
from trl.trainer.utils import nanstd

from .._core.modulation import modulate_advantages
from ..errors import ArgumentTypeError, InvalidArgument
from .base import V05Trainer
from .deviation import group_deviation


class V05GRPOTrainer(V05Trainer, GRPOTrainer):
    """TRL's GRPOTrainer with the baseline of V05Config `v05`. All other arguments are those of GRPOTrainer."""

    _modulated_inputs = None
    _reached = False  # whether the loss went where tokens are modulated

    def _modulation_options(self, config):
        options = {} if config.modulation is True else config.modulation
        if not isinstance(options, dict):
            raise ArgumentTypeError(f"modulation must be False, True or a dict of options, got {options!r}")
        options = {"clip_low": self.epsilon_low, "clip_high": self.epsilon_high} | options
        nothing = np.zeros((0, 0))
        modulate_advantages(nothing, nothing, nothing, nothing, nothing, **options)  # fails fast on a wrong option
        return options

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self._reached = False
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if self._modulation is not None and self.model.training and not self._reached:
            raise InvalidArgument(
                "modulation must be False: the loss of this trainer (a fused kernel, or a class that replaces TRL's "
                "compute_loss, as Unsloth's) does not pass where tokens are modulated"
            )
        return loss

    def _compute_loss(self, model, inputs):
        self._reached = True
        if self._modulation is None or not self.model.training:
            return super()._compute_loss(model, inputs)
        self._modulated_inputs = dict(inputs)  # the same tensors serve several passes
        try:
            return super()._compute_loss(model, self._modulated_inputs)
        finally:
            self._modulated_inputs = None

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self._modulated_inputs is not None:
            # TRL's loss asks for these first and reads the advantages, (B,) or (B, T), afterwards.
            inputs, log_prob, entropy = self._modulated_inputs, found[0].detach(), found[1].detach()
            inputs["advantages"] = modulate_advantages(
                inputs["advantages"],
                entropy,
                log_prob,
                inputs.get("old_per_token_logps", log_prob),
                inputs["completion_mask"] * inputs.get("tool_mask", 1),
                **self._modulation,
            )
        return found

    def _penalty(self, output):
        return None

    def _scaling(self):
        return None if self.scale_rewards == "none" else f"scale_rewards {self.scale_rewards!r}"

    def _scale(self, unscaled, rewards, groups):
        if self.scale_rewards == "none":
            return unscaled
        deviation = nanstd(rewards) if self.scale_rewards == "batch" else group_deviation(rewards, groups)
        return unscaled / (deviation + 1e-4)
