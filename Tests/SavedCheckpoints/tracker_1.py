"""Makes tracker_1.bin and, beside it, what it must give. See README.md."""

import dataclasses
import json
from pathlib import Path

import v05

DESTINATION = Path(__file__).with_suffix("")

KEYS = [0, 1, 2, -3, 2**63 - 1, "prompt", "\u00fcber", "never seen"]


def main():
    tracker = v05.Tracker(0.75, 6, slow_discount=0.9, forgetting=0.95, reward_range=(-1, 1))
    for step in range(6):
        keys = [KEYS[(step + 2 * row) % 7] for row in range(5) for _ in range(3)]
        rewards = [float((3 * row + 5 * step) % 9 < 4) * 2 - 1 for row in range(15)]
        prior = [-0.5 if key == "prompt" else None for key in keys] if step == 3 else None
        weights = [1 + row % 3 for row in range(15)] if step == 4 else None
        tracker.record(keys, rewards, prior=prior, mask=[row % 7 != 3 for row in range(15)], weights=weights)
    expected = {"reward_range": tracker.reward_range, "count": len(tracker)} | answers(tracker)
    # One more visit, by the saved options.
    DESTINATION.with_suffix(".bin").write_bytes(tracker.state_dict()["checkpoint"])
    visit = [["new", "prompt", "prompt"], [1.0, -0.5, 1.0]]
    tracker.record(*visit)
    expected["after"] = {"record": visit} | answers(tracker)
    DESTINATION.with_suffix(".json").write_text(json.dumps(expected, indent=2) + "\n")


def answers(tracker):
    value, strength = tracker.predict(KEYS)
    group = [["prompt", "prompt", "other", 1], [1.0, -1.0, 1.0, -1.0]]
    return {
        "keys": KEYS,
        "value": value.tolist(),
        "strength": strength.tolist(),
        "fuse": group,
        "baselines": tracker.fuse(*group).tolist(),
        "calibration": dataclasses.asdict(tracker.calibration),
    }


if __name__ == "__main__":
    main()
