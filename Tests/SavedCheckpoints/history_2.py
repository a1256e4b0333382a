"""Makes history_2.bin and, beside it, what it must give. See README.md."""

import json
import math
from pathlib import Path

import v05

DESTINATION = Path(__file__).with_suffix("")

KEYS = [0, 1, 2, -3, 2**63 - 1, "prompt", "\u00fcber", "started", "never seen"]


def main():
    history = v05.History(0.75, 6, 0.5, start_strength=1.5, reward_range=(-1, 1))
    history.start(["prompt", "forgotten"], [0.25, 0.5], 2)
    for step in range(4):
        keys = [KEYS[(step + 2 * row) % 7] for row in range(5) for _ in range(3)]
        rewards = [(3 * row + 5 * step) % 9 / 4 - 1 for row in range(15)]
        history.record(keys, rewards, mask=[row % 7 != 3 for row in range(15)], step=2 * step)
    history.start(["started"], -0.5, 2, step=7)
    value, strength = history.predict(KEYS, step=7)
    expected = {
        "keys": KEYS,
        "step": 7,
        "value": [None if math.isnan(each) else each for each in value],
        "strength": strength.tolist(),
    }
    # One more visit, by the saved options.
    DESTINATION.with_suffix(".bin").write_bytes(history.state_dict()["checkpoint"])
    history.record(["new", "prompt"], [1.0, -0.5], step=9)
    value, strength = history.predict(KEYS + ["new"], step=10)
    expected["after"] = {
        "record": [["new", "prompt"], [1.0, -0.5], 9],
        "keys": KEYS + ["new"],
        "step": 10,
        "value": [None if math.isnan(each) else each for each in value],
        "strength": strength.tolist(),
    }
    DESTINATION.with_suffix(".json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
