"""Makes allocator_1.bin and, beside it, what it must give. See README.md."""

import json
import math
from pathlib import Path

import v05

DESTINATION = Path(__file__).with_suffix("")

PRIOR = [0.0, 0.75, math.nan, 1.5, 2.0, 0.5]


def reward(prompt, number):
    """0, 1/2 ... 2, nothing random."""
    return (3 * prompt + 2 * number) % 5 / 2


def main():
    allocator = v05.Allocator(
        PRIOR,
        rule="neyman",
        reward_range=(0, 2),
        initial=[1, 2, 3, 4, 2, 1],
        maximum=[8, 9, 10, 9, 8, 2],
        wave=2,
        budget=40,
        calibration=v05.Calibration(0.25, 0.75, 0.0625, 0.5, 1.0, 0.125, 32.0, 40.0),
    )
    for _ in range(2):
        wanted = allocator.request()
        for prompt, count in enumerate(wanted):
            for _ in range(count):
                allocator.observe(prompt, reward(prompt, int(allocator.counts[prompt])))
    # In the middle: something back, something failed, the rest in flight.
    wanted = allocator.request()
    flying = [prompt for prompt, count in enumerate(wanted) for _ in range(count)]
    allocator.observe(flying[0], reward(flying[0], 7))
    allocator.cancel(flying[1])
    DESTINATION.with_suffix(".bin").write_bytes(allocator.state_dict()["checkpoint"])
    estimate = allocator.estimate()
    indices, rewards = allocator.observations()
    expected = {
        "counts": allocator.counts.tolist(),
        "in_flight": allocator.in_flight.tolist(),
        "prompt_index": indices.tolist(),
        "rewards": rewards.tolist(),
        "rule": estimate.rule,
        "baseline": estimate.baseline.tolist(),
        "advantages": estimate.advantages.tolist(),
    }
    # What it asks for from there on.
    requests = []
    while not allocator.done:
        flying = [prompt for prompt, count in enumerate(allocator.in_flight) for _ in range(count)]
        for prompt in flying:
            allocator.observe(prompt, reward(prompt, int(allocator.counts[prompt])))
        requests.append(allocator.request().tolist())
    expected["requests"] = requests
    expected["final_counts"] = allocator.counts.tolist()
    DESTINATION.with_suffix(".json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
