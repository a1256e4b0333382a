"""Whether an arm of the demo learns to solve more questions, or to be surer of those that it solves.

    .venv/bin/python Tests/Benchmarks/best_of_many.py [--seeds 0 1] [--arms ...] [--json best_of_many.json]

Short answers, where the probability of the right answer of every held-out question is known: pass@k is the mean over
questions of 1 - (1 - p)^k, that one of k answers sampled at temperature 1 is right; "greedy" that the most probable
token at every place makes the right answer. Before training ("start") and after. Half an hour for two seeds and the
arms that are the default, on one core.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
from rich.console import Console
from rich.table import Table
from v05.commands.demo import experiment
from v05.commands.demo.answers import answer_probability, encode
from v05.commands.demo.arms import find_arms
from v05.commands.demo.setting import SHORT

SIZES = (1, 4, 16, 64, 256)
ARMS = ("grpo-4", "batch-mean-1-x4", "no-baseline-1-x4", "half-history-1-x4")


@torch.no_grad()
def greedy(model, tokens, attended, labels):
    """(n,) whether the most probable tokens are those of the answer, and its end."""
    width = int((labels != -100).sum(1).max())
    answers = labels[:, -width:]
    logits = model(tokens, attention_mask=attended, logits_to_keep=width + 1).logits[:, :-1]
    return ((logits.argmax(-1) == answers) | (answers == -100)).all(1)


def figures(bench):
    bench.model.eval()
    answers = encode(bench.tokenizer, [(one.text, one.answer) for one in bench.questions.held_out])
    p = answer_probability(bench.model, *answers).double().clamp(0, 1)
    found = {f"pass@{size}": float((1 - (1 - p) ** size).mean()) for size in SIZES}
    return found | {"greedy": float(greedy(bench.model, *answers).double().mean())}


def rows(seed, arms):
    """(name of the arm, figures), the start first."""
    start = experiment.warm_start(SHORT, seed, "cpu", lambda done, total: None)
    for arm in (None, *arms):
        bench = experiment.prepare(SHORT, seed)
        bench.model.load_state_dict(start.weights)
        if arm is not None:
            arm = replace(arm, learning_rate=SHORT.learning_rate(arm))
            experiment.train(arm, start, SHORT, seed, "cpu", lambda rollouts, accuracy: None, bench=bench)
        yield "start" if arm is None else arm.name, figures(bench)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], metavar="N")
    parser.add_argument("--arms", nargs="+", default=ARMS, metavar="ARM")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, run after run")
    options = parser.parse_args()
    experiment.silence()
    console, found = Console(), []
    for seed in options.seeds:
        for name, measured in rows(seed, find_arms(options.arms)):
            found.append({"seed": seed, "arm": name} | measured)
            console.print(f"seed {seed}, {name}: pass@1 {measured['pass@1']:.3f}", highlight=False)
            if options.json:
                options.json.write_text(json.dumps(found, indent=1))
    table = Table(title=f"Held-out questions, mean of {len(options.seeds)} seeds")
    columns = [f"pass@{size}" for size in SIZES] + ["greedy"]
    for head in ("arm", *columns):
        table.add_column(head)
    for name in dict.fromkeys(row["arm"] for row in found):
        own = [row for row in found if row["arm"] == name]
        table.add_row(name, *(f"{sum(row[column] for row in own) / len(own):.3f}" for column in columns))
    console.print(table)


if __name__ == "__main__":
    main()
