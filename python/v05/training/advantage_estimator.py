"""What a trainer holds in place of its group mean: a rule, the prior of every prompt, and what both learn as it
runs."""

import copy
import dataclasses
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._core.allocator import Allocator
from .._core.arguments import choice, number, reward_interval
from .._core.arrays import Groups, listed, optional_numbers
from .._core.calibration import RunningCalibration, fit_calibration
from .._core.estimate import Estimate, advantages, estimate
from .._core.history import History
from .._core.keys import BatchKeys
from .._core.mixture import RunningMixture
from .._core.rules import RULES
from .._core.tracker import Tracker
from .._core.types import (
    FilePath,
    GroupIds,
    Keys,
    Numbers,
    OptionalNumbers,
    RewardRange,
    RuleName,
    ScaleName,
    SingletonName,
    TestName,
)
from ..errors import CheckpointError, InvalidArgument
from ..priors.sources import ColumnPrior, Prior, prior_source, source_after
from .estimator_state import About, about_bytes, read_about, read_state, write_state
from .gradient_noise import GradientNoise
from .health import prior_health
from .lowered_baseline import lowered
from .reward_range import ROUNDING, usual_range, with_ends
from .rollouts import checked_rollouts
from .step_checks import check_calibration, check_groups, check_signal

log = logging.getLogger("v05")
_FEWEST_GROUPS = 8  # with fewer the core does not calibrate
_HISTORIES = ("history", "history+context", "tracker", "tracker+column")


@dataclass(frozen=True)
class Step:
    """What `AdvantageEstimator.step` found for n rollouts.

    advantages: (n,) float64, 0 for rows that do not count.
    baseline: (n,) float64, reward minus unscaled advantage; NaN for rows that do not count.
    estimate: the Estimate, with everything per group.
    metrics: {"v05/...": float} for the trainer's log (method section 12); unknown figures are left out.
    """

    advantages: np.ndarray
    baseline: np.ndarray
    estimate: Estimate
    metrics: dict[str, float]


@dataclass(frozen=True)
class _State:
    """All that changes in training. A step makes a new one beside the old, and the two change places at its end."""

    reward_range: tuple[float, float] | None
    source: Any
    calibration: Any
    steps: int = 0
    told: frozenset = frozenset()  # kinds of warnings
    metrics: dict = dataclasses.field(default_factory=dict)
    noise: GradientNoise = GradientNoise()  # this and the next for the log alone: not saved
    window: tuple = ()  # (Rollouts, prior, strength, advantages) of groups since the last report, one by one


