"""V_0.5 inside TRL: `GRPOTrainer` and `RLOOTrainer` with another baseline. Needs trl 1.16 or newer (extra v05[trl]).

    from v05.trl import V05Config, V05GRPOTrainer

    trainer = V05GRPOTrainer(model=..., reward_funcs=..., args=GRPOConfig(...), train_dataset=..., v05=V05Config())

Everything else is TRL's. The trainers are subclasses, nothing of TRL is patched.
"""

import logging
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather, gather_object
from trl import GRPOTrainer, RLOOTrainer
from trl.trainer.utils import nanstd

from ._estimate import advantages
from ._history import key_array
from .advantage_estimator import AdvantageEstimator, read_state
from .errors import ArgumentTypeError, Error, InvalidArgument
from .prompt_key import prompt_key

_log = logging.getLogger("v05")
STATE_FILE = "v05.zip"
_OWN_SCALING = ("grpo", "rloo")
_NEEDS_SIBLINGS = ("grpo", "rloo", "james_stein", "median")


@dataclass
class V05Config:
    """What a V_0.5 trainer does in place of TRL's group mean. The defaults suit a first run.

    rule, reward_range, test, level, discount, capacity: as in v05.AdvantageEstimator.
    leave_one_out: a rollout's baseline does not know its own reward. Rule "grpo" is the mean of all whatever it says;
        with one left out its name is "rloo".
    prior: "history" (None: where the rule uses priors), "history+context", "column", "none", a function of a list of
        prompts or a prior source.
    prior_column: the dataset's column of prior values in reward units, for prior "column"; None or NaN in it: no prior.
    key_column: the dataset's column of ids that tell prompts apart; None: the text of the prompt does.
    scale: "none", "group" or "batch" as in v05.AdvantageEstimator; None: "none", but for rules "grpo" and "rloo" what the
        trainer does with its own advantages (`scale_rewards`, `normalize_advantages`).
    num_generations: rollouts a prompt in training, in place of the TRL config's, which forbids 1; None: the TRL config's.
        1 is for rules whose baseline does not need other rollouts of the prompt.
    """

    rule: str = "calibrated"
    prior: object = None
    prior_column: str = "prior"
    key_column: str | None = None
    reward_range: tuple | None = None
    leave_one_out: bool = True
    scale: str | None = None
    test: str = "bound"
    level: float = 0.05
    discount: float = 0.8
    capacity: int | None = None
    num_generations: int | None = None


