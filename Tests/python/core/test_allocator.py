"""Rollouts asked for while results come in: the decisions, the bookkeeping, and what the decisions add up to."""

import dataclasses
import math
import pickle
import re
import threading
import time

import numpy as np
import pytest
import v05

NAN = math.nan
LOOK_AHEADS = ["same_bias", "same_mean", "derivative"]
RANGES = [(0.0, 1.0), (-1.0, 1.0), (2.0, 5.0)]
CALIBRATION = v05.Calibration(0.1, 0.8, 0.02, 0.15, 0.45, 0.09, 40.0, 50.0)


def half(reward_range):
    return (reward_range[1] - reward_range[0]) / 2


# Plain second implementations of method sections 1, 3, 5 and 7.


def threshold(look_ahead, k, cost):
    """|m - V| above which OSLA goes on after k rollouts, for h = 1."""
    s = math.sqrt(1 + 4 / cost)
    if look_ahead == "same_bias":
        return math.sqrt(2 / (s - (2 * k + 1)) + 1 / k) if 2 * k + 1 < s else math.inf
    if look_ahead == "same_mean":
        room = 1 - cost * k * (k + 1)
        return math.sqrt((2 * k + 1) / (k * (k + 1) * room)) if room > 0 else math.inf
    room = 1 / math.sqrt(cost) - k
    return math.sqrt(1 / room + 1 / k) if room > 0 else math.inf


def fused(mean, k, prior, h):
    """Baseline and mse of the paper's rule."""
    noise = h * h / k
    if math.isnan(prior):
        return mean, noise
    distance = (mean - prior) ** 2
    weight = 1 - noise / distance if distance > noise else 0.0
    return prior + weight * (mean - prior), weight * noise


def shrunk(mean, k, prior, calibration, reward_range):
    """Baseline and mse of the calibrated rule."""
    if math.isnan(prior):
        center, spread = calibration.grand_mean, calibration.between_variance
    else:
        center = min(max(calibration.intercept + calibration.slope * prior, reward_range[0]), reward_range[1])
        spread = calibration.prior_variance
    variance = calibration.reward_variance / k
    return center + spread / (spread + variance) * (mean - center), spread * variance / (spread + variance)


def noise_variance(mean, k, prior, reward_range, calibration=None):
    """E[h^2 - (mu - mid)^2] of the true value mu with mean b and variance mse."""
    h = half(reward_range)
    value, mse = fused(mean, k, prior, h) if calibration is None else shrunk(mean, k, prior, calibration, reward_range)
    return max(0.0, h * h - (value - (reward_range[0] + reward_range[1]) / 2) ** 2 - mse)


def gain(rule, look_ahead, mean, k, prior, reward_range, calibration=None):
    """What one more rollout is expected to be worth."""
    h2 = half(reward_range) ** 2
    if rule == "neyman":
        return noise_variance(mean, k, prior, reward_range, calibration) / (k * (k + 1))
    if calibration is not None:
        return (
            shrunk(mean, k, prior, calibration, reward_range)[1]
            - shrunk(mean, k + 1, prior, calibration, reward_range)[1]
        )
    if math.isnan(prior):
        return h2 / k - h2 / (k + 1)
    squared = (mean - prior) ** 2 / h2
    bias = squared - 1 / k
    if bias <= 0:
        return 0.0
    if look_ahead == "same_bias":
        return h2 * (bias / (1 + k * bias) - bias / (1 + (k + 1) * bias))
    if look_ahead == "same_mean":
        now, then = (1 / n - 1 / (n * n * squared) for n in (k, k + 1))
        return h2 * (now - then)
    return h2 * (bias / (1 + k * bias)) ** 2


# Driving an allocator.


def answer(allocator, counts, rewards):
    """The results of a request, taken from a table with the rewards of each prompt in a row."""
    prompts = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(len(prompts)) - np.repeat(np.cumsum(counts) - counts, counts)
    return prompts, rewards[prompts, allocator.counts[prompts] + offsets]


def run(allocator, rewards):
    while not allocator.done:
        counts = allocator.request()
        assert counts.sum() > 0
        allocator.observe(*answer(allocator, counts, rewards))
    return allocator


def going_on(prior, successes, k, reward_range=(0.0, 1.0), **options):
    """Which prompts ask for more after k rollouts with these numbers of successes."""
    allocator = v05.Allocator(prior, initial=k, reward_range=reward_range, **options)
    assert (allocator.request() == k).all()
    outcomes = np.where(np.arange(k) < successes[:, None], reward_range[1], reward_range[0])
    allocator.observe(np.repeat(np.arange(len(prior)), k), outcomes.ravel())
    counts = allocator.request()
    assert set(counts) <= {0, 1}
    return counts == 1


def every_state(k, reward_range, priors):
    """Every number of successes in k rollouts with every prior: priors, successes, means."""
    low, high = reward_range
    successes = np.repeat(np.arange(k + 1), len(priors))
    prior = np.tile(low + (high - low) * np.asarray(priors), k + 1)
    return prior, successes, low + (high - low) * successes / k


PRIORS = np.concatenate([np.linspace(0, 1, 17), np.random.default_rng(1).random(30)])


# Decisions.


@pytest.mark.parametrize("reward_range", RANGES)
@pytest.mark.parametrize("look_ahead", LOOK_AHEADS)
@pytest.mark.parametrize("cost", [None, 1 / 64, 0.003, 1e-4])
def test_osla_goes_on_above_the_thresholds_of_the_method(look_ahead, reward_range, cost):
    h = half(reward_range)
    for k in range(1, 17):
        prior, successes, mean = every_state(k, reward_range, PRIORS)
        found = going_on(
            prior, successes, k, reward_range, look_ahead=look_ahead, cost=None if cost is None else cost * h * h
        )
        limit = threshold(look_ahead, k, 1 / 256 if cost is None else cost) if k < 16 else math.inf
        np.testing.assert_array_equal(found, np.abs(mean - prior) / h > limit, err_msg=f"k = {k}")


def test_the_thresholds_of_the_method():
    table = {4: (0.5804, 0.6987, 0.5774), 8: (0.5081, 0.5732, 0.5), 15: (1.4269, 1.4376, 1.0328)}
    for k, row in table.items():
        for look_ahead, limit in zip(LOOK_AHEADS, row):
            assert threshold(look_ahead, k, 1 / 256) == pytest.approx(limit, abs=5e-5)
            # A mean halfway between the ends, priors on both sides of the threshold.
            if limit < 0.9:
                prior, successes = np.array([-limit - 1e-4, -limit + 1e-4]), np.array([k / 2, k / 2])
                assert going_on(prior, successes, k, (-1.0, 1.0), look_ahead=look_ahead).tolist() == [True, False]
    for k in (1, 2, 4, 8, 12):
        noise = math.sqrt(1 / k)
        assert all(
            threshold(look_ahead, k, 1 / 256) > noise for look_ahead in LOOK_AHEADS
        )  # accepted priors always stop


