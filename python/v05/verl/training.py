"""What the trainer process of verl holds: the options under algorithm.v05 and the estimator made from them."""

import dataclasses
import importlib
import inspect
import json
import logging

import numpy as np
from omegaconf import OmegaConf

from .._allocator import Allocator
from ..advantage_estimator import _WITHOUT_PRIOR, AdvantageEstimator
from ..errors import ArgumentTypeError, InvalidArgument
from .prompts import field_values, final_outputs, prompt_keys, prompt_text, read_prompts, stored_rollouts

_log = logging.getLogger("v05")
_ESTIMATOR_OPTIONS = tuple(inspect.signature(AdvantageEstimator).parameters)
_OPTIONS = (*_ESTIMATOR_OPTIONS, "prior_field", "key_field", "allocation", "log_every")
_ALLOCATION_OPTIONS = ("rule", "initial", "maximum", "cost", "lookahead", "wave")
_BOUNDED_RULES = ("v05", "calibrated", "mixture", "discounted_beta")

_trainings = {}


def training_of(algorithm, has_column=False):
    """The Training of verl's configuration `algorithm`: one for each set of options and process."""
    options = read_options(algorithm)
    name = json.dumps([options, trainer_option(algorithm, "trainer.use_v1"), has_column], sort_keys=True, default=repr)
    if name not in _trainings:
        _trainings[name] = Training(algorithm, options, has_column)
    return _trainings[name]


def read_options(algorithm):
    """The options under `algorithm.v05` as a dict.

    rule, prior, reward_range, leave_one_out, scale, ddof, epsilon, singleton, test, level, discount, capacity,
    calibration_discount: as in v05.AdvantageEstimator; prior may also be the dotted path of a function of prompts.
    prior_field: field of the dataset's extra_info with the prior, in reward units.
    key_field: field of the dataset's extra_info that is different for every prompt of the dataset.
    allocation: rule, initial, maximum, cost, lookahead, wave, as in v05.Allocator, for v05.verl.V05AgentLoopManager.
    log_every: log the figures every so many steps.
    """
    given = algorithm.get("v05") if algorithm is not None else None
    options = {} if given is None else OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else given
    _known(options, _OPTIONS, "algorithm.v05")
    _known(options.get("allocation") or {}, _ALLOCATION_OPTIONS, "algorithm.v05.allocation")
    return options


def trainer_option(algorithm, name):
    """An option of verl's whole configuration, seen from its part `algorithm`; None where that is not known."""
    return OmegaConf.select(algorithm, f"..{name}") if OmegaConf.is_config(algorithm) else None


