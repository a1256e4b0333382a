"""Makes estimator_1.zip and, beside it, what it must give. See README.md."""

import json
from pathlib import Path

import v05

DESTINATION = Path(__file__).with_suffix("")


def batch(step):
    """(rewards, groups, keys) of 12 of 20 prompts, four rollouts each, rewards from -1 to 1."""
    prompts = [(5 * step + row) % 20 for row in range(12) for _ in range(4)]
    rewards = [((7 * prompt + 3 * rollout + 2 * step) % 9) / 4 - 1 for rollout, prompt in enumerate(prompts)]
    return rewards, prompts, [f"prompt {prompt}" for prompt in prompts]


def main():
    estimator = v05.AdvantageEstimator(rule="calibrated", discount=0.75, capacity=18, calibration_discount=0.5)
    for step in range(3):
        estimator.step(*batch(step))
    estimator.save(DESTINATION.with_suffix(".zip"))
    expected = {
        "steps": estimator.steps,
        "reward_range": estimator.reward_range,
        "advantages": [estimator.step(*batch(step)).advantages.tolist() for step in range(3, 6)],
    }
    DESTINATION.with_suffix(".json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
