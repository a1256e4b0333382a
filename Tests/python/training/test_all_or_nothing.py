"""A step that is refused, fails or is interrupted has changed nothing: the next one gives what it would have given."""

import copy
import logging
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import v05
from v05.training import StoredEstimator, StreamingEstimator

PACKAGE = str(Path(v05.__file__).parent)
NAN, INFINITY = float("nan"), float("inf")


def batch(step, prompts=12, rollouts=3):
    generator = np.random.default_rng(step)
    keys = np.repeat(generator.permutation(2 * prompts)[:prompts], rollouts)
    return (generator.random(len(keys)) < (keys % 7) / 6).astype(float), keys, [f"prompt {key}" for key in keys]


def estimators(tmp_path):
    yield v05.AdvantageEstimator()
    yield v05.AdvantageEstimator(rule="mixture", reward_range=(0, 1))
    yield v05.AdvantageEstimator(rule="prior", scale="batch")
    yield StoredEstimator()
    yield StoredEstimator(state_path=tmp_path / "state")


def streams(tmp_path):
    yield StreamingEstimator(every=5)
    yield StreamingEstimator(every=2, state_path=tmp_path / "stream")


def everything(estimator):
    return estimator.state_dict(), estimator._state.told, estimator.metrics


def same_step(found, expected):
    np.testing.assert_array_equal(found.advantages, expected.advantages)
    np.testing.assert_array_equal(found.baseline, expected.baseline)
    assert found.metrics == expected.metrics


# Refused.

GOOD = batch(9)


def wrong(rewards=None, groups=None, keys=None, **options):
    return lambda: (
        (
            GOOD[0] if rewards is None else rewards,
            GOOD[1] if groups is None else groups,
            GOOD[2] if keys is None else keys,
        ),
        options,
    )


def changed(array, row, value):
    found = list(array)
    found[row] = value
    return found


REFUSED = {
    "infinite reward": wrong(changed(GOOD[0], 4, INFINITY)),
    "negative infinite reward": wrong(changed(GOOD[0], 4, -INFINITY)),
    "reward beyond the core's": wrong(changed(GOOD[0], 4, 1e31)),
    "reward that is a text": wrong(changed(GOOD[0], 4, "1")),
    "rewards of two dimensions": wrong(GOOD[0][:, None]),
    "wider range, then wrong keys": wrong(changed(GOOD[0], 0, 5.0), keys=changed(GOOD[2], 1, "another")),
    "wider range, then too few keys": wrong(changed(GOOD[0], 0, 5.0), keys=GOOD[2][1:]),
    "keys that are no keys": wrong(keys=[None] * len(GOOD[0])),
    "keys that are lists": wrong(keys=[[1]] * len(GOOD[0])),
    "too few groups": wrong(groups=GOOD[1][1:]),
    "groups that mix prompts": wrong(groups=np.zeros(len(GOOD[0]), int)),
    "groups that are floats": wrong(groups=[0.5] * len(GOOD[0])),
    "a maximum that is a text": wrong(maximum="x"),
    "a maximum of 0": wrong(maximum=0),
    "mask of another length": wrong(mask=[True]),
    "mask that is none": wrong(mask=[2] * len(GOOD[0])),
    "a hash that raises": wrong(keys=[type("Key", (), {"__hash__": lambda self: 1 / 0})()] * len(GOOD[0])),
    "an iterator that raises": wrong(
        keys=type("Keys", (), {"__iter__": lambda self: 1 / 0, "__len__": lambda self: 36})()
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_batch_changes_nothing(name, tmp_path, caplog):
    (rewards, groups, keys), options = REFUSED[name]()
    for estimator in estimators(tmp_path):
        control = copy.deepcopy(estimator)
        for _ in range(2):
            before = everything(estimator)
            caplog.clear()
            with pytest.raises(v05.Error):
                estimator.step(rewards, groups, keys, **options)
            assert everything(estimator) == before and not caplog.records
            same_step(estimator.step(*batch(1)), control.step(*batch(1)))
            same_step(estimator.step(*batch(2)), control.step(*batch(2)))
        assert everything(estimator) == everything(control)
        estimator.save(tmp_path / "saved")
        v05.AdvantageEstimator(rule=estimator.rule).load(tmp_path / "saved")


@pytest.mark.parametrize("value", [INFINITY, -INFINITY, 1e31])
def test_a_reward_that_cannot_be_is_named(value):
    with pytest.raises(v05.InvalidArgument, match=r"rewards\[2\] must be finite and at most 1e30"):
        v05.AdvantageEstimator().step([0, 1, value, 1], [0, 0, 1, 1], [0, 0, 1, 1])


# A source of the user's that fails.


class Source:
    def __init__(self, failing=None, error=RuntimeError("boom")):
        self.failing, self.error, self.recorded = failing, error, 0

    def predict(self, keys, prompts, step):
        if self.failing == "predict":
            raise self.error
        return np.full(len(keys), 0.5), np.zeros(len(keys))

    def record(self, *arguments):
        if self.failing == "record":
            raise self.error
        self.recorded += 1

    def state_dict(self):
        return {"recorded": b"%d" % self.recorded}

    def load_state_dict(self, state):
        self.recorded = int(state["recorded"])


@pytest.mark.parametrize("kind", [v05.AdvantageEstimator, StoredEstimator])
@pytest.mark.parametrize("failing", ["predict", "record"])
@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), MemoryError()])
def test_a_source_that_fails_changes_nothing(kind, failing, error):
    source, control = Source(), v05.AdvantageEstimator(prior=Source(), reward_range=(0, 1))
    estimator = kind(prior=source, reward_range=(0, 1))
    for step in range(3):
        source.failing, source.error = failing, error
        before = everything(estimator)
        for _ in range(3):
            with pytest.raises(type(error)):
                estimator.step(*batch(step))
        assert everything(estimator) == before
        source.failing = None
        same_step(estimator.step(*batch(step)), control.step(*batch(step)))
    assert estimator.calibration.updates == source.recorded == estimator.steps == 3