@pytest.mark.parametrize("reward_range", RANGES)
@pytest.mark.parametrize("look_ahead", LOOK_AHEADS)
def test_osla_without_prior(look_ahead, reward_range):
    for k in range(1, 16):
        for cost, expected in ((1 / 256, True), (1.01 / (k * (k + 1)), False), (0.99 / (k * (k + 1)), True)):
            found = going_on(
                np.full(k + 1, NAN),
                np.arange(k + 1),
                k,
                reward_range,
                look_ahead=look_ahead,
                cost=cost * half(reward_range) ** 2,
            )
            assert (found == expected).all()


@pytest.mark.parametrize("reward_range", RANGES)
def test_neyman_goes_on_where_noise_drops(reward_range):
    costs = half(reward_range) ** 2 * np.array([1 / 256, 0.01, 0.002])
    for k in range(1, 16):
        prior, successes, mean = every_state(k, reward_range, [*PRIORS[17:], NAN])
        gains = [gain("neyman", None, *state, reward_range) for state in zip(mean, [k] * len(mean), prior)]
        for cost in [None, *costs]:
            found = going_on(prior, successes, k, reward_range, rule="neyman", cost=cost)
            np.testing.assert_array_equal(
                found, np.array(gains) > (costs[0] if cost is None else cost), err_msg=f"k = {k}"
            )


@pytest.mark.parametrize("rule", ["osla", "neyman"])
def test_decisions_for_the_calibrated_baseline(rule):
    generator = np.random.default_rng(2)
    for k in range(1, 16):
        prior, successes, mean = every_state(k, (0.0, 1.0), [*PRIORS[17:], NAN])
        calibration = dataclasses.replace(
            CALIBRATION,
            prior_variance=generator.random() / 8,
            between_variance=generator.random() / 8,
            reward_variance=generator.random() / 4,
        )
        cost = generator.random() / (8 * k * (k + 1))
        gains = [gain(rule, None, *state, (0.0, 1.0), calibration) for state in zip(mean, [k] * len(mean), prior)]
        found = going_on(prior, successes, k, rule=rule, cost=cost, calibration=calibration)
        np.testing.assert_array_equal(found, np.array(gains) > cost, err_msg=f"k = {k}")


@pytest.mark.parametrize("rule", ["osla", "neyman"])
def test_a_calibration_that_rests_on_too_little_is_not_used(rule):
    """As in an estimate: fewer than 8 groups say nothing yet, such as before the first step."""
    prior, successes, _ = every_state(4, (0.0, 1.0), PRIORS)
    expected = going_on(prior, successes, 4, rule=rule)
    assert expected.any()
    for calibration in (v05.RunningCalibration(), dataclasses.replace(CALIBRATION, groups=7.5)):
        np.testing.assert_array_equal(going_on(prior, successes, 4, rule=rule, calibration=calibration), expected)


def test_other_ceilings_have_other_costs():
    """cost None is h^2 / maximum^2, with the largest maximum of all."""
    for maximum in (6, 10, 40, np.array([40] + [30] * 7)):
        most = int(np.max(maximum))
        for k in (2, 5, 20):
            if k >= np.min(maximum):
                continue
            expected = [gain("neyman", None, s / k, k, 0.3, (0.0, 1.0)) > 0.25 / most**2 for s in range(k + 1)]
            limits = maximum if np.ndim(maximum) == 0 else np.resize(maximum, k + 1)
            found = going_on(np.full(k + 1, 0.3), np.arange(k + 1), k, rule="neyman", maximum=limits)
            assert found.tolist() == expected


# What the decisions add up to.


def expectation(prior, p, look_ahead, initial=4, maximum=16):
    """Means and standard deviations of rollouts and squared error of the baseline, by an exact walk over (rollouts,
    successes); 0/1 rewards."""
    chances = {s: math.comb(initial, s) * p**s * (1 - p) ** (initial - s) for s in range(initial + 1)}
    ends = []
    for k in range(initial, maximum + 1):
        after = {}
        for s, chance in chances.items():
            more = k < maximum and (
                0.25 / (k * (k + 1)) > 0.25 / maximum**2
                if math.isnan(prior)
                else 2 * abs(s / k - prior) > threshold(look_ahead, k, 1 / maximum**2)
            )
            if more:
                after[s] = after.get(s, 0) + chance * (1 - p)
                after[s + 1] = after.get(s + 1, 0) + chance * p
            else:
                ends.append((chance, k, (fused(s / k, k, prior, 0.5)[0] - p) ** 2))
        chances = after
    assert not chances
    chance, *figures = np.array(ends).T
    means = [chance @ figure for figure in figures]
    return means, [math.sqrt(chance @ (figure - mean) ** 2) for figure, mean in zip(figures, means)]


@pytest.mark.parametrize("look_ahead", LOOK_AHEADS)
def test_expected_rollouts_and_error(look_ahead):
    """25 cells, 2 figures, 3 look-aheads: 150 comparisons within 4 standard errors fail by chance, with other seeds, in
    1 % of all runs."""
    cells = [(prior, p) for prior in (0.0, 0.3, 0.5, 0.9, NAN) for p in (0.05, 0.3, 0.5, 0.8, 1.0)]
    trials = 3000
    generator = np.random.default_rng(3)
    prior, p = np.repeat(cells, trials, axis=0).T
    rewards = (generator.random((len(p), 16)) < p[:, None]).astype(float)
    allocator = run(v05.Allocator(prior, look_ahead=look_ahead), rewards)
    rollouts = allocator.counts.reshape(len(cells), trials)
    errors = ((allocator.estimate().baseline - p) ** 2).reshape(len(cells), trials)
    for cell, *found in zip(cells, rollouts, errors):
        for values, mean, deviation in zip(found, *expectation(*cell, look_ahead)):
            assert abs(values.mean() - mean) <= 4 * deviation / math.sqrt(trials) + 1e-12, cell


@pytest.mark.parametrize("look_ahead", LOOK_AHEADS)
def test_expected_rollouts_and_error_exactly(look_ahead):
    """Every sequence of rewards that there is, each with its probability."""
    sequences = ((np.arange(2**12)[:, None] >> np.arange(12)) & 1).astype(float)
    for prior in (0.0, 0.3, 0.9, NAN):
        allocator = run(v05.Allocator(np.full(2**12, prior), initial=2, maximum=12, look_ahead=look_ahead), sequences)
        baseline = allocator.estimate().baseline
        for p in (0.1, 0.5, 0.7):
            chance = np.prod(np.where(sequences == 1, p, 1 - p), axis=1)
            found = chance @ allocator.counts, chance @ (baseline - p) ** 2
            assert found == pytest.approx(tuple(expectation(prior, p, look_ahead, 2, 12)[0]), rel=1e-12)


# Order, portions, interruptions.


def table(generator, count, width=24, reward_range=(0.0, 1.0)):
    """Rewards of each prompt: two-valued, or anything between."""
    low, high = reward_range
    success = generator.random((count, width)) < generator.beta(0.5, 0.5, (count, 1))
    partial = generator.random((count, width))
    return low + (high - low) * np.where(generator.random((count, 1)) < 0.3, partial, success)


