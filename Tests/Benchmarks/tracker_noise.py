"""Noise of the gradient per rollout with the history and with the tracker, on pass rates of a real run, and what both
cost.

    python Tests/Benchmarks/tracker_noise.py LOG [--repeats 5]

LOG: JSON lines {"prompt": id, "rollouts": 8, "successes": [n, ...]}, an entry a visit, such as the 1,209 prompts of
One-Shot-RLVR's data/acc_step_500.json (a GRPO run of 500 steps, 44 visits of each prompt and more, 8 rollouts a visit).

Of each visit k rollouts are drawn for the trainer and the rest is held out. Noise is

    (mean p (1 - p) + squared error of the leave-one-out baseline) / (16/15 mean p (1 - p)):

leave-one-out of 16 has 1, a perfect baseline .9375. The error is taken against the mean of the rollouts held out, less
the variance of that mean, so that it is unbiased. The first visits have the same baseline in every arm, that of the
rule with the mean of the other prompts as prior. Standard errors are over repeats of the draw.
"""

import argparse
import json
import time

import numpy as np
import v05

FEWEST = (1, 2, 4, 7)


def visits_of(path):
    """(prompts, visits) successes of 8, cut to the visits that every prompt has."""
    with open(path) as lines:
        successes = [json.loads(line)["successes"] for line in lines]
    return np.array([each[: min(map(len, successes))] for each in successes])


def history_alone(k):
    """Rule "prior" at one rollout, "calibrated" from two on: what v05 does with a history."""
    history, running = v05.History(), v05.RunningCalibration()
    rule = "prior" if k == 1 else "calibrated"

    def baselines(keys, rewards):
        value, _ = history.predict(keys)
        options = {} if k == 1 else {"calibration": running}
        found = v05.advantages(rewards, keys, value, rule=rule, leave_one_out=True, **options)
        if k > 1:
            running.update(rewards, keys, value)
        history.record(keys, rewards)
        return rewards - found

    return baselines


def tracker_with(rule, which=None):
    """The tracker's values under a rule; which: the calibration, "running" or "tracker"."""

    def arm(k):
        tracker, running = v05.Tracker(), v05.RunningCalibration()

        def baselines(keys, rewards):
            value, strength = tracker.predict(keys)
            if rule == "fuse":
                found = tracker.fuse(keys, rewards)
            else:
                options = {}
                if which is not None:
                    options["calibration"] = running if which == "running" else tracker.calibration
                if rule == "discounted_beta":
                    options["prior_strength"] = strength
                found = rewards - v05.advantages(rewards, keys, value, rule=rule, leave_one_out=True, **options)
                if k > 1 and which == "running":
                    running.update(rewards, keys, value)
            tracker.record(keys, rewards)
            return found

        return baselines

    return arm


ARMS = {
    "history": history_alone,
    "tracker, fuse": tracker_with("fuse"),
    "tracker, calibrated by itself": tracker_with("calibrated", "tracker"),
    "tracker, calibrated by pairs": tracker_with("calibrated", "running"),
    "tracker, discounted_beta": tracker_with("discounted_beta"),
}


def noise(successes, k, arm, seed):
    """(from the fourth visit on, over all visits)"""
    rng = np.random.default_rng(seed)
    prompts, visits = successes.shape
    baselines, keys = arm(k), np.repeat(np.arange(prompts), k)
    error, spread = np.zeros(visits), np.zeros(visits)
    for visit in range(visits):
        s = successes[:, visit]
        drawn = rng.permuted(np.tile(np.arange(8), (prompts, 1)), axis=1) < s[:, None]
        rewards, held = drawn[:, :k].astype(float), drawn[:, k:].mean(axis=1)
        variance = s * (8 - s) / 56
        found = baselines(keys, rewards.ravel()).reshape(prompts, k)
        if visit == 0:
            others = np.repeat((rewards.sum() - rewards.sum(axis=1)) / (k * (prompts - 1)), k)
            rule = "prior" if k == 1 else "calibrated"
            advantages = v05.advantages(rewards.ravel(), keys, others, rule=rule, leave_one_out=True)
            found = rewards - advantages.reshape(prompts, k)
        error[visit] = ((found - held[:, None]) ** 2).mean() - variance.mean() / (8 - k)
        spread[visit] = variance.mean()
    return [
        (spread[part].mean() + error[part].mean()) / (16 / 15 * spread[part].mean())
        for part in (slice(3, None), slice(0, None))
    ]


def cost(k, groups=2000, seconds=2.0):
    """Nanoseconds a group: (record, predict) of the history, then of the tracker; the least of many calls."""
    rng = np.random.default_rng(0)
    keys, unique = np.repeat(np.arange(groups), k), np.arange(groups)
    batches = [(rng.random(groups * k) < 0.5).astype(np.float32) for _ in range(20)]
    memories = v05.History(), v05.Tracker()
    least = np.full((2, 2), np.inf)
    end, turn = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        turn += 1
        for row, memory in enumerate(memories):
            for column, call in enumerate(
                (lambda: memory.record(keys, batches[turn % 20]), lambda: memory.predict(unique))
            ):
                start = time.perf_counter()
                call()
                least[row, column] = min(least[row, column], time.perf_counter() - start)
    return 1e9 * least / groups


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("log")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    successes = visits_of(arguments.log)
    print(f"{successes.shape[0]} prompts, {successes.shape[1]} visits; noise from visit 4 on (all visits)")
    print(f"{'':32}" + "".join(f"{f'k = {k}':>18}" for k in FEWEST))
    for name, arm in ARMS.items():
        cells = []
        for k in FEWEST:
            found = np.array([noise(successes, k, arm, seed) for seed in range(arguments.repeats)])
            error = found.std(axis=0, ddof=1)[0] / arguments.repeats**0.5 if arguments.repeats > 1 else 0
            cells.append(f"{found.mean(0)[0]:.4f} ({found.mean(0)[1]:.4f})")
        print(f"{name:32}" + "".join(f"{cell:>18}" for cell in cells) + f"   +- {error:.4f}")
    for k in FEWEST:
        (one, two), (three, four) = cost(k)
        print(f"k = {k}: ns a group, history {one:.0f} + {two:.0f} to predict, tracker {three:.0f} + {four:.0f}")


if __name__ == "__main__":
    main()
