"""How good the priors are: fitted on one batch, or running over many (empirical Bayes, method section 5)."""

import ctypes
import dataclasses
from ctypes import byref

from . import _prototypes as c
from ._batch import PreparedBatch, default_options, number, reward_interval
from ._call import call
from ._checkpoint import Checkpointed
from ._library import library
from .errors import ArgumentTypeError, InvalidArgument


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

    intercept: float
    slope: float
    prior_variance: float
    reward_variance: float
    grand_mean: float
    between_variance: float
    groups: float
    total_groups: float

    def _struct(self):
        return c.Calibration(**{name: number(name, value) for name, value in dataclasses.asdict(self).items()})

    @classmethod
    def _from_struct(cls, struct):
        return cls(*(getattr(struct, field.name) for field in dataclasses.fields(cls)))


def fit_calibration(rewards, groups, prior, *, reward_range=(0.0, 1.0), mask=None):
    """Fits a Calibration on one batch.

    Arguments as in `advantages`. Rewards and priors must lie in `reward_range`. Few groups are no error: the result
    then has a small `groups`, and rules that are given it fit or fall back.
    """
    interval = reward_interval(reward_range)
    batch = PreparedBatch(rewards, groups, prior, mask, interval)
    options = default_options()
    options.reward_low, options.reward_high = interval
    struct = c.Calibration()
    batch.call(library.v05_calibration_fit, byref(batch.struct), byref(options), None, 0, byref(struct))
    return Calibration._from_struct(struct)


class RunningCalibration(Checkpointed):
    """A calibration over many batches, in which a batch counts `discount` times the one after it.

        running = v05.RunningCalibration()
        for step in training:
            advantages = v05.advantages(..., rule="calibrated", leave_one_out=True, calibration=running)
            running.update(rewards, groups, prior)

    After one update it equals `fit_calibration` of that batch, to rounding.
    """

    def __init__(self, *, reward_range=(0.0, 1.0), discount=0.9):
        low, high = reward_interval(reward_range)
        self._struct = c.RunningCalibration()
        call(library.v05_running_calibration_initialize, byref(self._struct), self._struct.struct_size,
             low, high, number("discount", discount))

    @property
    def reward_range(self):
        return self._struct.reward_low, self._struct.reward_high

    @property
    def discount(self):
        return self._struct.discount

    @property
    def updates(self):
        """Number of batches added."""
        return self._struct.updates

    @property
    def calibration(self):
        """The Calibration that the batches so far amount to; before any, one with groups = 0."""
        struct = c.Calibration()
        call(library.v05_running_calibration_solve, byref(self._struct), byref(struct))
        return Calibration._from_struct(struct)

    def update(self, rewards, groups, prior, *, mask=None):
        """Adds a batch (arguments as in `advantages`) and returns the new Calibration."""
        batch = PreparedBatch(rewards, groups, prior, mask, self.reward_range)
        batch.call(library.v05_running_calibration_update, byref(self._struct), byref(batch.struct), None, 0)
        return self.calibration

    def _checkpoint_bytes(self):
        size = ctypes.c_size_t()
        call(library.v05_running_calibration_save, byref(self._struct), None, 0, byref(size))
        data = ctypes.create_string_buffer(size.value)
        call(library.v05_running_calibration_save, byref(self._struct), data, size.value, byref(size))
        return data.raw

    def _restore(self, data):
        loaded = c.RunningCalibration()
        call(library.v05_running_calibration_load, byref(loaded), data, len(data))
        self._struct = loaded

    def __repr__(self):
        return f"RunningCalibration(updates={self.updates}, discount={self.discount:g}, calibration={self.calibration})"


def calibration_struct(calibration, interval):
    """The core's struct of a Calibration or RunningCalibration, None for None."""
    if calibration is None:
        return None
    if isinstance(calibration, RunningCalibration):
        if calibration.reward_range != interval:
            raise InvalidArgument(
                f"calibration must have the reward_range of the call, got {calibration.reward_range} and {interval}")
        calibration = calibration.calibration
    if not isinstance(calibration, Calibration):
        raise ArgumentTypeError(
            f"calibration must be a Calibration, a RunningCalibration or None, got {type(calibration).__name__}")
    return byref(calibration._struct())