def priors(generator, count, reward_range=(0.0, 1.0)):
    low, high = reward_range
    return low + (high - low) * np.where(generator.random(count) < 0.2, NAN, generator.random(count))


@pytest.mark.parametrize("options", [dict(), dict(rule="neyman"), dict(wave=3), dict(calibration=CALIBRATION)], ids=str)
def test_order_and_portions_of_results_do_not_matter(options):
    generator = np.random.default_rng(4)
    prior, rewards = priors(generator, 60), table(generator, 60)
    ordered = run(v05.Allocator(prior, **options), rewards)
    assert 4 < ordered.counts.mean() < 16
    for _ in range(5):
        shuffled = v05.Allocator(prior, **options)
        waiting = []
        given = np.zeros(60, np.int64)
        while not shuffled.done:
            for prompt, count in enumerate(shuffled.request()):
                waiting += [(prompt, rewards[prompt, given[prompt] + i]) for i in range(count)]
                given[prompt] += count
            generator.shuffle(waiting)
            portion = int(generator.integers(1, len(waiting) + 1))
            shuffled.observe(*zip(*waiting[:portion]))
            del waiting[:portion]
        np.testing.assert_array_equal(shuffled.counts, ordered.counts)
        # What a prompt got is the same set of rewards, so that baselines are the same bit for bit.
        np.testing.assert_array_equal(shuffled.estimate().baseline, ordered.estimate().baseline)


@pytest.mark.parametrize(
    "options",
    [
        dict(budget=400),
        dict(budget=400, wave=4),
        dict(rule="neyman", budget=400),
        dict(rule="neyman", budget=400, wave=4),
    ],
    ids=str,
)
def test_order_within_a_wave_does_not_matter_with_a_budget(options):
    """A budget is shared by what is known at each request, so that here every wave comes back before the next
    request."""
    generator = np.random.default_rng(5)
    prior, rewards = priors(generator, 60), table(generator, 60)
    ordered = run(v05.Allocator(prior, **options), rewards)
    for _ in range(5):
        shuffled = v05.Allocator(prior, **options)
        while not shuffled.done:
            prompts, results = answer(shuffled, shuffled.request(), rewards)
            order = generator.permutation(len(prompts))
            for portion in np.array_split(order, generator.integers(1, 6)):
                shuffled.observe(prompts[portion], results[portion])
        np.testing.assert_array_equal(shuffled.counts, ordered.counts)


def interrupted(allocator, generator):
    """Another allocator with the same state, by one of the ways there are."""
    if generator.random() < 0.5:
        return pickle.loads(pickle.dumps(allocator))
    other = v05.Allocator([0.25] * 3, initial=1, maximum=2)
    other.load_state_dict(allocator.state_dict())
    return other


CONFIGURATIONS = [
    dict(),
    dict(look_ahead="derivative", wave=3),
    dict(look_ahead="same_mean", budget=60),
    dict(cost=0.0),
    dict(rule="neyman"),
    dict(rule="neyman", budget=60, wave=2),
    dict(calibration=CALIBRATION, cost=0.001),
    dict(rule="neyman", calibration=CALIBRATION, reward_range=(-1, 3)),
    dict(initial=np.arange(1, 9), maximum=np.arange(8, 16), wave=2),
]


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=str)
def test_interrupted_at_every_point(options):
    for seed in range(6):
        generator = np.random.default_rng(seed)
        reward_range = options.get("reward_range", (0.0, 1.0))
        prior, rewards = priors(generator, 8, reward_range), table(generator, 8, reward_range=reward_range)
        whole = v05.Allocator(prior, **options)
        resumed = v05.Allocator(prior, **options)
        events = 0
        while not whole.done:
            resumed = interrupted(resumed, generator)
            assert resumed.state_dict() == whole.state_dict()
            flying = np.repeat(np.arange(8), whole.in_flight)
            event = generator.random()
            if event < 0.4 or not len(flying):
                np.testing.assert_array_equal(resumed.request(), whole.request())
            elif event < 0.9:
                prompts = generator.permutation(flying)[: generator.integers(1, len(flying) + 1)]
                results = rewards[prompts, generator.integers(0, 24, len(prompts))]
                for each in (resumed, whole):
                    each.observe(prompts, results)
            elif event < 0.98:
                for each in (resumed, whole):
                    each.cancel(flying[:1])
            else:
                for each in (resumed, whole):
                    each.stop()
            assert resumed.done == whole.done
            np.testing.assert_array_equal(resumed.counts, whole.counts)
            np.testing.assert_array_equal(resumed.in_flight, whole.in_flight)
            events += 1
        assert events > 3
        resumed = interrupted(resumed, generator)
        for found, expected in zip(resumed.observations(), whole.observations()):
            np.testing.assert_array_equal(found, expected)
        for name, expected in vars(whole.estimate()).items():
            found = getattr(resumed.estimate(), name)
            if isinstance(expected, np.ndarray):
                np.testing.assert_array_equal(found, expected)
            else:
                assert found == expected


# Floors, ceilings, waves, budgets.


@dataclasses.dataclass
class Plain:
    """What an allocator should ask for, in plain Python."""

    prior: list
    floors: list
    ceilings: list
    reward_range: tuple
    rule: str
    look_ahead: str
    wave: int
    budget: object
    calibration: object

    def __post_init__(self):
        self.rewards = [[] for _ in self.prior]
        self.flying = [0] * len(self.prior)
        self.stopped = False

    def started(self, i):
        return len(self.rewards[i]) + self.flying[i]

    def request(self):
        """None where a budget is left that nothing gains by: it is spent, but the method does not say on whom."""
        prompts = range(len(self.prior))
        if self.stopped:
            return [0 for _ in prompts]
        wanted = [max(0, self.floors[i] - self.started(i)) for i in prompts]
        left = math.inf if self.budget is None else self.budget - sum(wanted) - sum(map(self.started, prompts))
        spends = self.rule == "neyman" and self.budget is not None
        cost = 0 if spends else half(self.reward_range) ** 2 / max(self.ceilings) ** 2
        share = self.shares(left) if spends else [self.wave for _ in prompts]
        if (
            spends
            and sum(share) < left
            and any(share[i] + max(self.floors[i], self.started(i)) < self.ceilings[i] for i in prompts)
        ):
            return None
        gains = {}
        for i in prompts:
            k = len(self.rewards[i])
            if self.flying[i] == 0 and self.floors[i] <= k < self.ceilings[i] and share[i] > 0:
                mean = math.fsum(self.rewards[i]) / k
                gains[i] = gain(self.rule, self.look_ahead, mean, k, self.prior[i], self.reward_range, self.calibration)
        for i in sorted(gains, key=lambda i: (-gains[i], i)):
            if gains[i] > cost:
                wanted[i] = min(self.wave, share[i], self.ceilings[i] - len(self.rewards[i]), left)
                left -= wanted[i]
        return wanted

    def shares(self, left):
        """What is left of the budget, one by one to where it gains most by what is known now."""
        prompts = range(len(self.prior))
        variance, counts = [], []
        for i in prompts:
            k = len(self.rewards[i])
            mean = math.fsum(self.rewards[i]) / k if k else 0
            variance.append(
                noise_variance(mean, k, self.prior[i], self.reward_range, self.calibration)
                if k
                else half(self.reward_range) ** 2
            )
            counts.append(max(self.floors[i], self.started(i)))
        start = list(counts)
        for _ in range(left):
            # Rounded, so that equal gains of prompts in different states are ties.
            gains = [
                float(f"{variance[i] / (counts[i] * (counts[i] + 1)):.12g}") if counts[i] < self.ceilings[i] else 0
                for i in prompts
            ]
            if not max(gains) > 0:
                break
            counts[gains.index(max(gains))] += 1
        return [counts[i] - start[i] for i in prompts]


