"""Time of one call, v05 against what a user would use instead, all in one run, turn and turn about.

    python Tests/Benchmarks/benchmark.py             # v05, numpy and, where installed, torch, verl and TRL
    python Tests/Benchmarks/benchmark.py --trainers  # installs torch, verl and TRL into .venv-benchmark and runs there
    python Tests/Benchmarks/benchmark.py --quick     # without the growth table and the trainer's step

Prints the median of each contestant and its ratio to one of them, with the 10th and 90th percentile of the ratio over
the rounds; the time of the import, of a step of AdvantageEstimator and of one of TRL; and how time grows. First with
memory that the C library gives back to the system and must get anew, page by page, then with memory that it keeps.
"""

import argparse
import ctypes
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import growth
import numpy as np
import v05
from v05._core import prototypes
from v05._core.library import library

ROOT = Path(__file__).resolve().parents[2]
TRAINERS = [
    [
        "numpy",
        "packaging",
        "ray",
        "tensordict<=0.10.0,!=0.9.0",
        "omegaconf",
        "transformers>=5.5.3,!=5.6.0,<5.11",
        "codetiming",
        "accelerate",
        "datasets",
    ],
    ["--no-deps", "verl==0.9.1", "trl==1.16.0"],
]
REFERENCE = "v05.advantages, torch, int64 ids"
#: Set in the environment of the process that keeps its memory.
KEPT = "V05_BENCHMARK_KEPT"


class Batch:
    """Binary rewards of g prompts in group after group, with priors."""

    def __init__(self, name, sizes, seed=0):
        random = np.random.default_rng(seed)
        self.name = name
        self.sizes = np.asarray(sizes)
        self.groups = np.repeat(np.arange(len(sizes)), sizes)
        success = random.random(len(sizes))
        self.group_prior = np.round(np.clip(success + random.normal(0, 0.1, len(sizes)), 0, 1), 3)
        self.prior = self.group_prior[self.groups]
        self.rewards = (random.random(len(self.groups)) < success[self.groups]).astype(np.float32)
        self.uids = np.array([str(uuid.UUID(int=int(n))) for n in random.integers(0, 2**62, len(sizes))], dtype=object)[
            self.groups
        ]


def batches():
    random = np.random.default_rng(1)
    return [
        Batch("512 x 16", np.full(512, 16)),
        Batch("4096 x 16", np.full(4096, 16)),
        Batch("ragged, 2048 groups of 1 to 31", random.integers(1, 32, 2048)),
        Batch("1,000,000 x 4", np.full(1_000_000, 4)),
    ]


def numpy_reduceat(batch):
    """The same baseline by numpy, for rows that already lie group after group."""
    starts = np.concatenate([[0], np.cumsum(batch.sizes)[:-1]])

    def run():
        mean = np.add.reduceat(batch.rewards, starts) / batch.sizes
        noise = 0.25 / batch.sizes
        squared = (mean - batch.group_prior) ** 2
        bias = np.maximum(squared - noise, 0)
        weight = bias / (bias + noise)
        baseline = weight * mean + (1 - weight) * batch.group_prior
        return batch.rewards - np.repeat(baseline, batch.sizes)

    return run


