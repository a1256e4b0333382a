"""What V05GRPOTrainer and V05RLOOTrainer share."""

import logging
import os
import pickle
from collections import defaultdict, deque
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather, gather_object
from trl.trainer.utils import nanstd

from .._core.allocator import Allocator
from .._core.arguments import choice, integer
from .._core.estimate import advantages
from .._core.keys import key_array
from .._core.prompt_key import prompt_key
from .._core.prototypes import ALLOCATION_RULES
from .._core.rules import RULES
from ..errors import ArgumentTypeError, Error, InvalidArgument
from ..training.advantage_estimator import AdvantageEstimator
from ..training.estimator_state import STATE_FILE, read_state
from ..training.score_weights import KINDS, score_weights
from .config import V05Config
from .deviation import group_deviation
from .rounds import Batch, add_meaningless_rows, join, spread

_log = logging.getLogger("v05")
_OWN_SCALING = ("grpo", "rloo")
# Losses of GRPO that are means over rows; the others are means over tokens, where padding has none.
_MEANS_OVER_ROWS = ("grpo", "sapo", "dr_grpo", "luspo")
# Those that divide the terms of a rollout by its own length.
_PER_TOKEN = ("grpo", "sapo")


class V05Trainer:
    """What both trainers share; stands before the TRL trainer among the bases.

    Every process holds an estimator and gives it the gathered batch, so that all hold the same state, plan the same
    rounds and raise the same errors: no process waits for one that has failed.
    """

    accelerator: Any  # this and the next ones: of TRL's trainer
    args: Any
    model: Any
    multi_objective_aggregation: str
    state: Any
    _modulation_options: Any
    _scaling: Any

    _said_pass = False  # that log-probabilities cost a forward pass
    _clipped_since_log: Any = 0  # of the optimizer steps since then: those whose gradient was clipped, and all
    _steps_since_log = 0
    _step_seen = None

    def __init__(self, *args: Any, v05: V05Config | None = None, **kwargs: Any) -> None:
        config = V05Config() if v05 is None else v05
        if not isinstance(config, V05Config):
            raise ArgumentTypeError(f"v05 must be a V05Config, got {config!r}")
        self.v05_config = config
        self.v05_estimator = AdvantageEstimator(
            rule=config.rule,
            prior=config.prior,
            reward_range=config.reward_range,
            leave_one_out=config.leave_one_out and config.rule != "grpo",
            scale=config.scale or "none",
            test=config.test,
            level=config.level,
            discount=config.discount,
            capacity=config.capacity,
            baseline_fraction=config.baseline_fraction,
        )
        self._own_scaling = config.scale is None and config.rule in _OWN_SCALING
        super().__init__(*args, **kwargs)
        scaling = self._scaling() if self._own_scaling and config.baseline_fraction != 1 else None
        if scaling is not None:
            raise InvalidArgument(
                f"baseline_fraction {config.baseline_fraction!r} needs advantages that are not scaled, got {scaling}, "
                'which would divide by a deviation that may be 0: give V05Config(scale="none")'
            )
        if not self.accelerator.is_main_process:
            _log.setLevel(logging.ERROR)  # all processes see the same: one tells
        if getattr(self, "multi_objective_aggregation", "sum_then_normalize") != "sum_then_normalize":
            raise InvalidArgument(
                "multi_objective_aggregation must be 'sum_then_normalize', got "
                f"{self.multi_objective_aggregation!r}: it takes a mean of its own off each reward before they are "
                "summed, and leaves no baseline to replace"
            )
        environments = getattr(self, "environment_factories", None) is not None
        if self.v05_estimator.reads_texts:  # by a model, say, not to the last digit the same everywhere
            self.v05_estimator.agree = self._of_main_process
        self._set_group_size(config)
        trainer = next((kind for kind in type(self).__mro__ if kind.__module__.startswith("trl.")), type(self))
        given = dict(zip(signature(trainer).parameters, args)) | kwargs
        owned = environments and given.get("train_dataset") is None
        if environments and self.v05_estimator.needs_texts and self._lacks_prompts(owned):
            raise InvalidArgument(
                f"prior {config.prior!r:.100} needs the texts of prompts, which environments make where the rows hold "
                'none: use "history", "tracker", "column" or "tracker+column"'
            )
        if owned:
            self._fill_batch()
        self._check_batch()
        self._check_columns()
        if config.allocation != "off":
            self._check_allocation(config)
        else:
            self._check_unused(config)
        self._weights_in_use = self._weights_to_use(config)
        if self._weights_in_use != "none":
            self.v05_estimator.check_weights()
        self._modulation = self._modulation_options(config) if config.modulation is not False else None

    def _set_group_size(self, config):
        asked = (("num_generations", config.num_generations), ("initial", config.initial))
        sizes = {integer(name, size) for name, size in asked if size is not None}
        if len(sizes) > 1:
            raise InvalidArgument(f"initial must be num_generations, got {config.initial} and {config.num_generations}")
        for size in sizes:
            batch = self.args.generation_batch_size
            if size < 1 or batch % size:
                raise InvalidArgument(
                    "num_generations of V05Config must be a positive divisor of the generation batch "
                    f"size {batch}, got {size}"
                )
            self.num_generations = size
        if self.num_generations == 1 and RULES[config.rule].needs_siblings:
            raise InvalidArgument(
                f"num_generations must be at least 2 for rule {config.rule!r}, whose baseline is "
                "made of the other rollouts of a prompt, got 1"
            )

    def _lacks_prompts(self, owned):
        """Whether the rows hold no prompt, for an environment to make. owned: it owns its data, too."""
        columns = getattr(self.train_dataset, "column_names", None) or ["prompt"]
        return owned or "prompt" not in columns and "prompt" not in _first_row(self.train_dataset)

    def _fill_batch(self):
        """An environment that owns its data has rows that hold nothing, which TRL makes for its own group size."""
        needed = self.args.generation_batch_size // self.num_generations
        self.train_dataset = self.train_dataset.select([0] * needed)
        if self.v05_estimator.prior in ("history", "tracker", "tracker+column"):
            _log.warning(
                "%s",
                "without train_dataset nothing tells the prompts of an environment apart: all share one history, whose "
                "value is the mean reward of earlier steps",
            )

    def _check_batch(self):
        """TRL's sampler drops a generation batch that the dataset cannot fill: too few prompts train nothing at all."""
        needed = self.args.generation_batch_size // self.num_generations
        prompts = len(self.train_dataset) if hasattr(self.train_dataset, "__len__") else needed
        if prompts < needed:
            raise InvalidArgument(
                f"train_dataset must hold at least the {needed} prompts of a generation batch "
                f"({needed * self.num_generations} "
                f"rollouts, {self.num_generations} per prompt), or not one step is made, got {prompts}: lower "
                "per_device_train_batch_size or gradient_accumulation_steps, or raise num_generations"
            )

    def _columns(self):
        """The dataset's columns that are read: {option: name}."""
        columns = {"id_field": self.v05_config.id_field}
        if self.v05_estimator.reads_column:
            columns["prior_field"] = self.v05_config.prior_field
        elif self.v05_config.prior_field != V05Config.prior_field:
            raise InvalidArgument(
                f'prior_field {self.v05_config.prior_field!r} is read with prior "column" or "tracker+column" only, '
                f"got prior {self.v05_estimator.prior!r:.100}"
            )
        return {option: name for option, name in columns.items() if name is not None}

    def _check_columns(self):
        names = getattr(self.train_dataset, "column_names", None)
        for option, name in self._columns().items():
            # A transform may make more columns than those that are stored.
            if names is not None and name not in names and name not in _first_row(self.train_dataset):
                raise InvalidArgument(_missing_column(option, name, names))
            if self.args.remove_unused_columns:
                raise InvalidArgument(
                    f"remove_unused_columns must be False: it removes {option} {name!r} from the dataset"
                )
        if names is not None and self.v05_config.id_field in names and hasattr(self.train_dataset, "__len__"):
            self._check_keys(self.train_dataset)

    def _check_keys(self, dataset):
        name = self.v05_config.id_field
        keys = len({prompt_key(each) for each in dataset[name]})
        if keys < len(dataset):
            named = "prompt" in dataset.column_names  # an environment, or a transform, makes the others
            prompts = len({prompt_key(prompt) for prompt in dataset["prompt"]}) if named else 0
            if keys < prompts:
                _log.warning(
                    "id_field %r has %d ids for %d different prompts: prompts of one id share a history",
                    name,
                    keys,
                    prompts,
                )

    def _check_allocation(self, config):
        choice("allocation", config.allocation, {"off": None} | ALLOCATION_RULES)
        choice("weigh", config.weigh, dict.fromkeys(("prompts", "rollouts")))
        if getattr(self, "environment_factories", None) is not None:
            raise InvalidArgument("allocation must be 'off' with environments, whose state cannot be asked for again")
        columns = getattr(self.train_dataset, "column_names", None) or ()
        if "image" in columns or "images" in columns:
            raise InvalidArgument("allocation must be 'off' with images, whose tensors cannot be joined")
        batch = self.args.generation_batch_size
        if config.budget is not None and config.budget < batch:
            raise InvalidArgument(
                f"budget must be at least the {batch} rollouts of a generation batch's first round, got {config.budget}"
            )
        Allocator([0.5], **self._allocator_options())  # fails fast on a wrong option
        most = batch // self.num_generations * config.maximum
        most = most if config.budget is None else min(most, config.budget)
        rows = -(-most // (self.accelerator.num_processes * self.args.steps_per_generation))
        if rows > self.args.per_device_train_batch_size:
            _log.warning(
                "allocation: a training step of a process may hold %d rollouts instead of %d. If memory does "
                "not hold them, lower budget, or per_device_train_batch_size and raise "
                "gradient_accumulation_steps.",
                rows,
                self.args.per_device_train_batch_size,
            )

    def _check_unused(self, config):
        """Tells of options that say how to allocate, while nothing is allocated."""
        names = ("maximum", "maximum_without_prior", "budget", "wave", "weigh")
        unused = [name for name in names if getattr(config, name) != getattr(V05Config, name)]
        if unused and self.accelerator.is_main_process:
            _log.warning("%s of V05Config change nothing with allocation 'off'", ", ".join(unused))

    def _weights_to_use(self, config):
        """Of KINDS: the one asked for, else the one that trains best."""
        columns = getattr(self.train_dataset, "column_names", None) or ()
        images = "image" in columns or "images" in columns
        if config.weights is None:
            single = self.num_generations == 1 and config.allocation == "off"
            tools = getattr(self, "environment_factories", None) or getattr(self, "tools", None)  # may return images
            return "score" if single and self.v05_estimator.takes_weights and not images and not tools else "none"
        choice("weights", config.weights, dict.fromkeys(KINDS))
        if config.weights == "score" and images:
            raise InvalidArgument(
                "weights must be 'none' or 'length' with images: their log-probabilities are not at hand"
            )
        return config.weights

    def _allocator_options(self):
        config = self.v05_config
        return dict(
            rule=config.allocation,
            initial=self.num_generations,
            maximum=config.maximum,
            budget=config.budget,
            wave=config.wave,
            maximum_without_prior=config.maximum_without_prior,
        )

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        self._rewards_per_function = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        return self._rewards_per_function

    def _generate_and_score_completions(self, inputs):
        if not self.model.training:  # evaluation neither learns nor has a use for another baseline
            return super()._generate_and_score_completions(inputs)
        rows = self._gathered_rows(inputs)
        prompt = np.arange(len(rows)) // self.num_generations
        prompts = rows[:: self.num_generations]
        if self.v05_config.allocation == "off":
            batch = self._generate_round(inputs, prompt)
        else:
            batch = self._generate_rounds(inputs, prompt, prompts)
        found, metrics = self._advantages(batch, prompts)
        if self.v05_config.allocation != "off":
            found = found * self._weights(batch).to(found)
            metrics = batch.metrics | self._reward_metrics(batch) | metrics
        found = self._transformed(found)

        here = torch.from_numpy(batch.of(self.accelerator.process_index)).to(found.device)
        padding = len(batch.output["completion_ids"]) - len(here)
        batch.output["advantages"] = torch.cat([found[here], found.new_zeros(padding)])
        self._replace_logged_advantages(found)
        if "num_tokens" in metrics:  # of which TRL keeps the last
            self._metrics["train"]["num_tokens"].clear()
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)
        return batch.output

    def _transform_advantages(self, advantages: torch.Tensor) -> torch.Tensor:
        """For subclasses that add something of their own, as TRL's hook of this name: takes the (n,) advantages of the
        rollouts of all processes, as v05 has them, and returns what reaches loss and log."""
        return advantages

    def _transformed(self, found):
        transformed = self._transform_advantages(found)
        if not isinstance(transformed, torch.Tensor) or transformed.shape != found.shape:
            kind = getattr(transformed, "shape", None) or type(transformed).__name__
            raise InvalidArgument(
                f"_transform_advantages must return a tensor of shape {tuple(found.shape)}, one advantage per rollout "
                f"of all processes, got {kind if isinstance(kind, str) else tuple(kind)}"
            )
        return transformed.to(found)

    def _generate_round(self, inputs, prompt):
        """The Batch that TRL makes of `inputs`, equally many in every process; prompt: (n,) of all processes."""
        # A TRL that has the hook calls it with its own advantages, of which nothing is kept: v05's come later.
        self._transform_advantages = lambda advantages: advantages
        try:
            output = super()._generate_and_score_completions(inputs)
        finally:
            del self._transform_advantages
        processes = self.accelerator.num_processes
        return Batch(
            output,
            prompt,
            np.repeat(np.arange(processes), len(inputs)),
            self._rewards_per_function,
            self._penalty(output),
            squared_norms=self._squared_norms(output),
        )

    def _squared_norms(self, output):
        """The score weights of the rollouts of all processes. Where all count alike they are for the log alone, made of
        what the trainer has anyway: log-probabilities, else lengths."""
        kind = self._weights_in_use
        log_prob = None if kind == "length" else self._log_prob(output, computed=kind == "score")
        if kind == "none":
            kind = "length" if log_prob is None else "score"
        mask, loss = output["completion_mask"] * output.get("tool_mask", 1), getattr(self, "loss_type", None)
        ratio = output.get("importance_sampling_ratio")  # to the engine's policy, and a factor of the terms of the loss
        if ratio is not None and loss != "vespo":
            mask = mask * (ratio != 0)
        return gather(score_weights(kind, mask, log_prob, per_token=loss in _PER_TOKEN))

    def _log_prob(self, output, computed):
        """(rows, tokens) log-probabilities of this process's completions, by the policy that drew them. Where the
        trainer has none: `computed`, or None."""
        for name in ("old_per_token_logps", "sampling_per_token_logps"):
            if output.get(name) is not None:
                return output[name]
        if not computed:
            return None
        if not self._said_pass:
            self._said_pass = True
            _log.info(
                'weights="score" costs one forward pass per generation batch here: without vLLM, and with one update '
                'per batch (num_iterations 1), the trainer keeps no log-probabilities. weights="length" costs none'
            )
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        ask = super()._get_per_token_logps_and_entropies
        pictures = {name: output[name] for name in signature(ask).parameters if name in output}  # of messages, say
        with torch.no_grad():
            return ask(
                self.model,
                ids,
                mask,
                output["completion_ids"].size(1),
                batch_size=self.args.per_device_train_batch_size,  # by its name: TRL 1.14 takes it no other way
                **pictures,
            )[0]

    def _generate_rounds(self, inputs, prompt, prompts):
        """The Batch of a first round with every prompt and of further rounds where the allocator wants them."""
        me = self.accelerator.process_index
        rounds = [self._generate_round_apart(inputs, prompt)]
        generated = np.bincount(prompt)
        allocator = self._first_allocator(rounds[0], prompts)
        while allocator is not None:
            wanted = self._wanted(allocator, generated)
            if not wanted.any():
                break
            plan = spread(wanted, self._held(rounds))
            generated += wanted
            # Padding generates something, too: every process takes part in every round.
            mine = [dict(prompts[max(number, 0)].example) for number in plan[me]]
            rounds.append(self._generate_round_apart(mine, plan.reshape(-1), group_size=1))
            if not self._observe(allocator, rounds[-1]):
                break
        batch = join(rounds, me, self._tokenizer.pad_token_id)
        steps = self.args.steps_per_generation
        held = self._held([batch])
        rows = -(-int(held.max()) // steps) * steps
        batch.output = add_meaningless_rows(batch.output, rows - int(held[me]))
        if "num_items_in_batch" in rounds[0].output:
            mask = batch.output["completion_mask"] * batch.output.get("tool_mask", 1)
            batch.output["num_items_in_batch"] = self.accelerator.gather(mask.sum()).sum()

        self._keep_logs(batch.logs)
        padding = sum(int((each.prompt < 0).sum()) for each in rounds)
        batch.metrics |= {"v05/rounds": float(len(rounds)), "v05/padding": padding / (padding + len(batch.prompt))}
        return batch

    def _generate_round_apart(self, inputs, prompt, group_size=None):
        """A round whose logs and metrics are kept apart. TRL's own advantages, of no use here, need a group size."""
        logs, metrics, size = self._logs, self._metrics["train"], self.num_generations
        self._logs = {name: deque() if isinstance(kept, deque) else defaultdict(deque) for name, kept in logs.items()}
        self._metrics["train"] = defaultdict(list)
        self.num_generations = group_size or size
        try:
            batch = self._generate_round(inputs, prompt)
            batch.logs, batch.metrics = self._logs, self._metrics["train"]
        finally:
            self._logs, self._metrics["train"], self.num_generations = logs, metrics, size
        return batch

    def _first_allocator(self, first, prompts):
        """The allocator that has seen the first round; None where nothing of it could be scored."""
        rewards = self._scored(first.rewards_per_function)
        self.v05_estimator.detect_range(rewards)
        if self.v05_estimator.reward_range is None:
            return None
        seen = rewards.double().cpu().numpy(), first.prompt
        allocator = self.v05_estimator.allocator(**self._about(prompts), **self._allocator_options(), first=seen)
        allocator.request()
        self._observe(allocator, first)
        return allocator

    def _observe(self, allocator, batch):
        """Whether the allocator can go on after it has seen the rewards of a round."""
        rewards = self._scored(batch.rewards_per_function).double().cpu().numpy()
        counted = batch.prompt >= 0
        before = self.v05_estimator.reward_range
        self.v05_estimator.detect_range(rewards[counted])
        if self.v05_estimator.reward_range != before:
            return False
        scored = ~np.isnan(rewards)
        rows = counted & scored
        rewards = self.v05_estimator.meant(rewards)
        weights = None if self._weights_in_use == "none" else batch.squared_norms.double().cpu().numpy()[rows]
        allocator.observe(batch.prompt[rows], rewards[rows], weights=weights)
        allocator.cancel(batch.prompt[counted & ~scored])
        return True

    def _wanted(self, allocator, generated):
        """Rollouts of each prompt in the next round. Unscored ones count here, or would be asked for again for ever."""
        wanted = np.minimum(allocator.request(), self.v05_config.maximum - generated)
        if self.v05_config.budget is not None:
            others = generated.sum() + np.cumsum(wanted) - wanted
            wanted = np.clip(self.v05_config.budget - others, 0, wanted)
        return wanted

    def _held(self, batches):
        """How many rollouts each process holds, padding left out."""
        return sum(
            np.bincount(batch.process[batch.prompt >= 0], minlength=self.accelerator.num_processes) for batch in batches
        )

    def _weights(self, batch):
        """What a rollout's advantage is multiplied by, so that the loss weighs as `weigh` says, padding or not."""
        rows = len(batch.prompt)
        if getattr(self, "loss_type", "grpo") in _MEANS_OVER_ROWS:
            rows = self.accelerator.num_processes * len(batch.output["completion_ids"])
        if self.v05_config.weigh == "rollouts":
            return torch.full((len(batch.prompt),), rows / len(batch.prompt))
        counts = np.bincount(batch.prompt)
        return torch.from_numpy(rows / (len(counts) * counts[batch.prompt]))

    def _reward_metrics(self, batch):
        """TRL's figures of the rewards, of all rounds together."""
        metrics = {}
        for name, rewards in zip(self.reward_func_names, batch.rewards_per_function.T):
            metrics[f"rewards/{name}/mean"] = torch.nanmean(rewards).item()
            metrics[f"rewards/{name}/std"] = nanstd(rewards).item()
        rewards = self._scored(batch.rewards_per_function, clipped=False)
        deviation = group_deviation(rewards, torch.from_numpy(batch.prompt).to(rewards.device))
        metrics["reward"] = torch.nanmean(rewards).item()
        metrics["reward_std"] = nanstd(rewards).item()
        metrics["frac_reward_zero_std"] = torch.isclose(deviation, torch.zeros_like(deviation)).float().mean().item()
        return metrics

    def _keep_logs(self, logs):
        """The table of completions holds the last generation batch, as TRL's does."""

        def table(values):
            return deque(values, maxlen=max(len(values), self.args.generation_batch_size))

        for name, values in logs.items():
            if isinstance(values, dict):
                values = defaultdict(lambda: table([]), {column: table(part) for column, part in values.items()})
            else:
                values = table(values)
            self._logs[name] = values

    def _gathered_rows(self, inputs):
        """The _Row of every row of all processes, in the order of gathered rewards. Raises on every process alike."""
        try:
            here = self._rows(inputs), None
        except Exception as error:  # a damaged image, say: one process alone must not leave the others waiting
            # As a text: not every error survives the way to another process.
            here = [], error if isinstance(error, Error) else Error(f"{type(error).__name__}: {error}")
        gathered = gather_object([here])
        for _, refusal in gathered:
            if refusal is not None:
                raise refusal
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
        if "id_field" in columns:
            keys = [row[columns["id_field"]] for row in inputs]
        else:
            keys = [self._own_key(row) for row in inputs]
        allocates = self.v05_config.allocation != "off"
        try:
            keys = key_array(keys).tolist()
        except ArgumentTypeError as error:
            raise ArgumentTypeError(f"id_field {columns.get('id_field')!r}: {error}") from None
        return [
            _Row(
                key,
                row.get(columns.get("prior_field")),
                row.get("prompt") if self.v05_estimator.reads_texts else None,
                row if allocates else None,
            )
            for key, row in zip(keys, inputs)
        ]

    def _about(self, rows):
        """The arguments of the estimator that describe the prompts of rows."""
        return {
            "keys": [row.key for row in rows],
            "prompts": [row.prompt for row in rows],
            "column": [row.prior for row in rows] if self.v05_estimator.reads_column else None,
        }

    def _own_key(self, row):
        """What tells the prompt of a row from others where the dataset has no ids."""
        if getattr(self, "environment_factories", None) is not None:
            return prompt_key(dict(row))  # an environment makes its prompt of all that the row holds
        if "prompt" not in row:
            raise InvalidArgument("id_field must be given for rows without a prompt: nothing else tells them apart")
        images = [row[name] for name in ("image", "images") if row.get(name) is not None]
        return prompt_key([row["prompt"], *images] if images else row["prompt"])

    def _scored(self, rewards_per_function, clipped=True):
        """One reward per row, (n,) float32, as the trainer makes it; NaN where no function gave one."""
        weighted = rewards_per_function * self.reward_weights.to(rewards_per_function.device).unsqueeze(0)
        rewards = weighted.nansum(dim=1)
        rewards[torch.isnan(rewards_per_function).all(dim=1)] = torch.nan
        return rewards

    def _advantages(self, batch, prompts):
        """(advantages of a Batch, (n,) float32 on the trainer's device; metrics). Learns from it."""
        rewards = self._scored(batch.rewards_per_function)
        allocates = self.v05_config.allocation != "off"
        step = self.v05_estimator.step(
            rewards,
            batch.prompt,
            **self._about([prompts[number] for number in batch.prompt]),
            maximum=self.v05_config.maximum if allocates else None,
            weights=None if self._weights_in_use == "none" else batch.squared_norms,
            squared_norms=batch.squared_norms,
        )
        if self._own_scaling:
            found = rewards - torch.from_numpy(step.baseline).to(rewards)
        else:
            found = torch.from_numpy(step.advantages).to(rewards)
        if batch.penalty is not None:
            found = found + advantages(
                batch.penalty, batch.prompt, rule="rloo", singleton="raw", mask=~torch.isnan(rewards)
            )
        if self._own_scaling:
            found = self._scale(found, rewards, torch.from_numpy(batch.prompt).to(rewards.device))
        return torch.nan_to_num(found, nan=0.0), step.metrics

    def _maybe_log_save_evaluate(self, tr_loss: Any, grad_norm: Any, *args: Any, **kwargs: Any) -> None:
        # Called after every optimizer step, and at the end of an epoch once more for its last one.
        limit = self.args.max_grad_norm
        plain = isinstance(grad_norm, float) or type(grad_norm) is torch.Tensor  # a part of one asks other processes
        if limit and plain and self.state.global_step != self._step_seen:
            self._step_seen = self.state.global_step
            self._steps_since_log += 1
            self._clipped_since_log = self._clipped_since_log + (grad_norm > limit)  # on the device, read when logged
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *args, **kwargs)  # type: ignore[misc]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "grad_norm" in logs and self._steps_since_log:
            logs = logs | {"v05/clipped": float(self._clipped_since_log) / self._steps_since_log}
            self._clipped_since_log, self._steps_since_log = 0, 0
        elif "grad_norm" in logs and self.args.max_grad_norm:
            logs = logs | {"v05/clipped": float(logs["grad_norm"] > self.args.max_grad_norm)}
        super().log(logs, *args, **kwargs)  # type: ignore[misc]  # of TRL's trainer

    def _replace_logged_advantages(self, found):
        logged = self._logs["advantages"]
        for _ in range(len(found)):
            logged.pop()
        logged.extend(found.tolist())

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self.v05_estimator.save_or_tell(os.path.join(output_dir, STATE_FILE))

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        try:
            state = self._of_main_process(lambda: read_state(os.path.join(checkpoint, STATE_FILE)))
        except FileNotFoundError:
            _log.warning("%s has no %s: what v05 had learnt before is lost, and it starts anew", checkpoint, STATE_FILE)
        else:
            self.v05_estimator.load_state_dict(state)

    def _of_main_process(self, ask):
        """What `ask` returns in the main process, in all of them, or the error that it raises there."""
        answer, error = None, None
        if self.accelerator.is_main_process:
            try:
                answer = ask()
            except Exception as raised:
                error = raised if _can_be_sent(raised) else Error(f"{type(raised).__name__}: {raised}")
        answer, error = broadcast_object_list([answer, error])
        if error is not None:
            raise error
        return answer


def _can_be_sent(error):
    """Whether an error survives the way to another process; the others would wait for one that does not."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


class _Row(NamedTuple):
    """What a row of the dataset says of its prompt; the row itself where more rollouts may be asked for."""

    key: int
    prior: object
    prompt: object
    example: dict | None


def _first_row(dataset):
    return dataset[0] if hasattr(dataset, "__len__") and len(dataset) else {}


def _missing_column(option, name, columns):
    return f"{option} {name!r} is not in the dataset, whose columns are {', '.join(map(repr, columns))}"
