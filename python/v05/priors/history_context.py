"""A prior for every visit of a prompt: its own past, and what similar prompts gave where it has none."""

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .._core.arguments import integer
from .._core.history import History, Visit
from .._core.keys import key_array
from .._core.types import Keys, Numbers, RewardRange
from ..errors import CheckpointError, InvalidArgument
from .context_buffer import ContextBuffer
from .in_context_prior import SHORT_CONTEXT, InContextPrior
from .prompt_text import prompt_text, shortened
from .sources import loaded_history

_log = logging.getLogger("v05")
MOST_STRENGTH = 16.0


class Model(Protocol):
    """What says something of prompts never seen, fitted on others: InContextPrior, v05.v0.V0Prior."""

    reward_range: Any

    def fit(self, prompts: Any, scores: Any) -> Any: ...

    def predict(self, prompts: Any) -> tuple[Any, Any]: ...


def start_strength(
    value: Numbers, standard_deviation: Numbers, reward_range: RewardRange = (0.0, 1.0), maximum: float = MOST_STRENGTH
) -> np.ndarray:
    """Rewards that a predicted value is worth, for History.start: (n,) float64 in [0, maximum].

    A Beta distribution with mean p and standard deviation s is worth  p (1 - p) / s^2 - 1  counts; p and s are value
    and standard_deviation, (n,) in reward units, on the scale from 0 to 1. 0 where s is larger than any Beta
    distribution's, and where either is NaN.
    """
    low, high = reward_range
    p = (np.asarray(value, dtype=np.float64) - low) / (high - low)
    s = np.asarray(standard_deviation, dtype=np.float64) / (high - low)
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = p * (1 - p) / s**2 - 1
    return np.nan_to_num(np.clip(strength, 0.0, maximum), nan=0.0)