class _V05Trainer:
    """What both trainers share; stands before the TRL trainer among the bases.

    Every process holds an estimator and gives it the gathered batch, so that all hold the same state and raise the same
    errors: no process waits for one that has failed.
    """

    def __init__(self, *args, v05=None, **kwargs):
        config = V05Config() if v05 is None else v05
        if not isinstance(config, V05Config):
            raise ArgumentTypeError(f"v05 must be a V05Config, got {config!r}")
        self.v05_config = config
        self._own_scaling = config.scale is None and config.rule in _OWN_SCALING
        self.v05_estimator = AdvantageEstimator(
            rule=config.rule, prior=config.prior, reward_range=config.reward_range,
            leave_one_out=config.leave_one_out and config.rule != "grpo", scale=config.scale or "none", test=config.test,
            level=config.level, discount=config.discount, capacity=config.capacity)
        super().__init__(*args, **kwargs)
        if not self.accelerator.is_main_process:
            _log.setLevel(logging.ERROR)  # all processes see the same: one tells
        self._set_group_size(config)
        self._check_columns()
        if getattr(self, "multi_objective_aggregation", "sum_then_normalize") != "sum_then_normalize":
            raise InvalidArgument(
                "multi_objective_aggregation must be 'sum_then_normalize', got "
                f"{self.multi_objective_aggregation!r}: it takes a mean of its own off each reward before they are summed, "
                "and leaves no baseline to replace")

    def _set_group_size(self, config):
        if config.num_generations is not None:
            batch = self.args.generation_batch_size
            if config.num_generations < 1 or batch % config.num_generations:
                raise InvalidArgument(
                    "num_generations of V05Config must be a positive divisor of the generation batch size "
                    f"{batch}, got {config.num_generations}")
            self.num_generations = config.num_generations
        if self.num_generations == 1 and config.rule in _NEEDS_SIBLINGS:
            raise InvalidArgument(f"num_generations must be at least 2 for rule {config.rule!r}, whose baseline is made of "
                                  "the other rollouts of a prompt, got 1")

    def _columns(self):
        """The dataset's columns that are read: what for, and name."""
        columns = {"key_column": self.v05_config.key_column}
        if self.v05_estimator.prior == "column":
            columns["prior_column"] = self.v05_config.prior_column
        return {option: name for option, name in columns.items() if name is not None}

    def _check_columns(self):
        names = getattr(self.train_dataset, "column_names", None)
        for option, name in self._columns().items():
            if names is not None and name not in names:
                raise InvalidArgument(_missing_column(option, name, names))
            if self.args.remove_unused_columns:
                raise InvalidArgument(
                    f"remove_unused_columns must be False: it removes {option} {name!r} from the dataset")

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        self._rewards_per_function = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        return self._rewards_per_function

    def _generate_and_score_completions(self, inputs):
        if not self.model.training:  # evaluation neither learns nor has a use for another baseline
            return super()._generate_and_score_completions(inputs)
        rows = self._gathered_rows(inputs)
        output = super()._generate_and_score_completions(inputs)
        rewards = self._scored(self._rewards_per_function)
        groups = np.arange(len(rows)) // self.num_generations
        found, metrics = self._advantages(rewards, groups, rows, self._penalty(output))

        local = slice(self.accelerator.process_index * len(inputs), (self.accelerator.process_index + 1) * len(inputs))
        output["advantages"] = found[local]
        self._replace_logged_advantages(found)
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)
        return output

    def _gathered_rows(self, inputs):
        """The _Row of every row of all processes, in the order of gathered rewards. Raises on every process alike."""
        try:
            here = self._rows(inputs), None
        except Error as error:
            here = [], error
        gathered = gather_object([here])
        for _, error in gathered:
            if error is not None:
                raise error
        counts = [len(rows) for rows, _ in gathered]
        if len(set(counts)) > 1:
            raise InvalidArgument(f"every process must have equally many rows, got {counts}")
        return [row for rows, _ in gathered for row in rows]

    def _rows(self, inputs):
        columns = self._columns()
        for option, name in columns.items():
            for row in inputs:
                if name not in row:
                    raise InvalidArgument(_missing_column(option, name, row))
        if "key_column" in columns:
            keys = [row[columns["key_column"]] for row in inputs]
        elif any(row.get("image") or row.get("images") for row in inputs):
            raise InvalidArgument("key_column must be given for prompts with images: their texts do not tell them apart")
        else:
            keys = [prompt_key(row["prompt"]) for row in inputs]
        priors = [row.get(columns.get("prior_column")) for row in inputs]
        read = self.v05_estimator.prior not in ("history", "column", "none")
        prompts = [row["prompt"] if read else None for row in inputs]
        return [_Row(*facts) for facts in zip(key_array(keys).tolist(), priors, prompts)]

    def _scored(self, rewards_per_function):
        """One reward a row, (n,) float32, as the trainer makes it; NaN where no function gave one."""
        weighted = rewards_per_function * self.reward_weights.to(rewards_per_function.device).unsqueeze(0)
        rewards = weighted.nansum(dim=1)
        rewards[torch.isnan(rewards_per_function).all(dim=1)] = torch.nan
        return rewards

    def _advantages(self, rewards, groups, rows, penalty):
        """(advantages, (n,) float32 on the trainer's device; metrics) of a gathered batch. Learns from it."""
        if penalty is not None:
            penalty = advantages(penalty, groups, rule="rloo", singleton="raw", mask=~torch.isnan(rewards))
        step = self.v05_estimator.step(
            rewards, groups, [row.key for row in rows], prompts=[row.prompt for row in rows],
            column=[row.prior for row in rows])
        if self._own_scaling:
            unscaled = rewards - torch.from_numpy(step.baseline).to(rewards)
            if penalty is not None:
                unscaled = unscaled + penalty
            found = self._scale(unscaled, rewards, torch.from_numpy(groups).to(rewards.device))
        else:
            found = torch.from_numpy(step.advantages).to(rewards)
            if penalty is not None:
                found = found + penalty
        return torch.nan_to_num(found, nan=0.0), step.metrics

    def _replace_logged_advantages(self, found):
        logged = self._logs["advantages"]
        for _ in range(len(found)):
            logged.pop()
        logged.extend(found.tolist())

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self.v05_estimator.save(os.path.join(output_dir, STATE_FILE))

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        # One process reads, so that all go on with the same state or fail with the same error.
        state = [None]
        if self.accelerator.is_main_process:
            state = [_read_state(os.path.join(checkpoint, STATE_FILE))]
        state, = broadcast_object_list(state)
        if isinstance(state, Exception):
            raise state
        if state is None:
            _log.warning("%s has no %s: what v05 had learnt before is lost, and it starts anew", checkpoint, STATE_FILE)
        else:
            self.v05_estimator.load_state_dict(state)


