"""One run: an arm trains from the warm start of a seed until its rollouts are spent, and is watched."""

import tempfile
import warnings
from dataclasses import dataclass
from logging import ERROR, getLogger

import torch
from datasets import Dataset, disable_progress_bars
from transformers import PrinterCallback, TrainerCallback, set_seed
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

from ...trl import V05Config, V05GRPOTrainer
from .answers import answer_probability, encode
from .curve import Point, Run
from .model import make_model, make_tokenizer
from .sampling import measure_regime, share_solved
from .tasks import draw_questions
from .warm_up import warm_up


@dataclass
class Bench:
    """What all runs of a seed have in common: questions, tokenizer, and a model."""

    questions: object
    tokenizer: object
    model: object


def silence():
    """For a process of its own: nothing is printed beside the demo's progress but errors."""
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    getLogger("v05").setLevel(ERROR)
    disable_progress_bars()


def prepare(setting, seed):
    """The `Bench` of a seed, before the warm-up."""
    # One thread adds in one order: the numbers do not depend on how many processes there are.
    torch.set_num_threads(1)
    set_seed(seed)
    questions = draw_questions(setting, seed)
    tokenizer = make_tokenizer(text for pair in questions.warm_up for text in pair)
    return Bench(questions, tokenizer, make_model(tokenizer, setting))


@dataclass
class WarmStart:
    """What all runs of a seed begin with: weights, a state dict on the processor, and the `Regime` there."""

    weights: dict
    regime: object


def warm_start(setting, seed, device, progress):
    """The `WarmStart` of a seed. progress(done, total) is called after every step."""
    bench = prepare(setting, seed)
    bench.model.to(device)
    warm_up(bench.model, bench.tokenizer, bench.questions.warm_up, setting, progress)
    regime = measure_regime(
        bench.model, bench.tokenizer, list(bench.questions.training.values()), setting.completion_tokens, seed
    )
    return WarmStart(bench.model.to("cpu").state_dict(), regime)


def train(arm, start, setting, seed, device, progress, log=None, bench=None):
    """The `Run` of an arm from the `WarmStart` of a seed. progress(rollouts, accuracy) is called after every step.

    log: a list that gets one dict a rollout, in time order: step, prompt and reward.
    bench: prepared for this setting and seed, if the model that comes out is wanted: it is trained in place.
    """
    bench = bench or prepare(setting, seed)
    bench.model.load_state_dict(start.weights)
    steps = _Steps(bench.questions.training, log)
    watch = _Watch(bench, setting, steps, arm.updates, progress)
    prompts = arm.prompts_a_step(setting)
    with tempfile.TemporaryDirectory() as scratch:
        options = GRPOConfig(
            output_dir=scratch,
            num_generations=max(arm.rollouts, 2),
            per_device_train_batch_size=prompts * arm.rollouts,
            gradient_accumulation_steps=1,
            num_iterations=arm.updates,
            max_grad_norm=arm.largest_norm,
            max_steps=setting.rollouts,  # the watch ends it earlier
            max_completion_length=setting.completion_tokens,
            learning_rate=arm.learning_rate,
            lr_scheduler_type="constant",
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=device == "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=seed,
        )
        trainer = _trainer(
            arm,
            prompts,
            model=bench.model,
            processing_class=bench.tokenizer,
            reward_funcs=steps.exact_answer,
            train_dataset=Dataset.from_dict({"prompt": list(bench.questions.training)}),
            args=options,
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return Run(arm.name, seed, arm.learning_rate, watch.points, start.regime)


def _trainer(arm, prompts, **arguments):
    if arm.v05 is None:
        return GRPOTrainer(**arguments)
    config = V05Config(reward_range=(0, 1), num_generations=arm.rollouts, **arm.v05)
    if config.allocation == "neyman":  # OSLA stops by itself
        config.budget = prompts * arm.mean_rollouts
    return V05GRPOTrainer(v05=config, **arguments)


class _Steps:
    """The reward function, which counts the rollouts that it judges."""

    def __init__(self, questions, log):
        self.questions = questions
        self.log = log
        self.rollouts = 0
        self.prompts = set()  # of the step under way

    def exact_answer(self, prompts, completions, trainer_state, **_):
        rewards = [float(self.questions[prompt].solved_by(answer)) for prompt, answer in zip(prompts, completions)]
        self.rollouts += len(prompts)
        self.prompts |= set(prompts)
        if self.log is not None:
            for prompt, reward in zip(prompts, rewards):
                self.log.append({"step": trainer_state.global_step, "prompt": prompt, "reward": reward})
        return rewards


class _Watch(TrainerCallback):
    """Evaluates the model on its way, averages what the trainer logged since, and ends the run.

    updates: on each batch of rollouts. What is due waits for the last of them.
    """

    def __init__(self, bench, setting, steps, updates, progress):
        self.bench = bench
        self.setting = setting
        self.steps = steps
        self.updates = updates
        self.progress = progress
        self.held_out = bench.questions.held_out
        if not setting.worked and self.held_out:
            self.answers = encode(bench.tokenizer, [(one.text, one.answer) for one in self.held_out])
        self.points = []
        self.since = []
        self.counted = 0

    def on_train_begin(self, args, state, control, **_):
        self._evaluate()

    def on_log(self, args, state, control, logs, **_):
        if "grad_norm" not in logs:  # the summary after the last step
            return
        step = {"gradient_norm": logs["grad_norm"], "entropy": logs["entropy"]}
        rollouts = self.steps.rollouts - self.counted
        if rollouts:  # else the batch is used again, and of rewards nothing is logged
            step |= {
                "reward": logs["reward"],
                "rollouts_a_prompt": rollouts / len(self.steps.prompts),
                "prior_weight": 1 - logs.get("v05/weight", 1.0),
            }
            self.counted = self.steps.rollouts
            self.steps.prompts.clear()
        self.since.append(step)
        if state.global_step % self.updates:
            return
        if self.held_out and self._due():
            self._evaluate()
        control.should_training_stop = self.counted >= self.setting.rollouts
        self.progress(self.counted, self.points[-1].accuracy if self.points else None)

    def _due(self):
        """How many evaluations the rollouts so far have passed since the last one."""
        passed = self.setting.evaluations * min(self.counted / self.setting.rollouts, 1)
        return int(passed) + 1 - len(self.points)

    def _evaluate(self):
        if not self.held_out:
            return
        accuracy = self._accuracy()
        means = {}
        for name in {name for step in self.since for name in step}:
            logged = [step[name] for step in self.since if name in step]
            means[name] = sum(logged) / len(logged)
        # A step that passes several evaluations counts for each: all runs have equally many points.
        self.points += [Point(self.counted, accuracy, **means)] * self._due()
        self.since.clear()

    def _accuracy(self):
        """Exact where an answer is the number alone; where it can be said in many ways, of one sample per question."""
        model, tokenizer = self.bench.model, self.bench.tokenizer
        if self.setting.worked:
            return share_solved(model, tokenizer, self.held_out, self.setting.completion_tokens, seed=0)
        return float(answer_probability(model, *self.answers).mean())