def test_thousands_of_random_runs():
    """At every moment: what is asked for is what the plain allocator asks for, and no limit is broken."""
    generator = np.random.default_rng(6)
    bound = 0
    for case in range(2000):
        count = int(generator.integers(1, 7))
        floors = generator.integers(1, 5, count).tolist()
        ceilings = [floor + int(extra) for floor, extra in zip(floors, generator.integers(0, 9, count))]
        reward_range = RANGES[generator.integers(3)]
        low, high = reward_range
        prior = priors(generator, count, reward_range)
        if generator.random() < 0.2:
            prior[:] = prior[0]  # ties
        budget = None if generator.random() < 0.3 else int(generator.integers(sum(floors), sum(ceilings) + 2))
        choices = dict(
            reward_range=reward_range,
            rule=str(generator.choice(["osla", "neyman"])),
            look_ahead=str(generator.choice(LOOK_AHEADS)),
            wave=int(generator.integers(1, 5)),
            budget=budget,
            calibration=CALIBRATION if generator.random() < 0.3 else None,
        )
        allocator = v05.Allocator(prior, initial=floors, maximum=ceilings, **choices)
        plain = Plain(prior.tolist(), floors, ceilings, **choices)
        success = generator.beta(0.5, 0.5, count)
        failures = 0
        for _ in range(200):
            if allocator.done:
                break
            flying = np.repeat(np.arange(count), allocator.in_flight)
            event = generator.random()
            if event < 0.4 or not len(flying):
                expected = plain.request()
                found = allocator.request().tolist()
                assert expected in (found, None), case
                plain.flying = np.add(plain.flying, found).tolist()
            elif event < 0.9 or failures > 10:
                prompts = generator.permutation(flying)[: generator.integers(1, len(flying) + 1)]
                rewards = np.where(generator.random(len(prompts)) < success[prompts], high, low)
                allocator.observe(prompts, rewards)
                for prompt, reward in zip(prompts, rewards):
                    plain.flying[prompt] -= 1
                    plain.rewards[prompt].append(reward)
            elif event < 0.995:
                allocator.cancel(flying[:1])
                plain.flying[flying[0]] -= 1
                failures += 1
            else:
                allocator.stop()
                plain.stopped = True
            counts, in_flight = allocator.counts, allocator.in_flight
            assert counts.tolist() == list(map(len, plain.rewards)) and in_flight.tolist() == plain.flying
            assert (counts + in_flight <= ceilings).all()
            assert budget is None or counts.sum() + in_flight.sum() <= budget
        assert allocator.done and not allocator.in_flight.any()
        assert plain.stopped or (allocator.counts >= floors).all()
        assert not allocator.request().any()
        bound += budget is not None and allocator.counts.sum() == budget
    assert bound > 400


@pytest.mark.parametrize("wave", [1, 2, 5, 100])
def test_waves(wave):
    """A prompt that goes on asks for up to a wave at once, never beyond its ceiling or the budget."""
    allocator = v05.Allocator([0.0] * 3, wave=wave, maximum=[9, 16, 16], budget=30)
    assert allocator.request().tolist() == [4, 4, 4]
    allocator.observe([0, 1, 2] * 4, [1.0] * 12)
    first = min(wave, 5)
    second = min(wave, 12, 18 - first)
    third = min(wave, 12, 18 - first - second)
    assert allocator.request().tolist() == [first, second, third]


def test_a_binding_budget_serves_the_largest_gains_first_and_ties_by_index():
    allocator = v05.Allocator([0.0, 1.0, 0.0, 0.0, 0.0], budget=22)
    allocator.request()
    allocator.observe(
        np.repeat(np.arange(5), 4), [1, 1, 0, 0] + [1, 1, 1, 1] + [1, 1, 1, 1] + [1, 1, 1, 1] + [1, 1, 1, 0]
    )
    # The prior of prompt 1 is right; prompts 2 and 3 gain alike, more than 4, more than 0.
    assert allocator.request().tolist() == [0, 0, 1, 1, 0]
    assert allocator.request().tolist() == [0] * 5


def test_a_maximum_of_their_own_for_prompts_without_prior():
    """OSLA goes on with them whatever they give; a prior worth one reward at most is the level of all prompts."""
    rewards = np.tile([0.0, 1.0], (4, 10))
    found = run(v05.Allocator([NAN, 0.5, NAN, 0.5], maximum_without_prior=6), rewards)
    assert found.counts.tolist() == [6, 4, 6, 4]
    assert run(v05.Allocator([NAN] * 4), rewards).counts.tolist() == [16] * 4
    far = dict(prior=[NAN, 0.0, 0.0, 0.0], strength=[0, 1, 8, 0], maximum_without_prior=6)
    assert run(v05.Allocator(**far), rewards).counts.tolist() == [6, 6, 15, 15]
    assert run(v05.Allocator(**far, maximum=[5, 5, 9, 9], cost=0), rewards).counts.tolist() == [5, 5, 9, 9]
    # Not below the initial rollouts of the prompt, and the cost stays that of the maximum.
    found = run(v05.Allocator([NAN] * 4, initial=[1, 7, 2, 6], maximum_without_prior=6), rewards)
    assert found.counts.tolist() == [6, 7, 6, 6]
    found = run(v05.Allocator([0.0] * 4, strength=[1] * 4, initial=[1, 7, 2, 6], maximum_without_prior=6), rewards)
    assert found.counts.max() == 7
    with pytest.raises(v05.InvalidArgument, match=r"maximum\[1\] must be at least initial, got 2 and 4"):
        v05.Allocator([0.5, 0.5], maximum=[9, 2], strength=[1, 1], maximum_without_prior=5)
    resumed = v05.Allocator([0.5])
    saved = v05.Allocator([NAN, 0.5, NAN, 0.5], maximum_without_prior=6)
    resumed.load_state_dict(saved.state_dict())
    assert run(resumed, rewards).counts.tolist() == [6, 4, 6, 4]


def spent(allocator, rewards):
    run(allocator, rewards)
    return int(allocator.counts.sum())


