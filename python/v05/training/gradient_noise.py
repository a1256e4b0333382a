"""How noisy the gradient of a run is with every baseline at hand, for the trainer's log (method section 13)."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from ..priors.sources import HistoryPrior

_DISCOUNT = 0.99  # of a step at the next one: about 100 steps are averaged
_LEAST_PART = 0.1  # of the rollouts, by squared norm, that a baseline must have been there for to be compared
_LEAST_REST = 1e-9  # of a sum of weights: less is what rounding leaves


@dataclass(frozen=True)
class GradientNoise:
    """Running means of W (r - b)^2 over those rollouts of the last hundred steps or so that have the baseline; `after`
    gives the next ones.

    sums: {baseline: (sum of W (r - b)^2, sum of W)}.
    twin: the history that the estimator would hold if it were weighted, or if it were not; None before the first step.
    twin_weighted: which of the two.
    """

    sums: dict = field(default_factory=dict)
    twin: HistoryPrior | None = None
    twin_weighted: bool = False

    def after(self, rewards, group, squared_norms, baselines):
        """The same with the rollouts of a step that count.

        rewards, group, squared_norms: (n,) each; group counts from 0. baselines: {name: (n,) values}, NaN for rows
            without; those of `common_baselines` are added.
        """
        sums = {name: (noise * _DISCOUNT, norm * _DISCOUNT) for name, (noise, norm) in self.sums.items()}
        for name, baseline in (common_baselines(rewards, group, squared_norms) | baselines).items():
            with np.errstate(invalid="ignore", over="ignore"):
                error = squared_norms * (rewards - baseline) ** 2
            known = np.isfinite(error)
            if known.any():
                noise, norm = sums.get(name, (0.0, 0.0))
                sums[name] = noise + float(error[known].sum()), norm + float(squared_norms[known].sum())
        return dataclasses.replace(self, sums=sums)

    @property
    def twin_name(self):
        return "history_weighted" if self.twin_weighted else "history"

    def with_twin(self, reward_range, learning, weighted):
        """The same with a twin that can be asked. learning: discount, capacity and start_strength of a history."""
        if self.twin is not None and self.twin_weighted == weighted:
            return self
        twin = HistoryPrior(reward_range, **learning)
        return dataclasses.replace(self, twin=twin, twin_weighted=weighted)

    def twin_after(self, keys, rewards, mask, step, squared_norms):
        """The same whose twin has learnt a step."""
        weights = squared_norms if self.twin_weighted else None
        return dataclasses.replace(self, twin=self.twin.after(keys, None, rewards, mask, step, weights))

    def widened(self, reward_range):
        """The same in a reward_range that holds the present one."""
        return self if self.twin is None else dataclasses.replace(self, twin=self.twin.widened(reward_range))

    def metrics(self):
        """{"noise/<baseline>": noise as a multiple of the least noisy baseline's}, of those that most rollouts have."""
        least = _LEAST_PART * max((norm for _, norm in self.sums.values()), default=0.0)
        mean = {name: noise / norm for name, (noise, norm) in self.sums.items() if norm > least}
        least = min(mean.values(), default=0.0)
        return {f"noise/{name}": value / least for name, value in mean.items()} if least > 0 else {}


def common_baselines(rewards, group, weights):
    """{name: (n,) baselines} that rewards and weights alone tell: of other rollouts of the group, of all other groups,
    and none. NaN where a rollout has no others."""
    ones = np.ones(len(rewards))
    found = {"none": np.zeros(len(rewards))}
    for suffix, weight in ("", ones), ("_weighted", weights):
        product = weight * rewards
        group_sum, group_weight = np.bincount(group, product), np.bincount(group, weight)
        with np.errstate(invalid="ignore", divide="ignore"):
            others = (group_sum.sum() - group_sum) / _rest(group_weight.sum(), group_weight)
            found["batch_mean" + suffix] = others[group]
            siblings = (group_sum[group] - product) / _rest(group_weight[group], weight)
            found["group_mean" + suffix] = np.where(np.bincount(group)[group] < 2, np.nan, siblings)
    return found


def _rest(whole, own):
    """What others weigh; NaN where that is nothing."""
    rest = whole - own
    return np.where(rest > _LEAST_REST * whole, rest, np.nan)
