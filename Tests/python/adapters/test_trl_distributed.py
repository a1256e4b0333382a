"""v05.trl in two processes (gloo), end to end."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("trl", reason="TRL is not installed: pip install './python[trl]'")

import tiny_trl
from test_trl import PRIOR, paper_baseline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What both processes found."""
    folder = tmp_path_factory.mktemp("trl")
    script = Path(__file__).parents[1] / "trl_two_processes.py"
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run([*start, script, folder / "found", folder], capture_output=True, text=True, timeout=400)
    assert finished.returncode == 0, finished.stderr[-6000:]
    return json.loads((folder / "found").read_text())


def groups_of(rows):
    """{prompt: (rewards, advantages)} of the rows that count, of both processes."""
    groups = defaultdict(lambda: ([], []))
    for prompt, completion, advantage, counts in rows:
        if counts:
            groups[prompt][0].extend(tiny_trl.reward([completion], [prompt]))
            groups[prompt][1].append(advantage)
    return {prompt: (np.array(rewards), np.array(found)) for prompt, (rewards, found) in groups.items()}


def test_trls_own_rules_are_bit_for_bit_trls(processes):
    for found in processes:
        assert found["parity"] == {"group": True, "batch": True, "none": True, "rloo": True}


def test_the_paper_rule_reaches_the_loss_of_both(processes):
    first, second = (found["swapped"] for found in processes)
    for step in range(2):
        assert len(first["rows"][step]) == len(second["rows"][step]) == 16
        for prompt, (rewards, found) in groups_of(first["rows"][step] + second["rows"][step]).items():
            assert len(rewards) == 4
            np.testing.assert_allclose(found, rewards - paper_baseline(rewards, PRIOR[prompt]), atol=1e-6)
    assert first["state"] == second["state"] and first["weights"] == second["weights"]
    assert sorted(first["logged"]) == sorted(row[2] for found in (first, second) for row in found["rows"][1])


@pytest.mark.parametrize(
    "name, least, most", [("dapo", 32, 144), ("grpo", 50, 50), ("steps", 51, 51), ("rloo", 41, 41)]
)
def test_groups_of_different_size_reach_the_loss_of_both(processes, name, least, most):
    first, second = (found["allocated"][name] for found in processes)
    assert first["state"] == second["state"] and first["weights"] == second["weights"]
    assert first["rounds"] == second["rounds"] and max(first["rounds"]) > 1
    steps = list(zip(first["rows"], second["rows"]))
    if name == "steps":  # both steps are of one generation
        steps = [(steps[0][0] + steps[1][0], steps[0][1] + steps[1][1])]
    for one, other in steps:
        assert len(one) == len(other) and len(one) % (2 if name == "steps" else 1) == 0
        assert all(advantage == 0 for _, _, advantage, counts in one + other if not counts)
        groups = groups_of(one + other)
        counted = sum(len(rewards) for rewards, _ in groups.values())
        assert len(groups) == 16 and least <= counted <= most and len(one + other) - counted < 4
        assert len({len(rewards) for rewards, _ in groups.values()}) > 1
        total = len(one + other) if name in ("grpo", "rloo") else counted
        for prompt, (rewards, found) in groups.items():
            expected = total / (16 * len(rewards)) * (rewards - paper_baseline(rewards, PRIOR[prompt]))
            np.testing.assert_allclose(found, expected, atol=1e-5)
    assert first["logged"] == counted


def test_a_resumed_run_equals_an_uninterrupted_one(processes):
    assert [found["resumed"]["same"] for found in processes] == [True, True]
    assert len({found["resumed"]["state"] for found in processes}) == 1 and processes[0]["resumed"]["steps"] == 4


def test_both_raise_what_is_wrong_in_one(processes):
    first, second = (found["errors"] for found in processes)
    assert "every process must have equally many rows, got [16, 15]" in first["fewer rows"]
    assert "id_field 'name' is not in the dataset, whose columns are 'prompt'" in first["no column"]
    assert "reward" in first["reward"] and "prior" in first["prior"] and first["none"] is None
    assert "no prior today" in first["prior function"]  # which is asked in one process
    for name in "fewer rows", "no column", "reward", "prior", "none", "prior function":
        assert first[name] == second[name]
    assert first["level"] < second["level"]  # one of them warns
