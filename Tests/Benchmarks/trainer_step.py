"""What v05 adds to a training step of TRL: stock GRPOTrainer against V05GRPOTrainer, step by step in turn.

    OMP_NUM_THREADS=1 python Tests/Benchmarks/trainer_step.py [--steps 60] [--prompts 16] [--rollouts 8] [--hidden 256]
        [--single]

Needs the extra v05[trl]. Prints the median step of both, the ratio of neighbouring steps with its quantiles, by the
clock and, as other programs may be running, by the time of the processor (of all the work with one thread for torch),
and the time that the swapped trainer spends outside TRL's own code, which noise cannot hide. The transformer is small
and generates little: a real step is longer, v05's part is not. With --single the swapped trainer draws one rollout of
each of prompts x rollouts prompts, with score weights, which TRL cannot: its step has as many rollouts in groups. v05's
part then has a forward pass of the model in it, which grows as the step does; the share of the step is what counts.
"""

import argparse
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import tiny_trl
from transformers import Qwen2Config, Qwen2ForCausalLM, TrainerCallback
from trl import GRPOTrainer
from v05.trl import V05Config, V05GRPOTrainer


class InTurn(TrainerCallback):
    """Lets one of two trainers go on at a time, a step each, and keeps how long every step took."""

    turn = threading.Condition()
    whose = 0

    def __init__(self, number):
        self.number = number
        self.times = []

    def on_step_begin(self, *arguments, **named):
        with self.turn:
            self.turn.wait_for(lambda: InTurn.whose in (self.number, None))
        self.start = time.perf_counter(), time.thread_time()

    def on_step_end(self, *arguments, **named):
        self.times.append((time.perf_counter() - self.start[0], time.thread_time() - self.start[1]))
        with self.turn:
            if InTurn.whose is not None:
                InTurn.whose = 1 - self.number
            self.turn.notify_all()

    @classmethod
    def alone(cls, train):
        """Trains; a trainer that fails does not leave the other waiting."""
        try:
            train()
        except BaseException:
            with cls.turn:
                cls.whose = None
                cls.turn.notify_all()
            raise


class Timed(V05GRPOTrainer):
    """Keeps the time that a generation batch spends outside TRL."""

    def _generate_and_score_completions(self, inputs):
        start = time.perf_counter()
        found = super()._generate_and_score_completions(inputs)
        self.own.append(time.perf_counter() - start - self.inside)
        return found

    def _generate_round(self, inputs, prompt):
        start = time.perf_counter()
        found = super()._generate_round(inputs, prompt)
        self.inside = time.perf_counter() - start - self.weighing
        return found

    def _squared_norms(self, output):
        start = time.perf_counter()
        found = super()._squared_norms(output)
        self.weighing = time.perf_counter() - start
        return found


def transformer(hidden):
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tiny_trl.WORDS),
            hidden_size=hidden,
            intermediate_size=4 * hidden,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in ("steps", 60), ("prompts", 16), ("rollouts", 8), ("hidden", 256), ("tokens", 16):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--single", action="store_true", help="one rollout per prompt with score weights")
    options = parser.parse_args()
    config = V05Config(rule="prior", num_generations=1, weights="score") if options.single else V05Config()
    tiny_trl.model = lambda folder: transformer(options.hidden)
    warnings.simplefilter("ignore")

    trainers, turns = [], []
    for number, (kind, given) in enumerate([(GRPOTrainer, None), (Timed, config)]):
        made = tiny_trl.trainer(
            kind,
            tempfile.mkdtemp(),
            given,
            train_dataset=tiny_trl.dataset(4 * options.prompts * (options.rollouts if options.single else 1)),
            max_steps=options.steps,
            per_device_train_batch_size=options.prompts * options.rollouts,
            num_generations=options.rollouts,
            max_completion_length=options.tokens,
            learning_rate=1e-5,
            logging_steps=options.steps,
            bf16=False,  # TRL's default, which most processors compute at a tenth of the speed
        )
        turns.append(InTurn(number))
        made.add_callback(turns[-1])
        trainers.append(made)
    trainers[1].own = []
    threads = [threading.Thread(target=InTurn.alone, args=(made.train,)) for made in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    warm = 5
    own = np.array(trainers[1].own[warm:])
    print(f"{options.prompts} prompts x {options.rollouts} rollouts, {len(own)} steps of each after {warm} to warm up")
    if options.single:
        print(f"with v05 {options.prompts * options.rollouts} prompts x 1 rollout, score weights")
    for number, clock in enumerate(["wall time", "processor time of the thread"]):
        stock, swapped = (np.array(turn.times[warm:])[:, number] for turn in turns)
        ratio = swapped / stock
        low, middle, high = np.quantile(ratio, [0.1, 0.5, 0.9])
        error = 1.25 * ratio.std(ddof=1) / len(ratio) ** 0.5
        print(
            f"{clock}: step of TRL {np.median(stock) * 1e3:.1f} ms, with v05 {np.median(swapped) * 1e3:.1f} ms, "
            f"ratio {middle:.4f} (median; standard error {error:.4f}; 10 % {low:.4f}, 90 % {high:.4f})"
        )
    stock = np.array(turns[0].times[warm:])[:, 0]
    print(
        f"v05's own part: median {np.median(own) * 1e3:.3f} ms, 90 % {np.quantile(own, 0.9) * 1e3:.3f} ms, "
        f"{np.median(own) / np.median(stock):.2%} of a step"
    )


if __name__ == "__main__":
    main()
