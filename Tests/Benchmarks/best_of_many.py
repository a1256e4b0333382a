"""Whether an arm of the demo learns to solve more questions, or to be surer of those that it solves.

    .venv/bin/python Tests/Benchmarks/best_of_many.py [--regime short] [--seeds 0 1] [--arms ...] [--learning-rate R]
        [--samples 16] [--json FILE]

Of held-out questions, before training ("start") and after: pass@k is the mean over questions of the probability that
one of k answers sampled at temperature 1 is right; "greedy" that the most probable token at every place makes a right
answer. In short answers the probability p of a right one is known, and pass@k is 1 - (1 - p)^k; in long ones it is
estimated without bias from --samples answers to each question (arXiv 2107.03374, equation 1). Half an hour for two
seeds and the arms that are the default, on one core.
"""

import argparse
import json
import os
from dataclasses import replace
from math import comb
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
from rich.console import Console
from rich.table import Table
from v05.commands.demo import experiment
from v05.commands.demo.answers import answer_probability, encode
from v05.commands.demo.arms import find_arms
from v05.commands.demo.sampling import sample_answers
from v05.commands.demo.setting import REGIMES

SIZES = (1, 4, 16, 64, 256)
ARMS = ("grpo-4", "batch-mean-1-x4", "no-baseline-1-x4", "half-history-1-x4")


@torch.no_grad()
def greedy_number(model, tokens, attended, labels):
    """(n,) whether the most probable tokens are those of the answer, and its end."""
    width = int((labels != -100).sum(1).max())
    answers = labels[:, -width:]
    logits = model(tokens, attention_mask=attended, logits_to_keep=width + 1).logits[:, :-1]
    return ((logits.argmax(-1) == answers) | (answers == -100)).all(1)


def number_figures(bench):
    """Where an answer is the number alone."""
    answers = encode(bench.tokenizer, [(one.text, one.answer) for one in bench.questions.held_out])
    p = answer_probability(bench.model, *answers).double().clamp(0, 1)
    found = {f"pass@{size}": float((1 - (1 - p) ** size).mean()) for size in SIZES}
    return found | {"greedy": float(greedy_number(bench.model, *answers).double().mean())}


@torch.no_grad()
def greedy_texts(model, tokenizer, questions, most):
    prompts = tokenizer([question.text for question in questions], padding=True, return_tensors="pt")
    tokens = model.generate(
        input_ids=prompts["input_ids"],
        attention_mask=prompts["attention_mask"],
        do_sample=False,
        max_new_tokens=most,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return tokenizer.batch_decode(tokens[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)


def worked_figures(bench, most, samples):
    """Where an answer is worked out in words, and can be said in many ways."""
    model, tokenizer, questions = bench.model, bench.tokenizer, bench.questions.held_out
    solved = [0] * len(questions)
    for seed in range(samples):
        answers, _ = sample_answers(model, tokenizer, questions, most, seed)
        solved = [count + question.solved_by(answer) for count, question, answer in zip(solved, questions, answers)]
    found = {}
    for size in SIZES:
        if size <= samples:
            none = [comb(samples - count, size) / comb(samples, size) for count in solved]
            found[f"pass@{size}"] = 1 - sum(none) / len(none)
    right = zip(questions, greedy_texts(model, tokenizer, questions, most))
    return found | {"greedy": sum(question.solved_by(answer) for question, answer in right) / len(questions)}


def figures(bench, setting, samples):
    bench.model.eval()
    return worked_figures(bench, setting.completion_tokens, samples) if setting.worked else number_figures(bench)


def rows(setting, seed, arms, samples, learning_rate=None):
    """(name of the arm, figures), the start first. learning_rate: of all arms; None: each its own."""
    start = experiment.warm_start(setting, seed, "cpu", lambda done, total: None)
    for arm in (None, *arms):
        bench = experiment.prepare(setting, seed)
        bench.model.load_state_dict(start.weights)
        if arm is not None:
            arm = replace(arm, learning_rate=learning_rate or setting.learning_rate(arm))
            experiment.train(arm, start, setting, seed, "cpu", lambda rollouts, accuracy: None, bench=bench)
        yield "start" if arm is None else arm.name, figures(bench, setting, samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regime", choices=REGIMES, default="short")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], metavar="N")
    parser.add_argument("--arms", nargs="+", default=ARMS, metavar="ARM")
    parser.add_argument("--learning-rate", type=float, metavar="R", help="of all arms (default: each its own)")
    parser.add_argument(
        "--samples", type=int, default=16, metavar="N", help="answers to a question, where they are long"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, run after run")
    options = parser.parse_args()
    experiment.silence()
    console, found = Console(), []
    for seed in options.seeds:
        given = REGIMES[options.regime], seed, find_arms(options.arms), options.samples, options.learning_rate
        for name, measured in rows(*given):
            found.append({"seed": seed, "arm": name} | measured)
            console.print(f"seed {seed}, {name}: pass@1 {measured['pass@1']:.3f}", highlight=False)
            if options.json:
                options.json.write_text(json.dumps(found, indent=1))
    table = Table(title=f"Held-out questions, mean of {len(options.seeds)} seeds")
    columns = list(found[0])[2:]
    for head in ("arm", *columns):
        table.add_column(head)
    for name in dict.fromkeys(row["arm"] for row in found):
        own = [row for row in found if row["arm"] == name]
        table.add_row(name, *(f"{sum(row[column] for row in own) / len(own):.3f}" for column in columns))
    console.print(table)


if __name__ == "__main__":
    main()
