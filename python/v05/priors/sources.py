"""Where the prior values of prompts come from while a trainer runs: history, tracker, a column, a function, or nowhere.

Every source has

    predict(keys, prompts, step) -> (value, strength)   (n,) float64 each; NaN and 0: no prior
    record(keys, prompts, rewards, mask, step)          called with the rewards of a step, last of all that may fail
    state_dict() / load_state_dict(state)               dict of bytes; its names have no slashes

for n rollouts with their prompts' keys (integers or strings) and texts (or None). Values are in reward units. A source
only reads in `predict`, so that the prior of a step never knows its rewards. It may have, too,

    after(keys, prompts, rewards, mask, step) -> source     which has learnt the step, where this one has not

and is then asked for that in place of `record`: a step that is refused or interrupted has then changed nothing. Of both
the one that takes `weights`, too, (n,) float64, is given the score weights of a step that has them. With
`takes_hashes = True` a source gets keys as (n,) int64, strings hashed as v05.History does: once for all that need it.
A source with a `calibration` (a v05.Calibration) says itself what its values are worth, where single rollouts do not.
With `reads_column = True` all that it has of these is given `column`, too: (n,) float64, what the dataset's column says
of each rollout's prompt, one value a key, NaN for nothing and for rows that do not count. With `needs_texts = True` it
is made of the texts, and refused where a trainer hands over none.
"""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .._core.arrays import optional_numbers
from .._core.calibration import Calibration
from .._core.history import History, Visit
from .._core.tracker import Tracker
from .._core.types import Keys, Numbers, OptionalNumbers, PriorName, RewardRange
from ..errors import ArgumentTypeError, CheckpointError, InvalidArgument

NAMES = ("history", "history+context", "tracker", "column", "tracker+column", "none")
COLUMN_NAMES = ("column", "tracker+column")  # those that need the values of the dataset's column


class PriorSource(Protocol):
    """What every source has."""

    def predict(self, keys: Any, prompts: Any, step: int) -> tuple[Any, Any]: ...

    def record(self, keys: Any, prompts: Any, rewards: Any, mask: Any, step: int) -> Any: ...

    def state_dict(self) -> dict[str, bytes]: ...

    def load_state_dict(self, state: Any) -> Any: ...


#: What an option `prior` takes.
Prior = PriorName | Callable[[list[str]], OptionalNumbers] | PriorSource