class V05GRPOTrainer(_V05Trainer, GRPOTrainer):
    """TRL's GRPOTrainer with the baseline of V05Config `v05`. All other arguments are those of GRPOTrainer."""

    def _penalty(self, output):
        return None

    def _scale(self, unscaled, rewards, groups):
        if self.scale_rewards == "none":
            return unscaled
        deviation = nanstd(rewards) if self.scale_rewards == "batch" else _group_deviation(rewards, groups)
        return unscaled / (deviation + 1e-4)


class V05RLOOTrainer(_V05Trainer, RLOOTrainer):
    """TRL's RLOOTrainer with the baseline of V05Config `v05`. All other arguments are those of RLOOTrainer.

    With beta > 0 TRL takes the divergence from the reference model off the reward. The prior knows nothing of that
    penalty, so it keeps its own leave-one-out baseline, as in TRL, whatever the rule.
    """

    _policy_and_reference = None

    def _scored(self, rewards_per_function):
        rewards = super()._scored(rewards_per_function)
        if self.reward_clip_range:
            rewards = rewards.clamp(min=self.reward_clip_range[0], max=self.reward_clip_range[1])
        return rewards

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self._policy_and_reference is not None:
            self._policy_and_reference.append(found[0])
        return found

    def _generate_and_score_completions(self, inputs):
        # The reference's log-probabilities are not among the results.
        self._policy_and_reference = [] if self.beta != 0.0 else None
        try:
            return super()._generate_and_score_completions(inputs)
        finally:
            self._policy_and_reference = None

    def _penalty(self, output):
        if self.beta == 0.0:
            return None
        policy, reference = self._policy_and_reference
        divergence = gather(((policy - reference) * output["completion_mask"]).sum(-1))
        return -self.beta * divergence

    def _scale(self, unscaled, rewards, groups):
        if not self.normalize_advantages:
            return unscaled
        # A rollout without siblings has no baseline in RLOO and stays out of the normalisation.
        siblings = torch.bincount(groups[~torch.isnan(rewards)], minlength=int(groups.max()) + 1)
        unscaled = unscaled.masked_fill(siblings[groups] < 2, torch.nan)
        return (unscaled - torch.nanmean(unscaled)) / (nanstd(unscaled) + 1e-4)


class _Row(NamedTuple):
    """What a row of the dataset says of its prompt."""

    key: int
    prior: object
    prompt: object


def _group_deviation(rewards, groups):
    """TRL's standard deviation of each row's group, whatever the sizes; NaN for fewer than two scored rewards."""
    counts = torch.bincount(groups)
    place = torch.arange(len(groups), device=groups.device) - (counts.cumsum(0) - counts)[groups]
    table = rewards.new_full((len(counts), int(counts.max())), torch.nan)
    table[groups, place] = rewards
    return nanstd(table, dim=1)[groups]


def _missing_column(option, name, columns):
    return f"{option} {name!r} is not in the dataset, whose columns are {', '.join(map(repr, columns))}"


def _read_state(path):
    """What was saved at path, None where nothing was, or the exception that says why it cannot be read."""
    try:
        return read_state(path)
    except FileNotFoundError:
        return None
    except (Error, OSError) as error:
        return error
