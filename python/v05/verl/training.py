"""What the trainer process of verl holds: the options under algorithm.v05 and the estimator made from them."""

import dataclasses
import importlib
import inspect
import json
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError

from .._core.allocator import Allocator
from .._core.arguments import choice, integer
from .._core.rules import RULES
from .._core.types import OptionalNumbers
from ..errors import ArgumentTypeError, InvalidArgument
from ..priors.sources import COLUMN_NAMES
from ..training import AdvantageEstimator, Step
from .prompts import field_values, final_outputs, prompt_keys, prompt_text, read_prompts, stored_rollouts

_log = logging.getLogger("v05")
_ESTIMATOR_OPTIONS = tuple(inspect.signature(AdvantageEstimator).parameters)
_OPTIONS = (*_ESTIMATOR_OPTIONS, "prior_field", "id_field", "weights", "allocation", "log_every")
_WEIGHTS = dict.fromkeys(("none", "length", "score"))
_ALLOCATION_MAXIMUM = inspect.signature(Allocator).parameters["maximum"].default
_ALLOCATION_OPTIONS = ("rule", "initial", "maximum", "maximum_without_prior", "cost", "look_ahead", "wave")
_UID_IS_NEW = (
    "only the V1 trainer (trainer.use_v1=True) tells. In others a prompt's uid is new at every visit, and an "
    "estimator is told nothing else of it."
)

_trainings: dict = {}


def training_of(algorithm: Any, has_column: bool = False) -> "Training":
    """The Training of verl's configuration `algorithm`: one for each set of options and process."""
    options = read_options(algorithm)
    name = json.dumps([options, _prompts_stored(algorithm), has_column], sort_keys=True, default=repr)
    if name not in _trainings:
        _trainings[name] = Training(algorithm, options, has_column)
    return _trainings[name]


def read_options(algorithm: Any) -> dict[str, Any]:
    """The options under `algorithm.v05` as a dict.

    rule, prior, reward_range, leave_one_out, scale, ddof, epsilon, singleton, test, level, discount, capacity,
    calibration_discount, start_strength, baseline_fraction: as in v05.AdvantageEstimator; prior may also be the dotted
        path of a function of prompts.
    prior_field: field of the dataset's extra_info with the prior, in reward units.
    id_field: field of the dataset's extra_info that is different for every prompt of the dataset.
    weights: "length" or "score": every rollout counts by the squared norm of its score (method section 13), which its
        number of tokens or, in v05.verl.trainers, the probabilities of its tokens tell; "none": all alike, and those
        are for the figures v05/noise/... alone. Default: "none", in v05.verl.trainers that of `recipe_weights`.
    allocation: rule, initial, maximum, maximum_without_prior, cost, look_ahead, wave, as in v05.Allocator, for
        v05.verl.V05AgentLoopManager.
    log_every: log the figures every so many steps.
    """
    given = algorithm.get("v05") if algorithm is not None else None
    options = OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else given or {}
    _known(options, _OPTIONS, "algorithm.v05")
    _known(options.get("allocation") or {}, _ALLOCATION_OPTIONS, "algorithm.v05.allocation")
    return options


def recipe_weights(config: Any) -> str:
    """The `weights` of verl's whole configuration where the trainer hands over the probabilities of tokens: those asked
    for, else "score" with one rollout per prompt, where it trained better than without, and a rule that takes
    weights, else "none"."""
    options = read_options(config.algorithm)
    if options.get("weights") is not None:
        return options["weights"]
    single = config.actor_rollout_ref.rollout.n == 1 and not options.get("allocation")
    asked = {name: options[name] for name in ("rule", "test") if name in options}
    choice("algorithm.v05.rule", asked.get("rule", "calibrated"), RULES)
    return "score" if single and AdvantageEstimator(**asked).takes_weights else "none"


def _trainer_option(algorithm, name):
    """An option of verl's whole configuration, seen from its part `algorithm`; None where that is not known."""
    try:
        return OmegaConf.select(algorithm, f"..{name}") if OmegaConf.is_config(algorithm) else None
    except ConfigKeyError:  # nothing is above it
        return None


def _prompts_stored(algorithm):
    """Whether prompts can be looked up in TransferQueue: the V1 trainer switches it on; experimental ones do not."""
    return all(_trainer_option(algorithm, name) for name in ("trainer.use_v1", "transfer_queue.enable"))