class NoPrior:
    """No prompt has a prior."""

    takes_hashes = True

    def predict(self, keys: Keys, prompts: Sequence[Any] | None, step: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full(len(keys), np.nan), np.zeros(len(keys))

    def record(
        self,
        keys: Keys,
        prompts: Sequence[Any] | None,
        rewards: Numbers,
        mask: Numbers | None,
        step: int,
        weights: Numbers | None = None,
    ) -> None:
        pass

    def after(
        self,
        keys: Keys,
        prompts: Sequence[Any] | None,
        rewards: Numbers,
        mask: Numbers | None,
        step: int,
        weights: Numbers | None = None,
    ) -> "NoPrior":
        return self

    def widened(self, reward_range: RewardRange) -> "NoPrior":
        return self

    def state_dict(self) -> dict[str, bytes]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class ColumnPrior(NoPrior):
    """What the dataset's column says, with which nothing is done."""

    reads_column = True

    def predict(
        self, keys: Keys, prompts: Sequence[Any] | None, step: int, column: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        nothing, strength = super().predict(keys, prompts, step)
        return nothing if column is None else column, strength

    def after(self, *learnt: Any, **more: Any) -> "ColumnPrior":
        return self


class HistoryPrior(NoPrior):
    """What earlier visits of the same prompt gave (v05.History)."""

    def __init__(
        self, reward_range: RewardRange, discount: float = 0.8, capacity: int | None = None, start_strength: float = 1.0
    ) -> None:
        self._history = History(discount, capacity, start_strength=start_strength, reward_range=reward_range)
        self._visit: Visit | None = None  # not yet in the history, which the sources before and after a step share

    @property
    def history(self) -> History:
        """The History, with all that was learnt."""
        visit = self._visit  # a signal handler may ask meanwhile
        if visit is not None:
            visit.record()
            self._visit = None
        return self._history

    def predict(self, keys: Keys, prompts: Sequence[Any] | None, step: int) -> tuple[np.ndarray, np.ndarray]:
        return self.history.predict(keys, step=step)

    def record(
        self,
        keys: Keys,
        prompts: Sequence[Any] | None,
        rewards: Numbers,
        mask: Numbers | None,
        step: int,
        weights: Numbers | None = None,
    ) -> None:
        self.history.record(keys, rewards, mask=mask, weights=weights, step=step)

    def after(
        self,
        keys: Keys,
        prompts: Sequence[Any] | None,
        rewards: Numbers,
        mask: Numbers | None,
        step: int,
        weights: Numbers | None = None,
    ) -> "HistoryPrior":
        """A copy of the history would take long: the new source shares it, and records when it is first used. Then this
        one has been given up."""
        later = copy.copy(self)
        later._visit = Visit(self.history, keys, rewards, mask, step, weights)
        return later

    def widened(self, reward_range: RewardRange) -> "HistoryPrior":
        """The source in a reward_range that holds the present one, with all that was learnt."""
        wider = copy.copy(self)
        wider._history, wider._visit = self.history.widened(reward_range), None
        return wider

    def state_dict(self) -> dict[str, bytes]:
        return {"history": self.history.state_dict()["checkpoint"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._history, self._visit = loaded_history(state, self.history), None

    def __getstate__(self) -> dict[str, Any]:
        return {"_history": self.history, "_visit": None}

    def __copy__(self) -> "HistoryPrior":
        copied = object.__new__(type(self))
        copied._history, copied._visit = self._history, self._visit
        return copied


def loaded_history(state: Mapping[str, Any], own: History) -> History:
    """The History of a source's state, with discount and capacity of `own`. Raises CheckpointError or KeyError."""
    return _loaded(state["history"], own, History(reward_range=own.reward_range), "history")


def _loaded(data: bytes, own: Any, loaded: Any, name: str) -> Any:
    loaded.load_state_dict({"checkpoint": data})
    if loaded.reward_range != own.reward_range:
        raise CheckpointError(f"the saved {name} has the reward_range {loaded.reward_range}, not {own.reward_range}")
    return loaded.with_options_of(own)


class TrackerPrior(HistoryPrior):
    """What earlier visits of the same prompt gave, and what such values have been worth (v05.Tracker)."""

    _history: Any

    def __init__(
        self, reward_range: RewardRange, discount: float = 0.8, capacity: int | None = None, forgetting: float = 0.98
    ) -> None:
        self._history = Tracker(discount, capacity, forgetting=forgetting, reward_range=reward_range)
        self._visit = None

    @property
    def history(self) -> Any:
        """The Tracker, with all that was learnt."""
        return super().history

    @property
    def calibration(self) -> Calibration:
        """What the values are worth to the rule "calibrated"; it rests on single rollouts, too."""
        return self.history.calibration

    def predict(
        self, keys: Keys, prompts: Sequence[Any] | None, step: int, column: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.history.predict(keys, prior=column)

    def record(
        self,
        keys: Keys,
        prompts: Sequence[Any] | None,
        rewards: Numbers,
        mask: Numbers | None,
        step: int,
        weights: Numbers | None = None,
        column: np.ndarray | None = None,
    ) -> None:
        self.history.record(keys, rewards, prior=column, mask=mask, weights=weights)

    def after(
        self,
        keys: Keys,
        prompts: Sequence[Any] | None,
        rewards: Numbers,
        mask: Numbers | None,
        step: int,
        weights: Numbers | None = None,
        column: np.ndarray | None = None,
    ) -> "TrackerPrior":
        later = copy.copy(self)
        later._visit = Visit(self.history, keys, rewards, mask, None, weights, column)
        return later

    def state_dict(self) -> dict[str, bytes]:
        return {"tracker": self.history.state_dict()["checkpoint"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        tracker = Tracker(reward_range=self.history.reward_range)
        self._history, self._visit = _loaded(state["tracker"], self.history, tracker, "tracker"), None


class TrackerColumnPrior(TrackerPrior):
    """What the dataset's column says, by what it has been worth so far, and earlier visits of the same prompt with
    it."""

    reads_column = True


class CallablePrior(NoPrior):
    """What a function of the user says of the prompts' texts: values in reward units, NaN or None for none."""

    takes_hashes = False
    needs_texts = True

    def __init__(self, function: Callable[[list[str]], OptionalNumbers]) -> None:
        self.function = function

    def predict(self, keys: Keys, prompts: Sequence[Any] | None, step: int) -> tuple[np.ndarray, np.ndarray]:
        if prompts is None:
            raise InvalidArgument("prior is a function of prompts, but the batch came without prompts")
        # Once per prompt, not once per rollout: the function may be a model.
        prompt_of = dict(zip(keys, prompts))
        values = optional_numbers(self.function(list(prompt_of.values())), "prior", (-np.inf, np.inf))
        if values.shape != (len(prompt_of),):
            raise InvalidArgument(
                f"prior must give one value per prompt, got shape {values.shape} for {len(prompt_of)} prompts"
            )
        value_of = dict(zip(prompt_of, values))
        rows = np.array([value_of[key] for key in keys], dtype=np.float64)
        return rows, np.zeros(len(rows))


def source_after(
    source: Any,
    keys: Keys,
    prompts: Sequence[Any] | None,
    rewards: Numbers,
    mask: Numbers | None,
    step: int,
    weights: Numbers | None = None,
    column: np.ndarray | None = None,
) -> Any:
    """The source with what the rewards of a step say; one that only has `record` changes, which is why it comes
    last. column: None where the source does not read it."""
    learn = getattr(source, "after", source.record)
    more: dict[str, Any] = {} if column is None else {"column": column}
    if weights is not None and _takes_weights(learn):
        more["weights"] = weights
    later = learn(keys, prompts, rewards, mask, step, **more)
    return later if hasattr(source, "after") else source


def _takes_weights(learn: Callable[..., Any]) -> bool:
    function = getattr(learn, "__func__", None)
    known = inspect.isfunction(function)  # a method of a class, whose signature stays as it is
    return "weights" in (_parameters(function) if known else inspect.signature(learn).parameters)


@functools.lru_cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    return inspect.signature(function).parameters


def prior_source(
    prior: Prior,
    reward_range: RewardRange,
    *,
    discount: float,
    capacity: int | None,
    start_strength: float = 1.0,
    forgetting: float = 0.98,
) -> Any:
    """The source that an adapter's option `prior` names: one of NAMES, a function of prompts, or a source.
    forgetting: of a tracker.

    For COLUMN_NAMES the adapter hands over the column's values with each batch.
    """
    if prior == "none":
        return NoPrior()
    if prior == "column":
        return ColumnPrior()
    if prior == "history":
        return HistoryPrior(reward_range, discount, capacity, start_strength)
    if prior in ("tracker", "tracker+column"):
        kind = TrackerPrior if prior == "tracker" else TrackerColumnPrior
        return kind(reward_range, discount, capacity, forgetting)
    if prior == "history+context":
        from . import HistoryContextPrior  # needs the extra v05[priors]

        return HistoryContextPrior(
            reward_range=reward_range, discount=discount, capacity=capacity, start_strength=start_strength
        )
    if hasattr(prior, "predict") and hasattr(prior, "record"):
        return prior
    if callable(prior):
        return CallablePrior(prior)
    raise ArgumentTypeError(
        f"prior must be one of {', '.join(map(repr, NAMES))}, a function of prompts or a prior source, got {prior!r}"
    )
