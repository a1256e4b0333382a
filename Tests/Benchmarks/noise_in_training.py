"""Noise of the gradient with every baseline at three points of training, in both regimes of the demo.

    .venv/bin/python Tests/Benchmarks/noise_in_training.py [--regimes short long] [--seed 0]

Trains one rollout per prompt with the batch mean and measures at its start, middle and end as `v05 noise` does: 96
prompts of 16 rollouts, gradients of all weights. Ten minutes on one core. Relative to the batch mean; 95 % intervals
by bootstrap over prompts.
"""

import argparse
import os
from dataclasses import replace

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from rich.console import Console
from rich.table import Table
from v05.commands.demo import experiment
from v05.commands.demo.arms import BATCH_MEAN
from v05.commands.demo.setting import REGIMES
from v05.commands.noise.measure import measure_noise

PROMPTS, ROLLOUTS = 96, 16
ARM = replace(BATCH_MEAN, learning_rate=2e-4)


def measured(bench, setting, seed):
    questions = bench.questions.training

    def reward(prompts, completions, **_):
        return [float(questions[prompt].solved_by(answer)) for prompt, answer in zip(prompts, completions)]

    rows = [{"prompt": text} for text in questions]
    return measure_noise(
        bench.model,
        bench.tokenizer,
        rows,
        reward,
        prompts=PROMPTS,
        rollouts=ROLLOUTS,
        maximum_tokens=setting.completion_tokens,
        batch_size=256,
        seed=seed,
    )


def points(regime, seed, console):
    """[(name, NoiseReport)] at the start, in the middle and at the end of training."""
    setting = replace(REGIMES[regime], evaluations=1, held_out_per_level=1)
    console.print(f"{regime}: warm-up")
    start = experiment.warm_start(setting, seed, "cpu", lambda done, total: None)
    bench = experiment.prepare(setting, seed)
    bench.model.load_state_dict(start.weights)
    yield "start", measured(bench, setting, seed)
    console.print(f"{regime}: training to {setting.rollouts:,} rollouts")
    bench, middle = experiment.prepare(setting, seed), []

    def measure_halfway(rollouts, accuracy):
        if rollouts >= setting.rollouts // 2 and not middle:
            middle.append((f"middle, {rollouts:,} rollouts", measured(bench, setting, seed)))

    experiment.train(ARM, start, setting, seed, "cpu", measure_halfway, bench=bench)
    yield from middle
    yield f"end, {setting.rollouts:,} rollouts", measured(bench, setting, seed)


def table(regime, found):
    made = Table(title=f"{regime}: noise relative to the batch mean")
    made.add_column("baseline")
    for name, report in found:
        made.add_column(f"{name}: solved {report.success:.2f}, spread {report.spread:.2f}, W {report.norm_ratio:.2f}")
    for row in found[0][1].rows:
        cells = []
        for _, report in found:
            here = report.row(row.baseline)
            cells.append(f"{here.relative:.3f} ({here.relative_interval[0]:.3f} to {here.relative_interval[1]:.3f})")
        made.add_row(row.baseline, *cells)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--regimes", nargs="+", choices=tuple(REGIMES), default=list(REGIMES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    experiment.silence()
    console = Console(width=180)
    for regime in options.regimes:
        console.print(table(regime, list(points(regime, options.seed, console))))


if __name__ == "__main__":
    main()
