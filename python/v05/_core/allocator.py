"""Rollouts where they are needed, decided while they come in (method section 3)."""

import ctypes
import math
from ctypes import byref

import numpy as np

from ..errors import InvalidArgument
from . import prototypes as c
from .arguments import choice, integer, number, reward_interval
from .arrays import address, column
from .batch import estimation_options
from .calibration import Calibration, RunningCalibration, calibration_struct
from .call import call
from .estimate import Estimate, EstimateArrays
from .handle import Handle
from .library import library
from .mixture import Mixture, RunningMixture, mixture_struct
from .types import (
    AllocationRuleName,
    LookAheadName,
    Numbers,
    OptionalNumbers,
    RewardRange,
    RuleName,
    ScaleName,
    SingletonName,
    TestName,
)


class Allocator(Handle):
    """Says, wave by wave, which prompts of a step need more rollouts.

        allocator = v05.Allocator(prior)
        while not allocator.done:
            counts = allocator.request()                     # start counts[i] more rollouts of prompt i
            ...
            allocator.observe(prompt_index, rewards)         # results, in any order and portions
        estimate = allocator.estimate()

    A prompt starts with `initial` rollouts. When all of them are back, it goes on while the expected gain of one more
    exceeds the cost, up to `maximum` and the budget. Decisions depend on the set of a prompt's rewards only: the same
    on every rank.

    prior: (g,) prior values in reward units, NaN or None for none.
    rule: "osla"    the paper's one-step look-ahead (arXiv 2603.10848): gain mse(k) - mse(k + 1). For good priors, such
                    as a history. With weak ones it spends rollouts where p is near 0 or 1 and stops by luck near 1/2:
                    worse than equal groups of the same total.
          "neyman"  gain E[h^2 - (mu - mid)^2] / (k (k + 1)), the drop of gradient noise. With a budget all of it is
                    spent, where it gains most by what is known at each request; what seems to gain nothing anywhere
                    goes to the prompts with the fewest rollouts. For any prior.
    reward_range: (lo, hi) of a reward; h is half its length, mid its middle.
    initial, maximum: of every prompt, numbers or (g,).
    cost: gain that a further rollout must exceed, squared reward units; None: h^2 / maximum^2, but 0 for "neyman" with
        a budget.
    look_ahead: what "osla" holds fixed: "same_bias", "same_mean" or "derivative".
    wave: the most that a prompt that goes on asks for at once, for engines that generate in waves.
    budget: rollouts of all prompts together, never exceeded; None: no limit. Where it binds, larger gains come first,
        ties by index.
    maximum_without_prior: the same as `maximum` for prompts without prior, with which "osla" goes on up to the maximum
        whatever they give; None: as the others.
    strength: (g,) rewards that each prior is worth, as History.predict returns; 0: not known. A prior worth more than 0
        and at most one is the level of all prompts and none of the prompt's own: `maximum_without_prior` holds for it,
        too.
    calibration: Calibration or RunningCalibration: allocate for the calibrated baseline; None, or one that rests on
        fewer than 8 groups: for the paper's.
    mixture: Mixture or RunningMixture in place of a calibration: allocate for the rule "mixture". "osla" then goes by
        the expected drop of the posterior variance. Rewards must be two-valued.

    Optional stopping makes a prompt's mean slightly biased, and leave-one-out is then no longer exactly unbiased.
    Raises InvalidArgument, also where maximum is below initial or the budget below the sum of initial. Threads take
    turns.
    """

    __module__ = "v05"

    _name = "allocator"

    def __init__(
        self,
        prior: OptionalNumbers,
        *,
        rule: AllocationRuleName = "osla",
        reward_range: RewardRange = (0.0, 1.0),
        initial: Numbers = 4,
        maximum: Numbers = 16,
        cost: float | None = None,
        look_ahead: LookAheadName = "same_bias",
        wave: int = 1,
        budget: int | None = None,
        maximum_without_prior: int | None = None,
        strength: Numbers | None = None,
        calibration: Calibration | RunningCalibration | None = None,
        mixture: Mixture | RunningMixture | None = None,
    ) -> None:
        low, high = reward_interval(reward_range)
        prior = column(prior, "prior", np.float64)
        initials = None if np.ndim(initial) == 0 else column(initial, "initial", np.int64, len(prior))
        maxima = None if np.ndim(maximum) == 0 else column(maximum, "maximum", np.int64, len(prior))
        options = c.AllocatorOptions(
            rule=choice("rule", rule, c.ALLOCATION_RULES),
            look_ahead=choice("look_ahead", look_ahead, c.LOOK_AHEADS),
            reward_low=low,
            reward_high=high,
            initial=integer("initial", initial) if initials is None else 1,
            maximum=integer("maximum", maximum) if maxima is None else int(max(maxima, default=2**31 - 1)),
            wave=integer("wave", wave),
            cost=math.nan if cost is None else number("cost", cost),
            budget=-1 if budget is None else integer("budget", budget),
            maximum_without_prior=-1
            if maximum_without_prior is None
            else integer("maximum_without_prior", maximum_without_prior),
        )
        if cost is not None and math.isnan(options.cost) or budget is not None and options.budget < 0:
            raise InvalidArgument(
                f"cost and budget must not be NaN or negative (None: no limit), got {cost!r} and {budget!r}"
            )
        if maximum_without_prior is not None and options.maximum_without_prior < 0:
            raise InvalidArgument(f"maximum_without_prior must be at least initial, got {maximum_without_prior!r}")
        if strength is not None:
            strength = column(strength, "strength", np.float64, len(prior))
            bad = np.flatnonzero(~((strength >= 0) & (strength < np.inf)))
            if len(bad):
                raise InvalidArgument(
                    f"strength[{bad[0]}] must be finite and not negative (0: not known), got {strength[bad[0]]:g}"
                )
            if maximum_without_prior is not None:
                maxima = _capped(maxima, initials, options, (strength > 0) & (strength <= 1))
        if calibration is not None and mixture is not None:
            raise InvalidArgument("calibration must be None where a mixture is given, which holds its own")
        handle = ctypes.c_void_p()
        call(
            library.v05_allocator_create,
            byref(options),
            len(prior),
            address(prior),
            address(initials),
            address(maxima),
            calibration_struct(calibration, (low, high)),
            mixture_struct(mixture, (low, high)),
            byref(handle),
        )
        self._adopt(handle)

    def request(self) -> np.ndarray:
        """How many rollouts of each prompt to start now, (g,) int64; they count as in flight from here on. 0 for
        prompts whose rollouts are not all back."""
        with self._lock:  # len and the call are of one state
            counts = np.empty(len(self), np.int64)
            self._call("request", address(counts), len(counts), None)
        return counts

    def observe(self, prompt_index: Numbers, rewards: Numbers, *, weights: Numbers | None = None) -> None:
        """Takes results of rollouts in flight: (m,) prompt indices and their rewards, or one of each. All or nothing.
        Accepted after a stop, too.

        weights: (m,) how much each rollout counts, as in v05.advantages; None: 1. Decisions then go by the weighted
            mean of a prompt's rewards and what it is worth, and `estimate` is the weighted one. Not with a mixture.
        """
        indices = column(prompt_index, "prompt_index", np.int64)
        rewards = column(rewards, "rewards", np.float64, len(indices), per="prompt_index")
        if weights is None:
            self._call("observe", address(indices), address(rewards), len(indices))
        else:
            weights = column(weights, "weights", np.float64, len(indices), per="prompt_index")
            self._call("observe_weighted", address(indices), address(rewards), address(weights), len(indices))

    def cancel(self, prompt_index: Numbers) -> None:
        """Takes back rollouts in flight that failed, (m,) prompt indices or one: they count for nothing, and are asked
        for again up to `initial`. All or nothing."""
        indices = column(prompt_index, "prompt_index", np.int64)
        self._call("cancel", address(indices), len(indices))

    def stop(self) -> None:
        """Requests nothing from here on; results in flight are still accepted and counted."""
        self._call("stop")

    def __len__(self) -> int:
        """Number of prompts."""
        count = ctypes.c_int64()
        self._call("status", byref(count), None, None, 0, None, None)
        return count.value

    @property
    def done(self) -> bool:
        """Nothing is in flight and nothing would be requested."""
        done = ctypes.c_int32()
        self._call("status", None, None, None, 0, byref(done), None)
        return bool(done.value)

    @property
    def counts(self) -> np.ndarray:
        """(g,) int64 observed rollouts of each prompt."""
        with self._lock:
            counts = np.empty(len(self), np.int64)
            self._call("status", None, address(counts), None, len(counts), None, None)
        return counts

    @property
    def in_flight(self) -> np.ndarray:
        """(g,) int64 rollouts of each prompt that were requested and have neither been observed nor cancelled."""
        with self._lock:
            in_flight = np.empty(len(self), np.int64)
            self._call("status", None, None, address(in_flight), len(in_flight), None, None)
        return in_flight

    def observations(self) -> tuple[np.ndarray, np.ndarray]:
        """(prompt_index, rewards) of all that was observed, (m,) int64 and float64, in the order of arrival."""
        count = ctypes.c_int64()
        with self._lock:  # it must not grow between the two calls
            self._call("observations", None, None, 0, byref(count))
            indices = np.empty(count.value, np.int64)
            rewards = np.empty(count.value)
            self._call("observations", address(indices), address(rewards), count.value, byref(count))
        return indices, rewards

    def estimate(
        self,
        *,
        rule: RuleName | None = None,
        leave_one_out: bool = False,
        scale: ScaleName = "none",
        ddof: int = 1,
        epsilon: float | None = None,
        singleton: SingletonName = "zero",
        test: TestName = "bound",
        level: float = 0.05,
        check_fit: bool = True,
    ) -> Estimate:
        """Estimate of all that was observed. Rows are in the order of arrival; groups are all prompts, by index.

        rule: as in v05.estimate, but for "discounted_beta"; None: "mixture" or "calibrated" where the allocator has a
            mixture or a calibration, else "v05". Further options as there.
        """
        with self._lock:  # it must not grow between the calls
            calibrated = ctypes.c_int32()
            row_count = ctypes.c_int64()
            self._call("status", None, None, None, 0, None, byref(calibrated))
            self._call("observations", None, None, 0, byref(row_count))
            applied = ("v05", "calibrated", "mixture")[calibrated.value] if rule is None else rule
            if applied == "discounted_beta":
                raise InvalidArgument(
                    'rule "discounted_beta" needs the strength of every prior, which an allocator does not keep: give '
                    "v05.estimate its observations() and prior_strength"
                )
            options = estimation_options(
                (0.0, 1.0),
                rule=applied,
                leave_one_out=leave_one_out,
                scale=scale,
                ddof=ddof,
                epsilon=epsilon,
                singleton=singleton,
                test=test,
                level=level,
                check_fit=check_fit,
            )
            advantages = np.empty(row_count.value)
            output = EstimateArrays(row_count.value, len(self))
            output.struct.advantages_f64 = address(advantages)
            self._call("estimate", byref(options), byref(output.struct))
        return output.estimate(advantages, lambda ids: ids, applied)

    def __repr__(self) -> str:
        if self.closed:
            return "Allocator(closed)"
        return (
            f"Allocator({len(self)} prompts, {self.counts.sum()} rollouts observed, {self.in_flight.sum()} in flight)"
        )


def _capped(maxima, initials, options, unknown):
    """The maximum of each prompt where that of the unknown ones is `maximum_without_prior`, but not below initial."""
    maxima = np.full(len(unknown), options.maximum) if maxima is None else maxima
    initials = options.initial if initials is None else initials
    # A maximum below initial is the core's to refuse.
    return np.where(
        unknown, np.maximum(np.minimum(initials, maxima), np.minimum(maxima, options.maximum_without_prior)), maxima
    )