@pytest.mark.parametrize(
    "answer",
    [
        (np.zeros(3), np.zeros(3)),
        (np.zeros(36), np.zeros(2)),
        (["?"] * 36, np.zeros(36)),
        (np.full(36, 7.0), np.zeros(36)),
        (np.full(36, INFINITY), np.zeros(36)),
    ],
)
def test_a_source_that_says_nonsense_is_refused(answer):
    source = Source()
    source.predict = lambda *arguments: answer
    estimator = v05.AdvantageEstimator(prior=source, reward_range=(0, 1))
    before = estimator.state_dict()
    with pytest.raises(v05.Error):
        estimator.step(*batch(1))
    assert estimator.state_dict() == before


def test_a_log_that_is_interrupted_changes_nothing(tmp_path):
    def report(metrics):
        if interrupting:
            raise KeyboardInterrupt

    for options in ({}, {"state_path": tmp_path / "state"}):
        interrupting = False
        estimator, control = StoredEstimator(log=report, **options), v05.AdvantageEstimator()
        for step in range(3):
            interrupting = True
            before = everything(estimator)
            with pytest.raises(KeyboardInterrupt):
                estimator.step(*batch(step))
            assert everything(estimator) == before
            interrupting = False
            same_step(estimator.step(*batch(step)), control.step(*batch(step)))


# Ctrl-C anywhere.


class Interruption:
    """Raises KeyboardInterrupt before the `at`-th line of the package that runs; `lines` counts them."""

    def __init__(self, at):
        self.at, self.lines = at, 0

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(PACKAGE) or frame.f_code.co_name in ("_take_back", "_restored"):
            return None  # what mends is interrupted by a second Ctrl-C only
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        sys.settrace(self)
        return self

    def __exit__(self, *exception):
        sys.settrace(None)


