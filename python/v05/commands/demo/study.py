"""All runs of a study: every arm from the warm start of every seed, spread over processes."""

import os
import signal
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from queue import Empty
from threading import Thread

from .arms import Arm


@dataclass(frozen=True)
class Job:
    """A run to be done; without an arm, the warm-up of its seed."""

    seed: int
    arm: Arm | None = None

    def __str__(self):
        if self.arm is None:
            return f"warm-up, seed {self.seed}"
        return f"{self.arm.label}, rate {self.arm.learning_rate:g}, seed {self.seed}"


def run_study(arms, seeds, setting, *, device, processes, progress, finished, known=()):
    """Run every arm with every seed. The numbers do not depend on the number of processes.

    progress(job, done, total, accuracy): called while jobs, told by their names, are under way; accuracy is None where
        there is none.
    finished(run): called with every `Run` that is done.
    known: (name of the arm, seed, learning rate) of runs that are not done again.
    Returns whether the user ended the study before all were done.
    """
    context = get_context("spawn")
    messages, stop = context.Queue(), context.Event()
    missing = {}
    for seed in seeds:
        missing[seed] = [arm for arm in arms if (arm.name, seed, arm.learning_rate) not in known]
    pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(messages, stop))
    pending, interrupted = {}, False

    def submit(job, *start):
        pending[pool.submit(_work, job, setting, device, *start)] = job

    # Seed after seed, so that a study that is interrupted has whole seeds.
    later = iter([seed for seed in seeds if missing[seed]])
    try:
        for seed in islice(later, processes):
            submit(Job(seed))
        while pending:
            done, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            for message in _waiting(messages):
                progress(*message)
            for future in done:
                job, result = pending.pop(future), future.result()
                # Told here, too: the last message of a process may come too late.
                progress(str(job), 1, 1, result.points[-1].accuracy if job.arm else None)
                if job.arm:
                    finished(result)
                    continue
                for arm in missing[job.seed]:
                    submit(Job(job.seed, arm), result)
                for seed in islice(later, 1):
                    submit(Job(seed))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
    for future, job in pending.items():
        if job.arm and not future.cancelled() and not future.exception():
            finished(future.result())
    return interrupted


class _Stopped(Exception):
    """The study has been ended while a run was under way."""


def _begin(messages, stop):
    """In every process: Ctrl-C is for the parent, which then sets `stop`."""
    global _messages, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _messages, _stop = messages, stop
    messages.cancel_join_thread()  # nobody reads what is left when the study ends
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent):
    """However the parent ends, by SIGKILL or for want of memory, nobody is left who wants what this process does."""
    parent.join()
    os._exit(1)


def _waiting(messages):
    while True:
        try:
            yield messages.get_nowait()
        except Empty:
            return


def _work(job, setting, device, start=None):
    from .experiment import silence, train, warm_start  # takes seconds, which the parent need not wait for

    silence()

    def report(done, total, accuracy=None):
        if _stop.is_set():
            raise _Stopped
        _messages.put((str(job), done, total, accuracy))

    if job.arm is None:
        return warm_start(setting, job.seed, device, report)
    return train(
        job.arm,
        start,
        setting,
        job.seed,
        device,
        lambda rollouts, accuracy: report(rollouts, setting.rollouts, accuracy),
    )
