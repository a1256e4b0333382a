"""The history's successor: calibrated values of prompts from their earlier rollouts (method section 15)."""

import ctypes
from ctypes import byref

import numpy as np

from ..errors import ArgumentTypeError, InvalidArgument
from . import prototypes as c
from .arguments import choice, number, prompt_limit, reward_interval
from .arrays import address
from .calibration import Calibration
from .call import call
from .handle import Handle
from .history import Visit, merged_copy, prior_per_key, visit_batch, with_options
from .keys import key_array
from .library import library
from .lock import both
from .types import Keys, Numbers, OptionalNumbers, RewardRange


class Tracker(Handle):
    """Prior values of prompts from their earlier rollouts, calibrated by how well they foretold the later ones.

        tracker = v05.Tracker()
        for step in training:
            value, _ = tracker.predict(keys)                   # before recording: the prior must not know the rewards
            advantages = v05.advantages(rewards, keys, value, rule="calibrated", calibration=tracker.calibration)
            tracker.record(keys, rewards)

    A prompt's two discounted means, as logits, enter a logistic regression with three weights, which takes one Newton
    step at each call of `record`; that is how one rollout per prompt calibrates it. How many rewards a value is worth
    it learns from groups of two rollouts or more, where every reward is lo or hi. A prompt never seen has the running
    level of all prompts.

    discount, slow_discount: in [0, 1], of the two means, per visit.
    forgetting: in [0, 1], what a batch counts at the next one. A batch is a step: whoever records a few prompts at a
        time takes it nearer to 1.
    capacity: prompts kept, those recorded longest ago go first; None: all. 1,000,000 prompts take 63 MB.
    reward_range: (lo, hi).

    Keys are integers (64 bits) or strings, as in v05.History. Threads take turns.
    """

    __module__ = "v05"

    _name = "tracker"

    def __init__(
        self,
        discount: float = 0.8,
        capacity: int | None = None,
        *,
        slow_discount: float = 0.95,
        forgetting: float = 0.98,
        reward_range: RewardRange = (0.0, 1.0),
    ) -> None:
        limit = prompt_limit(capacity)
        low, high = reward_interval(reward_range)
        options = c.TrackerOptions(
            reward_low=low,
            reward_high=high,
            discount=number("discount", discount),
            slow_discount=number("slow_discount", slow_discount),
            forgetting=number("forgetting", forgetting),
            capacity=limit,
        )
        handle = ctypes.c_void_p()
        call(library.v05_tracker_create, byref(options), byref(handle))
        self._adopt(handle)

    def __len__(self) -> int:
        """Number of prompts."""
        count = ctypes.c_int64()
        self._call("count", byref(count))
        return count.value

    def _options(self) -> c.TrackerOptions:
        options = c.TrackerOptions()
        self._call("inspect", byref(options))
        return options

    @property
    def reward_range(self) -> tuple[float, float]:
        """(lo, hi) of the rewards."""
        options = self._options()
        return options.reward_low, options.reward_high

    def predict(self, keys: Keys, *, prior: OptionalNumbers | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(value, strength) of each key: two (n,) float64 arrays; NaN and 0 where nothing was ever recorded and no
        prior is given, as at the first step of a run.

        keys: (n,) integers or strings; a key may come more than once, as in a batch of rollouts.
        prior: (n,) values of the caller's own in reward units, such as a column's, None or NaN for none. They take the
            place of the faster of the two means, so that the visits say what they are worth, however poor.

        The strength, rewards that the value is worth, is the same for all prompts that were seen, and for all others.
        """
        keys = key_array(keys)
        prior = prior_per_key(prior, len(keys), self.reward_range)
        value = np.empty(len(keys))
        strength = np.empty(len(keys))
        self._call("predict", address(keys), address(prior), len(keys), address(value), address(strength))
        return value, strength

    def record(
        self,
        keys: Keys,
        rewards: Numbers,
        *,
        prior: OptionalNumbers | None = None,
        mask: Numbers | None = None,
        weights: Numbers | None = None,
    ) -> None:
        """Records one visit of every key that occurs.

        keys, rewards: (n,) a rollout each; rewards finite and within reward_range where counted.
        prior: (n,) what `predict` was given, or None.
        mask: (n,) booleans; False takes a rollout out.
        weights: (n,) how much each counts, as in v05.advantages: the value is then that of E[W r] / E[W]. They are
            divided by their running mean, so that a typical rollout counts one. None: all count one.
        Raises InvalidArgument and then records nothing.
        """
        Visit(self, keys, rewards, mask, None, weights, prior).record()

    def fuse(
        self,
        keys: Keys,
        rewards: Numbers,
        *,
        prior: OptionalNumbers | None = None,
        mask: Numbers | None = None,
        leave_one_out: bool = True,
    ) -> np.ndarray:
        """(n,) float64 baselines: the posterior mean of each prompt's true value, of what is known of the prompt and
        the other rewards of its group, those of the same key (all of them with leave_one_out=False). NaN where mask is
        False and where nothing is known. Every counted reward must be lo or hi; call it before `record`.

        Arguments as in `record`. For advantages without an Estimate: rewards - baselines.
        """
        batch, _arrays = visit_batch(self, keys, rewards, mask, None, prior)
        baselines = np.empty(batch.row_count)
        one_out = choice("leave_one_out", leave_one_out, {False: 0, True: 1})
        self._call("fuse", byref(batch), one_out, address(baselines))
        return baselines

    @property
    def calibration(self) -> Calibration:
        """What the values are worth to the rule "calibrated", as a Calibration of slope 1. Its groups are all prompts
        so far, discounted, also those with one rollout, which tell a fit to a batch nothing."""
        struct = c.Calibration()
        self._call("calibration", byref(struct))
        return Calibration._from_struct(struct)

    def merge(self, other: "Tracker") -> None:
        """Adds what another Tracker knows, such as that of another process: the sums of both where both know a key, the
        regression by what each rests on, the mean of both levels. Its reward_range lies within this one's; where it is
        not the same, prompts and level alone are taken over."""
        if not isinstance(other, Tracker):
            raise ArgumentTypeError(f"other must be a Tracker, got {type(other).__name__}")
        first, second = both(self._lock, other._lock)
        with first, second:
            if other.closed:
                raise InvalidArgument("other must not be closed")
            self._call("merge", other._address)

    def widened(self, reward_range: RewardRange) -> "Tracker":
        """A copy in a reward_range that holds the present one. The rewards that it saw stay what they were; what their
        means are worth is learnt anew."""
        return self._copied(reward_range=reward_range)

    def with_options_of(self, other: "Tracker") -> "Tracker":
        """A copy with the other's discount, forgetting and capacity; itself where they are the same."""
        return with_options(self, other, ("discount", "forgetting"))

    def _copied(self, **changed):
        return merged_copy(Tracker, self, ("discount", "slow_discount", "forgetting"), changed)

    def __repr__(self) -> str:
        return "Tracker(closed)" if self.closed else f"Tracker({len(self)} prompts)"
