"""Many threads that step, save, predict and allocate for long: no error, and no more memory than at the start."""

import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import v05

THREADS, KEYS, PARTS = 8, 3000, 12


def resident():
    """Megabytes of memory that this process occupies."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def work(seed, own, shared, folder, end, counts):
    """Uses the thread's own estimator and the one of all threads in turn."""
    random = np.random.default_rng(seed)
    path = folder / f"state-{seed}"
    while time.monotonic() < end:
        estimator = (own, shared)[counts[seed] % 2]
        keys = np.repeat(random.integers(0, KEYS, 64), 4)
        rewards = (random.random(256) < keys / KEYS).astype(float)
        advantages = estimator.step(rewards, keys, keys, weights=random.random(256)).advantages
        assert np.isfinite(advantages).all()
        prior, strength = estimator.predict(keys[::4])
        assert ((prior >= 0) & (prior <= 1)).all() and (strength >= 0).all()
        if counts[seed] % 8 == 0:
            estimator.save(path)
            v05.AdvantageEstimator(reward_range=(0, 1)).load(path)
        if counts[seed] % 4 == 0:
            allocator = estimator.allocator(keys[::4], initial=2, maximum=8)
            asked = np.repeat(np.arange(64), allocator.request())
            allocator.observe(asked, np.ones(len(asked)))
            allocator.estimate()
        counts[seed] += 1


@pytest.mark.slow
def test_an_hour_with_many_threads(tmp_path, request, capsys):
    """A part of an hour, unless --soak 60 is given."""
    minutes = request.config.getoption("soak")
    shared = v05.AdvantageEstimator(reward_range=(0, 1))
    own = [v05.AdvantageEstimator(reward_range=(0, 1)) for _ in range(THREADS)]
    counts, failures, memory = [0] * THREADS, [], []
    end = time.monotonic() + 60 * minutes

    def run(seed):
        try:
            work(seed, own[seed], shared, tmp_path, end, counts)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not failures:
        time.sleep(60 * minutes / PARTS)
        memory.append(resident())
        with capsys.disabled():
            print(f"soak: {len(memory)} of {PARTS}, {sum(counts):,} steps, {memory[-1]:.0f} MB", flush=True)
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"state-{seed}" for seed in range(THREADS))
    assert all(one.steps for one in own) and shared.steps == sum(count // 2 for count in counts)
    # After a third every table has its size; what the allocator of the C library keeps for its threads varies by that.
    assert max(memory[PARTS // 2 :]) < max(memory[: PARTS // 3 + 1]) + 8
