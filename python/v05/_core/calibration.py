"""How good the priors are: fitted on one batch, or running over many (empirical Bayes, method section 5)."""

import copy
import dataclasses
from ctypes import byref
from functools import partial
from typing import Any, TypeVar

from ..errors import ArgumentTypeError, InvalidArgument
from . import prototypes as c
from .arguments import number, reward_interval
from .batch import PreparedBatch, options_of_rule, options_within
from .call import call
from .checkpoint import Checkpointed, saved_bytes
from .library import library
from .types import GroupIds, Numbers, PriorValues, RewardRange

Self = TypeVar("Self", bound="Running")


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The Fay-Herriot model of a batch: mean_i ~ intercept + slope prior_i + u_i + e_i.

    A value: keep it, pickle it, pass it as `calibration=` to later calls. With `leave_one_out=True` and a calibration
    from earlier batches the policy gradient is exactly unbiased; fitted on the same batch it depends on a row's own
    reward by O(1 / number of groups).

    intercept: a, in reward units.
    slope: beta, 0 to 1.5; 1 for priors that are right, 0 for priors that say nothing.
    prior_variance: tau^2 = Var u, true values around the calibrated prior; 0 for priors that need no rollouts.
    reward_variance: s^2 = k_i Var e_i, pooled within the groups.
    grand_mean, between_variance: weighted mean of all groups and variance of the true values around it, for groups
        without prior and for the rule "james_stein".
    groups: groups with a prior and two rewards that it rests on (a float: discounted in a running calibration). The
        rule "calibrated" needs 8.
    total_groups: groups with two rewards, with or without prior. The rule "james_stein" needs 8.
    """

    __module__ = "v05"

    intercept: float
    slope: float
    prior_variance: float
    reward_variance: float
    grand_mean: float
    between_variance: float
    groups: float
    total_groups: float

    def _numbers(self):
        return {name: number(name, getattr(self, name)) for name in self.__dataclass_fields__}

    def _struct(self):
        return c.Calibration(**self._numbers())

    @classmethod
    def _from_struct(cls, struct):
        return cls(*(getattr(struct, name) for name in cls.__dataclass_fields__))


def fit_calibration(
    rewards: Numbers,
    groups: GroupIds,
    prior: PriorValues | None,
    *,
    reward_range: RewardRange = (0.0, 1.0),
    mask: Numbers | None = None,
    weights: Numbers | None = None,
) -> Calibration:
    """Fits a Calibration on one batch.

    Arguments as in `advantages`. Rewards and priors must lie in `reward_range`. Few groups are no error: the result
    then has a small `groups`, and rules that are given it fit or fall back.
    """
    interval = reward_interval(reward_range)
    batch = PreparedBatch(rewards, groups, prior, mask, interval, weights=weights)
    options = options_within("calibrated", interval)
    struct = c.Calibration()
    first = byref(batch.struct), byref(options)
    batch.call_with_scratch(library.v05_calibration_fit, options, first, (byref(struct),))
    return Calibration._from_struct(struct)


class Running(Checkpointed):
    """What is fitted over many batches, older ones discounted: a struct of the core. Threads take turns.

    Subclasses say `_name`, the prefix of their C functions, `_struct_type`, where its `_moments` are, and `_sized_by`,
    the rule that an update needs as much memory as.
    """

    _name: str
    _sized_by: str
    _struct_type: Any
    _struct: Any

    @property
    def _moments(self) -> Any:
        raise NotImplementedError

    def __init__(self, *, reward_range: RewardRange = (0.0, 1.0), discount: float = 0.9) -> None:
        low, high = reward_interval(reward_range)
        self._struct = self._struct_type()
        self._core("initialize", self._struct, self._struct.struct_size, low, high, number("discount", discount))

    @property
    def reward_range(self) -> tuple[float, float]:
        """(lo, hi) of the rewards."""
        return self._moments.reward_low, self._moments.reward_high

    @property
    def discount(self) -> float:
        """What a batch counts when the next one comes."""
        return self._moments.discount

    @property
    def updates(self) -> int:
        """Number of batches added."""
        return self._moments.updates

    def check_range(self, interval: tuple[float, float], name: str) -> None:
        """Raises InvalidArgument, about the argument `name`, where its reward_range is not `interval`."""
        if self.reward_range != interval:
            raise InvalidArgument(
                f"{name} must have the reward_range of the call, got {self.reward_range} and {interval}"
            )

    def _core(self, name, struct, *arguments):
        call(getattr(library, f"v05_{self._name}_{name}"), byref(struct), *arguments)

    def _update(self, rewards, groups, prior, mask, weights=None):
        self.add(PreparedBatch(rewards, groups, prior, mask, self.reward_range, weights=weights))

    def add(self, batch: PreparedBatch) -> None:
        """Adds a batch that is prepared."""
        with self._lock:
            updated = self._struct_type.from_buffer_copy(self._struct)
            function = getattr(library, f"v05_{self._name}_update")
            options = options_of_rule(self._sized_by)
            batch.call_with_scratch(function, options, (byref(updated), byref(batch.struct)), ())
            self._struct = updated

    def __copy__(self: Self) -> Self:
        """Shares the struct: an update makes a new one."""
        copied = type(self).__new__(type(self))
        copied._struct = self._struct
        return copied

    def with_discount(self: Self, discount: float) -> Self:
        """The same, in which batches count otherwise from now on."""
        copied = copy.copy(self)
        copied._struct = self._struct_type.from_buffer_copy(self._struct)
        copied._moments.discount = discount
        return copied

    def _checkpoint_bytes(self):
        return saved_bytes(partial(self._core, "save", self._struct))

    def _restore(self, data):
        loaded = self._struct_type()
        self._core("load", loaded, data, len(data))
        self._struct = loaded


class RunningCalibration(Running):
    """A calibration over many batches, in which a batch counts `discount` times the one after it (method section 5).

        running = v05.RunningCalibration()
        for step in training:
            advantages = v05.advantages(..., rule="calibrated", leave_one_out=True, calibration=running)
            running.update(rewards, groups, prior)

    reward_range: (lo, hi) that rewards and priors lie in. discount: in [0, 1]; 0: only the newest batch counts, 1: all
    alike.

    After one update it equals `fit_calibration` of that batch, to rounding. Threads take turns.
    """

    __module__ = "v05"

    _name = "running_calibration"
    _sized_by = "calibrated"
    _struct_type = c.RunningCalibration

    @property
    def _moments(self):
        return self._struct

    @property
    def calibration(self) -> Calibration:
        """The Calibration that the batches so far amount to; before any, one with groups = 0."""
        return Calibration._from_struct(self._solved())

    def _solved(self) -> c.Calibration:
        struct = c.Calibration()
        call(library.v05_running_calibration_solve, byref(self._struct), byref(struct))
        return struct

    def widened(self, reward_range: RewardRange) -> "RunningCalibration":
        """The same in a reward_range that holds the present one. Exact: its sums are in reward units, and the range
        only says how far the slope is held back."""
        widened = copy.copy(self)
        widened._struct = self._struct_type.from_buffer_copy(self._struct)
        widened._struct.reward_low, widened._struct.reward_high = reward_interval(reward_range)
        return widened

    def update(
        self,
        rewards: Numbers,
        groups: GroupIds,
        prior: PriorValues | None,
        *,
        mask: Numbers | None = None,
        weights: Numbers | None = None,
    ) -> Calibration:
        """Adds a batch (arguments as in `advantages`) and returns the new Calibration. Raises InvalidArgument and then
        adds nothing."""
        self._update(rewards, groups, prior, mask, weights)
        return self.calibration

    def __repr__(self) -> str:
        return f"RunningCalibration(updates={self.updates}, discount={self.discount:g}, calibration={self.calibration})"


def calibration_struct(calibration: Any, interval: tuple[float, float]) -> Any:
    """The core's struct of a Calibration or RunningCalibration, None for None."""
    return learnt_struct("calibration", calibration, Calibration, RunningCalibration, interval)


def learnt_struct(name: str, given: Any, fitted: Any, running: Any, interval: tuple[float, float]) -> Any:
    """The core's struct of what was fitted on one batch or runs over many, None for None."""
    if given is None:
        return None
    if isinstance(given, running):
        given.check_range(interval, name)
        # What has seen nothing has nothing to say.
        return byref(given._solved()) if given.updates else None
    if not isinstance(given, fitted):
        raise ArgumentTypeError(
            f"{name} must be a {fitted.__name__}, a {running.__name__} or None, got {type(given).__name__}"
        )
    return byref(given._struct())
