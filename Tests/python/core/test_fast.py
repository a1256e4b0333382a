"""The shortest way of `advantages` gives the bits of the general way, and takes nothing that it should not."""

import signal
import threading

import numpy as np
import pytest
import v05
from v05._core import fast, scratch


@pytest.fixture
def taken(monkeypatch):
    """What the shortest way answered, call by call."""
    answers = []

    def watched(*arguments):
        answers.append(quick(*arguments))
        return answers[-1]

    quick = fast.advantages
    monkeypatch.setattr(fast, "advantages", watched)
    return answers


def batch(dtype=np.float32, groups=40, size=6, seed=0):
    generator = np.random.default_rng(seed)
    ids = np.repeat(generator.permutation(groups), size)
    rewards = generator.integers(0, 2, groups * size).astype(dtype)
    return rewards, ids.astype(np.int64), generator.random(groups).round(2)[ids]


def slowly(rewards, groups, prior, **options):
    """The same by the general way."""
    return v05.advantages(rewards, groups, prior, mask=np.ones(len(rewards), bool), **options)


RULES = ["v05", "grpo", "prior", "rloo", "calibrated", "james_stein", "median", "mixture", "batch_mean"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_arrays_and_tensors(taken, rule, dtype, leave_one_out):
    torch = pytest.importorskip("torch")
    rewards, groups, prior = batch(dtype)
    names = np.array([f"uid {number}" for number in groups], object)
    tensors = list(map(torch.from_numpy, (rewards, groups, prior)))
    options = dict(rule=rule, leave_one_out=leave_one_out)
    expected = slowly(rewards, groups, prior, **options)
    calls = [
        (rewards, groups, prior),
        tensors,
        (rewards, tensors[1], tensors[2]),
        (tensors[0], groups, prior),
        (rewards, names, prior),
        (tensors[0], names.tolist(), prior),
    ]
    for number, arguments in enumerate(calls, 1):
        found = v05.advantages(*arguments, **options)
        assert len(taken) == number and found is taken[-1] and type(found) is type(arguments[0])
        assert np.asarray(found).dtype == dtype
        np.testing.assert_array_equal(np.asarray(found), expected)
    shuffle = np.random.default_rng(1).permutation(len(rewards))
    found = v05.advantages(rewards[shuffle], groups[shuffle], prior[shuffle], **options)
    np.testing.assert_array_equal(found, expected[shuffle])
    assert found is taken[-1]


def test_without_prior(taken):
    rewards, groups, _ = batch()
    assert v05.advantages(rewards, groups) is taken[-1]
    np.testing.assert_array_equal(taken[-1], slowly(rewards, groups, None))


def test_batches_of_many_sizes_in_one_thread():
    for groups in (3, 4000, 7, 1, 30_000, 2):
        for options in ({}, {"leave_one_out": True}, {"rule": "calibrated"}):
            arguments = batch(groups=groups, seed=groups)
            np.testing.assert_array_equal(v05.advantages(*arguments, **options), slowly(*arguments, **options))


def test_more_memory_than_a_thread_keeps(monkeypatch):
    monkeypatch.setattr(scratch, "_LARGEST", 1 << 16)
    scratch.put_back(scratch.Scratch())
    for groups in (10_000, 20, 10_000):
        rewards, ids, prior = batch(groups=groups)
        shuffle = np.random.default_rng(0).permutation(len(rewards))
        for order in (slice(None), shuffle):
            arguments = rewards[order], ids[order], prior[order]
            np.testing.assert_array_equal(v05.advantages(*arguments), slowly(*arguments))
    kept = scratch.take()
    assert kept.size <= 1 << 16
    scratch.put_back(scratch.Scratch())


def left_to_the_general_way():
    rewards, groups, prior = batch()
    yield "half precision", (rewards.astype(np.float16), groups, prior)
    yield "integers", (rewards.astype(int), groups, prior)
    yield "every second", (np.repeat(rewards, 2)[::2], groups, prior)
    yield "ids of 32 bits", (rewards, groups.astype(np.int32), prior)
    yield "ids of every second", (rewards, np.repeat(groups, 2)[::2], prior)
    yield "priors of 32 bits", (rewards, groups, prior.astype(np.float32))
    yield "one prior", (rewards, groups, 0.5)
    yield "a dict of priors", (rewards, groups, dict(zip(groups.tolist(), prior)))
    yield "the other byte order", (rewards.astype(">f4"), groups, prior)


@pytest.mark.parametrize("arguments", [each[1] for each in left_to_the_general_way()])
def test_what_needs_a_conversion(taken, arguments):
    found = v05.advantages(*arguments)
    assert taken == [None]
    np.testing.assert_array_equal(found, slowly(*arguments))


def test_tensors_that_need_a_second_look(taken):
    torch = pytest.importorskip("torch")
    rewards, groups, prior = map(torch.from_numpy, batch())
    negative = torch.complex(torch.zeros_like(rewards), -rewards).conj().imag
    assert negative.is_neg() and negative.equal(rewards)
    expected = slowly(rewards, groups, prior)
    for value in (negative, torch.stack([rewards, rewards], 1)[:, 0], rewards.clone().as_subclass(torch.nn.Buffer)):
        assert v05.advantages(value, groups, prior).equal(expected) and taken[-1] is None
    trained = v05.advantages(rewards.clone().requires_grad_(), groups, prior)
    assert trained.equal(expected) and not trained.requires_grad
    with pytest.raises(v05.Error):
        v05.advantages(rewards.to("meta"), groups, prior)
    with pytest.raises(v05.Error, match="one entry per reward"):
        v05.advantages(rewards, groups[:-1], prior)


def test_options_that_equal_good_ones_are_looked_at():
    rewards, groups, prior = batch()
    v05.advantages(rewards, groups, prior, ddof=1, scale="group")
    with pytest.raises(v05.ArgumentTypeError, match="ddof must be an integer, got 1.0"):
        v05.advantages(rewards, groups, prior, ddof=1.0, scale="group")
    for options in (
        {"rule": []},
        {"reward_range": [1, 0]},
        {"reward_range": "01"},
        {"level": np.nan},
        {"epsilon": -1.0},
    ):
        for _ in range(2):
            with pytest.raises(v05.Error, match=next(iter(options))):
                v05.advantages(rewards, groups, prior, scale="group", **options)
    found = v05.advantages(rewards, groups, prior, reward_range=[0, 1])
    np.testing.assert_array_equal(found, v05.advantages(rewards, groups, prior, reward_range=(0, 1)))
    for number in range(200):  # more than are kept
        v05.advantages(rewards, groups, prior, epsilon=number / 7.0)


def test_the_result_is_the_callers():
    rewards, groups, prior = batch()
    first = v05.advantages(rewards, groups, prior)
    copy = first.copy()
    v05.advantages(1 - rewards, groups, prior)
    np.testing.assert_array_equal(first, copy)


def test_refused_input_is_said_and_the_next_call_is_right():
    rewards, groups, prior = batch()
    expected = v05.advantages(rewards, groups, prior)
    bad = rewards.copy()
    bad[7] = np.nan
    with pytest.raises(v05.InvalidArgument, match=r"rewards\[7\]"):
        v05.advantages(bad, groups, prior)
    with pytest.raises(v05.InvalidArgument, match=r"\(group "):
        v05.advantages(rewards, np.zeros_like(groups), prior)
    np.testing.assert_array_equal(v05.advantages(rewards, groups, prior), expected)


def test_threads_and_a_handler_of_a_signal_have_memory_of_their_own():
    batches = [batch(groups=groups, seed=groups) for groups in (5, 300, 2000)]
    expected = [slowly(*arguments) for arguments in batches]
    wrong = []

    def run():
        for number in range(300):
            arguments, right = batches[number % 3], expected[number % 3]
            if not np.array_equal(v05.advantages(*arguments), right):
                wrong.append(number)

    def handler(*_):
        if not np.array_equal(v05.advantages(*batches[1]), expected[1]):
            wrong.append("handler")

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        run()
        for thread in threads:
            thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not wrong