class Training:
    """An AdvantageEstimator and what it must be told about verl's batches.

    algorithm: verl's configuration `algorithm`. Where it is part of that of a V1 trainer, prompts are looked up in
        TransferQueue; elsewhere nothing is known of a prompt but a uid that is new at every visit.
    options: of read_options.
    has_column: the batches have verl's column `reward_baselines`.
    """

    def __init__(self, algorithm: Any, options: dict[str, Any], has_column: bool) -> None:
        self.prompts_known = _prompts_stored(algorithm)
        self.prior_field = options.get("prior_field")
        self.id_field = options.get("id_field")
        self.allocation: Any = options.get("allocation")
        self.weights = "none" if options.get("weights") is None else options["weights"]
        choice("algorithm.v05.weights", self.weights, _WEIGHTS)
        aggregation = _trainer_option(algorithm, "actor_rollout_ref.actor.loss_agg_mode")
        #: Whether the loss divides the terms of a rollout by its length.
        self.per_token = aggregation == "seq-mean-token-mean"
        self.log_every = options.get("log_every")
        if self.log_every is not None and integer("algorithm.v05.log_every", self.log_every) < 0:
            raise InvalidArgument(f"algorithm.v05.log_every must be at least 1, or 0 for never, got {self.log_every!r}")
        for name, field in (("prior_field", self.prior_field), ("id_field", self.id_field)):
            if not isinstance(field, (str, type(None))):
                raise ArgumentTypeError(f"algorithm.v05.{name} must be the name of a field, got {field!r:.100}")
        if self.prior_field is not None and options.get("prior") not in (None, *COLUMN_NAMES):
            raise InvalidArgument(
                f"algorithm.v05.prior_field {self.prior_field!r} is read with prior column or tracker+column only, got "
                f"prior {options['prior']!r:.100}"
            )
        self.rollouts = _trainer_option(algorithm, "actor_rollout_ref.rollout.n")
        self.metrics: dict[str, float] = {}
        self.score: np.ndarray | None = (
            None  # weights of the rows of the next step by their tokens, where the trainer tells them
        )
        self.score_unknown = False  # whether the trainer has none for figures, and is not asked again
        self.batch_keys: list[str] | None = (
            None  # of the rows of the next step in TransferQueue, where the trainer tells them
        )
        self._told: set[str] = set()
        given = {name: value for name, value in options.items() if name in _ESTIMATOR_OPTIONS}
        rule = choice("algorithm.v05.rule", given.get("rule", "calibrated"), RULES)
        if options.get("prior") is not None or rule.uses_prior:
            given["prior"] = self._prior(options.get("prior"), has_column)
        unbounded = algorithm is not None and algorithm.get("use_kl_in_reward") and given.get("reward_range") is None
        if unbounded and rule.bounded:
            raise InvalidArgument(
                "algorithm.use_kl_in_reward adds a penalty without bound to the rewards: use the KL loss of the actor "
                "(actor_rollout_ref.actor.use_kl_loss) instead, or give algorithm.v05.reward_range"
            )
        self.v05_estimator = AdvantageEstimator(**given)
        # Else uids, or places in the batch, stand for prompts.
        self.v05_estimator.keys_recur = self.prompts_known and self.v05_estimator.prior not in ("none", "column")
        if self.weights != "none":
            self.v05_estimator.check_weights()
        if self.allocation is not None:
            if given.get("reward_range") is None:
                raise InvalidArgument("algorithm.v05.allocation needs algorithm.v05.reward_range")
            Allocator([np.nan], **self.allocation_options())  # fails fast on a wrong option, not in a worker

    def _prior(self, prior, has_column):
        column = has_column or self.prompts_known and self.prior_field
        if prior is None:
            prior = "column" if column or self.prior_field else "history" if self.prompts_known else "none"
            if prior == "none":
                _log.warning("there is no prior: %s Or give the dataset a column `reward_baselines`.", _UID_IS_NEW)
        if prior in COLUMN_NAMES and not column:
            raise InvalidArgument(
                f'prior "{prior}" needs algorithm.v05.prior_field in the V1 trainer, or a dataset with a scalar tensor '
                "`reward_baselines` in the legacy trainer"
            )
        if prior not in ("column", "none") and not self.prompts_known:
            raise InvalidArgument(f"prior {prior!r} needs to know which prompt a rollout is of: {_UID_IS_NEW}")
        if isinstance(prior, str) and "." in prior:
            module, _, name = prior.rpartition(".")
            try:
                return getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError) as error:
                raise ArgumentTypeError(
                    f"algorithm.v05.prior names a function that cannot be imported: {error}"
                ) from error
        return prior

    def allocation_options(self) -> dict[str, Any]:
        """The options of a prompt's v05.Allocator, as they are now."""
        return {"reward_range": self.v05_estimator.reward_range} | self.v05_estimator.learnt() | self.allocation

    def step(
        self, rewards: OptionalNumbers, uids: list[str], length: np.ndarray, column: np.ndarray | None = None
    ) -> Step:
        """The v05 Step of n rollouts.

        rewards: (n,). uids: n strings. length: (n,) response tokens of each row; one without any, as verl's padding,
            does not count. column: (n,) values of `reward_baselines`, or None.
        """
        rows = np.arange(len(uids))
        batch_keys, self.batch_keys = self.batch_keys, None
        final = rows if batch_keys is None else final_outputs(batch_keys)
        counted = (length > 0) & (final == rows)
        self._check_groups(uids, counted)
        keys, texts = uids, None
        if self.prompts_known and self.v05_estimator.prior != "none" and counted.any():
            found = list(dict.fromkeys(uid for uid, real in zip(uids, counted) if real))
            rollouts = stored_rollouts(found)
            self._check_outputs(rollouts, batch_keys)
            facts = self._facts(read_prompts([keys[0] for keys in rollouts.values()], self._reads_prompt()))
            fact_of = dict(zip(rollouts, zip(*facts)))
            # Groups that do not count have no prompt: any will do.
            keys, texts, column = zip(*(fact_of.get(uid, fact_of[found[0]]) for uid in uids))
        maximum = None if self.allocation is None else self.allocation.get("maximum", _ALLOCATION_MAXIMUM)
        step = self.v05_estimator.step(
            rewards,
            uids,
            keys,
            prompts=texts,
            column=column if self.v05_estimator.reads_column else None,
            mask=counted,
            maximum=maximum,
            **self._score_weights(length, final),
        )
        self.metrics = step.metrics
        if self.log_every and self.v05_estimator.steps % self.log_every == 0:
            _log.setLevel(logging.INFO)
            _log.info("step %d: %s", self.v05_estimator.steps, json.dumps(step.metrics))
        return dataclasses.replace(step, advantages=step.advantages[final])

    def predict(self, prompts: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """(value, strength) of the priors of n prompts: dicts with the fields extra_info and raw_prompt of their rows
        in the dataset."""
        keys, texts, column = self._facts(prompts)
        column = column if self.v05_estimator.reads_column else None
        return self.v05_estimator.predict(keys, prompts=texts, column=column)

    def _score_weights(self, length, final):
        """The score weights of the rows by the keyword of `AdvantageEstimator.step` that takes them, for the figures
        alone where all count alike; those of a rollout's outputs are added at its last."""
        score, self.score = self.score, None
        if self.weights == "score" and score is None:
            self._tell(
                "score",
                "weights are the lengths of rollouts: the probabilities of their tokens did not reach v05, as they do "
                "with trainer.v1.trainer_mode=v05_sync (v05 doctor verl says how)",
            )
        if self.weights == "none" and np.shape(score) != length.shape:
            score = None
        weight = score
        if score is None:
            weight = 1 / np.maximum(length, 1) * (length > 0) if self.per_token else length
        weight = np.bincount(final, weight, minlength=len(final)).astype(np.float64)
        return {"squared_norms" if self.weights == "none" else "weights": weight}

    def _facts(self, prompts):
        """(keys, texts, values of the prior's column) of n prompts."""
        texts = [prompt_text(prompt) for prompt in prompts]
        column = field_values(prompts, self.prior_field) if self.v05_estimator.reads_column else [None] * len(prompts)
        if self.v05_estimator.prior == "column":
            return range(len(prompts)), texts, column
        return prompt_keys(prompts, self.id_field), texts, column

    def _reads_prompt(self):
        makes_keys = self.id_field is None and self.v05_estimator.prior != "column"
        return makes_keys or self.v05_estimator.reads_texts

    def _check_groups(self, uids, counted):
        groups = {uid for uid, real in zip(uids, counted) if real}
        # One rollout a prompt against its prior, or against the batch.
        meant = self.rollouts == 1 and (self.v05_estimator.prior != "none" or self.v05_estimator.rule == "batch_mean")
        if 1 < counted.sum() == len(groups) and not meant:
            self._tell(
                "uids",
                f"every one of {len(groups)} rollouts has a uid of its own: no group has a mean. The rollouts "
                "of a prompt must share one uid.",
            )

    def _check_outputs(self, rollouts, batch_keys):
        if batch_keys is None and any(not key.endswith("_0") for keys in rollouts.values() for key in keys):
            self._tell(
                "outputs",
                "agent loops give several outputs a rollout: each counts as a rollout in the mean of its "
                "group, unless trainer.v1.trainer_mode=v05_sync (v05 doctor verl says how)",
            )

    def _tell(self, kind, message):
        """A warning, once of each kind."""
        if kind not in self._told:
            self._told.add(kind)
            _log.warning("%s", message)


def _known(options, known, where):
    if not isinstance(options, dict):
        raise ArgumentTypeError(f"{where} must hold options, as in {where}.rule=..., got {options!r}")
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InvalidArgument(f"{where} has no option {unknown[0]!r}; it has {', '.join(known)}")