@pytest.mark.parametrize("wave", [1, 3])
@pytest.mark.parametrize("calibration", [None, CALIBRATION])
def test_neyman_spends_the_whole_budget(wave, calibration):
    generator = np.random.default_rng(7)
    for _ in range(40):
        prior, rewards = 0.1 + 0.8 * generator.random(20), table(generator, 20)
        floors, ceilings = generator.integers(1, 5, 20), generator.integers(5, 20, 20)
        for budget in (
            int(floors.sum()),
            int(generator.integers(floors.sum(), ceilings.sum())),
            int(ceilings.sum()),
            10_000,
        ):
            allocator = v05.Allocator(
                prior,
                rule="neyman",
                initial=floors,
                maximum=ceilings,
                budget=budget,
                wave=wave,
                calibration=calibration,
            )
            assert spent(allocator, rewards) == min(budget, ceilings.sum())


@pytest.mark.parametrize("prior, initial", [(NAN, 4), (NAN, 1), (0.0, 2), (1.0, 4)])
def test_neyman_spends_the_whole_budget_where_nothing_seems_to_gain(prior, initial):
    """All rewards equal: no variance is expected anywhere, and the budget is to be spent all the same."""
    allocator = v05.Allocator([prior] * 4, rule="neyman", initial=initial, budget=30)
    assert spent(allocator, np.full((4, 16), 0.0 if math.isnan(prior) else prior)) == 30


def test_a_cost_keeps_neyman_from_spending_the_budget():
    generator = np.random.default_rng(8)
    prior, rewards = generator.random(20), table(generator, 20)
    free = run(v05.Allocator(prior, rule="neyman", budget=300), rewards).counts
    dear = run(v05.Allocator(prior, rule="neyman", budget=300, cost=0.004), rewards).counts
    assert free.sum() == 300 > dear.sum() and dear.min() >= 4


def test_the_budget_goes_where_rewards_vary():
    """Ten prompts that always fail, ten that fail half the time."""
    rewards = np.concatenate([np.zeros((10, 30)), np.tile([0.0, 1.0], (10, 15))])
    allocator = run(v05.Allocator([0.02] * 10 + [0.5] * 10, rule="neyman", maximum=30, budget=200), rewards)
    assert allocator.counts.sum() == 200
    assert allocator.counts[:10].max() <= 6 and allocator.counts[10:].min() >= 14


# Results that were not hoped for.


def test_late_results_are_counted():
    allocator = v05.Allocator([0.5, NAN])
    allocator.request()
    allocator.observe([0, 0, 1], [1.0, 0.0, 1.0])
    allocator.stop()
    assert not allocator.done and not allocator.request().any()
    allocator.observe([1, 0, 1, 0], [0.0, 1.0, 1.0, 0.0])
    assert not allocator.done
    allocator.cancel(1)
    assert allocator.done and allocator.counts.tolist() == [4, 3] and not allocator.request().any()
    assert allocator.estimate().mean.tolist() == [0.5, 2 / 3]
    allocator.stop()


def test_failed_rollouts_are_asked_for_again_up_to_the_floor():
    allocator = v05.Allocator([0.5, 0.5], initial=[2, 3], budget=5)
    assert allocator.request().tolist() == [2, 3]
    allocator.cancel([1, 1, 0])
    assert allocator.in_flight.tolist() == [1, 1]
    assert allocator.request().tolist() == [1, 2]
    allocator.observe([0, 1, 1, 0, 1], [1, 0, 1, 0, 1])
    assert allocator.done and allocator.counts.tolist() == [2, 3]


def test_results_and_failures_one_at_a_time():
    allocator = v05.Allocator([0.5])
    allocator.request()
    allocator.observe(0, 1)
    allocator.observe(np.int32(0), np.float32(0.5))
    allocator.cancel(0)
    assert (allocator.counts, allocator.in_flight) == ([2], [1])
    allocator.observe([], [])
    allocator.cancel([])
    assert allocator.observations()[1].tolist() == [1, 0.5]
    torch = pytest.importorskip("torch")
    allocator.observe(torch.tensor([0]), torch.tensor([0.25], dtype=torch.bfloat16))
    assert allocator.observations()[1].tolist() == [1, 0.5, 0.25]


def test_nobody():
    for options in (
        dict(),
        dict(maximum=[]),
        dict(initial=[], maximum=[]),
        dict(budget=0),
        dict(rule="neyman", budget=0),
    ):
        allocator = v05.Allocator([], **options)
        assert allocator.done and len(allocator) == 0 and allocator.request().tolist() == []
        assert len(allocator.estimate()) == 0


# Estimates.


ESTIMATES = [
    dict(),
    dict(rule="grpo"),
    dict(rule="rloo"),
    dict(rule="v05", leave_one_out=True),
    dict(rule="prior"),
    dict(rule="median", scale="group"),
    dict(rule="james_stein"),
    dict(rule="calibrated"),
    dict(rule="calibrated", leave_one_out=True, scale="batch", ddof=0, epsilon=0.1),
    dict(rule="grpo", scale="group", singleton="raw"),
    dict(test="exact", level=0.3),
]


@pytest.mark.parametrize("calibration", [None, CALIBRATION])
@pytest.mark.parametrize("options", ESTIMATES, ids=str)
def test_the_estimate_is_that_of_the_observed_rows(options, calibration):
    generator = np.random.default_rng(9)
    prior = priors(generator, 40)
    rewards = (generator.random((40, 16)) < generator.random((40, 1))).astype(float)
    allocator = v05.Allocator(prior, initial=np.resize([1, 2, 4], 40), calibration=calibration)
    for _ in range(6):
        prompts, results = answer(allocator, allocator.request(), rewards)
        order = generator.permutation(len(prompts))
        allocator.observe(prompts[order], results[order])
    prompts, results = allocator.observations()
    found = allocator.estimate(**options)
    rule = options.get("rule", "v05" if calibration is None or "test" in options else "calibrated")
    if "test" in options:
        found = allocator.estimate(rule="v05", **options)
    expected = v05.estimate(results, prompts, prior[prompts], calibration=calibration, **{**options, "rule": rule})
    np.testing.assert_array_equal(found.advantages, expected.advantages)
    np.testing.assert_array_equal(found.row_group, prompts)
    np.testing.assert_array_equal(found.groups, np.arange(40))
    assert (found.rule, found.calibration, found.reward_range) == (
        expected.rule,
        expected.calibration,
        expected.reward_range,
    )
    whole = ("advantages", "row_group", "groups", "rule", "calibration", "mixture", "reward_range", "refused_groups")
    for field in dataclasses.fields(v05.Estimate):
        if field.name not in whole:
            np.testing.assert_array_equal(
                getattr(found, field.name)[expected.groups], getattr(expected, field.name), err_msg=field.name
            )