def contestants(batch):
    """Name and call of everything that is installed."""
    large = is_large(batch)
    found = {
        "v05.advantages, numpy, int64 ids": lambda: v05.advantages(batch.rewards, batch.groups, batch.prior),
        "numpy reduceat (contiguous groups)": numpy_reduceat(batch),
    }
    if not large:
        found["v05.advantages, numpy, uid strings"] = lambda: v05.advantages(batch.rewards, batch.uids, batch.prior)
    try:
        import torch
    except ImportError:
        return found
    rewards = torch.from_numpy(batch.rewards)
    groups = torch.from_numpy(batch.groups)
    prior = torch.from_numpy(batch.prior)
    shuffle = torch.randperm(len(groups), generator=torch.Generator().manual_seed(0))
    shuffled = rewards[shuffle], groups[shuffle], prior[shuffle]
    names = np.random.default_rng(2).integers(-(2**63), 2**63 - 1, len(batch.sizes))
    keys = torch.from_numpy(names[batch.groups])
    found[REFERENCE] = lambda: v05.advantages(rewards, groups, prior)
    found["v05.advantages, torch, 64-bit keys side by side"] = lambda: v05.advantages(rewards, keys, prior)
    found["v05.advantages, torch, int64 ids, rows shuffled"] = lambda: v05.advantages(*shuffled)
    found["v05.advantages, torch, calibrated, leave-one-out"] = lambda: v05.advantages(
        rewards, groups, prior, rule="calibrated", leave_one_out=True
    )
    if not large:
        found["v05.advantages, torch, mixture, leave-one-out"] = lambda: v05.advantages(
            rewards, groups, prior, rule="mixture", leave_one_out=True
        )
        found["v05.advantages, torch, uid strings"] = lambda: v05.advantages(rewards, batch.uids, prior)

    def torch_scatter():
        count = torch.bincount(groups).float()
        mean = torch.zeros(len(batch.sizes)).scatter_add_(0, groups, rewards) / count
        return rewards - mean[groups]

    found["torch scatter_add, group mean only"] = torch_scatter
    if not large:
        found.update(trainers(batch, rewards))
    return found


def trainers(batch, rewards):
    import torch

    found = {}
    try:
        from verl.trainer.ppo import core_algos

        arguments = dict(
            token_level_rewards=rewards[:, None], response_mask=torch.ones(len(rewards), 1), index=batch.uids
        )
        found["verl grpo (its default)"] = functools.partial(core_algos.compute_grpo_outcome_advantage, **arguments)
        found["verl grpo_vectorized"] = functools.partial(
            core_algos.compute_grpo_vectorized_outcome_advantage, **arguments
        )
        found["verl rloo_vectorized"] = functools.partial(
            core_algos.compute_rloo_vectorized_outcome_advantage, **arguments
        )
    except ImportError:
        pass
    if len(set(batch.sizes)) == 1:
        try:
            from trl.trainer.utils import nanstd

            size = int(batch.sizes[0])

            def trl_group():
                grouped = rewards.view(-1, size)
                mean = torch.nanmean(grouped, dim=1).repeat_interleave(size)
                deviation = nanstd(grouped, dim=1).repeat_interleave(size)
                return (rewards - mean) / (deviation + 1e-4)

            trl_group()
            found["TRL group scaling (its nanstd)"] = trl_group
        except ImportError:
            pass
    return found


def measure(calls, seconds):
    """{name: times of rounds}. Slow contestants take part in fewer rounds."""
    costs = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        costs[name] = time.perf_counter() - start
    rounds = max(5, min(400, int(seconds / sum(costs.values()))))
    times = {name: [] for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            if costs[name] > 0.05 and number % (1 + int(costs[name] / 0.05)):
                continue
            if costs[name] < 1e-3:
                call()  # what ran before has the caches
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in times.items()}


#: Rules that are timed in C beside the plain one, by ids.
NATIVE = {
    f"{rule}{', leave-one-out' * leave_one_out}{', weights' * weighted}": dict(
        rule=rule, leave_one_out=leave_one_out, weighted=weighted
    )
    for rule, leave_one_out, weighted in [
        ("grpo", False, False),
        ("rloo", False, False),
        ("rloo", False, True),
        ("v05", False, True),
        ("v05", True, False),
        ("v05", True, True),
        ("calibrated", False, False),
        ("calibrated", False, True),
        ("calibrated", True, False),
        ("calibrated", True, True),
        ("mixture", True, False),
    ]
}


def is_large(batch):
    """Too many rows for what takes seconds then."""
    return len(batch.groups) > 200_000


def workspace_size(batch, options):
    size = ctypes.c_size_t()
    failed = library.v05_estimation_workspace_size(ctypes.byref(batch), options, ctypes.byref(size), None)
    return 0 if failed else size.value  # mixture has no weights


