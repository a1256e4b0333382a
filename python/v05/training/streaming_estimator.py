"""An AdvantageEstimator for trainers that score one group at a time, in the order in which groups finish."""

import copy
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from .._core.arguments import integer
from .._core.arrays import listed
from .._core.batch import PreparedBatch
from .._core.estimate import advantages_of
from .._core.keys import BatchKeys
from .._core.types import Numbers, OptionalNumbers
from ..errors import InvalidArgument
from ..priors.sources import source_after
from .advantage_estimator import AdvantageEstimator
from .estimator_state import read_about
from .rollouts import Rollouts, checked_rollouts
from .step_checks import check_calibration, check_signal
from .stored_estimator import StoredEstimator

_ONE_GROUP: Any = object()  # in place of the ids of groups: all rollouts of the call are of one


class _Group(NamedTuple):
    """What a call of `group` found; estimate, metrics: at a report, of all groups since the last."""

    advantages: np.ndarray
    estimate: object = None
    metrics: dict | None = None


class StreamingEstimator(StoredEstimator):
    """What the adapters of such trainers hold; all of StoredEstimator, and `group`.

        estimator = v05.training.StreamingEstimator(reward_range=(0, 1))
        advantages = estimator.group(rewards, prompt_id)            # whenever a group is done

    Threads and tasks of asyncio take turns: a call waits for nothing but another call. The calibration is always one of
    earlier groups, so that with leave_one_out the gradient is exactly unbiased. `step` takes whole batches in between.

    every: groups between two reports of the metrics, which are those of the groups since the last, and between two
        writes of the state.
    calibration_discount: what a group counts in the running calibration at the next one. With groups of 4 of 3,000
        prompts the squared error of the baseline was .0113, .0075 and .0068 for .9, .99 and .998.
    options: as in StoredEstimator.
    """

    _forgetting = 0.98 ** (1 / 64)  # a group is a step

    def __init__(self, *, every: int = 64, calibration_discount: float = 0.998, **options: Any) -> None:
        if integer("every", every) < 1:
            raise InvalidArgument(f"every must be at least 1, got {every!r}")
        self.every = every
        super().__init__(calibration_discount=calibration_discount, **options)

    def group(
        self,
        rewards: OptionalNumbers,
        key: int | str,
        *,
        prompt: Any = None,
        prior: float | None = None,
        mask: Numbers | None = None,
        weights: Numbers | None = None,
        squared_norms: Numbers | None = None,
        learn: bool = True,
    ) -> np.ndarray:
        """(k,) float64 advantages of the rollouts of one prompt; then learns from them.

        rewards: (k,) numbers, any k; None or NaN: unscorable, advantage 0.
        key: integer or string that tells the prompt apart in all of training.
        prompt: its text, for sources that read it. prior: its value in the dataset, for the priors
            "column" and "tracker+column".
        mask: (k,) booleans, False: the rollout does not count.
        weights, squared_norms: (k,) as in AdvantageEstimator.step.
        learn: False: only a look, nothing is learnt and no warning given.

        All or nothing, as AdvantageEstimator.step.
        """
        if prior is not None and not self.reads_column:
            raise InvalidArgument(
                f'prior {prior!r:.100} is read with prior "column" or "tracker+column" only, got prior '
                f"{self.prior!r:.100}"
            )
        prompts, column = None if prompt is None else [prompt], [prior] if self.reads_column else None
        if not learn:
            return self._look(listed(rewards, "rewards"), key, prompts, column, mask, weights)
        known: dict[str, Any] = dict(
            prompts=prompts, column=column, mask=mask, weights=weights, squared_norms=squared_norms
        )
        # Nothing stands between the step and the answer where Ctrl-C could leave one without the other.
        return self.step(listed(rewards, "rewards"), _ONE_GROUP, [key], **known).advantages

    def _look(self, rewards, key, prompts, column, mask, weights):
        """The advantages of a group that nothing is learnt from, and nothing told."""
        with self._lock:
            rollouts = checked_rollouts(rewards, mask, weights, reward_range=self.reward_range)
            state, rollouts = self._ranged(self._state, rollouts, {})
            column = self._column(state, 1, column, {})
            value, strength = self._predict(state, BatchKeys([key]), prompts, column, {})
            return self._advantages(state, rollouts, self._prepared(state, rollouts, value), value, strength)

    def _work(self, state, rollouts, groups, keys, prompts, column, maximum, said):
        if groups is not _ONE_GROUP:
            return super()._work(state, rollouts, groups, keys, prompts, column, maximum, said)
        count = len(rollouts.rewards)
        if rollouts.unscored:
            said["unscored"] = "a rollout has no reward (None or NaN): such ones count nowhere and their advantage is 0"
        state, rollouts = self._ranged(state, rollouts, said)
        column = self._column(state, 1, column, said)
        value, strength = self._predict(state, keys, prompts, column, said)
        batch = self._prepared(state, rollouts, value)
        found = self._advantages(state, rollouts, batch, value, strength)
        calibration, source = state.calibration, state.source
        if state.reward_range is not None:
            learnt = self._learnt_from(state, rollouts, said)
            calibration = copy.copy(calibration)
            calibration.add(batch if learnt is rollouts else self._prepared(state, learnt, value))
            key = keys.of(source)
            source = source_after(
                source,
                key.repeat(count) if isinstance(key, np.ndarray) else key * count,
                prompts and prompts * count,
                learnt.rewards,
                learnt.mask,
                state.steps,
                learnt.weights,
                None if column is None else column.repeat(count),
            )
        after = dataclasses.replace(state, source=source, calibration=calibration, steps=state.steps + 1)
        seen = (*state.window, (rollouts, float(value[0]), float(strength[0]), found.copy()))  # the caller's to change
        if len(seen) < self.every:
            return _Group(found), dataclasses.replace(after, window=seen)
        together, metrics, noise = self._report_of(state, seen, said)
        return _Group(found, together, metrics), dataclasses.replace(after, metrics=metrics, noise=noise, window=())

    def _prepared(self, state, rollouts, value, strength=None):
        """The rollouts of one group as the core reads them. value, strength: (1,) or None."""
        count, weights = len(rollouts.rewards), rollouts.weights
        group, interval = np.zeros(count, np.int64), state.reward_range or (0.0, 1.0)
        prior, strength = (None if each is None else each.repeat(count) for each in (value, strength))
        return PreparedBatch(rollouts.rewards, group, prior, rollouts.mask, interval, strength, weights)

    def _advantages(self, state, rollouts, batch, value, strength):
        """As `_estimate` gives them, from the batch that the calibration is updated with where the rule sees no more
        and no less."""
        if self.rule == "discounted_beta":
            batch = self._prepared(state, rollouts, value, self._known_strength(value, strength))
        elif not self._rule.uses_prior:
            batch = self._prepared(state, rollouts, None)
        models = {} if self._rule.learns is None else {self._rule.learns: self._fitted(state)}
        options = self._options | {"rule": self.rule, "reward_range": state.reward_range or (0.0, 1.0)}
        return self._lowered(state, rollouts, advantages_of(batch, **models, **options))

    def _report_of(self, state, seen, said):
        """The Estimate of groups as if they were one batch, with the advantages that they had, their metrics, and the
        GradientNoise with them."""
        parts, values, strengths, found = zip(*seen)
        rollouts = _joined(parts)
        sizes = [int(each.counted.sum()) for each in parts]
        group, prior, strength = (np.repeat(each, sizes) for each in (np.arange(len(seen)), values, strengths))
        together = self._unscaled(state, rollouts, group, prior, strength)
        had = np.concatenate([advantages[each.counted] for each, advantages in zip(parts, found)])
        check_signal(together, rollouts, had, self._rule, said)
        check_calibration(together, self._rule, state.source, said)
        if self._options["scale"] == "none":  # what was divided cannot be told from them any more
            together = dataclasses.replace(together, advantages=had)
        metrics = self._metrics(state, together, rollouts, prior, None, said)
        metrics.pop("v05/fit_refused", None)  # by a fit that has learnt from these groups already
        noise = state.noise
        if rollouts.squared_norms is not None and len(prior):
            rule = self._without_own(state, together, rollouts, group, prior, strength)
            baselines = {"rule": rule, "prior": prior}
            group = np.unique(group, return_inverse=True)[1]
            noise = noise.after(rollouts.rewards, group, rollouts.squared_norms, baselines)
        return together, metrics | {f"v05/{name}": figure for name, figure in noise.metrics().items()}, noise

    def _finish(self, found, after, said):
        if not isinstance(found, _Group):  # a step of a whole batch
            super()._finish(found, after, said)
            return
        if found.estimate is None:
            AdvantageEstimator._finish(self, found, after, said)
        else:
            if self.state_path is not None and self.writes:
                self._written = self._saved(self._state)  # where a write that is interrupted goes back to
            super()._finish(found, after, said)

    def _restored(self, before):
        """Only a group that is written uses the history, and goes back to what was saved just before it."""
        if read_about(self._written_before).steps != before.steps:
            return before
        return super()._restored(before)


def _joined(parts):
    """The rollouts of several groups that count, as those of one batch; score weights only where all groups have
    them."""
    columns = {
        name: None
        if any(getattr(each, name) is None for each in parts)
        else np.concatenate([getattr(each, name)[each.counted] for each in parts])
        for name in ("rewards", "weights", "squared_norms")
    }
    return Rollouts(mask=None, counted=np.ones(len(columns["rewards"]), bool), unscored=0, **columns)