class HistoryContextPrior:
    """Source of priors "history+context" (see v05.priors.sources): the history of a prompt, and at its first visit what
    `model` says from a context of recently visited prompts, with which its history then starts.

    Whatever becomes of context and model, training goes on: with too little context, without the prompt's text, or
    where the model fails (a warning, once for each kind of error) a prompt never seen has what the history says of it,
    the level of all prompts.

    reward_range: (lo, hi) of the rewards. discount, capacity, start_strength: of the History.
    model: with fit(prompts, scores) and predict(prompts) -> (value, standard_deviation), such as v05.v0.V0Prior;
        None: InContextPrior. It is fitted at most once per step.
    context: a ContextBuffer; None: one of 256 prompts.
    minimum: prompts in the context below which nothing is predicted from it.
    """

    takes_hashes = True
    needs_texts = True

    def __init__(
        self,
        *,
        reward_range: RewardRange = (0.0, 1.0),
        discount: float = 0.8,
        capacity: int | None = None,
        model: Model | None = None,
        context: ContextBuffer | None = None,
        minimum: int = SHORT_CONTEXT,
        start_strength: float = 1.0,
    ) -> None:
        self._history = History(discount, capacity, start_strength=start_strength, reward_range=reward_range)
        self._visit: _Visit | None = None  # of the step that is not yet in the history
        self.context = ContextBuffer(reward_range=reward_range) if context is None else context
        self.model: Model = InContextPrior(reward_range=reward_range) if model is None else model
        for name, part in (("context", self.context), ("model", self.model)):
            if tuple(part.reward_range) != tuple(reward_range):
                raise InvalidArgument(
                    f"{name} must have the reward_range {tuple(reward_range)}, got {part.reward_range}"
                )
        self.reward_range = self._history.reward_range
        self.minimum = integer("minimum", minimum)
        self._step: int | None = None  # at which fitting was tried last
        self._ready = False
        self._told: set[str] = set()  # kinds of errors

    @property
    def history(self) -> History:
        """The History, with all that was learnt."""
        visit = self._visit  # a signal handler may ask meanwhile
        if visit is not None:
            visit.record()
            self._visit = None
        return self._history

    def predict(self, keys: Keys, prompts: Sequence[Any] | None, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(value, strength) of each key: two (n,) float64 arrays; NaN and 0 for none, as before anything was recorded.

        keys: (n,) integers or strings. prompts: (n,) texts (chat messages count as their text), None where unknown; or
            None.
        step: of training.
        """
        hashes = key_array(keys)
        value, strength = self.history.predict(hashes, step=step)
        new = self._never_seen(value, strength)
        if len(new) and prompts is not None:
            guess, worth = self._guess([prompts[row] for row in new.tolist()], step)
            said = ~np.isnan(guess)
            value[new[said]], strength[new[said]] = guess[said], worth[said]
        return value, strength

    def _never_seen(self, value, strength):
        """Rows without a value, or with the strength of the level of all prompts. One that was seen may have less,
        where the rollouts of its visits weighed little."""
        return np.flatnonzero(np.isnan(value) | (strength == self.history.start_strength))

    def record(
        self,
        keys: Keys,
        prompts: Sequence[Any] | None,
        rewards: Numbers,
        mask: Numbers | None,
        step: int,
        weights: Numbers | None = None,
    ) -> None:
        """Learns from the rewards of a step, (n,) within reward_range where mask, (n,) booleans or None, is not False.

        Raises as History.record does, and then learns nothing.
        """
        self.__dict__.update(vars(self.after(keys, prompts, rewards, mask, step, weights)))

    def after(
        self,
        keys: Keys,
        prompts: Sequence[Any] | None,
        rewards: Numbers,
        mask: Numbers | None,
        step: int,
        weights: Numbers | None = None,
    ) -> "HistoryContextPrior":
        """The source that has learnt from the rewards of a step; this one has not (see v05.priors.sources)."""
        hashes = key_array(keys)
        alone = History(start_strength=0, reward_range=self.reward_range)  # raises for what cannot be recorded
        alone.record(hashes, rewards, mask=mask, weights=weights, step=step)
        later = copy.copy(self)
        later._visit = _Visit(self.history, hashes, rewards, mask, step, weights)
        if prompts is not None:
            distinct, first = np.unique(hashes, return_index=True)
            mean, _ = alone.predict(distinct, step=step)
            visited = ~np.isnan(mean)
            distinct, first, mean = distinct[visited], first[visited], mean[visited]
            texts = [prompts[row] for row in first.tolist()]
            new = self._never_seen(*self.history.predict(distinct, step=step))
            later._visit.starts = distinct[new], *self._guess([texts[row] for row in new], step)
            later.context = self._learn(texts, mean, step)
        return later

    def __copy__(self) -> "HistoryContextPrior":
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        # The model is fitted anew: what it was fitted on need not be such that it can be pickled.
        return self.__dict__ | {"_history": self.history, "_visit": None, "_step": None, "_ready": False}

    def state_dict(self) -> dict[str, bytes]:
        """{"history": bytes, "context": bytes}."""
        return {name: getattr(self, name).state_dict()["checkpoint"] for name in ("history", "context")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where state_dict was taken. Raises CheckpointError or KeyError and then changes nothing."""
        history, context = loaded_history(state, self.history), ContextBuffer()
        context.load_state_dict({"checkpoint": state["context"]})
        if context.reward_range != self.reward_range:
            raise CheckpointError(
                f"the saved context has the reward_range {context.reward_range}, not {self.reward_range}"
            )
        self._history, self._visit, self.context = history, None, context
        self._step, self._ready = None, False

    def _guess(self, prompts, step):
        """What the model says of prompts never seen: (value, strength), NaN and 0 where it says nothing. It is worth at
        least what the level of all prompts is, or one rollout would leave no doubt."""
        value, strength = np.full(len(prompts), np.nan), np.zeros(len(prompts))
        texts = list(map(self._text, prompts))
        rows = [row for row, text in enumerate(texts) if text]
        if not rows:
            return value, strength
        distinct = sorted({texts[row] for row in rows})  # a model may be slow, and rollouts share prompts
        try:
            self._fit(step)
            if self._ready:
                guess, deviation = self.model.predict(distinct)
                place_of = {text: place for place, text in enumerate(distinct)}
                place = [place_of[texts[row]] for row in rows]
                value[rows] = np.clip(guess, *self.reward_range)[place]
                worth = start_strength(guess, deviation, self.reward_range)[place]
                strength[rows] = np.maximum(worth, self.history.start_strength)  # it stands where the level would
        except Exception as error:
            self._tell(error)
        return value, strength

    def _fit(self, step):
        if step == self._step:
            return
        self._step, self._ready = step, False
        if len(self.context) >= self.minimum:
            prompts, scores, _ = self.context.pairs()
            self.model.fit(prompts, scores)
            self._ready = True

    def _learn(self, prompts, scores, step):
        """The context with what the prompts scored."""
        texts = list(map(self._text, prompts))
        rows = [row for row, text in enumerate(texts) if text]
        context = copy.copy(self.context)
        try:
            context.add([texts[row] for row in rows], scores[rows], step)
        except Exception as error:
            self._tell(error)
        return context

    def _text(self, prompt):
        """The text of a prompt, "" for none."""
        if prompt is None:
            return ""
        try:
            text = prompt_text(prompt)
        except Exception as error:  # an object that has no text
            self._tell(error)
            return ""
        return "" if text.isspace() else shortened(text)

    def _tell(self, error):
        """Once for each kind: what an early step lacks must not hide what fails later on."""
        if type(error).__name__ not in self._told:
            self._told.add(type(error).__name__)
            _log.warning("prompts never seen have the level of all for now: %s: %s", type(error).__name__, error)


class _Visit(Visit):
    """Starts prompts never seen first: doing so again changes nothing."""

    starts: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def record(self) -> None:
        starts = self.starts
        if starts is not None:
            self._history.start(*starts, step=self._step)
            self.starts = None
        super().record()
