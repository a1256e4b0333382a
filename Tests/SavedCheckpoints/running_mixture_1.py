"""Makes running_mixture_1.bin and, beside it, what it must give. See README.md."""

import dataclasses
import json
from pathlib import Path

import v05

DESTINATION = Path(__file__).with_suffix("")


def batch(step):
    """Ten prompts with two to five rollouts each, rewards -1 and 1, priors in eighths, nothing random."""
    sizes = [2 + (prompt + step) % 4 for prompt in range(10)]
    groups = [prompt for prompt, size in enumerate(sizes) for _ in range(size)]
    rewards = [1.0 if (3 * prompt + 5 * row + step) % 9 < 4 else -1.0 for row, prompt in enumerate(groups)]
    prior = {prompt: (3 * prompt + step) % 9 / 4 - 1 for prompt in range(9)}
    return rewards, groups, prior


def main():
    running = v05.RunningMixture(reward_range=(-1, 1), discount=0.75)
    for step in range(4):
        running.update(*batch(step))
    expected = {
        "reward_range": running.reward_range,
        "discount": running.discount,
        "updates": running.updates,
        "mixture": dataclasses.asdict(running.mixture),
    }
    DESTINATION.with_suffix(".bin").write_bytes(running.state_dict()["checkpoint"])
    DESTINATION.with_suffix(".json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
