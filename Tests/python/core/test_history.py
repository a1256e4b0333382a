"""The prior that a prompt's own past is: against a plain dict, in memory and time, and on a real training run."""

import copy
import ctypes
import json
import math
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import v05
from v05._core.keys import key_array

NAN = math.nan


class Plain:
    """Method section 9 over a dict, whose order is that in which keys were last recorded."""

    def __init__(self, discount=0.8, capacity=None, step_decay=None, reward_range=(0.0, 1.0), start_strength=1.0):
        self.start_strength = start_strength
        self.level = NAN
        self.started = set()
        self.discount = discount
        self.capacity = math.inf if capacity is None else capacity
        self.step_decay = 1.0 if step_decay is None else step_decay
        self.low, self.high = reward_range
        self.entries = {}

    def record(self, keys, rewards, mask, step):
        visits = {}
        for key, reward, counted in zip(keys, rewards, mask):
            visits.setdefault(key, []).extend([reward] if counted else [])
        for key, visit in visits.items():
            if visit:
                a, n, last = self.entries.pop(key, (0.0, 0.0, step))
                decay = self.discount * self.step_decay ** (step - last)
                a = decay * a + sum((reward - self.low) / (self.high - self.low) for reward in visit)
                self.entries[key] = a, decay * n + len(visit), step
        all_of_them = [(reward - self.low) / (self.high - self.low) for visit in visits.values() for reward in visit]
        if all_of_them and math.isnan(self.level):
            self.level = (sum(all_of_them) + 0.5) / (len(all_of_them) + 1)
        elif all_of_them:
            self.level += 0.2 * (sum(all_of_them) / len(all_of_them) - self.level)
        self.trim()

    def start(self, key, value, strength, step):
        if key not in self.entries and strength > 0 and not math.isnan(value):
            self.entries[key] = strength * (value - self.low) / (self.high - self.low), strength, step
            self.started.add(key)
        self.trim()

    def merge(self, other):
        self.level = (
            other.level
            if math.isnan(self.level)
            else self.level
            if math.isnan(other.level)
            else (self.level + other.level) / 2
        )
        self.started |= other.started
        for key, (a, n, step) in other.entries.items():
            known_a, known_n, known_step = self.entries.pop(key, (0.0, 0.0, step))
            newest = max(step, known_step)
            here, there = (self.step_decay ** (newest - at) for at in (known_step, step))
            self.entries[key] = here * known_a + there * a, here * known_n + there * n, newest
        self.trim()

    def trim(self):
        while len(self.entries) > self.capacity:
            oldest = next(iter(self.entries))
            del self.entries[oldest]
            self.started.discard(oldest)

    def predict(self, key, step):
        a, n, last = self.entries.get(key, (0.0, 0.0, step))
        left = self.step_decay ** (step - last)
        if key not in self.started and not math.isnan(self.level) and self.start_strength:
            a, n = a * left + self.start_strength * self.level, n * left + self.start_strength
            return self.low + (self.high - self.low) * a / n, n
        if n == 0:
            return NAN, 0.0
        return self.low + (self.high - self.low) * a / n, n * left


