"""RLOO with another baseline."""

import torch
from accelerate.utils import gather
from trl import RLOOTrainer
from trl.trainer.utils import nanstd

from ..errors import InvalidArgument
from .base import V05Trainer


class V05RLOOTrainer(V05Trainer, RLOOTrainer):
    """TRL's RLOOTrainer with the baseline of V05Config `v05`. All other arguments are those of RLOOTrainer.

    With beta > 0 TRL takes the divergence from the reference model off the reward. The prior knows nothing of that
    penalty, so it keeps its own leave-one-out baseline, as in TRL, whatever the rule.
    """

    _policy_and_reference = None

    def _modulation_options(self, config):
        raise InvalidArgument(
            f"modulation must be False in RLOO, whose loss is one of whole rollouts, got {config.modulation!r}"
        )

    def _scored(self, rewards_per_function, clipped=True):
        rewards = super()._scored(rewards_per_function)
        if clipped and self.reward_clip_range:
            rewards = rewards.clamp(min=self.reward_clip_range[0], max=self.reward_clip_range[1])
        return rewards

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self._policy_and_reference is not None:
            self._policy_and_reference.append(found[0])
        return found

    def _generate_round(self, inputs, prompt):
        self._policy_and_reference = []  # the reference's log-probabilities are not among the results
        try:
            return super()._generate_round(inputs, prompt)
        finally:
            self._policy_and_reference = None

    def _log_prob(self, output, computed):
        return self._policy_and_reference[0]

    def _penalty(self, output):
        if self.beta == 0.0:
            return None
        policy, reference = self._policy_and_reference
        return -self.beta * gather(((policy - reference) * output["completion_mask"]).sum(-1))

    def _scaling(self):
        return "normalize_advantages" if self.normalize_advantages else None

    def _scale(self, unscaled, rewards, groups):
        if not self.normalize_advantages:
            return unscaled
        # A rollout without siblings has no baseline in RLOO and stays out of the normalisation.
        siblings = torch.bincount(groups[~torch.isnan(rewards)], minlength=int(groups.max()) + 1)
        unscaled = unscaled.masked_fill(siblings[groups] < 2, torch.nan)
        return (unscaled - torch.nanmean(unscaled)) / (nanstd(unscaled) + 1e-4)