class Training:
    """An AdvantageEstimator and what it must be told about verl's batches.

    algorithm: verl's configuration `algorithm`. Where it is part of a whole configuration with trainer.use_v1, prompts are
        looked up in TransferQueue; elsewhere nothing is known of a prompt but a uid that is new at every visit.
    options: of read_options.
    has_column: the batches have verl's column `reward_baselines`.
    """

    def __init__(self, algorithm, options, has_column):
        self.prompts_known = bool(trainer_option(algorithm, "trainer.use_v1"))
        self.prior_field = options.get("prior_field")
        self.key_field = options.get("key_field")
        self.allocation = options.get("allocation")
        self.log_every = options.get("log_every")
        self.rollouts = trainer_option(algorithm, "actor_rollout_ref.rollout.n")
        self.metrics = {}
        self.batch_keys = None  # of the rows of the next step in TransferQueue, where the trainer tells them
        self._told = set()
        given = {name: value for name, value in options.items() if name in _ESTIMATOR_OPTIONS}
        if options.get("prior") is not None or given.get("rule") not in _WITHOUT_PRIOR:
            given["prior"] = self._prior(options.get("prior"), has_column)
        if algorithm is not None and algorithm.get("use_kl_in_reward") and given.get("reward_range") is None and (
                given.get("rule", "calibrated") in _BOUNDED_RULES):
            raise InvalidArgument(
                "algorithm.use_kl_in_reward adds a penalty without bound to the rewards: use the KL loss of the actor instead "
                "(actor_rollout_ref.actor.use_kl_loss), or give algorithm.v05.reward_range")
        self.estimator = AdvantageEstimator(**given)
        if self.allocation is not None:
            if given.get("reward_range") is None:
                raise InvalidArgument("algorithm.v05.allocation needs algorithm.v05.reward_range")
            Allocator([np.nan], **self.allocation_options())  # a wrong option is told now, not in a worker

    def _prior(self, prior, has_column):
        column = has_column or self.prompts_known and self.prior_field
        if prior is None:
            prior = "column" if column or self.prior_field else "history" if self.prompts_known else "none"
            if not column and not self.prompts_known:
                _log.warning(
                    "there is no prior: this trainer tells the estimator nothing of a prompt that lasts from one visit to the "
                    "next (its uid is new each time). Use trainer.use_v1=True, or a dataset column `reward_baselines`.")
        if prior == "column" and not column:
            raise InvalidArgument(
                'prior "column" needs algorithm.v05.prior_field with trainer.use_v1=True, or, in the legacy trainer, a dataset '
                "with a scalar tensor `reward_baselines`")
        if prior not in ("column", "none") and not self.prompts_known:
            raise InvalidArgument(
                f"prior {prior!r} needs to know which prompt a rollout is of: only trainer.use_v1=True tells (in the legacy "
                "trainer a prompt's uid is new at every visit)")
        if isinstance(prior, str) and "." in prior:
            module, _, name = prior.rpartition(".")
            try:
                return getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError) as error:
                raise ArgumentTypeError(f"algorithm.v05.prior names a function that cannot be imported: {error}") from error
        return prior

    def allocation_options(self):
        """The options of a prompt's v05.Allocator, as they are now."""
        return {"reward_range": self.estimator.reward_range} | self.estimator.learnt() | self.allocation

    def step(self, rewards, uids, response, column=None):
        """The v05 Step of n rollouts.

        rewards: (n,). uids: n strings. response: (n,) booleans, False: the row has no response token, as verl's padding,
        and does not count. column: (n,) values of `reward_baselines`, or None.
        """
        final = np.arange(len(uids)) if self.batch_keys is None else final_outputs(self.batch_keys)
        response = response & (final == np.arange(len(uids)))
        self._check_groups(uids, response)
        keys, texts = uids, None
        if self.prompts_known and self.estimator.prior != "none":
            found = list(dict.fromkeys(uid for uid, counted in zip(uids, response) if counted))
            place = {uid: place for place, uid in enumerate(found)}
            rollouts = stored_rollouts(found)
            self._check_outputs(rollouts)
            prompts = read_prompts([rollouts[uid][0] for uid in found], self._reads_prompt())
            found_keys, found_texts, found_column = self._facts(prompts)
            # Rows that do not count have no prompt: their uid is their key.
            keys = [found_keys[place[uid]] if uid in place else uid for uid in uids]
            texts = [found_texts[place[uid]] if uid in place else "" for uid in uids]
            if found_column is not None:
                column = [found_column[place[uid]] if uid in place else None for uid in uids]
        step = self.estimator.step(
            rewards, uids, keys, prompts=texts, column=column, mask=response,
            maximum=self.allocation.get("maximum", 16) if self.allocation is not None else None)
        self.metrics, self.batch_keys = step.metrics, None
        if self.log_every and self.estimator.steps % self.log_every == 0:
            _log.setLevel(logging.INFO)
            _log.info("step %d: %s", self.estimator.steps, json.dumps(step.metrics))
        return dataclasses.replace(step, advantages=step.advantages[final])

    def predict(self, prompts):
        """(n,) prior values of n prompts: dicts with the fields extra_info and raw_prompt of their rows in the dataset."""
        keys, texts, column = self._facts(prompts)
        return self.estimator.predict(keys, prompts=texts, column=column)[0]

    def _facts(self, prompts):
        """(keys, texts, values of the prior's column or None) of prompts."""
        texts = [prompt_text(prompt) for prompt in prompts]
        if self.estimator.prior == "column":
            return list(range(len(prompts))), texts, field_values(prompts, self.prior_field)
        return prompt_keys(prompts, self.key_field), texts, None

    def _reads_prompt(self):
        return self.estimator.prior != "column" and (self.key_field is None or self.estimator.prior != "history")

    def _check_groups(self, uids, counted):
        groups = {uid for uid, count in zip(uids, counted) if count}
        if self.rollouts != 1 and 1 < counted.sum() == len(groups):
            self._tell(f"every one of {len(groups)} rollouts has a uid of its own: no group has a mean. The rollouts of a "
                       "prompt must share one uid.")

    def _check_outputs(self, rollouts):
        if self.batch_keys is None and any(not key.endswith("_0") for keys in rollouts.values() for key in keys):
            self._tell("agent loops give several outputs a rollout: each counts as a rollout in the mean of its group, unless "
                       "trainer.v1.trainer_mode=v05_sync (see docs/verl.md)")

    def _tell(self, message):
        """A warning, once of each kind."""
        kind = message[:20]
        if kind not in self._told:
            self._told.add(kind)
            _log.warning("%s", message)


def _known(options, known, where):
    if not isinstance(options, dict):
        raise ArgumentTypeError(f"{where} must hold options, as in {where}.rule=..., got {options!r}")
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InvalidArgument(f"{where} has no option {unknown[0]!r}; it has {', '.join(known)}")
