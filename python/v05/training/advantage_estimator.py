"""What a trainer holds in place of its group mean: a rule, the prior of every prompt, and what both learn as it runs."""

import io
import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from .._core.allocator import Allocator
from .._core.arguments import choice, number, reward_interval
from .._core.arrays import mask_rows, optional_numbers
from .._core.calibration import RunningCalibration, fit_calibration
from .._core.checkpoint import whole_file
from .._core.estimate import Estimate, advantages, estimate
from .._core.history import key_array
from .._core.mixture import RunningMixture
from .._core.rules import RULES
from ..errors import CheckpointError, InvalidArgument
from ..priors.sources import prior_source
from .health import prior_health

log = logging.getLogger("v05")
#: Name of the file of `AdvantageEstimator.save` in a trainer's checkpoint.
STATE_FILE = "v05.zip"


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
    metrics: dict


class AdvantageEstimator:
    """Baselines for a whole training run: predicts priors, estimates, and learns from what it saw, step by step.

        estimator = v05.AdvantageEstimator()
        for step in training:
            found = estimator.step(rewards, groups, keys)
            ... found.advantages, found.metrics

    The adapters of the trainers hold one in every process and give all of them the whole batch, so that all hold the
    same state. It never looks at rewards before it has predicted their priors, and changes nothing where it raises.

    rule: as in v05.advantages.
    prior: where priors come from: "history" (what the same prompts gave before), "history+context" (and for prompts never
        seen, what similar ones gave; extra v05[priors]), "column" (the trainer's dataset has them), "none", a function of
        a list of prompts that returns values in reward units, or an object like those of v05.priors.sources. None:
        "history" for a rule that uses priors, else "none".
    reward_range: (lo, hi) of a reward; None: taken from the first batch, with a message: (0, 1) or (-1, 1) where the
        rewards fit, else their extremes and 0. A later reward outside it widens it, with a warning, and what was learnt
        in the old range is dropped. Outside a given range a reward is an error.
    leave_one_out, scale, ddof, epsilon, singleton, test, level: as in v05.advantages.
    discount, capacity: of the history.
    calibration_discount: what a step counts in the running calibration, or mixture, at the next one.
    """

    __module__ = "v05"

    def __init__(self, *, rule="calibrated", prior=None, reward_range=None, leave_one_out=True, scale="none", ddof=1,
                 epsilon=None, singleton="zero", test="bound", level=0.05, discount=0.8, capacity=None,
                 calibration_discount=0.9):
        self._rule = choice("rule", rule, RULES)
        self.rule = rule
        self.prior = prior if prior is not None else "history" if self._rule.uses_prior else "none"
        self.steps = 0
        self._options = dict(leave_one_out=leave_one_out, scale=scale, ddof=ddof, epsilon=epsilon, singleton=singleton,
                             test=test, level=level)
        self._learning = dict(discount=discount, capacity=capacity)
        if not 0 <= number("calibration_discount", calibration_discount) <= 1:
            raise InvalidArgument(f"calibration_discount must lie in [0, 1], got {calibration_discount!r}")
        self._calibration_discount = calibration_discount
        self._given_range = None if reward_range is None else reward_interval(reward_range)
        self._told = set()
        #: For adapters in several processes: given a function that asks the source of priors, returns its answer, the same in
        #: all of them. A function of the user, or a fitted model, may differ between processes in the last digits.
        self.agree = lambda ask: ask()
        self._start_learning(self._given_range or (0.0, 1.0))
        self.reward_range = self._given_range
        # Fails fast on a wrong option, not after the first rollouts.
        self._estimate(estimate, np.zeros(0), np.zeros(0, np.int64), np.zeros(0), None, None)

    def _start_learning(self, reward_range):
        self.reward_range = reward_range
        self.source = prior_source(self.prior, reward_range, **self._learning)
        self.calibration = self._running()(reward_range=reward_range, discount=self._calibration_discount)

    def _running(self):
        return RunningMixture if self._rule.learns == "mixture" else RunningCalibration

    def detect_range(self, rewards, mask=None):
        """Sets a reward_range that was not given from rewards, (n,) with NaN or None where unscored, before the first step.

        `step` does it, too; an adapter that allocates calls it once the first rollouts are scored.
        """
        counted = _counted(*_scored(rewards, mask))
        if self._given_range is not None or not len(counted):
            return
        low, high = float(counted.min()), float(counted.max())
        if self.reward_range is None:
            detected = _usual_range(low, high)
            self._tell("range", f"reward_range was not given and is taken from the first rewards: {detected}. "
                                "Give the range that your reward functions can reach.")
            self._start_learning(detected)
        elif low < self.reward_range[0] or high > self.reward_range[1]:
            widened = _usual_range(min(low, self.reward_range[0]), max(high, self.reward_range[1]))
            self._tell(f"range {widened}", f"a reward lies outside the reward_range {self.reward_range} that the first batch "
                                           f"suggested: it is {widened} from now on, and what was learnt is dropped. Give "
                                           "reward_range to avoid this.")
            self._start_learning(widened)

    def predict(self, keys, *, prompts=None, column=None):
        """(value, strength) of the prior of each key now, two (n,) float64; NaN and 0 for none.

        keys: (n,) integers or strings that tell prompts apart in all of training.
        prompts: (n,) texts, for sources that read them.
        column: (n,) values of the dataset's column, for prior "column"; None, NaN: no prior.
        """
        keys = _plain(keys)
        if self.prior == "column":
            if column is None:
                raise InvalidArgument('prior "column" needs the values of the dataset\'s prior column, got none')
            value = optional_numbers(column, "the prior column", self.reward_range or (0.0, 1.0))
            if value.shape != (len(keys),):
                raise InvalidArgument(
                    f"the prior column must have one value per rollout, got shape {value.shape} for {len(keys)} "
                    "rollouts")
            if len(value) and np.isnan(value).all():
                self._tell("column", "the prior column holds no number in this batch: its prompts have no prior")
            return value, np.zeros(len(keys))
        return self.agree(lambda: self.source.predict(keys, prompts, self.steps))

    def allocator(self, keys, *, prompts=None, column=None, **options):
        """A v05.Allocator for the prompts of a step, (g,) keys, with their priors and what was learnt of them so far.

        The reward range must be known: given, or detected from the first rewards. options: as in v05.Allocator.
        """
        if self.reward_range is None:
            raise InvalidArgument("reward_range must be known before rollouts are allocated: give it or call detect_range")
        value, strength = self.predict(keys, prompts=prompts, column=column)
        return Allocator(value, strength=strength, reward_range=self.reward_range, **self.learnt(), **options)

    def learnt(self):
        """What the steps so far say about the priors, as arguments of v05.Allocator: a calibration, a mixture or none."""
        if not self.calibration.updates or not self._rule.uses_prior or self._rule.learns is None:
            return {}
        return {self._rule.learns: getattr(self.calibration, self._rule.learns)}

    def step(self, rewards, groups, keys, *, prompts=None, column=None, mask=None, maximum=None):
        """The Step of a batch of rollouts: predicts, estimates, then learns.

        rewards: (n,) numbers; NaN or None: unscorable, the row does not count.
        groups: (n,) integers or strings, which rollouts belong together now.
        keys, prompts, column: as in `predict`; all rollouts of a group have the same key.
        mask: (n,) booleans, False: the row does not count (padding).
        maximum: rollouts that a prompt would get without allocation, for the share saved; None without allocation.
        """
        rewards, mask = _scored(rewards, mask)
        self.detect_range(rewards, mask)
        keys = _plain(keys)
        if len(keys) != len(rewards):
            raise InvalidArgument(f"keys must have one entry per reward, got {len(keys)} for {len(rewards)} rewards")
        value, strength = self.predict(keys, prompts=prompts, column=column)
        found = self._estimate(estimate, rewards, groups, value, strength, mask, scale="none")
        self._check_groups(found, keys)
        unscaled = np.asarray(found.advantages)
        scaled = unscaled
        if self._options["scale"] != "none":
            scaled = self._estimate(advantages, rewards, groups, value, strength, mask)
        metrics = self._metrics(found, rewards, groups, value, mask, maximum)

        counted = np.ones(len(rewards), bool) if mask is None else mask.astype(bool)
        if self._rule.bounded or self._bounded(rewards[counted]):
            self.calibration.update(rewards, found.row_group, value, mask=mask)
            self.source.record(keys, prompts, rewards, mask, self.steps)
        self.steps += 1
        return Step(scaled, np.where(counted, rewards - unscaled, np.nan), found, metrics)

    def _estimate(self, function, rewards, groups, value, strength, mask, **changed):
        options = self._options | changed
        if self.rule == "discounted_beta":
            options["prior_strength"] = strength
        if self._rule.learns is not None:
            options[self._rule.learns] = self.calibration
        if not self._rule.uses_prior:
            value = None
        reward_range = self.reward_range or (0.0, 1.0)
        return function(rewards, groups, value, rule=self.rule, reward_range=reward_range, mask=mask, **options)

    def _bounded(self, rewards):
        """Whether a rule that needs no bound was given rewards that can still be learnt from."""
        low, high = self.reward_range or (0.0, 1.0)
        return not len(rewards) or low <= rewards.min() and rewards.max() <= high

    def _check_groups(self, found, keys):
        """Wrong ids remove the baseline in silence, or mix prompts: ids of groups and of prompts must agree."""
        hashes = key_array(keys)
        first = np.full(len(found), len(keys))
        np.minimum.at(first, found.row_group, np.arange(len(keys)))
        other = np.flatnonzero(hashes != hashes[first[found.row_group]]) if len(keys) else ()
        if len(other):
            row = int(other[0])
            raise InvalidArgument(
                f"the rollouts of a group must be of one prompt, got {keys[int(first[found.row_group[row]])]!r:.100} and "
                f"{keys[row]!r:.100} (row {row}) in group {found.groups[found.row_group[row]]!r:.100}")
        alone = first[found.count == 1]
        if len(alone) > 1 and len(np.unique(hashes[alone])) <= len(alone) / 2:
            self._tell("alone", f"{len(alone)} groups hold one rollout, though their prompts come more than once in the "
                                "batch: group ids seem to differ between rollouts of a prompt")

    def _metrics(self, found, rewards, groups, value, mask, maximum):
        counted = _counted(rewards, mask)
        low, high = reward_range = self.reward_range or (0.0, 1.0)
        if not len(counted) or not self._bounded(counted):
            return {}
        seen = found.count > 0
        names = ("count", "mean", "prior", "weight", "baseline", "rejected", "constant")
        prior = value if self._rule.uses_prior else np.full(len(rewards), np.nan)
        health = prior_health(
            SimpleNamespace(**{name: getattr(found, name)[seen] for name in names}),
            fit_calibration(rewards, found.row_group, prior, reward_range=reward_range, mask=mask),
            reward_range=reward_range, maximum=maximum, two_valued=bool(np.isin(counted, (low, high)).all()))
        if self.rule == "v05":
            for warning in health.warnings:
                # At the first steps no prompt has been seen; many prompts with one rollout each can be meant.
                if warning.kind == "error":
                    self._tell("error", warning.message)
        figures = health.as_dict() | {"calibrated": float(found.rule == self.rule and self._rule.learns is not None and self._rule.uses_prior)}
        del figures["warnings"]
        return {f"v05/{name}": float(figure) for name, figure in figures.items() if not np.isnan(figure)}

    def _tell(self, kind, message):
        """A warning, once of each kind."""
        if kind not in self._told:
            self._told.add(kind)
            log.warning(message)

    def state_dict(self):
        """All that was learnt: {name: bytes}. Loads in every later release."""
        about = {"version": 1, "rule": self.rule, "prior": self._prior_name(), "reward_range": self.reward_range,
                 "steps": self.steps}
        state = {"estimator": json.dumps(about).encode(), self._running().__name__: self.calibration.state_dict()["checkpoint"]}
        return state | {f"prior/{name}": data for name, data in self.source.state_dict().items()}

    def load_state_dict(self, state):
        """Goes on where `state_dict` was taken. Options stay those of this object; where they differ from the saved ones a
        warning says so. Raises CheckpointError for what cannot be used, and then changes nothing."""
        try:
            about = json.loads(state["estimator"])
            reward_range = about["reward_range"] and tuple(about["reward_range"])
            rule, prior, steps = about["rule"], about["prior"], int(about["steps"])
            given = {"reward_range": reward_range} if reward_range else {}
            calibration = self._running()(discount=self._calibration_discount, **given)
            # A mixture can not go on from a calibration, nor the other way round: another rule, of which a warning tells.
            if rule == self.rule or self._running().__name__ in state:
                calibration.load_state_dict({"checkpoint": state[self._running().__name__]})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"state must be what AdvantageEstimator.state_dict() returned: {error!r}") from error
        if self._given_range is not None and reward_range is not None and reward_range != self._given_range:
            raise CheckpointError(
                f"the state was saved with reward_range {reward_range}, which cannot be used with {self._given_range}")
        source = prior_source(self.prior, reward_range or self._given_range or (0.0, 1.0), **self._learning)
        if prior == self._prior_name():
            parts = {name.removeprefix("prior/"): data for name, data in state.items() if name.startswith("prior/")}
            try:
                source.load_state_dict(parts)
            except KeyError as error:
                raise CheckpointError(f"the state lacks {error} of the prior {prior!r}") from error
        else:
            self._tell("resume prior", f"the state was saved with prior {prior!r}: {self._prior_name()!r} starts anew")
        if rule != self.rule:
            self._tell("resume rule", f"the state was saved with rule {rule!r} and goes on with {self.rule!r}")
        self.source, self.calibration, self.steps = source, calibration, steps
        self.reward_range = reward_range or self._given_range

    def _prior_name(self):
        return self.prior if isinstance(self.prior, str) else type(self.source).__name__

    def save(self, path):
        """Writes `state_dict` to one file. A crash in the middle leaves an old file whole."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for name, data in self.state_dict().items():
                file.writestr(zipfile.ZipInfo(name), data)  # no time stamp: the same state gives the same bytes
        with whole_file(path) as file:
            file.write(archive.getvalue())

    def load(self, path):
        """Loads what `save` wrote into this object."""
        self.load_state_dict(read_state(path))

    def __repr__(self):
        return (f"AdvantageEstimator(rule={self.rule!r}, prior={self._prior_name()!r}, reward_range={self.reward_range}, "
                f"steps={self.steps})")


def read_state(path):
    """The state_dict that `AdvantageEstimator.save` wrote to a file."""
    try:
        with zipfile.ZipFile(Path(path)) as file:
            return {name: file.read(name) for name in file.namelist()}
    except (zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"{path} is no saved AdvantageEstimator: {error}") from error


def _scored(rewards, mask):
    """Rewards as float64 and a byte mask or None: rows without a reward do not count."""
    rewards = optional_numbers(rewards, "rewards", (0.0, 1.0))
    if rewards.ndim != 1:
        raise InvalidArgument(f"rewards must have one dimension (rollouts), got shape {rewards.shape}")
    mask = mask_rows(mask, len(rewards))
    unscored = np.isnan(rewards)
    if unscored.any():
        mask = (~unscored if mask is None else mask.astype(bool) & ~unscored).astype(np.uint8)
    return rewards, mask


def _counted(rewards, mask):
    return rewards if mask is None else rewards[mask.astype(bool)]


def _usual_range(low, high):
    """The smallest of (0, 1), (-1, 1) and (extremes with 0) that holds low to high."""
    if 0 <= low and high <= 1:
        return 0.0, 1.0
    if -1 <= low and high <= 1:
        return -1.0, 1.0
    return min(low, 0.0), max(high, 0.0)


def _plain(keys):
    """Keys as a list of plain integers and strings, or an integer array."""
    return keys.tolist() if hasattr(keys, "tolist") else list(keys)