def assert_same(history, plain, keys, step):
    assert len(history) == len(plain.entries)
    value, strength = history.predict(keys, step=step)
    expected = np.array([plain.predict(key, step) for key in keys])
    np.testing.assert_allclose(value, expected[:, 0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(strength, expected[:, 1], rtol=1e-12, atol=1e-300)


def test_a_value_whose_visits_have_decayed_is_that_of_the_level():
    history = v05.History(1.0, step_decay=0.5)
    history.record([7] * 8 + [8] * 24, [1.0] * 8 + [0.0] * 24)
    (before, level), _ = history.predict([7, 9])
    value, strength = history.predict([7], step=200)
    assert before > 0.9 and value[0] == level < 0.3 and strength[0] == 1


RANGES = [(0.0, 1.0), (-1.0, 1.0), (2.0, 5.0)]


def rows(generator, keys, reward_range):
    """A batch of rollouts: some keys several times, some rows masked, and what is masked is of no use."""
    low, high = reward_range
    count = int(generator.integers(0, 40))
    mask = generator.random(count) < 0.8
    rewards = np.where(
        mask, low + (high - low) * generator.choice([0, 1, 0, 1, 0.3], count), generator.choice([NAN, 1e9, 0], count)
    )
    return generator.choice(keys, count), rewards, mask


@pytest.mark.parametrize("discount", [0, 0.5, 0.8, 1])
@pytest.mark.parametrize("step_decay", [None, 0.9, 0])
@pytest.mark.parametrize("capacity", [None, 1, 7, 25])
def test_random_visits(discount, step_decay, capacity):
    generator = np.random.default_rng(1)
    keys = generator.integers(-(2**63), 2**63 - 1, 30)
    for reward_range in RANGES:
        options = discount, capacity, step_decay
        start_strength = {0.0: 0.0, -1.0: 1.0, 2.0: 2.5}[reward_range[0]]
        history = v05.History(*options, start_strength=start_strength, reward_range=reward_range)
        plain = Plain(*options, reward_range, start_strength)
        step = 0
        for visit in range(40):
            if visit % 5 == 4:
                started = generator.choice(keys, 3)
                value = reward_range[0] + (reward_range[1] - reward_range[0]) * generator.choice([0, 0.25, 1, NAN], 3)
                strength = generator.choice([0, 0.5, 8], 3)
                history.start(started, value, strength, step=step)
                # One call is trimmed once, at its end.
                capacity_of_all, plain.capacity = plain.capacity, math.inf
                for key, *known in zip(started.tolist(), value, strength):
                    plain.start(key, *known, step)
                plain.capacity = capacity_of_all
                plain.trim()
            else:
                batch_keys, rewards, mask = rows(generator, keys, reward_range)
                history.record(batch_keys, rewards, mask=mask, step=step)
                plain.record(batch_keys.tolist(), rewards.tolist(), mask.tolist(), step)
            assert_same(history, plain, keys.tolist(), step)
            step += int(generator.choice([0, 1, 1, 5]))
            assert_same(history, plain, keys.tolist(), step)
        assert plain.entries


def test_many_keys_come_and_go():
    """The table under constant eviction, with keys that follow each other."""
    generator = np.random.default_rng(2)
    history, plain = v05.History(capacity=500), Plain(capacity=500)
    keys = np.arange(3000)
    for _ in range(200):
        batch = generator.choice(keys, 60)
        rewards = generator.integers(0, 2, 60).astype(float)
        history.record(batch, rewards)
        plain.record(batch.tolist(), rewards.tolist(), [True] * 60, 0)
    assert_same(history, plain, keys.tolist(), 0)
    assert len(history) == 500


def test_the_prompts_recorded_longest_ago_go_first():
    history = v05.History(capacity=3, start_strength=0)

    def known():
        return [key for key in range(9) if history.predict([key])[1][0] > 0]

    history.record([0, 1, 2], [1, 1, 1])
    history.record([0], [1])
    history.record([3], [1])
    assert known() == [0, 2, 3]
    history.predict([2])
    history.record([2], [1], mask=[False])
    history.start([2], 0.5, 1)
    history.record([4], [1])  # a look, a masked row and a start that came too late keep nothing
    assert known() == [0, 3, 4]
    history.record([5, 6, 0, 7, 8], [1] * 5)  # in one call the first goes first, too
    assert known() == [0, 7, 8]
    history.merge(v05.History(capacity=2, start_strength=0))
    assert known() == [0, 7, 8]


def test_a_visit_by_hand():
    history = v05.History(0.5, reward_range=(-1, 1), start_strength=0)
    value, strength = history.predict([7, 7, 8])
    assert np.isnan(value).all() and strength.tolist() == [0, 0, 0] and value.dtype == strength.dtype == np.float64
    history.record([7, 7, 7, 7], [1, 1, -1, 1])
    assert [each.tolist() for each in history.predict([7])] == [[0.5], [4]]
    history.record([7, 7], [-1, -1])
    assert [each.tolist() for each in history.predict([7])] == [[-0.25], [4]]  # (0.5 * 3 + 0) / (0.5 * 4 + 2) = 3 / 8
    assert len(history) == 1 and repr(history) == "History(1 prompts)"


def test_a_start_value_by_hand():
    history = v05.History(0.5, reward_range=(-1, 1))
    assert np.isnan(history.predict([7])[0]).all()  # nothing was recorded: the batch itself must help
    history.record([7, 8, 9], [1, -1, -1])
    level = (1 + 0.5) / 4
    assert history.predict([5]) == (pytest.approx([2 * level - 1]), pytest.approx([1]))
    assert history.predict([7]) == (pytest.approx([2 * (1 + level) / 2 - 1]), pytest.approx([2]))
    history.record([7], [1])
    level += 0.2 * (1 - level)
    assert history.predict([5, 7])[0] == pytest.approx([2 * level - 1, 2 * (1.5 + level) / 2.5 - 1])
    history.record([7], [-1], mask=[False])
    assert history.predict([5])[0] == pytest.approx([2 * level - 1])  # nothing counted, nothing learnt
    history.start([5], 0.5, 3)
    assert history.predict([5]) == ([0.5], [3])  # its own start stands in the place of the level
    history.record([5], [1])
    assert history.predict([5]) == (pytest.approx([2 * (1.5 * 0.75 + 1) / 2.5 - 1]), pytest.approx([2.5]))


def test_the_value_of_a_single_rollout_is_no_end_of_the_range():
    history = v05.History()
    history.record(np.arange(50), np.arange(50) % 2)
    value, strength = history.predict(np.arange(60))
    assert ((value > 0.2) & (value < 0.8)).all() and strength.tolist() == [2.0] * 50 + [1.0] * 10


@pytest.mark.parametrize("start_strength", [-1.0, NAN, math.inf])
def test_a_start_strength_that_cannot_be(start_strength):
    with pytest.raises(v05.InvalidArgument, match="start_strength must be finite and not negative, got"):
        v05.History(start_strength=start_strength)


def test_time():
    history = v05.History(step_decay=0.5, start_strength=0)
    history.record([1], [1.0], step=10)
    assert history.predict([1], step=12)[1] == [0.25]
    assert history.predict([1], step=9)[1] == [1]
    history.record([1], [0.0], step=11)
    assert history.predict([1], step=11) == (pytest.approx([0.4 / 1.4]), pytest.approx([1.4]))
    assert history.predict([1], step=2**31 - 1)[1] == [0]


@pytest.mark.parametrize("discount", [0.5, 0.8, 1.0])
def test_a_visit_that_is_recorded_late(discount):
    """The older visit counts as much less as it is older, whichever comes first."""
    history = v05.History(discount, step_decay=0.5, start_strength=0)
    history.record([1], [1.0], step=3)
    history.record([1], [0.0], step=1)
    n = discount + 0.25
    assert history.predict([1], step=3) == (pytest.approx([discount / n]), pytest.approx([n]))


def test_a_refused_record_changes_nothing():
    history = v05.History()
    history.record([1, 2], [1, 0])
    before = history.state_dict()
    for rewards in ([1, NAN], [1, math.inf], [0, 1.5], [-0.1, 0]):
        with pytest.raises(v05.InvalidArgument):
            history.record([3, 1], rewards)
        assert history.state_dict() == before


def test_masked_rows_are_not_looked_at():
    history = v05.History(start_strength=0)
    history.record([1, 1, 2], [1, NAN, 99], mask=[True, False, False])
    assert len(history) == 1 and history.predict([1]) == ([1], [1])


def test_rounded_rewards_stay_in_the_range():
    history = v05.History(1, start_strength=0)
    history.record([1, 2], [1 + 5e-7, -5e-7])
    assert history.predict([1, 2])[0].tolist() == [1, 0]


# Keys.


def string_hash(text):
    """FNV-1a with 64 bits and a last mixing step."""
    bits = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "surrogatepass"):
        bits = (bits ^ byte) * 0x100000001B3 % 2**64
    bits = (bits ^ bits >> 33) * 0xFF51AFD7ED558CCD % 2**64
    bits ^= bits >> 33
    return bits - 2**64 if bits >= 2**63 else bits


def test_strings_have_the_same_keys_for_ever():
    """Saved histories would be lost otherwise. These numbers never change."""
    assert [string_hash(text) for text in HASHES] == list(HASHES.values())
    history = v05.History(start_strength=0)
    history.record(list(HASHES), [1.0] * len(HASHES))
    assert len(history) == len(HASHES)
    assert history.predict(list(HASHES.values()))[1].tolist() == [1.0] * len(HASHES)
    assert history.predict([text.encode("utf-8", "surrogatepass") for text in HASHES])[1].tolist() == [1.0] * len(
        HASHES
    )


HASHES = {
    "": -1388729422223754158,
    "a": -1332659915518795187,
    "b": 5699797874749764508,
    "What is 2 + 2?": -2370709180843954866,
    "dapomath_17": -2757226489553366716,
    "\u00fc\u4e16\U0001f642": -2080008396309582204,
    "\ud800 alone": 747346720850867726,
    "x" * 10_000: 6373454743863775545,
}


def test_keys_of_all_kinds():
    numbers = [3, -1, 2**63 - 1, -(2**63), 0]
    rewards = [1, 0, 1, 0.5, 0.25]
    expected = v05.History(start_strength=0)
    expected.record(np.array(numbers), rewards)
    for keys in (numbers, tuple(numbers), map(int, numbers), np.array(numbers, object), [np.int64(n) for n in numbers]):
        history = v05.History(start_strength=0)
        history.record(keys, rewards)
        assert history.state_dict() == expected.state_dict()
    for dtype in (np.int8, np.uint16, np.int32, np.uint64):
        history = v05.History(start_strength=0)
        history.record(np.array([3, 7], dtype), np.array([1, 0], np.float32))
        assert history.predict([3, 7])[0].tolist() == [1, 0]
    text = v05.History(start_strength=0)
    text.record(np.array(["a", "bb"]), [True, False])
    assert text.predict(["a", "bb"])[0].tolist() == [1, 0]
    torch = pytest.importorskip("torch")
    history = v05.History(start_strength=0)
    history.record(torch.tensor(numbers), torch.tensor(rewards, dtype=torch.bfloat16))
    assert history.state_dict() == expected.state_dict()


def test_keys_in_any_mixture_of_objects():
    """Whether equal keys are one object or several, side by side or not, alone or beside other kinds."""
    texts = [text for text in HASHES for _ in range(3)]
    copies = [text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass") for text in texts]
    expected = [HASHES[text] for text in texts]
    order = np.random.default_rng(0).permutation(len(texts))
    for keys in (texts, copies, np.array(texts, object), np.repeat(np.array(texts, object), 2)[::2]):
        assert key_array(keys).tolist() == expected
        assert key_array([keys[row] for row in order]).tolist() == [expected[row] for row in order]
    short = ["", "a", "a", "b", "dapomath_17"]
    assert key_array(np.array(short)).tolist() == [HASHES[text] for text in short]
    assert key_array(np.array([b"a", b"a", b"b"])).tolist() == [HASHES[text] for text in "aab"]
    mixed = [7, "a", b"b", np.int8(-1), "a", -(2**63), np.str_("b"), 7]
    assert key_array(mixed).tolist() == [7, HASHES["a"], HASHES["b"], -1, HASHES["a"], -(2**63), HASHES["b"], 7]


def test_no_keys():
    history = v05.History()
    history.record([], [])
    history.start([], [], [])
    history.start([], 0.5, 1)
    assert len(history) == 0 and [len(each) for each in history.predict([])] == [0, 0]


# Starting, merging, saving.


def test_start():
    history = v05.History(0.5, start_strength=0)
    history.record([1], [1])
    history.start([1, 2, 3, 4], [0.25, 0.25, NAN, 0.75], [8, 8, 8, 0])
    value, strength = history.predict([1, 2, 3, 4])
    np.testing.assert_array_equal(value, [1, 0.25, NAN, NAN])
    assert strength.tolist() == [1, 8, 0, 0]
    history.record([2], [1])
    assert history.predict([2]) == ([(0.5 * 2 + 1) / 5], [5])
    history.start(["x", "y"], 0.5, 2)
    assert history.predict(["x", "y"])[1].tolist() == [2, 2]
    history.start([9], None, 1)
    assert len(history) == 4


@pytest.mark.parametrize("step_decay", [None, 0.7])
@pytest.mark.parametrize("capacity", [None, 12])
def test_merging_shards(step_decay, capacity):
    generator = np.random.default_rng(3)
    keys = np.arange(20)
    options = dict(capacity=capacity, step_decay=step_decay)
    shards = [(v05.History(**options), Plain(**options)) for _ in range(3)]
    for step in range(12):
        for history, plain in shards:
            batch_keys, rewards, mask = rows(generator, keys, (0.0, 1.0))
            history.record(batch_keys, rewards, mask=mask, step=step)
            plain.record(batch_keys.tolist(), rewards.tolist(), mask.tolist(), step)
    (whole, plain), *others = shards
    for history, other in others:
        before = history.state_dict()
        whole.merge(history)
        plain.merge(other)
        assert history.state_dict() == before
        assert_same(whole, plain, keys.tolist(), 15)


def test_shards_of_different_prompts_are_their_union():
    whole, parts = v05.History(start_strength=0), [v05.History(start_strength=0), v05.History(start_strength=0)]
    for step in range(3):
        for part in range(2):
            keys = np.arange(100) * 2 + part
            rewards = ((keys + step) % 3 == 0).astype(float)
            parts[part].record(keys, rewards)
            whole.record(keys, rewards)
    parts[0].merge(parts[1])
    for found, expected in zip(parts[0].predict(np.arange(200)), whole.predict(np.arange(200))):
        np.testing.assert_array_equal(found, expected)


def test_an_empty_shard_changes_nothing():
    history = v05.History()
    history.record([1, 2], [1, 0])
    before = history.state_dict()
    history.merge(v05.History())
    assert history.state_dict() == before
    other = v05.History()
    other.merge(history)
    assert other.state_dict() == before


def copies(history, path):
    history.save(path)
    loaded = v05.History(0.1, 5, 0.2, reward_range=(-9, 9))
    loaded.load_state_dict(history.state_dict())
    return [
        loaded,
        v05.History.load(path),
        pickle.loads(pickle.dumps(history)),
        copy.copy(history),
        copy.deepcopy(history),
    ]


def test_saved_histories_go_on_where_they_were(tmp_path):
    generator = np.random.default_rng(4)
    history, plain = v05.History(0.6, 15, 0.9, reward_range=(-1, 1)), Plain(0.6, 15, 0.9, (-1, 1))
    keys = np.arange(30)
    for step in range(30):
        batch_keys, rewards, mask = rows(generator, keys, (-1, 1))
        plain.record(batch_keys.tolist(), rewards.tolist(), mask.tolist(), step)
        for each in [history, *copies(history, tmp_path / "history")]:
            before = each.state_dict()
            assert before == history.state_dict() or each is not history
            each.record(batch_keys, rewards, mask=mask, step=step)
            assert_same(each, plain, keys.tolist(), step)


# Size.

MEMORY = """
import ctypes, sys
import numpy as np
import v05

def resident():
    ctypes.CDLL(None).malloc_trim(0)  # what the process holds, not what malloc keeps for later
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1000

portion = int(sys.argv[1])
keys = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 1_000_000)
rewards = np.ones(portion)
v05.History().record(keys[:portion], rewards)
history = v05.History()
before = resident()
for _ in range(2):
    for start in range(0, len(keys), portion):
        history.record(keys[start : start + portion], rewards)
    assert len(history) == len(keys)
    print(resident() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="memory is measured with glibc only")
@pytest.mark.parametrize("portion", [1_000_000, 100_000, 1000])
def test_memory_of_a_million_prompts(portion):
    """Also after the second visits, as there are no more prompts then."""
    result = subprocess.run([sys.executable, "-c", MEMORY, str(portion)], capture_output=True, text=True, check=True)
    first, second = map(float, result.stdout.split())
    print(f"\n1,000,000 prompts, {portion} a record: {first:.1f} MB, after their second visits {second:.1f} MB")
    assert first < 60
    assert second < first + 2


def test_a_million_prompts():
    keys = np.random.default_rng(5).permutation(1_000_000)
    history = v05.History(start_strength=0)
    rewards = (keys % 3 == 0).astype(np.float32)
    for _ in range(2):
        history.record(keys, rewards)
    value, strength = history.predict(keys)
    np.testing.assert_array_equal(value, rewards)
    assert (strength == 1.8).all() and len(history) == 1_000_000


# The rule "discounted_beta".


def merged(mean, count, prior, strength, low, high):
    """Weight, baseline and mse of a Beta prior worth `strength` rewards after `count` more with this mean."""
    if math.isnan(prior) or strength == 0:
        return 1, mean, ((high - low) / 2) ** 2 / count if count else NAN
    total = strength + count
    baseline = (strength * prior + (count * mean if count else 0)) / total
    return count / total, baseline, (baseline - low) * (high - baseline) / (total + 1)


@pytest.mark.parametrize("low, high", RANGES)
def test_discounted_beta(low, high):
    generator = np.random.default_rng(6)
    for _ in range(50):
        sizes = generator.integers(1, 9, 20)
        groups = np.repeat(np.arange(20), sizes)
        rewards = low + (high - low) * generator.choice([0, 1, 0.3], len(groups))
        prior = low + (high - low) * np.where(generator.random(20) < 0.2, NAN, generator.random(20))
        strength = generator.choice([0, 0.5, 7.5, 40], 20)
        call = dict(
            rewards=rewards,
            groups=groups,
            prior=prior[groups],
            prior_strength=strength[groups],
            rule="discounted_beta",
            reward_range=(low, high),
        )
        found = v05.estimate(**call)
        expected = [
            merged(rewards[groups == group].mean(), sizes[group], prior[group], strength[group], low, high)
            for group in range(20)
        ]
        for values, name in zip(zip(*expected), ("weight", "baseline", "mse")):
            np.testing.assert_allclose(getattr(found, name), values, rtol=1e-12, atol=1e-12, err_msg=name)
        alone = (sizes == 1) & (np.isnan(prior) | (strength == 0))
        np.testing.assert_allclose(
            found.advantages, np.where(alone[groups], 0, rewards - found.baseline[groups]), rtol=1e-12, atol=1e-12
        )
        for row, advantage in enumerate(v05.advantages(**call, leave_one_out=True)):
            group = groups[row]
            others = np.delete(rewards, row)[np.delete(groups, row) == group]
            mean = others.mean() if len(others) else NAN
            baseline = merged(mean, len(others), prior[group], strength[group], low, high)[1]
            assert advantage == pytest.approx(
                0 if math.isnan(baseline) else rewards[row] - baseline, rel=1e-12, abs=1e-12
            )


def test_discounted_beta_is_what_the_history_will_say():
    """Without discount, the baseline of a visit is the value of the history after it."""
    history = v05.History(1, start_strength=0)
    history.record(["a"] * 4 + ["b"] * 2, [1, 0, 1, 1, 0, 0])
    keys, rewards = ["a", "b", "c", "a", "c"], [0.0, 1.0, 1.0, 0.0, 0.0]
    value, strength = history.predict(keys)
    found = v05.estimate(rewards, keys, value, rule="discounted_beta", prior_strength=strength)
    history.record(keys, rewards)
    np.testing.assert_allclose(found.baseline, history.predict(["a", "b", "c"])[0], rtol=1e-15)


# A real training run.


@pytest.fixture(scope="module")
def visits(shared_data):
    """Every second prompt of a run: its successes among 8 rollouts, a visit each."""
    path = shared_data / "one-shot-rlvr" / "pass_rates.jsonl"
    if not path.is_file():
        pytest.skip(f"real pass rates are not here: {path} does not exist")
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(runs) == 605 and {run["rollouts"] for run in runs} == {8}
    return runs


# Method section 9, measured on all 1,209 prompts, rewards -1 and 1.
PUBLISHED = {0.8: 0.009, 0.5: 0.018, 1.0: 0.022, 0.0: 0.051}


@pytest.mark.parametrize("discount, published", PUBLISHED.items())
def test_error_of_the_predicted_value(visits, discount, published):
    """Mean of (value - mean of the visit)^2, less the sampling variance of that mean: (1 - m^2) / 7 for 8 rewards of -1
    or 1 is its unbiased estimate. Visits 5 to 43, counted from 0; discount 0 is the last visit alone."""
    history = v05.History(discount, reward_range=(-1, 1))
    errors = []
    for visit in range(44):
        present = [run for run in visits if visit < len(run["successes"])]
        keys = np.repeat([run["prompt"] for run in present], 8)
        successes = np.array([run["successes"][visit] for run in present])
        rewards = np.where(np.arange(8) < successes[:, None], 1.0, -1.0)
        value, strength = history.predict(keys[::8])
        mean = rewards.mean(axis=1)
        if visit >= 5:
            errors.append((value - mean) ** 2 - (1 - mean**2) / 7)
        history.record(keys, rewards.ravel())
    error = np.concatenate(errors).mean()
    print(f"\ndiscount {discount}: squared error {error:.4f}, on all prompts {published}")
    assert error == pytest.approx(published, rel=0.15)


# What must be refused.

VALUE, TYPE = v05.InvalidArgument, v05.ArgumentTypeError
BAD = {
    "negative discount": (dict(discount=-0.1), VALUE, "discount must lie in [0, 1], got -0.1"),
    "discount above 1": (dict(discount=1.5), VALUE, "discount must lie in [0, 1], got 1.5"),
    "discount NaN": (dict(discount=NAN), VALUE, "discount must lie in [0, 1], got nan"),
    "infinite discount": (dict(discount=math.inf), VALUE, "discount must lie in [0, 1], got inf"),
    "no discount": (dict(discount=None), TYPE, "discount must be a number, got None"),
    "step_decay above 1": (dict(step_decay=1.01), VALUE, "step_decay must lie in [0, 1], got 1.01"),
    "step_decay NaN": (dict(step_decay=NAN), VALUE, "step_decay must lie in [0, 1], got nan"),
    "step_decay as text": (dict(step_decay="1"), TYPE, "step_decay must be a number, got '1'"),
    "capacity 0": (dict(capacity=0), VALUE, "capacity must be at least 1, or None for no limit, got 0"),
    "negative capacity": (dict(capacity=-5), VALUE, "capacity must be at least 1, or None for no limit, got -5"),
    "fractional capacity": (dict(capacity=1.5), TYPE, "capacity must be an integer, got 1.5"),
    "huge capacity": (dict(capacity=2**40), VALUE, "capacity must be a 32-bit integer, got 1099511627776"),
    "range the wrong way round": (
        dict(reward_range=(1, -1)),
        VALUE,
        "reward_range must be two finite numbers (at most 1e30), the lower one first, got 1 and -1",
    ),
    "range of NaN": (dict(reward_range=(NAN, 1)), VALUE, "the lower one first, got nan and 1"),
    "range of one": (dict(reward_range=3), TYPE, "reward_range must be two numbers (low, high), got 3"),
}


@pytest.mark.parametrize("arguments, kind, message", BAD.values(), ids=BAD)
def test_bad_options(arguments, kind, message):
    with pytest.raises(v05.Error, match=re.escape(message)) as caught:
        v05.History(**arguments)
    assert type(caught.value) is kind


BAD_KEYS = {
    "no keys": (None, "keys must be a sequence of integers or strings, got None"),
    "one key": (5, "keys must be a sequence of integers or strings, got 5"),
    "one string": ("abc", "keys must be a sequence of integers or strings, got 'abc'"),
    "floats": ([1.5], "keys must be 64-bit integers or strings: got 1.5"),
    "an array of floats": (np.array([1.0]), "keys must be 64-bit integers or strings: got "),
    "booleans": ([True], "keys must be 64-bit integers or strings: got True"),
    "a boolean after 1": ([1, True], "keys must be 64-bit integers or strings: got True"),
    "a float after 1": ([1, 1.0], "keys must be 64-bit integers or strings: got 1.0"),
    "missing": (["a", None], "keys must be 64-bit integers or strings: got None"),
    "beyond 64 bits": ([2**64], "keys must be 64-bit integers or strings: got 18446744073709551616"),
    "pairs": ([(1, 2)], "keys must be 64-bit integers or strings: got (1, 2)"),
    "lists": ([[1]], "keys must be 64-bit integers or strings: got [1]"),
    "a table": (np.zeros((2, 2), int), "keys must be one-dimensional integers or strings, got int64 of shape (2, 2)"),
    "an array of one string": (np.array("abc"), "keys must be 64-bit integers or strings: iteration over a 0-d array"),
}


@pytest.mark.parametrize("keys, message", BAD_KEYS.values(), ids=BAD_KEYS)
def test_bad_keys(keys, message):
    history = v05.History()
    for attempt in (
        lambda: history.predict(keys),
        lambda: history.record(keys, [1.0]),
        lambda: history.start(keys, 0.5, 1),
    ):
        with pytest.raises(v05.ArgumentTypeError, match=re.escape(message)):
            attempt()


REFUSED = {
    "reward NaN": (
        lambda h: h.record([1, 2], [1, NAN]),
        VALUE,
        "rewards[1] must be finite in a counted row (mask takes a row out), got nan",
    ),
    "infinite reward": (
        lambda h: h.record([1], [-math.inf]),
        VALUE,
        "rewards[0] must be finite in a counted row (mask takes a row out), got -inf",
    ),
    "reward outside the range": (
        lambda h: h.record([1, 2], [1, 1.5]),
        VALUE,
        "rewards[1] must lie in reward_range [0, 1], got 1.5",
    ),
    "missing reward": (
        lambda h: h.record([1], [None]),
        TYPE,
        "rewards must be numbers, got dtype object (an unscorable rollout belongs in the mask)",
    ),
    "fewer rewards": (lambda h: h.record([1, 2], [1]), VALUE, "rewards must have one entry per key, got 1 for 2 keys"),
    "rewards in a table": (
        lambda h: h.record([1, 2], [[1, 0]]),
        VALUE,
        "rewards must have one dimension (rollouts), got shape (1, 2)",
    ),
    "mask of wrong length": (
        lambda h: h.record([1, 2], [1, 0], mask=[True]),
        VALUE,
        "mask must have one entry per reward, got shape (1,) for 2 rewards",
    ),
    "mask of numbers": (
        lambda h: h.record([1, 2], [1, 0], mask=[1, 2]),
        VALUE,
        "mask must be booleans, or 0 and 1, got 2",
    ),
    "negative step": (lambda h: h.record([1], [1], step=-1), VALUE, "step must lie in 0 to 2147483647, got -1"),
    "negative step of a look": (lambda h: h.predict([1], step=-1), VALUE, "step must lie in 0 to 2147483647, got -1"),
    "huge step": (lambda h: h.record([1], [1], step=2**31), VALUE, "step must be a 32-bit integer, got 2147483648"),
    "fractional step": (lambda h: h.predict([1], step=0.5), TYPE, "step must be an integer, got 0.5"),
    "start outside the range": (
        lambda h: h.start([1, 2], [0.5, 1.5], 1),
        VALUE,
        "values[1] must be NaN or lie in reward_range [0, 1], got 1.5",
    ),
    "start of negative strength": (
        lambda h: h.start([3, 2], 0.5, [1, -1]),
        VALUE,
        "strengths[1] must be finite and not negative, got -1",
    ),
    "start of infinite strength": (
        lambda h: h.start([3], 0.5, math.inf),
        VALUE,
        "strengths[0] must be finite and not negative, got inf",
    ),
    "start of strength NaN": (
        lambda h: h.start([3], 0.5, NAN),
        VALUE,
        "strengths[0] must be finite and not negative, got nan",
    ),
    "values of wrong length": (
        lambda h: h.start([1, 2], [0.5] * 3, 1),
        VALUE,
        "value must be a number or have one entry per key (2), got shape (3,)",
    ),
    "strengths of wrong length": (
        lambda h: h.start([1, 2], 0.5, [1] * 3),
        VALUE,
        "strength must be a number or have one entry per key (2), got shape (3,)",
    ),
    "values as text": (lambda h: h.start([1], "0.5", 1), TYPE, "value must be numbers, got dtype <U3"),
    "merging itself": (lambda h: h.merge(h), VALUE, "other must be another history than the one it is merged into"),
    "merging another range": (
        lambda h: h.merge(v05.History(reward_range=(-1, 1))),
        VALUE,
        "other must have a reward_range within this one's, got -1 and 1",
    ),
    "merging another kind": (lambda h: h.merge({}), TYPE, "other must be a History, got dict"),
    "merging what is closed": (lambda h: h.merge(closed()), VALUE, "other must not be closed"),
}


def closed():
    with v05.History() as history:
        return history


@pytest.mark.parametrize("call, kind, message", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_changes_nothing(call, kind, message):
    history = v05.History()
    history.record([1, 2], [1.0, 0.0])
    before = history.state_dict()
    with pytest.raises(v05.Error, match=re.escape(message)) as caught:
        call(history)
    assert type(caught.value) is kind
    assert history.state_dict() == before


CLOSED = {
    "predict": lambda h: h.predict([1]),
    "record": lambda h: h.record([1], [1.0]),
    "start": lambda h: h.start([1], 0.5, 1),
    "merge": lambda h: h.merge(v05.History()),
    "len": len,
    "state_dict": lambda h: h.state_dict(),
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("call", CLOSED.values(), ids=CLOSED)
def test_after_close(call):
    history = closed()
    assert history.closed and repr(history) == "History(closed)"
    with pytest.raises(v05.Error, match="History is closed"):
        call(history)
    history.close()


def test_half_precision_is_of_the_historys_own_range():
    """0.3 of half precision lies below 0.3: taken for the bound that it was rounded from, as in `advantages`."""
    history = v05.History(reward_range=(0.3, 0.7), start_strength=0)
    assert history.reward_range == (0.3, 0.7)
    history.record([1, 1, 2, 2], np.array([0.3, 0.3, 0.7, 0.7], np.float16))
    assert history.predict([1, 2])[0].tolist() == pytest.approx([0.3, 0.7], abs=1e-7)
    assert pickle.loads(pickle.dumps(history)).reward_range == (0.3, 0.7)


def test_a_wider_range_changes_no_reward():
    """Merged into a wider range, or widened: the same values as if all had been recorded there, but for the level's
    start."""
    generator = np.random.default_rng(11)
    narrow = v05.History(0.7, step_decay=0.9, start_strength=0, reward_range=(0, 1))
    wide = v05.History(0.7, step_decay=0.9, start_strength=0, reward_range=(-1, 3))
    for step in range(20):
        keys, rewards = generator.integers(40, size=60), generator.random(60)
        narrow.record(keys, rewards, step=step)
        wide.record(keys, rewards, step=step)
    found, expected = narrow.widened((-1, 3)).predict(range(50), step=25), wide.predict(range(50), step=25)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_array_equal(found[1], expected[1])
    with pytest.raises(v05.InvalidArgument, match="reward_range within this one's"):
        narrow.widened((0.5, 3))
    level = v05.History(reward_range=(0, 1))
    level.record([1, 2], [1.0, 0.0])
    np.testing.assert_allclose(level.widened((-2, 2)).predict([9])[0], level.predict([9])[0])
