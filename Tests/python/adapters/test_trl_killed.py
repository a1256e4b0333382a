"""TRL training killed at any moment: checkpoints are whole, nothing stays beside, a resumed run has the same bits."""

import contextlib
import hashlib
import json
import random
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

pytest.importorskip("trl")

STEPS, SAVED_EVERY = 12, 2


def train(folder, checkpoint, sender):
    """A whole run, or what is left of one; sends a digest of the weights and one of the estimator's state."""
    import tiny_trl
    import torch
    from v05.trl import V05Config, V05GRPOTrainer

    torch.set_num_threads(1)
    trainer = tiny_trl.trainer(
        V05GRPOTrainer,
        folder,
        V05Config(reward_range=(0, 1), weights="score"),
        max_steps=STEPS,
        save_strategy="steps",
        save_steps=SAVED_EVERY,
        train_dataset=tiny_trl.dataset(128),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    weights = hashlib.sha256(tiny_trl.weights(trainer).numpy().tobytes()).hexdigest()
    state = hashlib.sha256(repr(sorted(trainer.v05_estimator.state_dict().items())).encode()).hexdigest()
    sender.send((trainer.state.global_step, weights, state))


@pytest.fixture
def started(monkeypatch):
    """started(folder, checkpoint): a process of its own that trains, forked from one that has imported everything."""
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    context = get_context("forkserver")
    context.set_forkserver_preload(["tiny_trl", "v05.trl", __name__])

    def start(folder, checkpoint=None):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=train, args=(folder, checkpoint, sender))
        process.start()
        sender.close()
        return process, receiver

    return start


def finished(process, receiver):
    found = receiver.recv()
    process.join()
    return found


def whole_checkpoints(folder):
    """Those that a user can resume from: the trainer writes its own state last, and may be killed while it does."""
    made = []
    for path in folder.glob("checkpoint-*/trainer_state.json"):
        with contextlib.suppress(json.JSONDecodeError):
            json.loads(path.read_text())
            made.append(path.parent)
    return sorted(made, key=lambda path: int(path.name.split("-")[1]))


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed(tmp_path, started, request):
    finished(*started(tmp_path / "first"))  # what only the first run of all has to do is not of its duration
    begun = time.monotonic()
    expected = finished(*started(tmp_path / "whole"))
    duration = time.monotonic() - begun
    files = {path.name for path in (tmp_path / "whole").glob("checkpoint-*/*")}
    assert expected[0] == STEPS and "v05.zip" in files
    resumed = 0
    for kill in range(request.config.getoption("kills")):
        folder = Path(tmp_path, f"killed-{kill}")
        process, receiver = started(folder)
        time.sleep(random.Random(kill).uniform(0.3, 1) * duration)
        process.kill()
        process.join()
        receiver.close()
        checkpoints = whole_checkpoints(folder)
        assert {path.name for path in folder.glob("checkpoint-*/*v05*")} <= {"v05.zip"}
        for checkpoint in checkpoints:
            assert {path.name for path in checkpoint.iterdir()} == files
        if not checkpoints or int(checkpoints[-1].name.split("-")[1]) == STEPS:
            continue
        assert finished(*started(folder, str(checkpoints[-1]))) == expected, checkpoints[-1]
        assert {path.name for path in folder.glob("checkpoint-*/*")} <= files
        resumed += 1
    assert resumed