@pytest.mark.parametrize("number", range(5))
def test_interrupted_before_any_line(number, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    estimator = list(estimators(tmp_path))[number]
    control = v05.AdvantageEstimator(
        rule=estimator.rule, reward_range=estimator.reward_range, scale=estimator._options["scale"]
    )
    with Interruption(0) as whole:
        estimator.step(*batch(0, 4))
    control.step(*batch(0, 4))
    step, at = 1, 1
    while at < whole.lines + 40:
        before = everything(estimator)
        interruption = Interruption(at)
        try:
            with interruption:
                found = estimator.step(*batch(step, 4))
        except KeyboardInterrupt:
            assert everything(estimator) == before, f"interrupted before line {at} of {whole.lines}"
            found = estimator.step(*batch(step, 4))
        same_step(found, control.step(*batch(step, 4)))
        step += 1
        at += 1 if number == 4 else 5
    assert estimator.state_dict() == control.state_dict()


class Handler(Interruption):
    """A signal handler that asks for the state before the `at`-th line, as one that saves what it can."""

    def __init__(self, at, estimator):
        super().__init__(at)
        self.estimator = estimator

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename.startswith(PACKAGE) and event == "line":
            self.lines += 1
            if self.lines == self.at:
                self.estimator.state_dict()
        return self


@pytest.mark.parametrize("prior", ["history", "tracker"])
def test_a_handler_that_saves_before_any_line_records_no_visit_twice(prior):
    """What a step gave is recorded when it is first asked for: by the handler, or by the step that it interrupts."""
    estimator, control = (v05.AdvantageEstimator(reward_range=(0, 1), prior=prior) for _ in range(2))
    with Handler(0, estimator) as whole:
        estimator.step(*batch(0, 4))
    control.step(*batch(0, 4))
    for at in range(1, whole.lines + 40):
        with Handler(at, estimator):
            found = estimator.step(*batch(at, 4))
        same_step(found, control.step(*batch(at, 4)))
    assert estimator.state_dict() == control.state_dict()


@pytest.mark.parametrize("saved", [False, True])
def test_a_stream_interrupted_before_any_line(saved, tmp_path):
    """Reports and writes come every third group: what lies between is neither lost nor counted twice."""
    told, expected = [], []
    estimator = StreamingEstimator(
        every=3, reward_range=(0, 1), log=told.append, state_path=tmp_path / "state" if saved else None
    )
    control = StreamingEstimator(every=3, reward_range=(0, 1), log=expected.append)
    generator = np.random.default_rng(0)
    with Interruption(0) as whole:
        for key in range(3):
            estimator.group([1.0, 0.0, 1.0], key)
            control.group([1.0, 0.0, 1.0], key)
    for at in range(1, whole.lines, 2):
        rewards, key = (generator.random(3) < 0.5).astype(float), int(generator.integers(5))
        before = everything(estimator), len(estimator._state.window)
        try:
            with Interruption(at):
                found = estimator.group(rewards, key)
        except KeyboardInterrupt:
            assert (everything(estimator), len(estimator._state.window)) == before, f"before line {at}"
            found = estimator.group(rewards, key)
        np.testing.assert_array_equal(found, control.group(rewards, key))
    assert estimator.state_dict() == control.state_dict()
    assert told[-1] == expected[-1] and estimator.metrics == control.metrics


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ctrl-C in the __del__ of a ZipFile
def test_interrupted_by_signals(tmp_path, caplog):
    """As Ctrl-C is: at any moment, most of all while the core works and the file is written."""
    caplog.set_level(logging.CRITICAL)
    control = v05.AdvantageEstimator()
    estimator = StoredEstimator(state_path=tmp_path / "state")
    generator = np.random.default_rng(0)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for step in range(60):
            rewards, groups, keys = batch(step, prompts=100)
            for patience in (0.004, 0.02, 0):
                try:
                    signal.setitimer(signal.ITIMER_REAL, patience and patience * generator.random() + 1e-5)
                    found = estimator.step(rewards, groups, keys)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    break
                except KeyboardInterrupt:
                    interrupted += 1
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    if estimator.steps > step:  # the signal came between the answer and this loop
                        found = None
                        break
            expected = control.step(rewards, groups, keys)
            assert estimator.state_dict() == control.state_dict()
            if found is not None:
                same_step(found, expected)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert interrupted > 20


# Copies.


def test_pickled_and_copied_goes_on_alike(tmp_path):
    for estimator in (*estimators(tmp_path), *streams(tmp_path)):
        for step in range(3):
            estimator.step(*batch(step))
            if isinstance(estimator, StreamingEstimator):
                estimator.group([1.0, 0.0], step)
        estimator.agree = lambda ask: ask()  # of this process
        copies = [pickle.loads(pickle.dumps(estimator, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
        copies += [copy.deepcopy(estimator), copy.copy(estimator)]
        for each in copies:
            assert type(each) is type(estimator) and each.state_dict() == estimator.state_dict() and each.agree is None
            if isinstance(each, StoredEstimator):
                each.writes = False
        expected = [estimator.step(*batch(step)) for step in (3, 4)]
        for each in copies:
            for step, wanted in zip((3, 4), expected):
                same_step(each.step(*batch(step)), wanted)
            assert each.state_dict() == estimator.state_dict()


def test_a_source_of_the_user_is_pickled_with_what_it_learnt():
    estimator = v05.AdvantageEstimator(prior=Source(), reward_range=(0, 1))
    estimator.step(*batch(1))
    for each in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert each.source.recorded == 1 and each.source is each.prior and each.source is not estimator.source
        each.step(*batch(2))
        assert each.source.recorded == 2 and estimator.source.recorded == 1


def test_warnings_are_told_once_by_a_copy_too(caplog):
    estimator = v05.AdvantageEstimator()
    estimator.step(*batch(0))
    caplog.clear()
    pickle.loads(pickle.dumps(estimator)).step([None, 1.0], [0, 0], ["a", "a"])
    assert [record.message for record in caplog.records] == [
        "1 of 2 rollouts have no reward (None or NaN): they count nowhere and their advantage is 0"
    ]


def test_two_runs_at_one_state_path_are_told(tmp_path, caplog):
    first, second = StoredEstimator(state_path=tmp_path / "state"), StoredEstimator(state_path=tmp_path / "state")
    rewards, groups = [1.0, 0.0, 1.0, 1.0], [0, 0, 1, 1]
    for _ in range(3):
        first.step(rewards, groups, groups)
    assert "another run" not in caplog.text
    second.step(rewards, groups, groups)
    first.step(rewards, groups, groups)
    first.step(rewards, groups, groups)
    assert caplog.text.count(f"another run or process has written {tmp_path / 'state'} since the last step") == 1
    third = StoredEstimator(state_path=tmp_path / "other")
    third.step(rewards, groups, groups)
    (tmp_path / "other").write_bytes((tmp_path / "other").read_bytes())  # the same content is no other run's
    caplog.clear()
    third.step(rewards, groups, groups)
    assert "another run" not in caplog.text
