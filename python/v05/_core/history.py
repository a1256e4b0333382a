"""What the same prompts did before: the best prior there is once a prompt has been seen (method section 9)."""

import ctypes
from ctypes import byref
from itertools import compress, starmap
from typing import Any

import numpy as np

from ..errors import ArgumentTypeError, InvalidArgument
from . import prototypes as c
from .arguments import integer, number, prompt_limit, reward_interval
from .arrays import Rewards, address, column, mask_rows, optional_numbers, weight_rows
from .call import call, exception
from .handle import Handle
from .keys import key_array
from .library import library
from .lock import both
from .types import Keys, Numbers, OptionalNumbers, RewardRange


class History(Handle):
    """Prior values of prompts from their earlier rollouts.

        history = v05.History()
        for step in training:
            value, strength = history.predict(keys)            # before recording: the prior must not know the rewards
            advantages = v05.advantages(rewards, keys, value, rule="calibrated")
            history.record(keys, rewards)

    At each visit of a prompt with k rewards r:  a <- decay a + sum (r - lo) / (hi - lo),  n <- decay n + k,  with decay
    = discount * step_decay^(steps since the visit before). The value is lo + (hi - lo) (a + n0 g) / (n + n0), the
    strength n + n0, where g is the running level of all prompts and n0 = start_strength: a prompt never seen starts
    from the level.

    discount: in [0, 1]; 1 keeps all visits alike, 0 only the last.
    capacity: prompts kept, those recorded longest ago go first; None: all. 1,000,000 prompts take 46 MB.
    step_decay: in [0, 1], factor per step; None: time does not matter.
    start_strength: n0, how many rewards the level is worth; 0: a prompt has no value before its first visit, and after
        a visit of one rollout that reward.
    reward_range: (lo, hi).

    Keys are integers (64 bits) or strings, which are hashed to 64 bits the same way everywhere. Threads take turns.
    """

    __module__ = "v05"

    _name = "history"
    _range: tuple[float, float] | None = None  # of the handle, asked for once

    def __init__(
        self,
        discount: float = 0.8,
        capacity: int | None = None,
        step_decay: float | None = None,
        *,
        start_strength: float = 1.0,
        reward_range: RewardRange = (0.0, 1.0),
    ) -> None:
        limit = prompt_limit(capacity)
        low, high = reward_interval(reward_range)
        options = c.HistoryOptions(
            reward_low=low,
            reward_high=high,
            discount=number("discount", discount),
            step_decay=1.0 if step_decay is None else number("step_decay", step_decay),
            capacity=limit,
            start_strength=number("start_strength", start_strength),
        )
        handle = ctypes.c_void_p()
        call(library.v05_history_create, byref(options), byref(handle))
        self._adopt(handle)

    def __len__(self) -> int:
        """Number of prompts."""
        count = ctypes.c_int64()
        self._call("count", byref(count))
        return count.value

    @property
    def reward_range(self) -> tuple[float, float]:
        """(lo, hi) of the rewards."""
        with self._lock:
            self._check_open()
            if self._range is None:
                options = self._options()
                self._range = options.reward_low, options.reward_high
            return self._range

    @property
    def start_strength(self) -> float:
        """Rewards that the level of all prompts is worth."""
        return self._options().start_strength

    def _options(self):
        options = c.HistoryOptions()
        self._call("inspect", byref(options))
        return options

    def _adopt(self, handle):
        with self._lock:
            super()._adopt(handle)
            self._range = None

    def predict(self, keys: Keys, *, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """(value, strength) of each key: two (n,) float64 arrays. A key never recorded has the level of all prompts;
        NaN and 0 where nothing was ever recorded, as at the first step of a run, or with start_strength=0.

        keys: (n,) integers or strings; a key may come more than once, as in a batch of rollouts.
        step: to which a and n decay.
        """
        keys = key_array(keys)
        value = np.empty(len(keys))
        strength = np.empty(len(keys))
        self._call("predict", address(keys), len(keys), integer("step", step), address(value), address(strength))
        return value, strength

    def record(
        self,
        keys: Keys,
        rewards: Numbers,
        *,
        mask: Numbers | None = None,
        weights: Numbers | None = None,
        step: int = 0,
    ) -> None:
        """Records one visit of every key that occurs.

        keys, rewards: (n,) a rollout each; rewards finite and within reward_range where counted.
        mask: (n,) booleans; False takes a rollout out.
        weights: (n,) how much each counts, as in v05.advantages: the value is then that of E[W r] / E[W]. They are
            divided by their running mean, so that a typical rollout counts one. None: all count one.
        Raises InvalidArgument and then records nothing.
        """
        Visit(self, keys, rewards, mask, step, weights).record()

    def start(self, keys: Keys, value: OptionalNumbers, strength: Numbers, *, step: int = 0) -> None:
        """Gives keys that were never recorded a value (reward units; NaN: none) and a strength (the rewards it is
        worth), (n,) each or a number for all, as from a prior for prompts never seen; for these it stands in the place
        of the level. Other keys keep theirs."""
        keys = key_array(keys)
        value = number_per_key(value, "value", len(keys))
        strength = number_per_key(strength, "strength", len(keys))
        self._call("start", address(keys), address(value), address(strength), len(keys), integer("step", step))

    def merge(self, other: "History") -> None:
        """Adds what another History knows, such as that of another process: the sums of both where both know a key, the
        mean of both levels. Its reward_range lies within this one's; the rewards that it saw stay what they were."""
        if not isinstance(other, History):
            raise ArgumentTypeError(f"other must be a History, got {type(other).__name__}")
        first, second = both(self._lock, other._lock)
        with first, second:
            if other.closed:
                raise InvalidArgument("other must not be closed")
            self._call("merge", other._address)

    def widened(self, reward_range: RewardRange) -> "History":
        """A copy in a reward_range that holds the present one. Exact: the rewards that it saw stay what they were."""
        return self._copied(reward_range=reward_range)

    def with_options_of(self, other: "History") -> "History":
        """A copy with the other's discount and capacity; itself where they are the same."""
        return with_options(self, other, ("discount",))

    def _copied(self, **changed):
        return merged_copy(History, self, ("discount", "step_decay", "start_strength"), changed)

    def __repr__(self) -> str:
        return "History(closed)" if self.closed else f"History({len(self)} prompts)"


def merged_copy(kind: Any, history: Any, names: tuple[str, ...], changed: dict[str, Any]) -> Any:
    """A new `kind` that knows what `history` does, with its options but for those that are changed. names: of the
    options beside capacity and reward_range."""
    options = history._options()
    kept = {name: getattr(options, name) for name in names}
    kept |= {"capacity": options.capacity or None, "reward_range": (options.reward_low, options.reward_high)}
    copied = kind(**kept | changed)
    copied.merge(history)
    return copied


def with_options(history: Any, other: Any, names: tuple[str, ...]) -> Any:
    """History or Tracker `history` with these options and the capacity of `other`; itself where they are the same."""
    own, wanted = history._options(), other._options()
    if all(getattr(own, name) == getattr(wanted, name) for name in (*names, "capacity")):
        return history
    return history._copied(capacity=wanted.capacity or None, **{name: getattr(wanted, name) for name in names})


class Visit:
    """What a batch says of its prompts, on its way into a History or Tracker: `record` counts it, and counts it once,
    however often it is called and wherever it is interrupted. Holds copies of the arrays.

    step: None for a Tracker, which has no steps. prior: of the caller's own, for a Tracker.
    """

    def __init__(
        self,
        history: Any,
        keys: Keys,
        rewards: Numbers,
        mask: Numbers | None,
        step: int | None,
        weights: Numbers | None = None,
        prior: OptionalNumbers | None = None,
    ) -> None:
        self._history = history
        self._step = None if step is None else integer("step", step)
        self._batch, self._arrays = visit_batch(history, keys, rewards, mask, weights, prior)
        self._attempt = _attempt()

    def record(self) -> None:
        with self._history._lock:
            status, due = self._attempt
            if status == [0]:
                return
            if status not in ([], [0]):  # refused before
                self._attempt = status, due = _attempt()
            self._history._check_open()
            error = c.Error()
            arguments = (self._history._address, byref(self._batch), self._step, byref(error))
            given = tuple(argument for argument in arguments if argument is not None)
            # Signals are handled between two steps of Python, and a handler may raise Ctrl-C, or ask for the state,
            # which records this. There is no step between the look whether a call is due and the note of its answer.
            status.extend(starmap(getattr(library, f"v05_{self._history._name}_record"), compress([given], due)))
            if status != [0]:
                raise exception(status[0], error)


def _attempt():
    """(what the core answered, an iterator that gives once leave to ask it)."""
    return [], iter((True,))


def visit_batch(
    history: Any,
    keys: Keys,
    rewards: Numbers,
    mask: Numbers | None,
    weights: Numbers | None = None,
    prior: OptionalNumbers | None = None,
) -> tuple[c.Batch, list[np.ndarray | None]]:
    """A struct of the core with a row a key, and the arrays that it points to, which are copies."""
    interval = history.reward_range
    rows = Rewards(rewards, interval)
    hashes = key_array(keys)
    count = len(hashes)
    if len(rows) != count:
        raise InvalidArgument(f"rewards must have one entry per key, got {len(rows)} for {count} keys")
    given = (
        hashes,
        rows.array,
        mask_rows(mask, count),
        weight_rows(weights, count),
        prior_per_key(prior, count, interval),
    )
    arrays = [None if array is None else array.copy() for array in given]
    ids, values, counted, weight, priors = map(address, arrays)
    batch = c.Batch(row_count=count, group_ids=ids, mask=counted, weights=weight, prior=priors)
    setattr(batch, "rewards_f32" if rows.single else "rewards_f64", values)
    return batch, arrays


def prior_per_key(prior: OptionalNumbers | None, count: int, interval: tuple[float, float]) -> np.ndarray | None:
    """A float64 a key, NaN for none; None for none at all."""
    if prior is None:
        return None
    array = optional_numbers(prior, "prior", interval)
    if array.shape != (count,):
        raise InvalidArgument(f"prior must have one entry per key ({count}), got shape {array.shape}")
    return np.ascontiguousarray(array)


def number_per_key(values: Any, name: str, count: int) -> np.ndarray:
    """A float64 a key, from as many or from one number for all."""
    array = column(values, name, np.float64)
    if len(array) not in (1, count):
        raise InvalidArgument(f"{name} must be a number or have one entry per key ({count}), got shape {array.shape}")
    return np.ascontiguousarray(np.broadcast_to(array, count))
