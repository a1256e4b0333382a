"""How time grows with rows, tokens, keys and prompts: local exponents d log t / d log n, decade by decade.

    python Tests/Benchmarks/growth.py      # also the last part of benchmark.py

1 is linear. What memory alone costs, once it leaves the caches and pages are fresh, say the rows "for comparison":
numpy copies the same arrays, and reads numbers at random places.
"""

import time

import numpy as np
import v05

DECADES = tuple(10**power for power in range(3, 8))
WIDTH = 58


def rows(count, size):
    """(rewards, group of each row, prior) of binary rewards in groups of a size."""
    random = np.random.default_rng(0)
    group = np.arange(count) // size
    return random.integers(0, 2, count).astype(np.float32), group, random.random(group[-1] + 1)[group]


def estimation(size, order=None, keys=False, **options):
    """A call with n rows. order: "shuffled". keys: 64-bit ids."""

    def make(count):
        rewards, group, prior = rows(count, min(size, count))
        random = np.random.default_rng(1)
        ids = random.integers(-(2**63), 2**63 - 1, group[-1] + 1)[group] if keys else group
        if order == "shuffled":
            rows_of = random.permutation(count)
            rewards, ids, prior = rewards[rows_of], ids[rows_of], prior[rows_of]
        return lambda: v05.advantages(rewards, ids, prior, **options)

    return make


def copies(count):
    arguments = rows(count, 16)
    return lambda: [array.copy() for array in arguments]


def random_reads(count):
    random = np.random.default_rng(0)
    numbers, places = random.random(count), random.permutation(count)
    return lambda: numbers[places]


def whole_estimate(count):
    arguments = rows(count, 16)
    return lambda: v05.estimate(*arguments)


def modulation(count):
    random = np.random.default_rng(0)
    shape = (count // 1000, 1000)
    log_prob = -random.exponential(0.7, shape).astype(np.float32)
    advantages = random.normal(size=shape).astype(np.float32)
    entropy = random.exponential(0.6, shape).astype(np.float32)
    return lambda: v05.modulate_advantages(advantages, entropy, log_prob, log_prob, np.ones(shape, bool))


def history(work):
    """A call with n random keys, all of them in the table for what is not their first record."""

    def make(count):
        random = np.random.default_rng(0)
        keys = random.integers(-(2**63), 2**63 - 1, count)
        rewards = random.integers(0, 2, count).astype(np.float32)
        known = v05.History()
        known.record(keys, rewards)
        keys = random.permutation(keys)
        state = known.state_dict() if work == "load" else None
        return {
            "first record": lambda: v05.History().record(keys, rewards),
            "record": lambda: known.record(keys, rewards),
            "predict": lambda: known.predict(keys),
            "save": lambda: known.state_dict(),
            "load": lambda: v05.History().load_state_dict(state),
        }[work]

    return make


def allocation(objective):
    def make(count):
        probability = np.random.default_rng(0).random(count)
        return lambda: v05.allocate(probability, 8 * count, objective=objective, minimum=2, maximum=32)

    return make


def wave(rule):
    """The first wave of an allocator and all of its results."""

    def make(count):
        random = np.random.default_rng(0)
        prior = random.random(count)
        options = {"budget": 8 * count} if rule == "neyman" else {}

        def run():
            allocator = v05.Allocator(prior, rule=rule, **options)
            indices = np.repeat(np.arange(count), allocator.request())
            allocator.observe(indices, (random.random(len(indices)) < prior[indices]).astype(float))
            allocator.request()

        return run

    return make


#: name: (sizes, what makes the call of a size).
GROWING = {
    "for comparison: copies of rewards, ids and priors": (DECADES, copies),
    "for comparison: reads at random places": (DECADES, random_reads),
    "rows: v05, ascending ids, groups of 16": (DECADES, estimation(16)),
    "rows: v05, groups of 4": (DECADES, estimation(4)),
    "rows: v05, one group": (DECADES, estimation(10**9)),
    "rows: v05, 64-bit keys side by side": (DECADES, estimation(16, keys=True)),
    "rows: v05, shuffled ids": (DECADES, estimation(16, order="shuffled")),
    "rows: v05, shuffled 64-bit keys": (DECADES, estimation(16, order="shuffled", keys=True)),
    "rows: rloo": (DECADES, estimation(16, rule="rloo")),
    "rows: median": (DECADES[:4], estimation(16, rule="median")),
    "rows: calibrated, leave-one-out": (DECADES, estimation(16, rule="calibrated", leave_one_out=True)),
    "rows: mixture, leave-one-out": (DECADES[:4], estimation(16, rule="mixture", leave_one_out=True)),
    "rows: estimate, v05": (DECADES, whole_estimate),
    "tokens: modulate_advantages, float32": (DECADES, modulation),
    "keys: history, first record": (DECADES[:4], history("first record")),
    "keys: history, record": (DECADES[:4], history("record")),
    "keys: history, predict": (DECADES[:4], history("predict")),
    "keys: history, save": (DECADES[:4], history("save")),
    "keys: history, load": (DECADES[:4], history("load")),
    "prompts: allocate, neyman": (DECADES[:4], allocation("neyman")),
    "prompts: allocate, hit": (DECADES[:4], allocation("hit")),
    "prompts: allocator, a wave of osla": (DECADES[:3], wave("osla")),
    "prompts: allocator, a wave of neyman": (DECADES[:3], wave("neyman")),
}


def shortest(call, seconds=0.5):
    """The shortest of calls that take so long together, three at least."""
    times = []
    end = time.perf_counter() + seconds
    call()
    while len(times) < 3 or time.perf_counter() < end and len(times) < 200:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def exponents(times):
    sizes, costs = np.log10(list(times)), np.log10(list(times.values()))
    return np.diff(costs) / np.diff(sizes)


def show(seconds=0.5):
    print(f"{'':{WIDTH}s} {'ms at the smallest and largest size':>36s}   exponents by decade")
    for name, (sizes, make) in GROWING.items():
        times = {size: shortest(make(size), seconds) for size in sizes}
        small, large = times[sizes[0]] * 1e3, times[sizes[-1]] * 1e3
        local = " ".join(f"{exponent:5.2f}" for exponent in exponents(times))
        ends = f"{small:,.3f} at 1e{round(np.log10(sizes[0]))}, {large:,.1f} at 1e{round(np.log10(sizes[-1]))}"
        print(f"  {name:{WIDTH - 2}s} {ends:>36s}   {local}", flush=True)


if __name__ == "__main__":
    show()
