"""Groups a second through StreamingEstimator.group: single groups of 4 rollouts of 3,000 prompts, known by a string.

    python Tests/Benchmarks/streaming.py

Prints microseconds a group with a report every 64 groups, as by default, and without any: the best of 20 runs of 1,000
groups, by the clock and, as other programs may be running, by the time of the processor.
"""

import time

import numpy as np
from v05.training import StreamingEstimator

RUNS, GROUPS, PROMPTS, ROLLOUTS = 20, 1000, 3000, 4


def measured(every):
    """(seconds by the clock, by the processor) of the best run."""
    generator = np.random.default_rng(0)
    rate = generator.uniform(0, 1, PROMPTS)
    estimator = StreamingEstimator(reward_range=(0, 1), log=lambda metrics: None, every=every)
    times = []
    for _ in range(RUNS + 1):  # the first one is for warming up
        prompts = generator.integers(PROMPTS, size=GROUPS)
        rewards = (generator.random((GROUPS, ROLLOUTS)) < rate[prompts, None]).astype(float).tolist()
        groups = [(each, f"prompt {prompt}") for each, prompt in zip(rewards, prompts)]
        start = time.perf_counter(), time.process_time()
        for each, key in groups:
            estimator.group(each, key)
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return (min(column) for column in zip(*times[1:]))


for label, every in (("a report every 64", 64), ("no report", RUNS * GROUPS * 2)):
    clock, processor = measured(every)
    print(
        f"{label:<18} {clock / GROUPS * 1e6:6.1f} us a group by the clock, {processor / GROUPS * 1e6:6.1f} us by the "
        f"processor: {GROUPS / processor:,.0f} groups a second"
    )
