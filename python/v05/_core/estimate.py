"""Rewards to baselines and advantages."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from ctypes import addressof, byref
from typing import Any, overload

import numpy as np

from ..errors import InvalidArgument
from . import fast
from . import prototypes as c
from .arguments import reward_interval
from .arrays import Groups, address, is_tensor, optional_numbers
from .batch import PreparedBatch, estimation_options
from .calibration import Calibration, RunningCalibration, calibration_struct
from .fast import kept_options
from .library import library
from .mixture import Mixture, RunningMixture, mixture_struct
from .runs import is_object_array
from .types import (
    GroupIds,
    Numbers,
    PriorValues,
    RewardRange,
    Rewards,
    RuleName,
    ScaleName,
    SingletonName,
    Tensor,
    TestName,
)

_RULE_NAMES = {number: name for name, number in c.RULES.items()}
_PER_GROUP: dict[str, type[np.generic]] = {
    "group_ids": np.int64,
    "count": np.int64,
    "effective_count": np.float64,
    "mean": np.float64,
    "prior": np.float64,
    "weight": np.float64,
    "baseline": np.float64,
    "bias_squared": np.float64,
    "mse": np.float64,
    "z": np.float64,
    "p_value": np.float64,
    "rejected": np.bool_,
    "constant": np.bool_,
}


def advantages(
    rewards: Rewards,
    groups: GroupIds,
    prior: PriorValues | None = None,
    *,
    rule: RuleName = "v05",
    reward_range: RewardRange = (0.0, 1.0),
    leave_one_out: bool = False,
    scale: ScaleName = "none",
    ddof: int = 1,
    epsilon: float | None = None,
    singleton: SingletonName = "zero",
    mask: Numbers | None = None,
    calibration: Calibration | RunningCalibration | None = None,
    mixture: Mixture | RunningMixture | None = None,
    prior_strength: PriorValues | None = None,
    weights: Numbers | None = None,
    test: TestName = "bound",
    level: float = 0.05,
    check_fit: bool = True,
) -> Rewards:
    """Advantages A = (r - b) / divisor of a batch of rollouts, with the baseline b of `rule`.

    rewards: (n,) list, numpy array or torch tensor; the result has its kind, dtype and device (integers and booleans
        give floats). Must be finite where counted, and within `reward_range` for the rules "v05", "calibrated" and
        "discounted_beta"; exactly an end of it for "mixture".
    groups: (n,) integers or any hashables but floats (such as verl's uid strings), in any order: which rows are
        rollouts of the same prompt. Integers in arrays are fastest, ascending ones most of all.
    prior: value of each prompt before its rollouts were seen, in reward units: None, a number, (n,) values that agree
        within a group, or a dict by group id. NaN or a missing key: no prior for that prompt.
    rule: "v05"          w m + (1 - w) V with w = d / (d + noise), d = max(0, (m - V)^2 - noise), noise = h^2 / k, for a
                         group of k rewards with mean m, prior V, and h half the length of reward_range
                         (arXiv 2603.10848). Without prior: m.
          "calibrated"   empirical Bayes: the batch, or `calibration`, tells how good the priors are. The safe choice
                         where that is unknown. With fewer than 8 groups that have a prior and two rewards: "v05".
          "grpo"         m (arXiv 2402.03300).
          "rloo"         mean of the other rewards (arXiv 2402.14740); "grpo" with leave_one_out.
          "james_stein"  shrinkage to the mean of the batch, no prior.
          "jspo"         shrinkage of the mean of the other rewards to the mean of the other groups, by what these say:
                         exactly unbiased (arXiv 2511.03710). Always leave_one_out.
          "prior"        V.
          "median"       median of the group (arXiv 2601.22582).
          "discounted_beta"  (n V + k m) / (n + k): the prior as a Beta distribution worth n = prior_strength
                         rewards, merged with the group (arXiv 2603.18444). Without strength: m.
          "mixture"      for rewards that are each an end of reward_range: posterior mean of the success probability
                         under a mixture of Beta distributions around the prior, the calibrated prior and the batch
                         mean, whose weights the batch, or `mixture`, tells. A test per prompt in effect: better than
                         "calibrated" where single priors are far off. With fewer than 8 groups that have a prior and
                         two rewards: "v05".
          "batch_mean"   mean of the rewards of all other groups: what one rollout per prompt needs where nothing is
                         known of the prompt. With `calibration` and G < 8 other groups its grand_mean stands for those
                         that lack: (G mean + (8 - G) grand_mean) / 8. Without one and without other groups: as
                         `singleton` says.
    reward_range: (lo, hi) of a reward.
    leave_one_out: the baseline of a row is made from the other rewards of its group, which keeps the gradient unbiased.
    scale: "none"; "group", "batch": divided by the standard deviation of the group's, the batch's counted rewards plus
        epsilon; with leave_one_out the group's is that of the other rewards. Rewards without spread divide by nothing.
    ddof: 0 or 1, degrees of freedom taken from the count in the standard deviation.
    epsilon: added to the standard deviation, and to the variances of "jspo"; None: 1e-6 (decided by the core).
    singleton: a group of one that no prior helps gets 0 ("zero"; TRL, NeMo-RL) or its reward ("raw"; verl).
    mask: (n,) booleans; False takes a row out: no statistic, advantage 0, its reward and prior are not looked at.
    calibration: Calibration or RunningCalibration for "calibrated" and "james_stein"; None: fitted on this batch. For
        "batch_mean" see there.
    mixture: Mixture or RunningMixture for "mixture"; None: fitted on this batch.
    prior_strength: how many rewards the prior of a prompt is worth, laid out like prior; History.predict gives it. For
        "discounted_beta".
    weights: (n,) how much each rollout counts, finite and not negative: W, the squared norm of its score, or what
        stands for it. Baselines are then those of E[W r] / E[W], which makes the gradient's noise E[W (r - b)^2] least,
        not those of E[r]: m = sum W r / sum W, and k is (sum W)^2 / sum W^2. Their scale does not matter. A row of
        weight 0 is in no statistic but has an advantage; with leave_one_out the baseline of a row knows neither its
        reward nor its weight.
        None: all alike. Not with "median", "mixture" or the exact test.
    check_fit: a calibration or mixture that is given must hold on this batch. It is refused for a group where, on all
        OTHER groups, its baseline has a larger error than the mean by more than 1.645 standard errors, both made from
        the others of each row; the mean is then shrunk to the other groups as by "jspo", or stays with fewer than 8 of
        these. False: it is applied as it is.
    test, level: "bound", or "exact" for the two-sided binomial test of the prior at `level` in rule "v05", for rewards
        that are each an end of reward_range.

    Raises InvalidArgument or ArgumentTypeError (both v05.Error) with argument, value and rule. The result does not
    depend on the order of rows, bit for bit. Time is linear in n.
    """
    if mask is prior_strength is weights is calibration is mixture is None:
        quick = _quick_advantages(
            rewards,
            groups,
            prior,
            rule,
            reward_range,
            leave_one_out,
            scale,
            ddof,
            epsilon,
            singleton,
            test,
            level,
            check_fit,
        )
        if quick is not None:
            return quick
    batch, options, first = _prepare(
        rewards,
        groups,
        prior,
        prior_strength,
        mask,
        weights,
        calibration,
        mixture,
        rule=rule,
        reward_range=reward_range,
        leave_one_out=leave_one_out,
        scale=scale,
        ddof=ddof,
        epsilon=epsilon,
        singleton=singleton,
        test=test,
        level=level,
        check_fit=check_fit,
    )
    return _prepared_advantages(batch, options, first)


def _prepared_advantages(batch, options, first):
    result = batch.rewards.output()
    struct = c.Estimate()
    setattr(struct, "advantages_f32" if batch.rewards.single else "advantages_f64", address(result))
    batch.call_with_scratch(library.v05_baseline_estimate, options, first, (byref(struct),))
    return batch.rewards.like_original(result)


def advantages_of(
    batch: PreparedBatch,
    calibration: Calibration | RunningCalibration | None = None,
    mixture: Mixture | RunningMixture | None = None,
    *,
    reward_range: tuple[float, float],
    **options: Any,
) -> np.ndarray:
    """`advantages` of a batch that is prepared, for who looks at it again. options: all others of `advantages` but
    those that are left at their default."""

    def made():
        return estimation_options(reward_range, **{"check_fit": True} | options)

    struct = kept_options(("prepared", reward_range, *options.items()), made) or made()
    models = calibration_struct(calibration, reward_range), mixture_struct(mixture, reward_range)
    return _prepared_advantages(batch, struct, (byref(batch.struct), byref(struct), *models))


def _quick_advantages(rewards, groups, prior, *arguments):
    """The advantages of what needs no conversion and no second look, else None."""
    rule, reward_range, leave_one_out, scale, ddof, epsilon, singleton, test, level, check_fit = arguments
    if type(ddof) is not int:  # 1.0 would pass for the 1 of an earlier call
        return None

    def options():
        return estimation_options(
            reward_interval(reward_range),
            rule=rule,
            leave_one_out=leave_one_out,
            scale=scale,
            ddof=ddof,
            epsilon=epsilon,
            singleton=singleton,
            test=test,
            level=level,
            check_fit=check_fit,
        )

    kept = kept_options(arguments, options)
    try:
        if type(groups) is list or is_object_array(groups):
            groups = Groups(groups, len(rewards)).ids
        return None if kept is None else fast.advantages(rewards, groups, prior, kept)
    except Exception:  # bad groups, or a tensor without memory: the general way says what is wrong
        return None


def estimate(
    rewards: Rewards,
    groups: GroupIds,
    prior: PriorValues | None = None,
    *,
    rule: RuleName = "v05",
    reward_range: RewardRange = (0.0, 1.0),
    leave_one_out: bool = False,
    scale: ScaleName = "none",
    ddof: int = 1,
    epsilon: float | None = None,
    singleton: SingletonName = "zero",
    mask: Numbers | None = None,
    calibration: Calibration | RunningCalibration | None = None,
    mixture: Mixture | RunningMixture | None = None,
    prior_strength: PriorValues | None = None,
    weights: Numbers | None = None,
    test: TestName = "bound",
    level: float = 0.05,
    check_fit: bool = True,
) -> "Estimate":
    """Like `advantages`, of the same arguments, with everything that was found about every group: an Estimate."""
    batch, options, first = _prepare(
        rewards,
        groups,
        prior,
        prior_strength,
        mask,
        weights,
        calibration,
        mixture,
        rule=rule,
        reward_range=reward_range,
        leave_one_out=leave_one_out,
        scale=scale,
        ddof=ddof,
        epsilon=epsilon,
        singleton=singleton,
        test=test,
        level=level,
        check_fit=check_fit,
    )
    row_count = len(batch.rewards)
    result = batch.rewards.output()
    output = EstimateArrays(row_count, row_count)
    setattr(output.struct, "advantages_f32" if batch.rewards.single else "advantages_f64", address(result))
    batch.call_with_scratch(library.v05_baseline_estimate, options, first, (byref(output.struct),))
    return output.estimate(batch.rewards.like_original(result), batch.groups.labels, rule)


class EstimateArrays:
    """Memory for the results of an estimation, and the Estimate made of it."""

    def __init__(self, row_count: int, group_capacity: int) -> None:
        self.row_group = np.empty(row_count, np.int64)
        self.arrays = {name: np.empty(group_capacity, dtype) for name, dtype in _PER_GROUP.items()}
        self.calibration = c.Calibration()
        self.mixture = c.Mixture()
        self.struct = c.Estimate(
            row_group=address(self.row_group),
            group_capacity=group_capacity,
            calibration=addressof(self.calibration),
            mixture=addressof(self.mixture),
            **{name: address(array) for name, array in self.arrays.items()},
        )

    def estimate(self, advantages: Any, labels: Callable[[np.ndarray], np.ndarray], rule: str) -> "Estimate":
        found = {name: array[: self.struct.group_count].copy() for name, array in self.arrays.items()}
        return Estimate(
            advantages=advantages,
            row_group=self.row_group,
            groups=labels(found.pop("group_ids")),
            **found,
            rule="rloo" if rule == "rloo" else _RULE_NAMES[self.struct.applied_rule],
            calibration=Calibration._from_struct(self.calibration) if self.struct.calibration_applied else None,
            mixture=Mixture._from_struct(self.mixture) if self.struct.applied_rule == c.RULES["mixture"] else None,
            reward_range=(self.struct.reward_low, self.struct.reward_high),
            refused_groups=self.struct.refused_groups,
        )


def _prepare(rewards, groups, prior, prior_strength, mask, weights, calibration, mixture, reward_range, **options):
    """The batch, the options, and the first arguments of the core."""
    interval = reward_interval(reward_range)
    batch = PreparedBatch(rewards, groups, prior, mask, interval, prior_strength, weights)
    models = calibration_struct(calibration, interval), mixture_struct(mixture, interval)
    struct = estimation_options(interval, **options)
    return batch, struct, (byref(batch.struct), byref(struct), *models)


@overload
def prior_from_probability(probability: float, *, reward_range: RewardRange = (0.0, 1.0)) -> float: ...


@overload
def prior_from_probability(
    probability: Sequence[float] | np.ndarray, *, reward_range: RewardRange = (0.0, 1.0)
) -> np.ndarray: ...


@overload
def prior_from_probability(probability: Tensor, *, reward_range: RewardRange = (0.0, 1.0)) -> Tensor: ...


def prior_from_probability(probability: Any, *, reward_range: RewardRange = (0.0, 1.0)) -> Any:
    """Prior value lo + (hi - lo) p in reward units of a predicted success probability p in [0, 1].

    Takes a number, list, numpy array or torch tensor and returns a float or the same kind (lists give arrays). NaN
    stays NaN: no prior. Raises InvalidArgument for a probability outside [0, 1].
    """
    low, high = reward_interval(reward_range)
    if not -math.inf < low < high < math.inf:
        raise InvalidArgument(f"reward_range must be two finite numbers, the lower one first, got {low:g} and {high:g}")
    values = optional_numbers(probability, "probability", (0.0, 1.0))
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise InvalidArgument(f"probability must lie in [0, 1], got {outside[0]:g}")
    if is_tensor(probability) or isinstance(probability, np.ndarray) and probability.dtype.kind == "f":
        values = probability
    value = low + (high - low) * values
    return value if is_tensor(value) or value.ndim else float(value)


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """What `estimate` found. Arrays per row have n entries, arrays per group are in order of first appearance; all are
    numpy arrays but `advantages`, which is of the kind of the rewards. `baseline[row_group]` is the baseline of each
    row (without leave_one_out).

    advantages: (n,).
    row_group: (n,) int64, the row's group: an index into the arrays per group.
    groups: the ids.
    count: k, counted rewards; with weights those of a weight above 0.
    effective_count: (sum W)^2 / sum W^2, what the mean is worth; k without weights.
    mean: m; NaN where no row counts; exactly the reward where all are equal.
    prior: V in reward units; NaN for none.
    weight: w of the mean in the baseline, 0 to 1.
    baseline: b.
    bias_squared: d = max(0, (m - V)^2 - h^2 / k), estimated squared bias of the prior; NaN without prior.
    mse: estimated mean squared error of b; NaN where the rule has none.
    z: |m - V| / sqrt(h^2 / k); NaN without prior.
    p_value: of the exact test, else NaN.
    rejected: the rewards contradict the prior.
    constant: all counted rewards are equal (such a group has no signal under GRPO).
    rule: the rule that was applied: "v05" for "calibrated" and "mixture", "grpo" for "james_stein" where there was too
        little to calibrate.
    calibration: the Calibration that was applied, or None; for "mixture" that of the mixture.
    mixture: the Mixture that was applied, or None.
    reward_range: (lo, hi).
    refused_groups: groups for which the calibration or mixture that was given is refused by check_fit.
    """

    __module__ = "v05"

    advantages: Any
    row_group: np.ndarray
    groups: np.ndarray
    count: np.ndarray
    effective_count: np.ndarray
    mean: np.ndarray
    prior: np.ndarray
    weight: np.ndarray
    baseline: np.ndarray
    bias_squared: np.ndarray
    mse: np.ndarray
    z: np.ndarray
    p_value: np.ndarray
    rejected: np.ndarray
    constant: np.ndarray
    rule: str
    calibration: Calibration | None
    mixture: Mixture | None
    reward_range: tuple[float, float]
    refused_groups: int = 0

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.groups)

    def __str__(self) -> str:
        lines = [
            f"Estimate: {len(self.row_group)} rollouts of {len(self)} prompts, rule {self.rule}, "
            f"{int(self.rejected.sum())} priors rejected, {int(self.constant.sum())} groups with all rewards equal"
            + (f", what was learnt before refused for {self.refused_groups}" if self.refused_groups else ""),
            f"{'group':>20} {'count':>5} {'mean':>8} {'prior':>8} {'weight':>7} {'baseline':>8} {'mse':>9} {'z':>6}",
        ]
        shown = 10
        for g in range(min(shown, len(self))):
            flag = (" rejected" if self.rejected[g] else "") + (" constant" if self.constant[g] else "")
            lines.append(
                f"{str(self.groups[g])[:20]:>20} {self.count[g]:5d} {self.mean[g]:8.4f} {self.prior[g]:8.4f} "
                f"{self.weight[g]:7.4f} {self.baseline[g]:8.4f} {self.mse[g]:9.6f} {self.z[g]:6.2f}{flag}"
            )
        if len(self) > shown:
            lines.append(f"{'...':>20} and {len(self) - shown} more")
        return "\n".join(lines)

    __repr__ = __str__
