"""A guest in somebody else's process: what the library leaves alone, and that it works in forks and threads.

Each script runs in a fresh interpreter, where numpy comes first: what it does to the process is not ours.
"""

import json
import statistics
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import v05
from sample import batch

SETUP = """
import json, os, threading
from sample import batch
"""


def script(text):
    """What a script in a fresh interpreter prints as JSON. Anything else on its output fails the test."""
    command = [sys.executable, "-c", SETUP + textwrap.dedent(text)]
    result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_signal_handlers_are_left_alone():
    """Handler, mask and flags of every signal, and the masks of the process, before and after loading and a call."""
    before, after = script("""
        import ctypes, signal
        libc = ctypes.CDLL(None)

        class SignalAction(ctypes.Structure):  # glibc's struct sigaction; of the mask only the first word is in use
            _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_uint64 * 16), ("flags", ctypes.c_int),
                        ("restorer", ctypes.c_void_p)]

        def signals():
            actions = []
            for number in map(int, sorted(signal.valid_signals())):
                action = SignalAction()
                assert libc.sigaction(number, None, ctypes.byref(action)) == 0
                actions.append((number, action.handler, action.mask[0], action.flags))
            status = [line for line in open("/proc/self/status") if line.startswith(("Sig", "Shd"))]
            return actions, status

        before = signals()
        import v05
        v05.advantages(*batch(1))
        print(json.dumps([before, signals()]))
    """)
    assert before == after
    assert len(before[0]) > 60


def test_no_thread_is_started():
    before, after = script("""
        before = len(os.listdir("/proc/self/task"))
        import v05
        v05.advantages(*batch(1))
        print(json.dumps([before, len(os.listdir("/proc/self/task"))]))
    """)
    assert before == after


def test_nothing_is_printed_and_no_file_is_left_open():
    """`script` fails on any output beside its own line; an error is where a library would be tempted to print."""
    before, after = script("""
        before = sorted(os.listdir("/proc/self/fd"))
        import v05
        v05.estimate(*batch(1), rule="calibrated", scale="batch")
        try:
            v05.advantages([float("nan")], [0])
        except v05.InvalidArgument:
            print(json.dumps([before, sorted(os.listdir("/proc/self/fd"))]))
    """)
    assert before == after


def test_works_in_a_forked_child_while_other_threads_compute():
    """As data loaders do it. The child's results are those of the parent."""
    equal = script("""
        import warnings
        import v05
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer warn of forks with threads
        expected = [v05.advantages(*batch(seed), rule="calibrated").tobytes() for seed in range(4)]
        done = threading.Event()

        def compute(seed):
            while not done.is_set():
                v05.advantages(*batch(seed), rule="calibrated")

        threads = [threading.Thread(target=compute, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        equal = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                found = [v05.advantages(*batch(seed), rule="calibrated").tobytes() for seed in range(4)]
                os._exit(0 if found == expected else 1)
            equal.append(os.waitpid(child, 0)[1] == 0)
        done.set()
        for thread in threads:
            thread.join()
        print(json.dumps(equal))
    """)
    assert equal == [True] * 10


def test_sixteen_threads_at_once_give_equal_results():
    rules = ("v05", "calibrated", "grpo", "james_stein")
    batches = [batch(seed) for seed in range(4)]
    expected = {
        (seed, rule): v05.advantages(*batches[seed], rule=rule, leave_one_out=True).tobytes()
        for seed in range(4)
        for rule in rules
    }
    start = threading.Barrier(16)
    wrong = []

    def compute(number):
        start.wait()
        for turn in range(12):
            seed, rule = (number + turn) % 4, rules[(number + turn // 4) % 4]
            if v05.advantages(*batches[seed], rule=rule, leave_one_out=True).tobytes() != expected[seed, rule]:
                wrong.append((number, turn))

    threads = [threading.Thread(target=compute, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_load_time(capsys):
    """Printed only: it depends on the machine. Resolving all symbols is part of it, as the library binds at once."""
    program = "\n".join(
        [
            "import _ctypes, os, sys, time",
            "start = time.perf_counter_ns()",
            "_ctypes.dlopen(sys.argv[1], os.RTLD_NOW)",
            "print(time.perf_counter_ns() - start)",
        ]
    )
    command = [sys.executable, "-I", "-S", "-c", program, v05.library_path()]
    times = [int(subprocess.run(command, capture_output=True, check=True).stdout) / 1e6 for _ in range(50)]
    lowest, median, highest = min(times), statistics.median(times), max(times)
    with capsys.disabled():
        print(f"\nload time of libv05.so: median {median:.3f} ms of 50 ({lowest:.3f} to {highest:.3f})")