class AdvantageEstimator:
    """Baselines for a whole training run: predicts priors, estimates, and learns from what it saw, step by step.

        estimator = v05.AdvantageEstimator()
        for step in training:
            found = estimator.step(rewards, groups, keys)
            ... found.advantages, found.metrics

    The adapters of the trainers hold one in every process and give all of them the whole batch, so that all hold the
    same state. It never looks at rewards before it has predicted their priors, and changes nothing where it raises or
    is interrupted: the same step may be tried again. Threads take turns. Pickling and copying leave out `agree`.

    rule: as in v05.advantages.
    prior: where priors come from: "history" (what the same prompts gave before), "history+context" (and for prompts
        never seen, what similar ones gave; extra v05[priors]), "tracker" (v05.Tracker, whose values are calibrated from
        single rollouts: with one per prompt the rule "calibrated" needs it), "column" (the trainer's dataset has them),
        "tracker+column" (a column of unknown quality: a tracker learns from every visit what it is worth), "none", a
        function of a list of prompts that returns values in reward units, or an object like those of
        v05.priors.sources. None: "history" for a rule that uses priors, else "none".
    reward_range: (lo, hi) of a reward; None: taken from the first batch, with a message: (0, 1) or (-1, 1) where the
        rewards fit, else their extremes and 0. A later reward outside it widens it, with a warning: history and
        calibration go on in the wider one, a mixture and "history+context" start anew. Outside a given range a reward
        is an error; rules whose formula needs no range ("grpo", "rloo", "batch_mean", "james_stein", "jspo",
        "median", "prior") take it with a warning, and learn the end of the range from it.
    leave_one_out, scale, ddof, epsilon, singleton, test, level: as in v05.advantages.
    discount, capacity: of the history or tracker.
    start_strength: rewards that the start value of a history is worth, the level of all prompts so far; at the very
        first step, where there is no level, the mean of the batch's other prompts stands in (with "tracker", too). 0: a
        prompt never seen has no prior, and its single rollout no advantage. Rule "discounted_beta" takes it for what
        every prior is worth whose source does not say, such as a column.
    calibration_discount: what a step counts in the running calibration, or mixture, at the next one.
    baseline_fraction: f in [0, 1]. Advantages are r - (lo + f (b - lo)), with the baseline b of the rule and lo the
        lower end of reward_range. 1: the baseline itself, the least noise. Less is for rollouts that are used for
        several updates or come late, where pushing failures down does harm (arXiv 2506.20520, whose baseline is lower
        by a constant): the first update's gradient gets no bias, only noise. 0: no advantage is negative. Needs scale
        "none".
    """

    __module__ = "v05"

    _forgetting = 0.98  # of a tracker, from a step to the next

    def __init__(
        self,
        *,
        rule: RuleName = "calibrated",
        prior: Prior | None = None,
        reward_range: RewardRange | None = None,
        leave_one_out: bool = True,
        scale: ScaleName = "none",
        ddof: int = 1,
        epsilon: float | None = None,
        singleton: SingletonName = "zero",
        test: TestName = "bound",
        level: float = 0.05,
        discount: float = 0.8,
        capacity: int | None = None,
        calibration_discount: float = 0.9,
        start_strength: float = 1.0,
        baseline_fraction: float = 1.0,
    ) -> None:
        self._rule = choice("rule", rule, RULES)
        self.rule = rule
        self.prior: Prior = prior if prior is not None else "history" if self._rule.uses_prior else "none"
        self._options: dict[str, Any] = dict(
            leave_one_out=leave_one_out,
            scale=scale,
            ddof=ddof,
            epsilon=epsilon,
            singleton=singleton,
            test=test,
            level=level,
        )
        if not 0 <= number("calibration_discount", calibration_discount) <= 1:
            raise InvalidArgument(f"calibration_discount must lie in [0, 1], got {calibration_discount!r}")
        self._calibration_discount = calibration_discount
        if not 0 <= number("start_strength", start_strength) < np.inf:
            raise InvalidArgument(f"start_strength must be finite and not negative, got {start_strength!r}")
        # A rule without priors has no use for a start value: its history is what the prompts gave and no more.
        self._start_strength = float(start_strength) if self._rule.uses_prior else 0.0
        self._of_a_history = dict(discount=discount, capacity=capacity, start_strength=float(start_strength))
        self._learning: dict[str, Any] = dict(
            discount=discount, capacity=capacity, start_strength=self._start_strength, forgetting=self._forgetting
        )
        if not 0 <= number("baseline_fraction", baseline_fraction) <= 1:
            raise InvalidArgument(f"baseline_fraction must lie in [0, 1], got {baseline_fraction!r}")
        if baseline_fraction != 1 and scale != "none":
            raise InvalidArgument(f'baseline_fraction {baseline_fraction!r} needs scale="none", got {scale!r:.100}')
        self._baseline_fraction = float(baseline_fraction)
        self._given_range = None if reward_range is None else reward_interval(reward_range)
        self._set_up()
        source, calibration = self._nothing_learnt(self._given_range or (0.0, 1.0))
        self._state = _State(self._given_range, source, calibration)
        self._interrupted: tuple[Any, Any] | None = None
        # Fails fast on a wrong option, not after the first rollouts.
        self._estimate(
            self._state, estimate, checked_rollouts(np.zeros(0), None), np.zeros(0, np.int64), np.zeros(0), None
        )

    def check_weights(self) -> None:
        """For adapters, before the first rollouts: raises where rule or test take no score weights."""
        low = (self.reward_range or (0.0, 1.0))[0]
        rollouts = checked_rollouts(np.full(2, low), None, np.ones(2))
        self._estimate(self._state, estimate, rollouts, np.zeros(2, np.int64), np.full(2, np.nan), np.zeros(2))

    @property
    def takes_weights(self) -> bool:
        """Whether rule and test take score weights."""
        try:
            self.check_weights()
        except InvalidArgument:
            return False
        return True

    def _set_up(self) -> None:
        """What belongs to this object in this process, and is neither pickled nor copied."""
        self._lock = threading.RLock()
        _estimators.add(self)
        #: For adapters in several processes: None, or a function that asks the source of priors and returns its answer,
        #: the same in all of them. A function of the user, or a fitted model, may differ between processes in the last
        #: digits.
        self.agree: Callable[[Callable[[], Any]], Any] | None = None
        #: For adapters: False where keys tell the groups of a step apart and do not come again, so that a history of
        #: them would say nothing and is left out of the noise.
        self.keys_recur = True

    @property
    def source(self) -> Any:
        """Where priors come from, with what it has learnt."""
        return self._state.source

    @property
    def calibration(self) -> Any:
        """The RunningCalibration or RunningMixture of the steps so far."""
        return self._state.calibration

    @property
    def reward_range(self) -> tuple[float, float] | None:
        """(lo, hi) of a reward; None until the first rewards tell."""
        return self._state.reward_range

    @property
    def steps(self) -> int:
        """Steps so far."""
        return self._state.steps

    @property
    def metrics(self) -> dict[str, float]:
        """Those of the last step; of none an empty dict."""
        return self._state.metrics

    def _nothing_learnt(self, reward_range):
        return (
            prior_source(self.prior, reward_range, **self._learning),
            self._running(reward_range=reward_range, discount=self._calibration_discount),
        )

    @property
    def _running(self):
        return RunningMixture if self._rule.learns == "mixture" else RunningCalibration

    def detect_range(self, rewards: OptionalNumbers, mask: Numbers | None = None) -> None:
        """Sets a reward_range that was not given from rewards, (n,) with NaN or None where unscored, before the first
        step.

        `step` does it, too; an adapter that allocates calls it once the first rollouts are scored.
        """
        with self._lock:
            rollouts = checked_rollouts(rewards, mask, reward_range=self.reward_range)
            said: dict[str, str] = {}
            self._commit(self._ranged(self._state, rollouts, said)[0], said)

    def _ranged(self, state, rollouts, said):
        """The state with a range that holds the rewards, and the rewards with the ends of it where they are meant."""
        before = state.reward_range
        if before is not None:
            rollouts = rollouts.within(before)
        state = self._widened(state, rollouts, said)
        return state, rollouts if state.reward_range == before else rollouts.within(state.reward_range)

    def _widened(self, state, rollouts, said):
        if self._given_range is not None or not rollouts.counted.any():
            return state
        low, high = float(rollouts.values.min()), float(rollouts.values.max())
        if state.reward_range is None:
            detected = usual_range(low, high, ROUNDING)
            said["range"] = (
                f"reward_range was not given and is taken from the first rewards: {detected}. "
                "Give the range that your reward functions can reach."
            )
            source, calibration = self._nothing_learnt(detected)
        elif low < state.reward_range[0] or high > state.reward_range[1]:
            detected = usual_range(min(low, state.reward_range[0]), max(high, state.reward_range[1]), ROUNDING)
            source, calibration = self._nothing_learnt(detected)
            parts = [("prior", source, state.source), (type(calibration).__name__, calibration, state.calibration)]
            lost = [name for name, new, old in parts if new is not old and not hasattr(old, "widened")]
            source, calibration = (old.widened(detected) if hasattr(old, "widened") else new for _, new, old in parts)
            kept = (
                f"what the {' and the '.join(lost)} had learnt is dropped" if lost else "what was learnt goes on in it"
            )
            said[f"range {detected}"] = (
                f"a reward lies outside the reward_range {state.reward_range} that earlier batches suggested: it is "
                f"{detected} from now on, and {kept}. Give reward_range to avoid this."
            )
        else:
            return state
        noise = state.noise.widened(detected) if state.reward_range is not None else state.noise
        return dataclasses.replace(state, reward_range=detected, source=source, calibration=calibration, noise=noise)

    def meant(self, rewards: np.ndarray) -> np.ndarray:
        """For adapters that allocate: (n,) float64 rewards as `step` takes them, with the ends of reward_range for what
        rounding made of them."""
        return rewards if self.reward_range is None else with_ends(rewards, self.reward_range)

    def predict(
        self, keys: Keys, *, prompts: Sequence[Any] | None = None, column: OptionalNumbers | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(value, strength) of the prior of each key now, two (n,) float64; NaN and 0 for none.

        keys: (n,) integers or strings that tell prompts apart in all of training.
        prompts: (n,) texts, for sources that read them.
        column: (n,) values of the dataset's column, for the priors "column" and "tracker+column"; None, NaN: no value.
        """
        asked = BatchKeys(keys)
        prompts = _texts(prompts, len(asked))
        with self._lock:
            said: dict[str, str] = {}
            column = self._column(self._state, len(asked), column, said)
            found = self._predict(self._state, asked, prompts, column, said)
            self._commit(self._state, said)
        return found

    @property
    def reads_column(self) -> bool:
        """Whether the source of priors needs the values of the dataset's column."""
        return getattr(self._state.source, "reads_column", False)

    @property
    def needs_texts(self) -> bool:
        """Whether the source of priors is made of the texts of prompts."""
        return getattr(self._state.source, "needs_texts", False)

    @property
    def reads_texts(self) -> bool:
        """Whether it is to be given them where the trainer has them, as every source of the user is."""
        return self.needs_texts or not isinstance(self.prior, str)

    def _column(self, state, count, column, said):
        """(count,) values of the dataset's column, checked; None where the source does not read it."""
        if not self.reads_column:
            if column is not None:
                said["column unread"] = (
                    f'column is read with prior "column" or "tracker+column" only, and says nothing with prior '
                    f"{self.prior!r:.100}"
                )
            return None
        if column is None:
            raise InvalidArgument(f"prior {self.prior!r:.100} needs the values of the dataset's prior column, got none")
        value = optional_numbers(column, "the prior column", state.reward_range or (0.0, 1.0))
        if value.shape != (count,):
            raise InvalidArgument(
                f"the prior column must have one value per rollout, got shape {value.shape} for {count} rollouts"
            )
        if len(value) and np.isnan(value).all():
            said["column"] = "the prior column holds no number in this batch: it says nothing of its prompts"
        return self._in_guessed_range(state, value, said)

    def _predict(self, state, keys, prompts, column, said):
        """(value, strength) of keys; column: as `_column` gives it."""
        read = {} if column is None else {"column": column}

        def ask():
            return state.source.predict(keys.of(state.source), prompts, state.steps, **read)

        value, strength = ask() if self.agree is None else self.agree(ask)
        found = (
            optional_numbers(value, "prior", state.reward_range or (0.0, 1.0)),
            optional_numbers(strength, "strength", (0, 1)),
        )
        if any(each.shape != (len(keys),) for each in found):
            raise InvalidArgument(
                f"a source of priors must give a value and a strength per rollout, got shapes "
                f"{found[0].shape} and {found[1].shape} for {len(keys)} rollouts"
            )
        return self._in_guessed_range(state, found[0], said), found[1]

    def _in_guessed_range(self, state, value, said):
        """A range that was taken from rewards may be too narrow for a prior, which then counts as none."""
        if self._given_range is not None:
            return value
        low, high = state.reward_range or (0.0, 1.0)  # until the first rewards tell, sources are made for these
        slack = ROUNDING * (high - low)  # the core's
        outside = np.isfinite(value) & ((value < low - slack) | (value > high + slack))
        if not outside.any():
            return value
        said["prior outside"] = (
            f"a prior lies outside the reward_range {(low, high)} that the rewards so far suggest, got "
            f"{value[outside][0]:g}: such priors count as none. Give the range that your reward functions can reach"
        )
        return np.where(outside, np.nan, value)

    def allocator(
        self,
        keys: Keys,
        *,
        prompts: Sequence[Any] | None = None,
        column: OptionalNumbers | None = None,
        first: tuple[OptionalNumbers, Numbers] | None = None,
        **options: Any,
    ) -> Allocator:
        """A v05.Allocator for the prompts of a step, (g,) keys, with their priors and what was learnt of them so far.

        The reward range must be known: given, or detected from the first rewards. options: as in v05.Allocator.
        first: (rewards, prompt) of a first round, (n,) numbers, NaN or None where unscored, and the index of the
            prompt of each in keys. At the first step of a run, which knows nothing yet, prompts start from the mean of
            the other prompts' rewards in it. The allocator has yet to observe them.
        """
        if self.reward_range is None:
            raise InvalidArgument(
                "reward_range must be known before rollouts are allocated: give it or call detect_range"
            )
        with self._lock:  # level and priors of one state
            value, strength = self.predict(keys, prompts=prompts, column=column)
            strength = self._strength_for_allocator(value, strength)
            if first is not None:
                rollouts = checked_rollouts(first[0], None, reward_range=self.reward_range).within(self.reward_range)
                prompt = Groups(first[1], len(rollouts.rewards)).ids
                started = value.copy()
                started[prompt] = self._started(self._state, value[prompt], rollouts, prompt)
                value = started
        return Allocator(value, strength=strength, reward_range=self.reward_range, **self.learnt(), **options)

    def _strength_for_allocator(self, value, strength):
        """By its strength an Allocator tells a prior of the prompt's own, above 1, from the level of all prompts. In a
        tracker, or with another start_strength, level and visits are worth something else."""
        history = getattr(self._state.source, "history", None)
        if not isinstance(history, (History, Tracker)):
            return strength
        level, worth = history.predict(["v05: a prompt never seen"])
        is_level = np.isnan(value) | (value == level) & (strength == worth)
        return np.where(is_level, 1.0, np.maximum(strength, np.nextafter(1.0, 2.0)))

    def learnt(self) -> dict[str, Any]:
        """What the steps so far say about the priors, as arguments of v05.Allocator: a calibration, a mixture or
        none."""
        if not self.calibration.updates or not self._rule.uses_prior or self._rule.learns is None:
            return {}
        fitted = self._fitted(self._state)
        return {self._rule.learns: getattr(fitted, self._rule.learns, fitted)}

    def _fitted(self, state):
        """What the rule has learnt. A calibration that has seen too few groups of two rollouts makes way for that of
        the source, where it has one: single rollouts, too, say what the values of a tracker are worth."""
        if self.rule != "calibrated" or state.calibration.calibration.groups >= _FEWEST_GROUPS:
            return state.calibration
        own = getattr(state.source, "calibration", None)
        return state.calibration if own is None or own.groups < _FEWEST_GROUPS else own

    def step(
        self,
        rewards: OptionalNumbers,
        groups: GroupIds,
        keys: Keys,
        *,
        prompts: Sequence[Any] | None = None,
        column: OptionalNumbers | None = None,
        mask: Numbers | None = None,
        maximum: float | None = None,
        weights: Numbers | None = None,
        squared_norms: Numbers | None = None,
    ) -> Step:
        """The Step of a batch of rollouts: predicts, estimates, then learns.

        rewards: (n,) numbers; NaN or None: unscorable, the row does not count.
        groups: (n,) integers or strings, which rollouts belong together now.
        keys, prompts, column: as in `predict`; all rollouts of a group have the same key.
        mask: (n,) booleans, False: the row does not count (padding).
        maximum: rollouts that a prompt would get without allocation, for the share saved; None without allocation.
        weights: (n,) score weights as in v05.advantages, see v05.training.score_weights: baselines, calibration and
            history become those with the least noise in the gradient. None: all count alike. Give them in every step or
            in none: what was learnt with and without is not the same. Rules "mixture" and "median" take none.
        squared_norms: (n,) the same for the figures v05/noise/... alone; None: weights.

        Raises InvalidArgument or ArgumentTypeError, and what a source of priors raises; nothing has changed then.
        """
        rollouts = checked_rollouts(rewards, mask, weights, squared_norms, self.reward_range)
        if maximum is not None and not 0 < number("maximum", maximum) < np.inf:
            raise InvalidArgument(f"maximum must be finite and positive, got {maximum!r}")
        asked = BatchKeys(keys)
        prompts = _texts(prompts, len(asked))
        before = after = None
        try:
            with self._lock:
                if self._interrupted is not None:
                    self._take_back(self._interrupted)
                before = self._state
                said: dict[str, str] = {}
                found, after = self._work(before, rollouts, groups, asked, prompts, column, maximum, said)
                self._finish(found, after, said)
            return found
        except BaseException:
            # Ctrl-C may come when all is done but the answer; a second one would find this here at the next step.
            self._interrupted = interrupted = before, after
            self._take_back(interrupted)
            raise

    def _work(self, state, rollouts, groups, keys, prompts, column, maximum, said):
        """The Step, and the state after it; the one before stays as it is. said: takes warnings, kind: sentence."""
        if len(keys) != len(rollouts.rewards):
            raise InvalidArgument(
                f"keys must have one entry per reward, got {len(keys)} for {len(rollouts.rewards)} rewards"
            )
        if rollouts.unscored:
            said["unscored"] = (
                f"{rollouts.unscored} of {len(rollouts.rewards)} rollouts have no reward (None or NaN): "
                "they count nowhere and their advantage is 0"
            )
        state, rollouts = self._ranged(state, rollouts, said)
        column = self._column(state, len(keys), column, said)
        if column is not None:
            groups = groups if hasattr(groups, "__len__") else list(groups)
            if self.prior == "column":
                column = _one_each(column, Groups(groups, len(column)).ids, rollouts.counted, said)
            else:  # a source that knows prompts again takes one value for each, and those of rows that count alone
                one = _one_each(column, keys.hashes, rollouts.counted, said)
                column = np.where(rollouts.counted, one, np.nan)
        value, strength = self._predict(state, keys, prompts, column, said)
        prior = self._started(state, value, rollouts, groups)
        found = self._unscaled(state, rollouts, groups, prior, strength)
        check_groups(found, keys, said)
        scaled = unscaled = found.advantages
        if self._options["scale"] != "none":
            scaled = self._estimate(state, advantages, rollouts, groups, prior, strength)
        check_signal(found, rollouts, unscaled, self._rule, said)
        check_calibration(found, self._rule, state.source, said)
        baseline = rollouts.rewards - unscaled
        baseline[~rollouts.counted] = np.nan
        metrics = self._metrics(state, found, rollouts, value, maximum, said)
        noise = self._noise_after(state, found, rollouts, groups, prior, strength, keys)
        metrics |= {f"v05/{name}": figure for name, figure in noise.metrics().items()}
        step = Step(scaled, baseline, found, metrics)

        calibration, source = state.calibration, state.source
        if state.reward_range is not None:
            learnt = self._learnt_from(state, rollouts, said)
            calibration = self._calibration_after(state, learnt, found.row_group, value)
            source = self._source_after(state, learnt, keys, prompts, column)
        return step, dataclasses.replace(
            state, source=source, calibration=calibration, steps=state.steps + 1, metrics=step.metrics, noise=noise
        )

    def _learnt_from(self, state, rollouts, said):
        """The Rollouts as they are learnt from: a rule without bounds takes rewards outside a given range, too. Left
        out they would teach it the mean of the others alone."""
        if self._rule.bounded or self._bounded(state, rollouts):
            return rollouts
        low, high = state.reward_range
        outside = rollouts.counted & ~((rollouts.rewards >= low) & (rollouts.rewards <= high))
        said["outside"] = (
            f"a reward lies outside reward_range {state.reward_range}, got {rollouts.rewards[outside][0]:g}: for what "
            "is learnt from it it counts as the end of the range, and such steps have no figures. Give the range that "
            "your reward functions can reach"
        )
        return dataclasses.replace(rollouts, rewards=np.clip(rollouts.rewards, low, high))

    def _calibration_after(self, state, rollouts, groups, value):
        later = copy.copy(state.calibration)
        weighted = {} if rollouts.weights is None else {"weights": rollouts.weights}  # a mixture takes none
        later.update(rollouts.rewards, groups, value, mask=rollouts.mask, **weighted)
        return later

    def _source_after(self, state, rollouts, keys, prompts, column):
        source, known = state.source, (rollouts.rewards, rollouts.mask, state.steps, rollouts.weights)
        return source_after(source, keys.of(source), prompts, *known, column)

    def _finish(self, found, after, said):
        self._commit(after, said)

    def _commit(self, state, said):
        """Tells what was not yet told, and then, by one assignment and nothing after it, makes `state` the
        estimator's."""
        new = [kind for kind in said if kind not in state.told]
        for kind in new:
            log.warning("%s", said[kind])
        self._state = dataclasses.replace(state, told=state.told.union(new)) if new else state

    def _take_back(self, interrupted):
        """What another thread may have done already."""
        with self._lock:
            before, after = interrupted
            now = self._state
            if (
                after is not None
                and now.steps == after.steps
                and now.source is after.source
                and now.calibration is after.calibration
            ):
                self._state = self._restored(before)
            if self._interrupted is interrupted:
                self._interrupted = None

    def _restored(self, before):
        """The state before a step that was made already: nobody has used the one after it."""
        return before

    def _started(self, state, value, rollouts, groups):
        """The priors of the first step of a history, which knows nothing yet: the mean of the other groups' rewards."""
        history = getattr(state.source, "history", None)
        if (
            not self._start_strength
            or not self._rule.uses_prior
            or self.prior not in _HISTORIES
            or history is None
            or len(history)
            or not np.isnan(value).all()
        ):
            return value
        return self._of_other_groups(state, rollouts, groups, rollouts.weights)

    def _of_other_groups(self, state, rollouts, groups, weights):
        """(n,) mean of the other groups' rewards."""
        interval = state.reward_range or (0.0, 1.0)
        found = estimate(
            rollouts.rewards, groups, rule="batch_mean", reward_range=interval, mask=rollouts.mask, weights=weights
        )
        return np.clip(found.baseline, *interval)[found.row_group]

    def _without_own(self, state, found, rollouts, groups, prior, strength):
        """(n,) baselines of an unscaled Estimate for the noise: without the rollout's own reward, whose part in them
        makes the gradient smaller and not less noisy; NaN where a rollout has nothing else."""
        if not self._options["leave_one_out"]:
            found = self._unscaled(state, rollouts, groups, prior, strength, leave_one_out=True)
        baseline = rollouts.rewards - found.advantages
        # A single reward is not all that these rules have.
        rests = found.rule not in ("calibrated", "james_stein", "mixture")
        alone = np.isnan(found.baseline) | rests & (found.count == 1) & (found.weight == 1)
        baseline[alone[found.row_group]] = np.nan
        return baseline

    def _noise_after(self, state, found, rollouts, groups, prior, strength, keys):
        """The GradientNoise with this step; as it was where squared norms are unknown."""
        norms, counted, noise = rollouts.squared_norms, rollouts.counted, state.noise
        if norms is None or not counted.any():
            return noise
        group = found.row_group
        baselines = {"rule": self._without_own(state, found, rollouts, groups, prior, strength), "prior": prior}
        recorded = self.keys_recur and self._bounded(state, rollouts)
        if recorded:
            noise = noise.with_twin(state.reward_range, self._of_a_history, weighted=rollouts.weights is None)
            value = noise.twin.predict(keys.of(noise.twin), None, state.steps)[0]
            if not len(noise.twin.history) and self._of_a_history["start_strength"]:  # as in `_started`
                value = self._of_other_groups(state, rollouts, groups, norms if noise.twin_weighted else None)
            baselines[noise.twin_name] = value
        noise = noise.after(
            rollouts.rewards[counted],
            np.unique(group[counted], return_inverse=True)[1],
            norms[counted],
            {name: values[counted] for name, values in baselines.items()},
        )
        return (
            noise.twin_after(keys.of(noise.twin), rollouts.rewards, rollouts.mask, state.steps, norms)
            if recorded
            else noise
        )

    def _estimate(self, state, function, rollouts, groups, value, strength, **changed):
        options = self._options | changed
        if self.rule == "discounted_beta":
            options["prior_strength"] = self._known_strength(value, strength)
        if self._rule.learns is not None:
            options[self._rule.learns] = self._fitted(state)
        if not self._rule.uses_prior:
            value = None
        return function(
            rollouts.rewards,
            groups,
            value,
            rule=self.rule,
            reward_range=state.reward_range or (0.0, 1.0),
            mask=rollouts.mask,
            weights=rollouts.weights,
            **options,
        )

    def _known_strength(self, value, strength):
        """Of a value whose source does not say what it is worth, such as a column, that of a start value."""
        if strength is None:
            return None
        return np.where((strength <= 0) & ~np.isnan(value), self._start_strength, strength)

    def _unscaled(self, state, rollouts, groups, value, strength, **changed):
        """The Estimate without scaling, whose advantages are those of the lowered baseline."""
        found = self._estimate(state, estimate, rollouts, groups, value, strength, scale="none", **changed)
        if self._baseline_fraction == 1:
            return found
        return dataclasses.replace(found, advantages=self._lowered(state, rollouts, found.advantages))

    def _lowered(self, state, rollouts, unscaled):
        if self._baseline_fraction == 1:
            return unscaled
        low = (state.reward_range or (0.0, 1.0))[0]
        return lowered(unscaled, rollouts.rewards, rollouts.counted, low, self._baseline_fraction)

    def _bounded(self, state, rollouts):
        """Whether a rule that needs no bound was given rewards that can still be learnt from."""
        low, high = state.reward_range or (0.0, 1.0)
        return bool(((rollouts.values >= low) & (rollouts.values <= high)).all())

    def _metrics(self, state, found, rollouts, value, maximum, said):
        low, high = reward_range = state.reward_range or (0.0, 1.0)
        if not rollouts.counted.any() or not self._bounded(state, rollouts):
            return {}
        seen = found.count > 0
        names = ("count", "effective_count", "mean", "prior", "weight", "baseline", "rejected", "constant")
        prior = value if self._rule.uses_prior else np.full(len(rollouts.rewards), np.nan)
        health = prior_health(
            SimpleNamespace(**{name: getattr(found, name)[seen] for name in names}),
            fit_calibration(
                rollouts.rewards,
                found.row_group,
                prior,
                reward_range=reward_range,
                mask=rollouts.mask,
                weights=rollouts.weights,
            ),
            reward_range=reward_range,
            maximum=maximum,
            two_valued=self._options["test"] == "bound"
            and bool(((rollouts.values == low) | (rollouts.values == high)).all()),
        )
        if self.rule == "v05":
            for warning in health.warnings:
                # At the first steps no prompt has been seen; many prompts with one rollout each can be meant.
                if warning.kind == "error":
                    said["error"] = warning.message
        applied = found.rule == self.rule and self._rule.learns is not None and self._rule.uses_prior
        counted = np.count_nonzero(rollouts.counted)
        zero = (counted - np.count_nonzero(found.advantages)) / counted  # rows that do not count have 0
        figures = health.as_dict() | {"calibrated": float(applied), "zero_advantages": float(zero)}
        del figures["warnings"]
        if self._rule.learns is not None and state.calibration.updates and seen.any():
            figures["fit_refused"] = found.refused_groups / int(seen.sum())
        return {f"v05/{name}": float(figure) for name, figure in figures.items() if not np.isnan(figure)}

    def tell(self, kind: str, message: str) -> None:
        """For adapters: a warning, once of each kind."""
        with self._lock:
            self._commit(self._state, {kind: message})

    def state_dict(self) -> dict[str, bytes]:
        """All that was learnt: {name: bytes}. Loads in every later release."""
        with self._lock:
            return self._saved(self._state)

    def _saved(self, state):
        about = About(self.rule, self._prior_name(), state.reward_range, state.steps)
        parts = {f"prior/{name}": data for name, data in state.source.state_dict().items()}
        return {
            "estimator": about_bytes(about),
            self._running.__name__: state.calibration.state_dict()["checkpoint"],
        } | parts

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken, with the options of this object, but for start_strength: what another
        rule or prior had learnt starts anew, of which a warning tells. A given reward_range may be wider than the saved
        one. Raises CheckpointError for what cannot be used, and then changes nothing."""
        with self._lock:
            said: dict[str, str] = {}
            self._commit(self._loaded(state, said), said)

    def _loaded(self, saved, said):
        """The state that was saved, all of it checked."""
        about = read_about(saved)
        given = self._given_range
        wider = given is not None and about.reward_range not in (None, given)
        refusal = CheckpointError(
            f"the state was saved with reward_range {about.reward_range}, which cannot be used with {given}: give that "
            "one, one that holds it, or another file to start anew"
        )
        if wider and not (given[0] <= about.reward_range[0] and about.reward_range[1] <= given[1]):
            raise refusal
        saved_range = about.reward_range or (0.0, 1.0)
        source, calibration = self._nothing_learnt(saved_range)
        if wider and not (hasattr(source, "widened") and hasattr(calibration, "widened")):
            raise CheckpointError(
                f"the state was saved with reward_range {about.reward_range}, and what this rule and prior have learnt "
                f"cannot be taken into another, {given}: give that one, or another file to start anew"
            )
        name = self._running.__name__
        # A mixture can not go on from a calibration, nor the other way round: another rule, of which a warning tells.
        if about.rule == self.rule or name in saved:
            if name not in saved:
                raise CheckpointError(f"the state lacks the member {name!r}")
            calibration.load_state_dict({"checkpoint": saved[name]})
            if calibration.reward_range != saved_range:
                raise CheckpointError(
                    f"the saved {name} has the reward_range {calibration.reward_range}, the state {saved_range}"
                )
        if about.prior == self._prior_name():
            parts = {name.removeprefix("prior/"): data for name, data in saved.items() if name.startswith("prior/")}
            try:
                source.load_state_dict(parts)
            except KeyError as error:
                raise CheckpointError(f"the state lacks {error} of the prior {about.prior!r}") from error
            except (TypeError, ValueError) as error:
                raise CheckpointError(f"the prior {about.prior!r} cannot use what was saved: {error}") from error
        else:
            said["resume prior"] = f"the state was saved with prior {about.prior!r}: {self._prior_name()!r} starts anew"
        if about.reward_range is None:
            fit = calibration.mixture.calibration if name == "RunningMixture" else calibration.calibration
            if fit.total_groups or len(getattr(source, "history", ())):
                raise CheckpointError("a state without reward_range must have learnt nothing")
            source, calibration = self._nothing_learnt(self._given_range or saved_range)
        calibration = calibration.with_discount(self._calibration_discount)
        if wider:
            source, calibration = source.widened(given), calibration.widened(given)
        if about.rule != self.rule:
            said["resume rule"] = f"the state was saved with rule {about.rule!r} and goes on with {self.rule!r}"
        return _State(given or about.reward_range, source, calibration, about.steps, self._state.told)

    def _prior_name(self):
        return self.prior if isinstance(self.prior, str) else type(self._state.source).__name__

    def save(self, path: FilePath) -> None:
        """Writes `state_dict` to one file. A crash in the middle leaves an old file whole.

        path: of a file, new or old; a symbolic link is followed and kept, as is the mode of an old file; ~ is the home.
        """
        write_state(path, self.state_dict())

    def save_or_tell(self, path: FilePath) -> None:
        """For adapters: `save`, of which a failure is a warning. A trainer that dies of it loses more than this."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self.save(path)
        except Exception as error:  # of a disk, or of a source of the user
            self.tell("state", f"the state could not be written to {path} and will not be resumed: {error!r}")

    def load(self, path: FilePath) -> None:
        """Loads what `save` wrote into this object. Raises CheckpointError for a file that is none of ours."""
        self.load_state_dict(read_state(path))

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:  # a copy: the next step changes a history that it shares
            prior, state = copy.deepcopy((self.prior, self._state))
        kept = {name: value for name, value in vars(self).items() if name not in ("_lock", "agree")}
        return kept | {"prior": prior, "_state": state}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        if self.prior == "column" and not self.reads_column:  # of before sources were given the column
            self._state = dataclasses.replace(self._state, source=ColumnPrior())
        self._set_up()

    def __repr__(self) -> str:
        return (
            f"AdvantageEstimator(rule={self.rule!r}, prior={self._prior_name()!r}, reward_range={self.reward_range}, "
            f"steps={self.steps})"
        )


_estimators: weakref.WeakSet = weakref.WeakSet()


def _forget_locks():
    """In a forked child: of a thread that held a lock there is nothing left, and the state that it worked on is
    whole."""
    for estimator in list(_estimators):
        estimator._lock = threading.RLock()


os.register_at_fork(after_in_child=_forget_locks)


def _one_each(value, ids, counted, said):
    """Of a column that says more than one thing of a prompt, (n,) ids, the first, where rows count."""
    _, group = np.unique(ids, return_inverse=True)
    rows, first = np.flatnonzero(counted), np.zeros(len(value), np.int64)
    first[group[rows[::-1]]] = rows[::-1]
    one = value[first[group]]
    if not (counted & (one != value) & ~(np.isnan(one) & np.isnan(value))).any():
        return value
    said["column differs"] = "the prior column differs between rollouts of a prompt: the first value counts"
    return np.where(counted, one, value)


def _texts(prompts, count):
    """The texts of prompts, by position, in a list; or None."""
    if prompts is None:
        return None
    prompts = listed(prompts, "prompts")
    if len(prompts) != count:
        raise InvalidArgument(f"prompts must have one entry per key, got {len(prompts)} for {count} keys")
    return prompts
