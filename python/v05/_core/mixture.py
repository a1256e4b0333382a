"""What the rule "mixture" knows of the prompts: fitted on one batch, or running over many (method section 5b)."""

import dataclasses
from ctypes import byref
from typing import Any

from ..errors import ArgumentTypeError, InvalidArgument
from . import prototypes as c
from .arguments import number, reward_interval
from .batch import PreparedBatch, options_within
from .calibration import Calibration, Running, learnt_struct
from .call import call
from .library import library
from .types import GroupIds, Numbers, PriorValues, RewardRange


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Success probabilities of prompts as a mixture of Beta(q c, q (1 - c)), for two-valued rewards.

    A value: keep it, pickle it, pass it as `mixture=` to later calls. With `leave_one_out=True` and a mixture from
    earlier batches the policy gradient is exactly unbiased.

    calibration: Calibration of the same groups; gives the calibrated prior and the batch mean. The rule "mixture" needs
        8 of its `groups`.
    weights: 30 weights of at least 1e-100 that sum to 1, of the prompts with a prior: strengths q = 1/2, 1, 2, ... 256
        around c = prior, then around c = calibrated prior, then around c = batch mean (all as probabilities, kept
        within 0.02 to 0.98).
    grand_weights: 10 such weights of the prompts without prior, around the batch mean.
    """

    __module__ = "v05"

    calibration: Calibration
    weights: tuple[float, ...]
    grand_weights: tuple[float, ...]

    def _struct(self):
        if not isinstance(self.calibration, Calibration):
            raise ArgumentTypeError(f"mixture.calibration must be a Calibration, got {type(self.calibration).__name__}")
        struct = c.Mixture(calibration=self.calibration._struct())
        struct.weights = (*_weights("weights", self.weights, 30), *_weights("grand_weights", self.grand_weights, 10))
        return struct

    @classmethod
    def _from_struct(cls, struct):
        return cls(Calibration._from_struct(struct.calibration), tuple(struct.weights[:30]), tuple(struct.weights[30:]))


def _weights(name, values, count):
    try:
        values = tuple(values)
    except TypeError:
        raise ArgumentTypeError(f"mixture.{name} must be {count} numbers, got {values!r}") from None
    if len(values) != count:
        raise InvalidArgument(f"mixture.{name} must be {count} numbers, got {len(values)}")
    return [number(f"mixture.{name}", value) for value in values]


def fit_mixture(
    rewards: Numbers,
    groups: GroupIds,
    prior: PriorValues | None,
    *,
    reward_range: RewardRange = (0.0, 1.0),
    mask: Numbers | None = None,
    weights: Numbers | None = None,
) -> Mixture:
    """Fits a Mixture on one batch: the calibration as `fit_calibration`, the weights by 40 steps of
    expectation-maximisation on the beta-binomial likelihood of the groups, from equal weights, with 0.05 groups added
    to each component.

    Arguments as in `advantages`; every counted reward must be exactly an end of `reward_range`, and weights are
    refused. Few groups are no error: the result then has a calibration of few `groups`, and the rule that is given it
    fits or falls back.
    """
    interval = reward_interval(reward_range)
    batch = PreparedBatch(rewards, groups, prior, mask, interval, weights=weights)
    options = options_within("mixture", interval)
    struct = c.Mixture()
    batch.call_with_scratch(library.v05_mixture_fit, options, (byref(batch.struct), byref(options)), (byref(struct),))
    return Mixture._from_struct(struct)


class RunningMixture(Running):
    """A mixture over many batches, in which a batch counts `discount` times the one after it; for steps with few
    prompts.

        running = v05.RunningMixture()
        for step in training:
            advantages = v05.advantages(..., rule="mixture", leave_one_out=True, mixture=running)
            running.update(rewards, groups, prior)

    The expected number of groups of each component is discounted and added to what the next batch says. After one
    update it equals `fit_mixture` of that batch, to rounding.

    reward_range: (lo, hi), of which every reward is one. discount: in [0, 1], as in RunningCalibration. Threads take
    turns.
    """

    __module__ = "v05"

    _name = "running_mixture"
    _sized_by = "mixture"
    _struct_type = c.RunningMixture

    @property
    def _moments(self):
        return self._struct.calibration

    @property
    def mixture(self) -> Mixture:
        """The Mixture that the batches so far amount to; before any, one whose calibration has groups = 0."""
        return Mixture._from_struct(self._solved())

    def _solved(self) -> c.Mixture:
        struct = c.Mixture()
        call(library.v05_running_mixture_solve, byref(self._struct), byref(struct))
        return struct

    def update(
        self, rewards: Numbers, groups: GroupIds, prior: PriorValues | None, *, mask: Numbers | None = None
    ) -> Mixture:
        """Adds a batch (arguments as in `advantages`) and returns the new Mixture. Raises InvalidArgument and then adds
        nothing."""
        self._update(rewards, groups, prior, mask)
        return self.mixture

    def __repr__(self) -> str:
        return f"RunningMixture(updates={self.updates}, discount={self.discount:g}, mixture={self.mixture})"


def mixture_struct(mixture: Any, interval: tuple[float, float]) -> Any:
    """The core's struct of a Mixture or RunningMixture, None for None."""
    return learnt_struct("mixture", mixture, Mixture, RunningMixture, interval)
