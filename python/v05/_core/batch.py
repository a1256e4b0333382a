"""The arguments of an estimation, checked for kind and shape and laid out for the core."""

import functools
from collections.abc import Callable
from ctypes import byref
from typing import Any

from ..errors import InvalidArgument
from . import prototypes as c
from .arguments import choice, integer, number
from .arrays import Groups, Rewards, address, mask_rows, prior_rows, weight_rows
from .call import call
from .library import library
from .scratch import put_back, take, workspace_size


class PreparedBatch:
    """A batch in the core's layout. Holds the arrays that the struct points to."""

    def __init__(
        self,
        rewards: Any,
        groups: Any,
        prior: Any,
        mask: Any,
        interval: tuple[float, float],
        prior_strength: Any = None,
        weights: Any = None,
    ) -> None:
        self.rewards = Rewards(rewards, interval)
        count = len(self.rewards)
        self.groups = Groups(groups, count)
        self.prior = prior_rows(prior, self.groups, interval)
        # A number of rewards: the ends of an interval of reward units mean nothing to it.
        self.prior_strength = prior_rows(prior_strength, self.groups, (0.0, 1.0), "prior_strength")
        self.mask = mask_rows(mask, count)
        self.weights = weight_rows(weights, count)
        self.struct = c.Batch(
            row_count=count,
            group_ids=address(self.groups.ids),
            prior=address(self.prior),
            prior_strength=address(self.prior_strength),
            mask=address(self.mask),
            weights=address(self.weights),
        )
        setattr(self.struct, "rewards_f32" if self.rewards.single else "rewards_f64", self.rewards.address)

    def call_with_scratch(
        self, function: Callable[..., int], options: c.EstimationOptions, first: tuple, last: tuple
    ) -> None:
        """Calls the core with first, the memory that this thread keeps, and last; options tell how much it needs."""
        needed = workspace_size(self.struct, options)
        scratch = take()
        try:
            scratch.reserve(needed)
            memory = (scratch.address, scratch.size) if needed <= scratch.size else (None, 0)
            self.call(function, *first, *memory, *last)
        finally:
            put_back(scratch)

    def call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Calls the core; a message about a row also names its group."""
        try:
            call(function, *arguments)
        except InvalidArgument as error:
            if error.status in ("V05_STATUS_PRIOR_DISAGREES", "V05_STATUS_INVALID_PRIOR") and error.index >= 0:
                error.args = (f"{error.args[0]} (group {self.groups.label(error.index)!r})",)
            raise


def estimation_options(interval, *, rule, leave_one_out, scale, ddof, epsilon, singleton, test, level, check_fit):
    """The options struct of the core. Numbers are checked there, names and kinds here."""
    return c.EstimationOptions(
        rule=choice("rule", rule, c.RULES),
        leave_one_out=choice("leave_one_out", leave_one_out, {False: 0, True: 1}),
        reward_low=interval[0],
        reward_high=interval[1],
        scale=choice("scale", scale, c.SCALES),
        ddof=integer("ddof", ddof),
        epsilon=DEFAULTS.epsilon if epsilon is None else number("epsilon", epsilon),
        singleton=choice("singleton", singleton, c.SINGLETONS),
        test=choice("test", test, c.TESTS),
        level=number("level", level),
        check_fit=choice("check_fit", check_fit, {False: 0, True: 1}),
    )


def default_options() -> c.EstimationOptions:
    """The defaults that the core decides."""
    options = c.EstimationOptions()
    call(library.v05_estimation_options_initialize, byref(options), options.struct_size)
    return options


@functools.cache
def options_of_rule(rule: str) -> c.EstimationOptions:
    """The defaults but for the rule; to read only."""
    options = default_options()
    options.rule = c.RULES[rule]
    return options


def options_within(rule: str, reward_range: tuple[float, float]) -> c.EstimationOptions:
    """The same with a range of rewards: the caller's own."""
    options = c.EstimationOptions.from_buffer_copy(options_of_rule(rule))
    options.reward_low, options.reward_high = reward_range
    return options


DEFAULTS = default_options()
