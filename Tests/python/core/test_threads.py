"""Several threads may use one object, and a process may fork while they do."""

import os
import pickle
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import v05
from v05._core.lock import new_lock
from v05.training.streaming_estimator import StreamingEstimator


def together(*works, seconds=0.5):
    """Runs each work again and again in a thread of its own; raises what any of them raised."""
    failures, end = [], time.monotonic() + seconds

    def run(work):
        try:
            while time.monotonic() < end and not failures:
                work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def random(seed, high=50_000, count=2000):
    generator = np.random.default_rng(seed)
    return lambda: generator.integers(0, high, count)


@pytest.mark.parametrize("fit", [v05.fit_calibration, v05.fit_mixture])
def test_fits_in_ranges_of_their_own(fit):
    """At once, and after one that was refused."""
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(200), 4)
    prior = generator.random(200).repeat(4)
    rewards = (generator.random(800) < prior).astype(float)
    works = []
    for low, high in ((0.0, 1.0), (-10.0, 10.0), (5.0, 6.0)):
        given = rewards * (high - low) + low, groups, prior * (high - low) + low
        expected = fit(*given, reward_range=(low, high))

        def work(given=given, interval=(low, high), expected=expected):
            assert fit(*given, reward_range=interval) == expected

        works.append(work)
    together(*works)

    with pytest.raises(v05.InvalidArgument, match="reward_range"):
        fit(rewards, groups, prior, reward_range=(1, 0))
    running = {v05.fit_calibration: v05.RunningCalibration, v05.fit_mixture: v05.RunningMixture}[fit]
    many = np.tile(rewards, 50)
    running().update(many, np.arange(len(many)) // 4, np.tile(prior, 50))


@pytest.mark.parametrize("kind", [v05.AdvantageEstimator, StreamingEstimator])
def test_a_step_that_is_refused_is_so_in_every_thread(kind):
    """Whatever another one does meanwhile."""
    estimator = kind(reward_range=(0, 1))
    rows = np.arange(8)

    def refused():
        with pytest.raises(v05.InvalidArgument, match="reward_range"):
            estimator.step(np.full(8, 7.0), rows // 2, rows // 2)

    together(refused, refused, lambda: estimator.step(rows % 2.0, rows // 2, rows // 2))


def test_a_history_is_recorded_asked_saved_and_replaced_at_once():
    history, other = v05.History(), v05.History()
    small, large = other.state_dict(), random(0)()
    other.record(large, np.ones(2000))
    states = [small, other.state_dict()]
    keys = [random(seed) for seed in range(6)]

    def save():
        v05.History().load_state_dict(history.state_dict())

    together(
        lambda: history.record(keys[0](), np.ones(2000)),
        lambda: history.record(keys[1](), np.zeros(2000)),
        lambda: history.predict(keys[2]()),
        lambda: len(history),
        save,
        lambda: pickle.loads(pickle.dumps(history)),
        lambda: history.load_state_dict(states[keys[3]()[0] % 2]),
        lambda: history.merge(other),
        lambda: other.merge(history),
    )


def test_no_record_is_lost():
    history, calibration = v05.History(1, start_strength=0), v05.RunningCalibration(discount=1)
    keys = np.arange(500)

    def learn():
        for _ in range(50):
            history.record(keys, np.ones(500))
            calibration.update([1.0, 0.0] * 10, np.repeat(np.arange(10), 2), None)

    threads = [threading.Thread(target=learn) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (history.predict(keys)[1] == 200).all() and calibration.updates == 200


def test_an_allocator_is_fed_and_asked_at_once():
    allocator = v05.Allocator(np.full(500, 0.5), initial=2, maximum=1000)

    def feed():
        asked = allocator.request()
        prompts = np.repeat(np.arange(500), asked)
        allocator.observe(prompts, np.arange(len(prompts)) % 2.0)

    together(
        feed,
        feed,
        lambda: allocator.estimate(),
        lambda: allocator.observations(),
        lambda: allocator.counts,
        lambda: allocator.in_flight.sum(),
        lambda: v05.Allocator([]).load_state_dict(allocator.state_dict()),
    )


def test_running_fits_at_once():
    for running in (v05.RunningCalibration(), v05.RunningMixture()):
        groups = np.repeat(np.arange(50), 4)
        rewards = [random(seed, 2, 200) for seed in range(2)]
        together(
            *(lambda one=one: running.update(one().astype(float), groups, 0.5) for one in rewards),
            lambda: getattr(running, "mixture", None) or running.calibration,
            running.state_dict,
        )


def test_closing_waits_for_the_call_of_another_thread():
    for _ in range(20):
        history = v05.History()

        def use():
            try:
                while True:
                    history.record(np.arange(5000), np.ones(5000))
            except v05.Error as error:
                assert "is closed" in str(error)

        threads = [threading.Thread(target=use) for _ in range(3)]
        [thread.start() for thread in threads]
        time.sleep(0.005)
        history.close()
        [thread.join() for thread in threads]


def test_an_estimator_is_trained_asked_and_saved_at_once(tmp_path):
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    makers = [random(seed, 300, 64) for seed in range(5)]
    states = []

    def step(make):
        keys = np.repeat(make(), 4)
        estimator.step((keys % 3 > 0).astype(float), keys, keys)

    def keep():
        states.append(estimator.state_dict())

    def save():
        estimator.save(tmp_path / "state")
        v05.AdvantageEstimator(reward_range=(0, 1)).load(tmp_path / "state")

    together(
        lambda: step(makers[0]),
        lambda: step(makers[1]),
        lambda: estimator.predict(makers[2]()),
        keep,
        save,
        lambda: estimator.allocator(makers[3]()),
        lambda: pickle.loads(pickle.dumps(estimator)),
    )
    assert len(states) > 3


def test_a_state_saved_beside_training_is_one_that_existed():
    """Its parts are of one step: as many updates of the calibration as steps, and the history of the same."""
    estimator = v05.AdvantageEstimator(reward_range=(0, 1), discount=1, start_strength=0)
    keys = np.repeat(np.arange(8), 2)
    states = []
    together(lambda: estimator.step(np.tile([0.0, 1.0], 8), keys, keys), lambda: states.append(estimator.state_dict()))
    for state in states[:200]:
        loaded = v05.AdvantageEstimator(reward_range=(0, 1))
        loaded.load_state_dict(state)
        strength = 0 if not loaded.steps else loaded.predict([0])[1][0]
        assert loaded.steps == loaded.calibration.updates == strength / 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_other_threads_are_inside():
    history, estimator = v05.History(), v05.AdvantageEstimator(reward_range=(0, 1))
    keys, twice = np.arange(20_000), np.repeat(np.arange(500), 4)
    codes = []

    def fork():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                history.predict(keys[:10])
                history.record(keys, np.ones(len(keys)))
                v05.History().load_state_dict(history.state_dict())
                estimator.step((twice % 2).astype(float), twice, twice)
                estimator.state_dict()
                code = 0
            finally:
                os._exit(code)
        end = time.monotonic() + 30
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes.append(status)
                return
            if time.monotonic() > end:
                os.kill(child, 9)
                os.waitpid(child, 0)
                codes.append("hangs")
                return
            time.sleep(0.002)

    together(
        lambda: history.record(keys, np.ones(len(keys))),
        lambda: history.predict(keys),
        lambda: estimator.step((twice % 2).astype(float), twice, twice),
        fork,
        seconds=2,
    )
    assert codes and set(codes) == {0}


def test_locks_are_forgotten_with_their_objects():
    import gc

    from v05._core import lock

    gc.collect()
    before = len(lock._locks)
    kept = [v05.History() for _ in range(10)]
    spare = new_lock()
    assert len(lock._locks) == before + 11
    del kept, spare
    gc.collect()
    assert len(lock._locks) == before


def test_nothing_holds_a_lock_that_a_fork_does_not_wait_for():
    """functools.cached_property of Python 3.11 has one of its own, for all objects; queues and pools have some, too."""
    package = Path(v05.__file__).parent
    used = {
        path.relative_to(package).as_posix(): re.findall(
            r"cached_property|threading\.\w*Lock\(|import queue", path.read_text()
        )
        for folder in ("_core", "priors", "training")
        for path in (package / folder).rglob("*.py")
    }
    found = {name: words for name, words in used.items() if words}
    assert found.keys() <= {"_core/lock.py", "_core/cached.py", "training/advantage_estimator.py"}
