"""Rollouts spread ahead of time: every objective against a plain second implementation and against all
possibilities."""

import itertools
import math
import re
import time

import numpy as np
import pytest
import v05
from scipy.special import beta as beta_function

NAN = math.nan


# Plain second implementations of method section 7.


def dynamo_priority(kind, exponent, p, seen):
    """seen: None where it is not given at all."""
    if kind == "official":
        if math.isnan(p) or seen == 0:
            return 1.0
        return 0.01 if p >= 0.85 else max(0.01, 4 * p * (1 - p))
    if kind == "paper":
        return 0.25 if math.isnan(p) or seen < 2 else p * (1 - p) * seen / (seen - 1)
    p = 0.5 if math.isnan(p) else p
    return p * (1 - p) if exponent == 1 else math.sqrt(p * (1 - p))


def dynamo(priority, total, minimum, maximum, seen):
    prompts = range(len(priority))
    # 1. and 2. The first rollouts of prompts that were hardly seen.
    initial = max(minimum, 4)
    need = [min(maximum, max(0, initial - rollouts)) for rollouts in seen]
    if sum(need) <= total:
        counts = need
    else:
        counts = [max(minimum, need[i] * total // sum(need)) for i in prompts]
        while sum(counts) > total:
            counts[counts.index(max(counts))] -= 1
    # 3. The floor for all.
    left = total - sum(counts)
    lack = [max(0, minimum - rollouts) for rollouts in counts]
    if sum(lack) > left:
        lack = [part * left // sum(lack) for part in lack]
    counts = [counts[i] + lack[i] for i in prompts]
    # 4. The rest in proportion, by largest remainder.
    left = total - sum(counts)
    while left > 0:
        able = [i for i in prompts if counts[i] < maximum and priority[i] > 1e-8]
        if not able:
            break
        scale = math.fsum(priority[i] for i in able)
        exact = {i: left * priority[i] / scale for i in able}
        share = {i: math.floor(exact[i]) for i in able}
        by_fraction = sorted(able, key=lambda i: (share[i] - exact[i], i))
        for i in by_fraction[: left - sum(share.values())]:
            share[i] += 1
        for i in able:
            counts[i] += min(share[i], maximum - counts[i])
        left = total - sum(counts)
    return spread(counts, left, maximum)


def spread(counts, left, maximum):
    """What gains nothing anywhere: one each in order of index, again and again."""
    while left > 0:
        for i in range(len(counts)):
            if left > 0 and counts[i] < maximum:
                counts[i] += 1
                left -= 1
    return counts


def one_by_one(gain, count, total, minimum, maximum):
    """The next rollout to the prompt with the largest gain, the first of equals, as long as one gains anything."""
    counts = [minimum] * count
    for left in range(total - minimum * count, 0, -1):
        gains = [gain(i, counts[i]) if counts[i] < maximum else 0 for i in range(count)]
        if not max(gains, default=0) > 0:
            return spread(counts, left, maximum)
        counts[gains.index(max(gains))] += 1
    return counts


def noise_drop(chances, strength):
    def gain(i, k):
        variance = chances[i] * (1 - chances[i])
        if strength is not None and strength[i] is not None:
            variance = variance * (strength[i] / (strength[i] + 1))
        return variance / (k * (k + 1)) if k else (math.inf if variance > 0 else 0)

    return gain


def first_success(chances, strength):
    """E[p (1 - p)^l] = mean of p times the chances that each of l failures follows on those before."""

    def gain(i, failures):
        result, failure = chances[i], 1 - chances[i]
        worth = None if strength is None else strength[i]
        for l in range(failures):
            result *= failure if worth is None else (failure * worth + l) / (worth + l + 1)
        return result

    return gain


def utility(p, rollouts):
    return rollouts * (1 - p) * (1 - (1 - p) ** (rollouts - 1)) if rollouts else 0.0


def utility_step(chances, strength):
    return lambda i, k: utility(chances[i], k + 1) - utility(chances[i], k)


def every_allocation(count, total, minimum, maximum):
    for counts in itertools.product(range(minimum, maximum + 1), repeat=count):
        if sum(counts) == total:
            yield counts


# Random problems.


def probabilities(generator, count):
    """Any, or with many ties, ends and gaps."""
    kind = generator.integers(4)
    if kind == 0:
        return generator.random(count)
    if kind == 1:
        return np.full(count, generator.choice([0, 0.25, 0.5, 1, 1e-9, NAN]))
    if kind == 2:
        return generator.choice([0, 1e-9, 0.125, 0.25, 0.5, 0.75, 0.875, 1, NAN], count)
    return np.where(generator.random(count) < 0.3, generator.choice([0, 1, NAN], count), generator.random(count))


def totals(generator, count, minimum, maximum):
    low, high = count * minimum, count * maximum
    return int(generator.choice([low, high, generator.integers(low, high + 1), generator.integers(low, high + 1)]))


def known(probability):
    return [0.5 if math.isnan(p) else float(p) for p in probability]


def test_dynamo_is_the_procedure_of_the_method():
    generator = np.random.default_rng(1)
    for case in range(10_000):
        count = int(generator.integers(1, 13))
        minimum = int(generator.choice([0, 1, 1, 2, 4, 8]))
        maximum = minimum + int(generator.choice([0, 1, 3, 7, 16, 24]))
        total = totals(generator, count, minimum, maximum)
        seen = None if case % 3 == 0 else generator.choice([0, 0, 1, 2, 3, 4, 5, 64], count)
        kind = str(
            generator.choice(["official", "probability"] if seen is None else ["official", "paper", "probability"])
        )
        exponent = float(generator.choice([1, 0.5])) if kind == "probability" else 1.0
        probability = probabilities(generator, count)
        found = v05.allocate(
            probability,
            total,
            minimum=minimum,
            maximum=maximum,
            objective="dynamo",
            priority=kind,
            exponent=exponent,
            seen=seen,
        )
        visits = [None] * count if seen is None else seen.tolist()
        priority = [dynamo_priority(kind, exponent, p, n) for p, n in zip(probability, visits)]
        expected = dynamo(priority, total, minimum, maximum, [n or 0 for n in visits])
        assert found.tolist() == expected, (case, probability, total, minimum, maximum, kind, exponent, seen)
        assert found.sum() == total


def test_dynamo_in_the_setting_of_its_paper():
    """64 prompts, 8 to 24 rollouts, 16 on average; accuracies of 0 to 39 rollouts seen."""
    generator = np.random.default_rng(8)
    for case in range(10_000):
        seen = generator.integers(0, 40, 64)
        successes = generator.binomial(seen, generator.beta(0.5, 0.5, 64))
        accuracy = np.divide(successes, seen, out=np.zeros(64), where=seen > 0)
        if case % 2:
            accuracy[seen == 0] = NAN
        priority = [dynamo_priority("official", 1, p, n) for p, n in zip(accuracy.tolist(), seen.tolist())]
        expected = dynamo(priority, 1024, 8, 24, seen.tolist())
        found = v05.allocate(accuracy, 1024, minimum=8, maximum=24, objective="dynamo", seen=seen)
        assert found.tolist() == expected, case


def test_dynamo_priorities_by_hand():
    """1,000 rollouts beyond 4 for each, in proportion."""
    accuracy, seen = [0.5, 0.9, 0.0, NAN], [8, 8, 8, 0]

    def extra(**options):
        return (v05.allocate(accuracy, 4 * 4 + 1000, objective="dynamo", minimum=4, seen=seen, **options) - 4).tolist()

    # 1 : .01 : .01 : 1
    assert extra() == [495, 5, 5, 495]
    paper = [0.25 * 8 / 7, 0.09 * 8 / 7, 0, 0.25]
    assert extra(priority="paper") == pytest.approx(np.array(paper) * 1000 / sum(paper), abs=1)
    assert extra(priority="probability") == pytest.approx(np.array([0.25, 0.09, 0, 0.25]) * 1000 / 0.59, abs=1)
    root = np.array([0.5, 0.3, 0, 0.5]) * 1000 / 1.3
    assert extra(priority="probability", exponent=0.5) == pytest.approx(root, abs=1)


def test_dynamo_by_hand():
    def found(*arguments, **options):
        return v05.allocate(*arguments, objective="dynamo", priority="probability", **options).tolist()

    # 4 each for the two prompts never seen, then 24 in proportion 0.25 : 0.1875 : 0 ...
    assert found([0.5, 0.25, 0], 32, minimum=1, maximum=24, seen=[0, 0, 9]) == [17, 14, 1]
    # ... with the exponent 1/2 0.5 : 0.433.
    assert found([0.5, 0.25, 0], 32, minimum=1, maximum=24, seen=[0, 0, 9], exponent=0.5) == [16, 15, 1]
    # Nobody has any spread: one each by index.
    assert found([0, 1, 0], 17, minimum=4, maximum=8) == [6, 6, 5]
    # Too little for the first rollouts of all: in proportion, and the first of the largest gives way.
    assert found([0.5, 0.5, 0.5], 7, minimum=1, maximum=8, seen=[0, 0, 0]) == [3, 2, 2]


def test_dynamo_serves_new_prompts_before_the_floor():
    """The one objective that can stay below the minimum, where new prompts need all there is."""
    assert v05.allocate([0.5, 0.5], 4, minimum=1, maximum=8, objective="dynamo", seen=[0, 4]).tolist() == [4, 0]


@pytest.mark.parametrize("objective", ["neyman", "dynamo", "v0_greedy", "hit"])
@pytest.mark.parametrize("chance", [0.3, 0, 1, 1e-300, 1e-9, NAN, 0.9999999999999999])
def test_no_total_takes_long(objective, chance):
    """Seconds at most, where one rollout at a time would take minutes or hours."""
    total = 2**31 - 1
    for count in (1, 2, 30):
        probability = np.resize([chance, 0.2], count)
        for strength in (
            [None] if objective in ("v0_greedy", "dynamo") else [None, np.resize([0, 0.5, 40, 1e30], count)]
        ):
            found = v05.allocate(probability, total, objective=objective, strength=strength)
            assert found.sum() == total and found.min() >= 1
            found = v05.allocate(
                probability,
                total - 7,
                minimum=0,
                maximum=2**31 - 1 - (count > 1),
                objective=objective,
                strength=strength,
            )
            assert found.sum() == total - 7 and found.min() >= 0


PLAIN = {"neyman": noise_drop, "hit": first_success, "v0_greedy": utility_step}


@pytest.mark.parametrize("objective", PLAIN)
def test_the_next_rollout_goes_where_it_gains_most(objective):
    generator = np.random.default_rng(2)
    for case in range(1500):
        count = int(generator.integers(1, 10))
        minimum = int(generator.integers(0, 4))
        maximum = minimum + int(generator.integers(0, 20))
        total = totals(generator, count, minimum, maximum)
        probability = probabilities(generator, count)
        strength = None
        if objective != "v0_greedy" and case % 2:
            strength = np.where(
                generator.random(count) < 0.5,
                generator.choice([0.0, 0.5, 8.0, 1e6], count),
                generator.random(count) * 50,
            )
        found = v05.allocate(
            probability, total, minimum=minimum, maximum=maximum, objective=objective, strength=strength
        )
        # A missing probability has no strength.
        if strength is not None:
            strength = [None if math.isnan(p) else s for p, s in zip(probability, strength)]
        expected = one_by_one(PLAIN[objective](known(probability), strength), count, total, minimum, maximum)
        assert found.tolist() == expected, (case, probability, strength, total, minimum, maximum)


def hit_probability(p, strength, rollouts):
    if strength is None:
        return 1 - (1 - p) ** rollouts
    a, b = p * strength, (1 - p) * strength
    return 1 - beta_function(a, b + rollouts) / beta_function(a, b)


def minus_noise(p, strength, rollouts):
    return -p * (1 - p) * (1 if strength is None else strength / (strength + 1)) / rollouts


WORTH = {"neyman": minus_noise, "hit": hit_probability, "v0": lambda p, strength, rollouts: utility(p, rollouts)}


@pytest.mark.parametrize("objective", WORTH)
def test_no_allocation_is_better(objective):
    generator = np.random.default_rng(3)
    for case in range(60):
        count = int(generator.integers(1, 5))
        minimum = int(generator.integers(1, 4))
        maximum = minimum + int(generator.integers(0, 10 if count < 4 else 5))
        total = totals(generator, count, minimum, maximum)
        probability = generator.choice([0.02, 0.1, 0.25, 0.5, 0.9], count)
        strength = generator.random(count) * 20 + 0.5 if objective != "v0" and case % 2 else [None] * count
        worth = [
            [WORTH[objective](probability[i], strength[i], k) for k in range(minimum, maximum + 1)]
            for i in range(count)
        ]

        def whole_worth(counts):
            return sum(worth[i][counts[i] - minimum] for i in range(count))

        found = v05.allocate(
            probability,
            total,
            minimum=minimum,
            maximum=maximum,
            objective=objective,
            strength=None if strength[0] is None else strength,
        )
        best = max(map(whole_worth, every_allocation(count, total, minimum, maximum)))
        assert whole_worth(found) == pytest.approx(best, rel=1e-12, abs=1e-12)


def test_v0_is_never_below_greedy_and_sometimes_above():
    generator = np.random.default_rng(4)
    better = 0
    for case in range(400):
        count = int(generator.integers(2, 12))
        minimum = int(generator.choice([1, 2]))
        maximum = int(generator.choice([16, 64, 128]))
        total = int(generator.integers(count * minimum, count * min(maximum, 30) + 1))
        probability = generator.beta(0.4, 0.6, count)
        choices = dict(minimum=minimum, maximum=maximum)
        exact, greedy = (v05.allocate(probability, total, objective=o, **choices) for o in ("v0", "v0_greedy"))
        for counts in (exact, greedy):
            assert counts.sum() == total and counts.min() >= minimum and counts.max() <= maximum
        gain = sum(map(utility, probability, exact)) - sum(map(utility, probability, greedy))
        assert gain >= -1e-9
        better += gain > 1e-9
    assert better > 40


def test_v0_waits_for_increments_that_come_late():
    """p = 0.1: the increments rise for 18 rollouts before they fall, which no step by step rule can see."""
    assert [round(utility(0.1, k + 1) - utility(0.1, k), 2) for k in (1, 2, 3)] == [0.18, 0.33, 0.46]
    assert v05.allocate([0.1, 0.5], 16, objective="v0_greedy").tolist() == [1, 15]
    assert v05.allocate([0.1, 0.5], 16, objective="v0").tolist() == [15, 1]


def test_v0_without_maximum():
    """The total is a limit, too: no memory is needed for rollouts that cannot be."""
    assert v05.allocate([0.1, 0.5], 16, objective="v0").sum() == 16


OBJECTIVES = ["neyman", "dynamo", "v0", "v0_greedy", "hit"]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_totals_at_their_ends(objective):
    probability = [0.5, 0, 1, NAN, 0.2, 0.5]
    # DynaMO keeps 4 rollouts for prompts never seen, so that its floor is one here.
    for minimum, maximum in ((4, 4), (4, 9), (5, 16)):
        choices = dict(minimum=minimum, maximum=maximum, objective=objective)
        assert v05.allocate(probability, 6 * minimum, **choices).tolist() == [minimum] * 6
        assert v05.allocate(probability, 6 * maximum, **choices).tolist() == [maximum] * 6
    assert v05.allocate([], 0, objective=objective).tolist() == []
    assert v05.allocate([0.3], 7, maximum=100, objective=objective).tolist() == [7]
    assert v05.allocate([0.3, 0.3], 0, minimum=0, maximum=0, objective=objective).tolist() == [0, 0]
    assert v05.allocate([0.0, 1.0, 0.0], 8, maximum=4, objective=objective).sum() == 8


@pytest.mark.parametrize("objective", ["neyman", "v0_greedy", "hit"])
def test_what_gains_nothing_is_spread_by_index(objective):
    assert v05.allocate([1.0, 1.0, 1.0], 8, objective=objective).tolist() == [3, 3, 2]
    assert v05.allocate([1.0, 1.0, 1.0], 8, maximum=3, objective=objective).tolist() == [3, 3, 2]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_probability_counts_as_one_half(objective):
    missing = v05.allocate([0.1, NAN, 0.9, None], 40, objective=objective, maximum=30)
    assert missing.tolist() == v05.allocate([0.1, 0.5, 0.9, 0.5], 40, objective=objective, maximum=30).tolist()


@pytest.mark.parametrize("objective", ["neyman", "hit"])
def test_prompts_never_seen_are_not_starved(objective):
    """Without a start value History.predict gives them NaN and 0: nothing is known, which is no reason to leave them
    aside."""
    history = v05.History(start_strength=0)
    history.record([1] * 8 + [2] * 8, [0, 1] * 4 + [0, 0, 0, 0, 0, 0, 0, 1])
    value, strength = history.predict([3, 1, 2])
    assert math.isnan(value[0]) and strength[0] == 0
    found = v05.allocate(value, 30, strength=strength, objective=objective)
    with_one_half = v05.allocate([0.5, *value[1:]], 30, strength=[1e9, *strength[1:]], objective=objective)
    assert found.tolist() == with_one_half.tolist()


def test_arguments_of_other_kinds():
    expected = v05.allocate(np.array([0.1, 0.5, 0.9]), 20, seen=np.array([0, 4, 8]), objective="dynamo").tolist()
    for convert in (list, tuple, lambda a: np.array(a, object), lambda a: np.array(a)[::-1][::-1]):
        found = v05.allocate(convert([0.1, 0.5, 0.9]), np.int32(20), seen=convert([0, 4, 8]), objective="dynamo")
        assert found.tolist() == expected and found.dtype == np.int64
    torch = pytest.importorskip("torch")
    found = v05.allocate(
        torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), 20, seen=torch.tensor([0, 4, 8]), objective="dynamo"
    )
    assert found.tolist() == expected


@pytest.mark.parametrize("objective", ["neyman", "dynamo", "v0_greedy", "hit"])
def test_a_million_prompts(objective):
    probability = np.random.default_rng(5).beta(0.5, 0.5, 1_000_000)
    start = time.perf_counter()
    counts = v05.allocate(
        probability, 8_000_000, minimum=1, maximum=24, objective=objective, seen=np.full(1_000_000, 9)
    )
    print(f"\n{objective}: 1,000,000 prompts, 8,000,000 rollouts in {time.perf_counter() - start:.2f} s")
    assert counts.sum() == 8_000_000 and counts.min() >= 1 and counts.max() <= 24


# What must be refused.

VALUE, TYPE = v05.InvalidArgument, v05.ArgumentTypeError
BAD = {
    "total below": (dict(total=1), VALUE, "total must be at least prompts * minimum, got 1 and 2"),
    "total above": (dict(total=9, maximum=4), VALUE, "total must be at most prompts * maximum, got 9 and 8"),
    "total of nobody": (dict(probability=[], total=1), VALUE, "total must be at most prompts * maximum, got 1 and 0"),
    "negative total": (dict(total=-1, minimum=0), VALUE, "total must lie in 0 to 2147483647, got -1"),
    "huge total": (dict(total=2**31), VALUE, "total must be a 32-bit integer, got 2147483648"),
    "no total": (dict(total=None), TYPE, "total must be an integer, got None"),
    "fractional total": (dict(total=8.0), TYPE, "total must be an integer, got 8.0"),
    "probability above 1": (
        dict(probability=[0.5, 1.5]),
        VALUE,
        "probability[1] must be NaN or lie in [0, 1], got 1.5",
    ),
    "probability below 0": (
        dict(probability=[-0.5, 0.5]),
        VALUE,
        "probability[0] must be NaN or lie in [0, 1], got -0.5",
    ),
    "infinite probability": (
        dict(probability=[0.5, math.inf]),
        VALUE,
        "probability[1] must be NaN or lie in [0, 1], got inf",
    ),
    "probability in a table": (
        dict(probability=[[0.5, 0.5]]),
        VALUE,
        "probability must have one dimension (prompts), got shape (1, 2)",
    ),
    "probability as text": (dict(probability=["0.5", "0.5"]), TYPE, "probability must be numbers, got dtype <U3"),
    "ragged probability": (
        dict(probability=[[0.5], [0.5, 1]]),
        TYPE,
        "probability must be an array of numbers, got list",
    ),
    "minimum above maximum": (dict(minimum=5, maximum=4), VALUE, "maximum must be at least minimum, got 4 and 5"),
    "negative minimum": (dict(minimum=-1), VALUE, "minimum must lie in 0 to 2147483647, got -1"),
    "minimum a prompt": (dict(minimum=[1, 1]), TYPE, "minimum must be an integer, got [1, 1]"),
    "huge maximum": (dict(maximum=2**31), VALUE, "maximum must be a 32-bit integer, got 2147483648"),
    "negative seen": (dict(seen=[3, -1], objective="dynamo"), VALUE, "seen[1] must not be negative, got -1"),
    "fractional seen": (
        dict(seen=[3, 1.5]),
        TYPE,
        "seen must be numbers, got dtype float64: 64-bit integers are needed",
    ),
    "hidden fraction": (
        dict(seen=np.array([3, 1.5], object)),
        TYPE,
        "seen must be numbers, got dtype object: 64-bit integers are needed",
    ),
    "unsigned seen": (
        dict(seen=np.array([3, 2**63], np.uint64)),
        TYPE,
        "seen must be numbers, got dtype uint64: 64-bit integers are needed",
    ),
    "seen of wrong length": (dict(seen=[3]), VALUE, "seen must have one entry per prompt (2), got shape (1,)"),
    "negative strength": (dict(strength=[3, -1]), VALUE, "strength[1] must be finite and not negative, got -1"),
    "infinite strength": (dict(strength=[math.inf, 1]), VALUE, "strength[0] must be finite and not negative, got inf"),
    "strength NaN": (dict(strength=[NAN, 1]), VALUE, "strength[0] must be finite and not negative, got nan"),
    "strength of wrong length": (
        dict(strength=[1, 1, 1]),
        VALUE,
        "strength must have one entry per prompt (2), got shape (3,)",
    ),
    "unknown objective": (
        dict(objective="osla"),
        VALUE,
        "objective must be one of 'neyman', 'dynamo', 'v0', 'v0_greedy', 'hit', got 'osla'",
    ),
    "objective by number": (dict(objective=0), VALUE, "objective must be one of "),
    "exponent of another priority": (
        dict(exponent=0.5, objective="dynamo"),
        VALUE,
        "exponent must be 1 but for the priority probability, got 0.5",
    ),
    "the paper's priority of nothing seen": (
        dict(priority="paper", objective="dynamo"),
        VALUE,
        "seen must be given for the priority paper",
    ),
    "unknown priority": (
        dict(priority="theorem"),
        VALUE,
        "priority must be one of 'official', 'paper', 'probability', got 'theorem'",
    ),
    "exponent 2": (dict(exponent=2, objective="dynamo"), VALUE, "exponent must be 1 or 0.5, got 2"),
    "exponent NaN": (dict(exponent=NAN), VALUE, "exponent must be 1 or 0.5, got nan"),
    "exponent as text": (dict(exponent="1"), TYPE, "exponent must be a number, got '1'"),
    "v0 too large": (
        dict(probability=[0.5] * 2000, total=100_000, objective="v0"),
        VALUE,
        "total must keep prompts * total * (maximum - minimum) at most 4e9 for v0 (v0_greedy takes any), got 100000",
    ),
    "v0 far too large": (
        dict(total=2**31 - 1, objective="v0"),
        VALUE,
        "total must keep prompts * total * (maximum - minimum) at most 4e9",
    ),
}


@pytest.mark.parametrize("arguments, kind, message", BAD.values(), ids=BAD)
def test_bad_arguments(arguments, kind, message):
    with pytest.raises(v05.Error, match=re.escape(message)) as caught:
        v05.allocate(**{"probability": [0.5, 0.5], "total": 8, **arguments})
    assert type(caught.value) is kind
