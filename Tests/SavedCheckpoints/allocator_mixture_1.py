"""Makes allocator_mixture_1.bin and, beside it, what it must give. See README.md."""

import json
import math
from pathlib import Path

import v05

DESTINATION = Path(__file__).with_suffix("")

CALIBRATION = v05.Calibration(0.25, 0.5, 0.0625, 0.1875, 0.5, 0.125, 32.0, 40.0)
MIXTURE = v05.Mixture(CALIBRATION, tuple((1 + i % 3) / 60 for i in range(30)), (0.1,) * 10)


def reward(prompt, number):
    """0 or 1, nothing random."""
    return float((3 * prompt + 2 * number) % 5 < 2)


def main():
    allocator = v05.Allocator([0.0, 0.75, math.nan, 1.0], initial=2, maximum=9, budget=24, cost=0.001, mixture=MIXTURE)
    for _ in range(3):
        for prompt, count in enumerate(allocator.request()):
            for _ in range(count):
                allocator.observe(prompt, reward(prompt, int(allocator.counts[prompt])))
    estimate = allocator.estimate()
    expected = {
        "counts": allocator.counts.tolist(),
        "rule": estimate.rule,
        "weights": estimate.mixture.weights,
        "baseline": estimate.baseline.tolist(),
        "mse": estimate.mse.tolist(),
    }
    DESTINATION.with_suffix(".bin").write_bytes(allocator.state_dict()["checkpoint"])
    expected["request"] = allocator.request().tolist()
    DESTINATION.with_suffix(".json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