def native_rules(batch):
    return {name: chosen for name, chosen in NATIVE.items() if not is_large(batch) or chosen["rule"] != "mixture"}


def native_options(rules):
    """Options structs, one after the other."""
    options = (prototypes.EstimationOptions * len(rules))()
    for struct, chosen in zip(options, rules.values()):
        library.v05_estimation_options_initialize(ctypes.byref(struct), ctypes.sizeof(struct), None)
        struct.rule = prototypes.RULES[chosen["rule"]]
        struct.leave_one_out = chosen["leave_one_out"]
    return options


@functools.cache
def native_code():
    """native.c, compiled."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "native.so"
    include = Path(v05.library_path()).parents[1] / "include"
    source = Path(__file__).parent / "native.c"
    options = ["-O3", "-std=c11", "-shared", "-fPIC", f"-I{include}"]
    subprocess.run(["cc", *options, str(source), "-o", str(path)], check=True)
    found = ctypes.CDLL(str(path))
    shutil.rmtree(folder)
    found.time_random_reads.restype = ctypes.c_double
    return found


def measure_native(batch, repeats):
    """Times of the plain loop and of the C function by offsets, by ids and by ids with each of `native_rules`,
    (repeats, 3 + rules)."""
    native = native_code()
    shared = ctypes.CDLL(v05.library_path())
    offsets = np.concatenate([[0], np.cumsum(batch.sizes)]).astype(np.int64)
    groups = batch.groups.astype(np.int64)
    advantages = np.empty_like(batch.rewards)
    means = np.empty(len(batch.sizes))
    struct = prototypes.Batch(
        row_count=len(groups), rewards_f32=batch.rewards.ctypes.data, group_ids=groups.ctypes.data
    )
    rules = native_rules(batch)
    options = native_options(rules)
    weights = np.random.default_rng(0).exponential(size=len(groups))
    struct.weights = weights.ctypes.data
    workspace = np.empty(max(workspace_size(struct, chosen) for chosen in options), np.uint8)
    weighted = np.array([chosen["weighted"] for chosen in rules.values()], np.intc)
    seconds = np.empty((repeats, 3 + len(rules)))
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (batch.rewards, offsets, groups)]
    outputs = [
        ctypes.c_void_p(array.ctypes.data) for array in (batch.group_prior, batch.prior, advantages, means, workspace)
    ]
    failed = native.time_native(
        shared.v05_baseline_estimate,
        *pointers,
        ctypes.c_int64(len(groups)),
        ctypes.c_int64(len(batch.sizes)),
        *outputs,
        ctypes.c_size_t(len(workspace)),
        ctypes.c_void_p(weights.ctypes.data),
        options,
        ctypes.c_void_p(weighted.ctypes.data),
        ctypes.c_int(len(rules)),
        ctypes.c_int(repeats),
        ctypes.c_void_p(seconds.ctypes.data),
    )
    if failed:
        raise SystemExit("the native benchmark failed")
    return seconds[repeats // 5 :]


def modulation(sequences=512, length=2048, seed=0):
    """Token-level modulation of float32 arrays, against a copy of all that it reads."""
    random = np.random.default_rng(seed)
    shape = (sequences, length)
    log_prob = -random.exponential(0.7, shape)
    arrays = [
        random.normal(size=shape),
        random.exponential(0.6, shape),
        log_prob,
        log_prob + random.normal(0, 0.2, shape),
    ]
    arrays = [array.astype(np.float32) for array in arrays] + [np.ones(shape, dtype=bool)]
    copies = [np.empty_like(array) for array in arrays]

    def copy():
        for source, target in zip(arrays, copies):
            np.copyto(target, source)

    return {"copy of the five arrays": copy, "v05.modulate_advantages, numpy": lambda: v05.modulate_advantages(*arrays)}


def one_result_at_a_time(prompts, seed=0):
    """A call takes one result of an allocator that spends a budget by rule neyman, and asks what to start next."""
    random = np.random.default_rng(seed)
    success = random.random(prompts)
    allocator, flying = None, []

    def run():
        nonlocal allocator, flying
        if not flying:
            allocator = v05.Allocator(random.random(prompts), rule="neyman", budget=8 * prompts)
            flying = random.permutation(np.repeat(np.arange(prompts), allocator.request())).tolist()
        prompt = flying.pop()
        allocator.observe(prompt, float(random.random() < success[prompt]))
        counts = allocator.request()
        if not allocator.done and counts.any():
            flying += np.repeat(np.arange(prompts), counts).tolist()

    return run


def step_calls(prompts=8192, rollouts=16):
    """Steps of AdvantageEstimator, and the estimation of such a batch alone."""
    random = np.random.default_rng(0)
    success = random.random(prompts)
    group = np.repeat(np.arange(prompts), rollouts)
    rewards = [(random.random(len(group)) < success[group]).astype(np.float32) for _ in range(4)]
    texts = np.array([f"prompt {number} " + "words of it " * 38 for number in range(prompts)], object)[group].tolist()
    uids = np.array([str(uuid.UUID(int=int(n))) for n in random.integers(0, 2**62, prompts)], object)[group]
    keys = random.integers(-(2**63), 2**63 - 1, prompts)[group]
    prior = success.round(2)[group]

    def step(groups, prompts_of):
        estimator = v05.AdvantageEstimator(reward_range=(0, 1))
        turn = iter(range(10**9))
        return lambda: estimator.step(rewards[next(turn) % len(rewards)], groups, prompts_of)

    return {
        "v05.advantages, calibrated, leave-one-out": lambda: v05.advantages(
            rewards[0], group, prior, rule="calibrated", leave_one_out=True
        ),
        "step, uid strings, prompts' texts": step(uids, texts),
        "step, integer keys": step(group, keys),
    }


def history_calls(count=1_000_000):
    """Work of a History with so many random keys, and as many reads at random places."""
    random = np.random.default_rng(0)
    keys = random.integers(-(2**63), 2**63 - 1, count)
    mixed = random.permutation(keys)
    rewards = random.integers(0, 2, count).astype(np.float32)
    places, numbers, total = random.permutation(count), np.arange(count), ctypes.c_int64()
    known, recorded = v05.History(), v05.History()
    known.record(keys, rewards)
    recorded.record(keys, rewards)
    state = known.state_dict()

    def reads():
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (numbers, places))
        native_code().time_random_reads(*pointers, ctypes.c_int64(count), ctypes.byref(total))

    return {
        "C, reads at random places": reads,
        "record of new keys": lambda: v05.History().record(keys, rewards),
        "record of known keys, mixed": lambda: recorded.record(mixed, rewards),
        "predict, mixed": lambda: known.predict(mixed),
        "save": lambda: known.state_dict(),
        "load": lambda: v05.History().load_state_dict(state),
    }


def measure_imports(rounds=7):
    """Seconds of `import numpy` and of `import v05` on top of it, each time in a new process: (2, 2, rounds), by the
    clock and of the processor. With compiled files, as an installed package has them."""
    program = (
        "import time; now = lambda: (time.perf_counter(), time.process_time()); start = now(); import numpy; "
        "between = now(); import v05; end = now(); "
        "print(*(b - a for at in zip(start, between, end) for a, b in zip(at, at[1:])))"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", program]
        runs = [
            subprocess.run(command, env=environment, capture_output=True, check=True)
            for _ in range(rounds + 1)  # the first compiles
        ]
    return np.array([list(map(float, run.stdout.split())) for run in runs[1:]]).T.reshape(2, 2, rounds)


def show(name, times, reference, unit="x"):
    ratio = np.quantile(times[: len(reference)] / np.median(reference), [0.1, 0.5, 0.9])
    print(
        f"  {name:52s} {np.median(times) * 1e6:12,.1f} us   {ratio[1]:9,.2f}{unit}  [{ratio[0]:,.2f}, {ratio[2]:,.2f}]",
        flush=True,
    )


def show_all(title, calls, seconds, reference):
    print(f"\n{title}, ratio to {reference}")
    times = measure(calls, seconds)
    for name, values in times.items():
        show(name, values, times[reference])


def run(seconds):
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for batch in batches():
        print(f"\n{batch.name} ({len(batch.groups):,} rollouts)")
        native = measure_native(batch, {8192: 1000, 4_000_000: 12}.get(len(batch.groups), 100))
        print("  C, ratio to the plain -O3 loop with the same checks")
        names = "plain loop", "v05, offsets", "v05, ids", *(f"{name}, ids" for name in native_rules(batch))
        for column, name in enumerate(names):
            show(name, native[:, column], native[:, 0])
        times = measure(contestants(batch), seconds)
        reference = REFERENCE if REFERENCE in times else "v05.advantages, numpy, int64 ids"
        peer = np.median(times["numpy reduceat (contiguous groups)"]) / np.median(times[reference])
        print(f"  Python, ratio to {reference} ({1 / peer:.2f} of numpy reduceat)")
        for name, values in sorted(times.items(), key=lambda item: np.median(item[1])):
            show(name, values, times[reference])

    show_all("AdvantageEstimator, 8,192 x 16", step_calls(), seconds, "v05.advantages, calibrated, leave-one-out")
    show_all("Tokens of 512 x 2048, float32", modulation(), seconds, "copy of the five arrays")
    show_all("History of 1,000,000 random keys", history_calls(), seconds, "C, reads at random places")
    prompts = (100, 1000, 3000, 10_000)
    show_all(
        "Allocator, neyman with a budget, one result at a time",
        {f"{count:,} prompts": one_result_at_a_time(count) for count in prompts},
        seconds,
        "100 prompts",
    )


def run_once():
    """What needs no second look with other memory."""
    print()
    for clock, (of_numpy, of_v05) in zip(("by the clock", "of the processor"), measure_imports() * 1e3):
        print(
            f"import v05 on top of numpy: {np.median(of_v05):.0f} ms {clock} (shortest {of_v05.min():.0f}; "
            f"numpy itself {np.median(of_numpy):.0f})"
        )
    if importlib.util.find_spec("trl") and importlib.util.find_spec("torch"):
        print("\nA step of TRL", flush=True)
        subprocess.run(
            [sys.executable, str(Path(__file__).parent / "trainer_step.py"), "--steps", "30"],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )
    print("\nGrowth")
    growth.show()


def install_and_run(arguments):
    """The same benchmark where the trainers are installed, in a virtual environment of its own."""
    environment = ROOT / ".venv-benchmark"
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(python), "-m", "pip", "install", "-q"]
    if subprocess.run([*pip, "torch==2.13.0+cpu"], stderr=subprocess.DEVNULL).returncode:
        subprocess.run([*pip, "torch"], check=True)
    for packages in TRAINERS:
        subprocess.run([*pip, *packages], check=True)
    subprocess.run([*pip, str(ROOT / "python")], check=True)
    quick = ["--quick"] if arguments.quick else []
    subprocess.run([str(python), __file__, "--seconds", str(arguments.seconds), *quick], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trainers", action="store_true", help="install torch, verl and TRL into .venv-benchmark and run there"
    )
    parser.add_argument("--quick", action="store_true", help="without the growth table and the trainer's step")
    parser.add_argument("--seconds", type=float, default=10, help="time for the Python contestants of each batch")
    arguments = parser.parse_args()
    if arguments.trainers:
        install_and_run(arguments)
        return
    # The C library reads these when a program starts.
    kept = {"MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_MMAP_THRESHOLD_": "100000000000"}
    if KEPT in os.environ:
        run(arguments.seconds)
        return
    print("Memory as the C library hands it out: pages given back are got anew.")
    run(arguments.seconds)
    print("\nMemory kept: no pages are got anew.", flush=True)
    again = [sys.executable, __file__, "--seconds", str(arguments.seconds)]
    subprocess.run(again, env=os.environ | kept | {KEPT: "1"}, check=True)
    if not arguments.quick:
        run_once()


if __name__ == "__main__":
    main()