def test_an_estimate_of_prompts_without_results():
    allocator = v05.Allocator([0.5, NAN, 0.25], reward_range=(0, 2))
    empty = allocator.estimate()
    assert empty.count.tolist() == [0, 0, 0] and len(empty.advantages) == 0
    allocator.request()
    allocator.observe([2, 2], [0, 1])
    found = allocator.estimate()
    assert found.count.tolist() == [0, 0, 2] and found.reward_range == (0, 2) and found.row_group.tolist() == [2, 2]
    np.testing.assert_array_equal(found.baseline[:2], [0.5, NAN])
    np.testing.assert_array_equal(found.prior, [0.5, NAN, 0.25])


# Many.


def test_sixteen_threads_with_an_allocator_each():
    generator = np.random.default_rng(10)
    prior, rewards = priors(generator, 3000), table(generator, 3000)

    def outcome():
        allocator = run(v05.Allocator(prior, rule="neyman", budget=20_000, wave=2), rewards)
        return allocator.counts.tolist(), allocator.estimate().advantages.tolist()

    expected = outcome()
    found = [None] * 16

    def work(number):
        found[number] = outcome()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == expected for each in found)


@pytest.mark.parametrize(
    "options", [dict(), dict(budget=5_000_000), dict(rule="neyman", budget=8_000_000, wave=4)], ids=str
)
def test_a_million_prompts(options):
    generator = np.random.default_rng(11)
    count = 1_000_000
    truth = generator.beta(0.5, 0.5, count)
    times = {}

    def timed(name, function, *arguments):
        start = time.perf_counter()
        result = function(*arguments)
        times[name] = time.perf_counter() - start
        return result

    allocator = timed(
        "create", lambda: v05.Allocator(np.clip(truth + generator.normal(0, 0.2, count), 0, 1), **options)
    )
    assert timed("first request", allocator.request).sum() == 4 * count
    prompts = generator.permutation(np.repeat(np.arange(count), 4))
    timed("observe", allocator.observe, prompts, (generator.random(4 * count) < truth[prompts]).astype(float))
    wanted = timed("decide", allocator.request)
    assert 0 < wanted.sum() <= options.get("budget", 16 * count) - 4 * count
    timed("estimate", allocator.estimate)
    print(f"\n{options}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items()))


# What must be refused.

VALUE, TYPE = v05.InvalidArgument, v05.ArgumentTypeError
BAD = {
    "prior above the range": (
        dict(prior=[0.5, 1.5]),
        VALUE,
        "prior[1] must be NaN (no prior) or lie in reward_range [0, 1], got 1.5",
    ),
    "prior below the range": (
        dict(prior=[-2, 0], reward_range=(-1, 1)),
        VALUE,
        "prior[0] must be NaN (no prior) or lie in reward_range [-1, 1], got -2",
    ),
    "infinite prior": (
        dict(prior=[0.5, -math.inf]),
        VALUE,
        "prior[1] must be NaN (no prior) or lie in reward_range [0, 1], got -inf",
    ),
    "prior in a table": (dict(prior=[[0.5, 0.5]]), VALUE, "prior must have one dimension (prompts), got shape (1, 2)"),
    "prior as text": (dict(prior=["0.5", "0.5"]), TYPE, "prior must be numbers, got dtype <U3"),
    "maximum below initial": (dict(initial=5, maximum=4), VALUE, "maximum must be at least initial, got 4 and 5"),
    "a maximum below initial": (dict(maximum=[16, 3]), VALUE, "maximum[1] must be at least initial, got 3 and 4"),
    "an initial above maximum": (dict(initial=[17, 4]), VALUE, "maximum[0] must be at least initial, got 16 and 17"),
    "initial 0": (dict(initial=0), VALUE, "initial must be at least 1, got 0"),
    "an initial 0": (dict(initial=[4, 0]), VALUE, "initial[1] must be at least 1, got 0"),
    "fractional initial": (dict(initial=4.0), TYPE, "initial must be an integer, got 4.0"),
    "fractional initials": (
        dict(initial=[4.0, 4.0]),
        TYPE,
        "initial must be numbers, got dtype float64: 64-bit integers are needed",
    ),
    "too few initials": (dict(initial=[4]), VALUE, "initial must have one entry per prompt (2), got shape (1,)"),
    "too many maxima": (dict(maximum=[16] * 3), VALUE, "maximum must have one entry per prompt (2), got shape (3,)"),
    "a huge maximum": (dict(maximum=[16, 2**31]), VALUE, "maximum must be at least initial, got 2147483648 and 4"),
    "maximum_without_prior below initial": (
        dict(maximum_without_prior=3),
        VALUE,
        "maximum_without_prior must be at least initial, got 3 and 4",
    ),
    "negative maximum_without_prior": (
        dict(maximum_without_prior=-1),
        VALUE,
        "maximum_without_prior must be at least initial, got -1",
    ),
    "strength of another length": (
        dict(strength=[1]),
        VALUE,
        "strength must have one entry per prompt (2), got shape (1,)",
    ),
    "wave 0": (dict(wave=0), VALUE, "wave must be at least 1, got 0"),
    "negative cost": (dict(cost=-0.1), VALUE, "cost must be finite and not negative, got -0.1"),
    "infinite cost": (dict(cost=math.inf), VALUE, "cost must be finite and not negative, got inf"),
    "cost NaN": (
        dict(cost=NAN),
        VALUE,
        "cost and budget must not be NaN or negative (None: no limit), got nan and None",
    ),
    "cost as text": (dict(cost="0"), TYPE, "cost must be a number, got '0'"),
    "budget below the floor": (
        dict(budget=7),
        VALUE,
        "budget must cover initial rollouts for every prompt, got 7 and 8",
    ),
    "budget below the floors": (
        dict(initial=[4, 6], budget=9),
        VALUE,
        "budget must cover initial rollouts for every prompt, got 9 and 10",
    ),
    "negative budget": (
        dict(budget=-1),
        VALUE,
        "cost and budget must not be NaN or negative (None: no limit), got None and -1",
    ),
    "fractional budget": (dict(budget=8.5), TYPE, "budget must be an integer, got 8.5"),
    "unknown rule": (dict(rule="v05"), VALUE, "rule must be one of 'osla', 'neyman', got 'v05'"),
    "unknown look-ahead": (
        dict(look_ahead="none"),
        VALUE,
        "look_ahead must be one of 'same_bias', 'same_mean', 'derivative', got 'none'",
    ),
    "range the wrong way round": (
        dict(reward_range=(1, 0)),
        VALUE,
        "reward_range must be two finite numbers (at most 1e30), the lower one first, got 1 and 0",
    ),
    "range of NaN": (dict(reward_range=(0, NAN)), VALUE, "the lower one first, got 0 and nan"),
    "range of one": (dict(reward_range=(1,)), TYPE, "reward_range must be two numbers (low, high), got (1,)"),
    "calibration of another kind": (
        dict(calibration=0.5),
        TYPE,
        "calibration must be a Calibration, a RunningCalibration or None, got float",
    ),
    "calibration with NaN": (
        dict(calibration=dataclasses.replace(CALIBRATION, slope=NAN)),
        VALUE,
        "calibration must hold means of at most 1e31",
    ),
}


@pytest.mark.parametrize("arguments, kind, message", BAD.values(), ids=BAD)
def test_bad_arguments(arguments, kind, message):
    with pytest.raises(v05.Error, match=re.escape(message)) as caught:
        v05.Allocator(**{"prior": [0.5, 0.5], **arguments})
    assert type(caught.value) is kind


def observe(*arguments):
    return lambda allocator: allocator.observe(*arguments)


def cancel(*arguments):
    return lambda allocator: allocator.cancel(*arguments)


REFUSED = {
    "unknown prompt": (
        observe([0, 2], [1, 1]),
        VALUE,
        "UNKNOWN_PROMPT",
        "prompt_index[1] must lie in 0 to prompts - 1, got 2 and 2",
    ),
    "negative prompt": (
        observe([0, 1, -1], [1, 1, 1]),
        VALUE,
        "UNKNOWN_PROMPT",
        "prompt_index[2] must lie in 0 to prompts - 1, got -1 and 2",
    ),
    "huge prompt": (
        observe([2**62], [1]),
        VALUE,
        "UNKNOWN_PROMPT",
        "prompt_index[0] must lie in 0 to prompts - 1, got 4611686018427387904 and 2",
    ),
    "more than in flight": (
        observe([1, 0, 1, 1, 1], [1] * 5),
        VALUE,
        "NOT_IN_FLIGHT",
        "prompt_index[4] must not return more rollouts than are in flight of prompt, got 1",
    ),
    "reward NaN": (
        observe([0, 1], [1, NAN]),
        VALUE,
        "INVALID_REWARD",
        "rewards[1] must be finite (cancel takes back a failed rollout), got nan",
    ),
    "unscorable": (
        observe([0, 1], [1, None]),
        VALUE,
        "INVALID_REWARD",
        "rewards[1] must be finite (cancel takes back a failed rollout), got nan",
    ),
    "infinite reward": (
        observe([0], [math.inf]),
        VALUE,
        "INVALID_REWARD",
        "rewards[0] must be finite (cancel takes back a failed rollout), got inf",
    ),
    "reward outside the range": (
        observe([0, 0], [0, -0.5]),
        VALUE,
        "REWARD_OUT_OF_RANGE",
        "rewards[1] must lie in reward_range [0, 1], got -0.5",
    ),
    "fewer rewards": (
        observe([0, 1], [1]),
        VALUE,
        None,
        "rewards must have one entry per prompt_index (2), got shape (1,)",
    ),
    "rewards as text": (observe([0], ["1"]), TYPE, None, "rewards must be numbers, got dtype <U1"),
    "fractional prompts": (
        observe([0.0], [1]),
        TYPE,
        None,
        "prompt_index must be numbers, got dtype float64: 64-bit integers are needed",
    ),
    "prompts in a table": (
        observe([[0]], [1]),
        VALUE,
        None,
        "prompt_index must have one dimension (prompts), got shape (1, 1)",
    ),
    "failure of an unknown prompt": (
        cancel([1, 9]),
        VALUE,
        "UNKNOWN_PROMPT",
        "prompt_index[1] must lie in 0 to prompts - 1, got 9 and 2",
    ),
    "more failures than in flight": (
        cancel([0] * 4),
        VALUE,
        "NOT_IN_FLIGHT",
        "prompt_index[3] must not return more rollouts than are in flight of prompt, got 0",
    ),
    "failure of no prompt": (cancel(None), TYPE, None, "prompt_index must be numbers, got dtype object"),
    "an estimate by another rule": (
        lambda allocator: allocator.estimate(rule=""),
        VALUE,
        None,
        "rule must be one of 'v05', ",
    ),
}


@pytest.mark.parametrize("call, kind, status, message", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_changes_nothing(call, kind, status, message):
    allocator = v05.Allocator([0.5, NAN])
    allocator.request()
    allocator.observe([0, 1], [1.0, 0.0])
    before = allocator.state_dict()
    with pytest.raises(v05.Error, match=re.escape(message)) as caught:
        call(allocator)
    assert type(caught.value) is kind
    assert getattr(caught.value, "status", None) == (status and f"V05_STATUS_{status}")
    assert allocator.state_dict() == before


def test_results_before_any_request():
    with pytest.raises(v05.InvalidArgument, match="must not return more rollouts than are in flight"):
        v05.Allocator([0.5]).observe([0], [1.0])


CLOSED = {
    "request": lambda a: a.request(),
    "observe": lambda a: a.observe([0], [1.0]),
    "cancel": lambda a: a.cancel([0]),
    "stop": lambda a: a.stop(),
    "done": lambda a: a.done,
    "counts": lambda a: a.counts,
    "in_flight": lambda a: a.in_flight,
    "observations": lambda a: a.observations(),
    "estimate": lambda a: a.estimate(),
    "len": len,
    "state_dict": lambda a: a.state_dict(),
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("call", CLOSED.values(), ids=CLOSED)
def test_after_close(call):
    with v05.Allocator([0.5]) as allocator:
        allocator.request()
        assert not allocator.closed
    assert allocator.closed and repr(allocator) == "Allocator(closed)"
    with pytest.raises(v05.Error, match="Allocator is closed"):
        call(allocator)
    allocator.close()


def test_it_prints():
    allocator = v05.Allocator([0.5, 0.5])
    allocator.request()
    allocator.observe([0, 0, 1], [1, 0, 1])
    assert repr(allocator) == "Allocator(2 prompts, 3 rollouts observed, 5 in flight)"


def weighed(random, prior, rule, **options):
    """(allocator, prompts, rewards, weights) of a whole run whose rollouts have weights."""
    allocator = v05.Allocator(prior, rule=rule, **options)
    prompts, rewards, weights = [], [], []
    while not allocator.done:
        asked = np.repeat(np.arange(len(prior)), allocator.request())
        found = (random.random(len(asked)) < 0.2 + 0.6 * (asked % 2)).astype(float)
        worth = random.choice([0.0, 0.3, 1.0, 4.0], len(asked))
        allocator.observe(asked, found, weights=worth)
        for known, new in ((prompts, asked), (rewards, found), (weights, worth)):
            known.extend(new.tolist())
    return allocator, np.array(prompts), np.array(rewards), np.array(weights)


@pytest.mark.parametrize("rule", ["osla", "neyman"])
@pytest.mark.parametrize("budget", [None, 150])
@pytest.mark.parametrize("calibration", [None, CALIBRATION], ids=["plain", "calibrated"])
def test_weights_decide_by_the_weighted_mean_and_its_worth(rule, budget, calibration):
    """Without a budget a prompt goes on exactly where the gain by weighted mean and k_e exceeds the cost."""
    random = np.random.default_rng(4)
    prior = np.append(random.random(15), np.nan)
    allocator = v05.Allocator(prior, rule=rule, budget=budget, calibration=calibration)
    twin = v05.Allocator(prior, rule=rule, budget=budget, calibration=calibration)
    seen = [([], []) for _ in prior]
    cost = 0.25 / 16**2
    while not allocator.done:
        counts = allocator.request()
        np.testing.assert_array_equal(counts, twin.request())
        if budget is None and any(len(rewards) for rewards, _ in seen):
            for prompt, (rewards, weights) in enumerate(seen):
                gain = weighted_gain(rule, np.array(rewards), np.array(weights), prior[prompt], calibration)
                if abs(gain - cost) > 1e-12:
                    assert counts[prompt] == (gain > cost and len(rewards) < 16), (prompt, gain)
        asked = np.repeat(np.arange(len(prior)), counts)
        found = (random.random(len(asked)) < 0.5).astype(float)
        worth = random.choice([0.0, 0.3, 1.0, 4.0], len(asked))
        allocator.observe(asked, found, weights=worth)
        for row in random.permutation(len(asked)):  # one at a time and in another order: the same decisions
            twin.observe(int(asked[row]), found[row], weights=worth[row])
        for prompt, reward, weight in zip(asked, found, worth):
            seen[prompt][0].append(reward)
            seen[prompt][1].append(weight)
    assert budget is None or allocator.counts.sum() <= budget


def weighted_gain(rule, rewards, weights, prior, calibration):
    if not (weights > 0).any():
        return 0.0
    k = weights.sum() ** 2 / (weights**2).sum()
    if (weights == weights[0]).all():
        k = float(len(weights))
    mean = np.average(rewards, weights=weights)
    noise = 0.25 / k
    if calibration is not None:
        known = not np.isnan(prior)
        spread = calibration.prior_variance if known else calibration.between_variance
        center = np.clip(calibration.intercept + calibration.slope * prior, 0, 1) if known else calibration.grand_mean
        s2 = calibration.reward_variance
        share = spread / (spread + s2 / k)
        value, mse = center + share * (mean - center), share * s2 / k
        drop = spread * s2 / (s2 + k * spread) - spread * s2 / (s2 + (k + 1) * spread)
    elif np.isnan(prior):
        value, mse, drop = mean, noise, 0.25 / (k * (k + 1))
    else:
        bias = max(0.0, (mean - prior) ** 2 - noise)
        share = bias / (bias + noise)
        value, mse = prior + share * (mean - prior), share * noise
        d = bias / 0.25
        drop = 0.25 * (d / (1 + k * d) - d / (1 + (k + 1) * d))
    if rule == "osla":
        return drop
    return max(0.0, 0.25 - (value - 0.5) ** 2 - mse) / (k * (k + 1))


@pytest.mark.parametrize("rule", ["osla", "neyman"])
def test_weights_in_the_estimate_and_in_checkpoints(rule):
    random = np.random.default_rng(6)
    prior = random.random(12)
    allocator, prompts, rewards, weights = weighed(random, prior, rule, budget=120)
    options = dict(rule="v05", leave_one_out=True)
    found = allocator.estimate(**options)
    expected = v05.estimate(rewards, prompts, prior[prompts], weights=weights, **options)
    np.testing.assert_array_equal(found.advantages, expected.advantages)
    np.testing.assert_array_equal(found.effective_count[expected.groups], expected.effective_count)
    copy = v05.Allocator([0.5])
    copy.load_state_dict(allocator.state_dict())
    np.testing.assert_array_equal(copy.estimate(**options).advantages, found.advantages)
    assert copy.state_dict() == allocator.state_dict()
    # In the middle: both go on alike.
    half = v05.Allocator(prior, rule=rule, budget=120)
    asked = np.repeat(np.arange(12), half.request())
    half.observe(asked, random.integers(0, 2, len(asked)).astype(float), weights=random.random(len(asked)))
    copy.load_state_dict(half.state_dict())
    np.testing.assert_array_equal(copy.request(), half.request())


@pytest.mark.parametrize("rule", ["osla", "neyman"])
def test_equal_weights_decide_what_none_do(rule):
    random = np.random.default_rng(7)
    prior = random.random(10)
    plain, equal = (v05.Allocator(prior, rule=rule, budget=100) for _ in range(2))
    while not plain.done:
        counts = plain.request()
        np.testing.assert_array_equal(counts, equal.request())
        asked = np.repeat(np.arange(10), counts)
        found = (random.random(len(asked)) < 0.5).astype(float)
        plain.observe(asked, found)
        equal.observe(asked, found, weights=np.full(len(asked), 0.7))
    np.testing.assert_array_equal(plain.estimate().advantages, equal.estimate().advantages)


def test_weights_that_are_refused_change_nothing():
    allocator = v05.Allocator([0.5, 0.5])
    allocator.request()
    state = allocator.state_dict()
    for wrong in (np.nan, np.inf, -0.5):
        with pytest.raises(v05.InvalidArgument, match=r"weights\[1\] must be finite and not negative"):
            allocator.observe([0, 1], [1.0, 0.0], weights=[1.0, wrong])
    with pytest.raises(v05.InvalidArgument, match="weights"):
        allocator.observe([0, 1], [1.0, 0.0], weights=[1.0])
    with pytest.raises(v05.InvalidArgument, match="prompt_index"):
        allocator.observe([0, 2], [1.0, 0.0], weights=[1.0, 1.0])
    assert allocator.state_dict() == state
    random = np.random.default_rng(1)
    rewards, groups = (random.random(64) < 0.5).astype(float), np.repeat(np.arange(16), 4)
    mixture = v05.fit_mixture(rewards, groups, np.repeat(random.random(16), 4))
    with_mixture = v05.Allocator([0.5], mixture=mixture)
    with_mixture.request()
    with pytest.raises(v05.InvalidArgument, match="weights must not be given with a mixture"):
        with_mixture.observe([0], [1.0], weights=[2.0])


def test_no_weight_means_no_gain():
    """A prompt whose rollouts all weigh nothing asks for no more; without weights each counts as 1."""
    allocator = v05.Allocator([np.nan, np.nan])
    allocator.request()
    allocator.observe([0] * 4 + [1] * 2, [1.0, 0, 1, 0, 1, 0], weights=[0.0] * 4 + [1.0] * 2)
    allocator.observe([1] * 2, [1.0, 0.0])
    assert allocator.request().tolist() == [0, 1]


@pytest.mark.parametrize("strength", [NAN, -1.0, math.inf])
def test_a_strength_that_cannot_be(strength):
    with pytest.raises(v05.InvalidArgument, match=r"strength\[1\] must be finite and not negative"):
        v05.Allocator([0.5, 0.5], strength=[1, strength])


def test_a_rule_that_needs_what_an_allocator_does_not_keep():
    allocator = v05.Allocator([0.5, 0.9], strength=[3, 5], initial=2)
    allocator.request()
    allocator.observe([0, 0, 1, 1], [1, 0, 1, 1])
    with pytest.raises(
        v05.InvalidArgument, match="discounted_beta.*v05.estimate its observations.. and prior_strength"
    ):
        allocator.estimate(rule="discounted_beta")
