# Regenerate estimation.json, next to this file, with
#     python Tests/ReferenceValues/estimation.py
# (Python 3.10 or later, mpmath and scipy).
"""Reference values of the estimation core, computed with 50 digits.

Every input is a float64 and is taken at its exact value. `None` stands for a
number that does not exist; it is written as null and read as NaN.
"""

import functools
import json
import random
from pathlib import Path

import mpmath
from mpmath import mpf
from scipy.stats import binomtest

mpmath.mp.dps = 50

SEED = 20260310
LEAST_GROUPS = 8  # below this no calibration is fitted or applied
SLOPE_RIDGE = mpf("0.2")  # in units of the squared half-width of the reward range
GREATEST_SLOPE = mpf("1.5")
TIE_FACTOR = 1 + mpf(10) ** -7  # as scipy.stats.binomtest
CLOSENESS = mpf(10) ** -6  # a decision nearer to its boundary is not tested
TINY = mpf(10) ** -38  # what is left of an exact zero after 50 digits

DEFAULTS = {
    "rule": "v05",
    "reward_range": [0.0, 1.0],
    "leave_one_out": False,
    "scale": "none",
    "ddof": 1,
    "epsilon": 1e-6,
    "singleton": "zero",
    "test": "bound",
    "level": 0.05,
}


INPUTS = ("rewards", "groups", "prior", "mask", "options", "calibration")


class Borderline(Exception):
    """A decision that float64 could take either way: the case is no use as a reference."""


def exceeds(left, right):
    """left > right. Equality counts only where float64 holds the value exactly."""
    if left == right and mpf(float(left)) == left:
        return False
    if abs(left - right) <= CLOSENESS * abs(right):
        raise Borderline
    return left > right


# ---- One group's rewards ---------------------------------------------------


def all_equal(rewards):
    return len(rewards) > 0 and all(reward == rewards[0] for reward in rewards)


def mean(rewards):
    if not rewards:
        return None
    return rewards[0] if all_equal(rewards) else mpmath.fsum(rewards) / len(rewards)


def sum_of_squares(rewards):
    centre = mean(rewards)
    return mpmath.fsum((reward - centre) ** 2 for reward in rewards)


def median(rewards):
    ordered = sorted(rewards)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def standard_deviation(rewards, ddof):
    """None where there is no spread, so nothing to divide by."""
    if len(rewards) < 2 or all_equal(rewards):
        return None
    return mpmath.sqrt(sum_of_squares(rewards) / (len(rewards) - ddof))


# ---- The prior and its test (method, sections 1 and 2) ---------------------


@functools.cache
def binomial_p_value(successes, count, probability):
    """Total probability of all outcomes at most as likely as the observed one."""
    likelihood = [
        mpmath.binomial(count, j) * probability**j * (1 - probability) ** (count - j) for j in range(count + 1)
    ]
    limit = likelihood[successes] * TIE_FACTOR
    for value in likelihood:
        if limit > 0 and abs(value / limit - 1) < mpf(10) ** -9:
            raise Borderline
    p_value = mpmath.fsum(value for value in likelihood if value <= limit)

    by_scipy = binomtest(successes, count, float(probability)).pvalue
    assert abs(p_value - by_scipy) <= mpf("1e-9") * p_value, (successes, count, probability)
    return min(p_value, mpf(1))


def test_of_prior(rewards, prior, setting):
    """(squared bias, z, p-value, rejected) of a prior against these rewards."""
    if not rewards or prior is None:
        return None, None, None, False
    noise = setting["half"] ** 2 / len(rewards)
    distance = (mean(rewards) - prior) ** 2
    rejected = exceeds(distance, noise)
    bias_squared = distance - noise if rejected else mpf(0)
    z = abs(mean(rewards) - prior) / mpmath.sqrt(noise)
    if setting["test"] == "bound":
        return bias_squared, z, None, rejected

    low, high = setting["low"], setting["high"]
    assert all(reward in (low, high) for reward in rewards)
    p_value = binomial_p_value(rewards.count(high), len(rewards), (prior - low) / (high - low))
    return bias_squared, z, p_value, not (p_value == setting["level"] or exceeds(p_value, setting["level"]))


# ---- Rules: (weight, baseline, mean squared error) of one group ------------


def paper_rule(rewards, prior, setting):
    if not rewards:
        return mpf(0), prior, None
    noise = setting["half"] ** 2 / len(rewards)
    bias_squared, _, p_value, rejected = test_of_prior(rewards, prior, setting)
    weight = bias_squared / (bias_squared + noise)
    if p_value is not None and not rejected:
        weight = mpf(0)
    return weight, weight * mean(rewards) + (1 - weight) * prior, weight * noise


def shrinkage_rule(rewards, centre, variance, setting):
    """The mean drawn towards a centre from which true means differ by `variance`."""
    if not rewards:
        return mpf(0), centre, variance
    noise = setting["calibration"]["reward_variance"] / len(rewards)
    if noise == 0:
        return mpf(1), mean(rewards), mpf(0)
    weight = variance / (variance + noise)
    return weight, centre + weight * (mean(rewards) - centre), variance * noise / (variance + noise)


# ---- Mixture of Beta distributions (method, section 5b) --------------------

STRENGTHS = [mpf(2) ** power for power in range(-1, 9)]


def components(prior, setting):
    """(a, b) of the Beta distributions of a prompt: 30 with a prior, 10 without."""
    fitted = setting["calibration"]
    values = [fitted["grand_mean"]]
    if prior is not None:
        values = [prior, fitted["intercept"] + fitted["slope"] * prior] + values
    for value in values:
        probability = (value - setting["low"]) / (setting["high"] - setting["low"])
        centre = min(max(probability, mpf("0.02")), mpf("0.98"))
        for strength in STRENGTHS:
            yield strength * centre, strength * (1 - centre)


def likelihood(a, b, wins, losses):
    return mpmath.beta(a + wins, b + losses) / mpmath.beta(a, b)


def outcome(rewards, setting):
    assert all(reward in (setting["low"], setting["high"]) for reward in rewards)
    wins = sum(reward == setting["high"] for reward in rewards)
    return wins, len(rewards) - wins


def fit_weights(groups, last, setting):
    """Expectation-maximisation for the `last` components of every group."""
    table = [
        [
            likelihood(a, b, *outcome(group["rewards"], setting))
            for a, b in list(components(group["prior"], setting))[-last:]
        ]
        for group in groups
    ]
    weights = [mpf(1) / last] * last
    for _ in range(40):
        counts = [mpf("0.05")] * last
        for row in table:
            total = mpmath.fsum(weight * value for weight, value in zip(weights, row))
            for index in range(last):
                counts[index] += weights[index] * row[index] / total
        weights = [count / mpmath.fsum(counts) for count in counts]
    return weights


def fit_mixture(groups, setting):
    present = [group for group in groups if group["rewards"]]
    predicted = [group for group in present if group["prior"] is not None]
    return fit_weights(predicted, 30, setting), fit_weights(present, 10, setting)


def mixture_rule(rewards, prior, setting):
    wins, losses = outcome(rewards, setting)
    table = list(components(prior, setting))
    shares = [
        weight * likelihood(a, b, wins, losses) for weight, (a, b) in zip(setting["weights"][prior is None], table)
    ]
    total = mpmath.fsum(shares)
    means = [(a + wins) / (a + b + wins + losses) for a, b in table]
    average = mpmath.fsum(share * mean for share, mean in zip(shares, means)) / total
    variance = (
        mpmath.fsum(
            share * (mean * (1 - mean) / (a + b + wins + losses + 1) + (mean - average) ** 2)
            for share, mean, (a, b) in zip(shares, means, table)
        )
        / total
    )
    weight = mpmath.fsum(share * len(rewards) / (a + b + len(rewards)) for share, (a, b) in zip(shares, table)) / total
    width = setting["high"] - setting["low"]
    return weight, setting["low"] + width * average, width**2 * variance


def apply_rule(rule, rewards, prior, setting):
    fitted = setting["calibration"]
    if rule == "mixture":
        return mixture_rule(rewards, prior, setting)
    if rule == "james_stein" or (rule == "calibrated" and prior is None):
        return shrinkage_rule(rewards, fitted["grand_mean"], fitted["between_variance"], setting)
    if rule == "calibrated":
        centre = fitted["intercept"] + fitted["slope"] * prior
        centre = min(max(centre, setting["low"]), setting["high"])
        return shrinkage_rule(rewards, centre, fitted["prior_variance"], setting)
    if rule == "v05" and prior is not None:
        return paper_rule(rewards, prior, setting)
    if rule == "prior" and prior is not None:
        return mpf(0), prior, test_of_prior(rewards, prior, setting)[0]
    if not rewards:
        return None, None, None
    if rule == "median":
        return mpf(1), median(rewards), None
    return mpf(1), mean(rewards), setting["half"] ** 2 / len(rewards)


# ---- Calibration of a batch (method, section 5) ----------------------------


def normalised_weights(between, variances):
    if all(variance == 0 for variance in variances):
        return [mpf(1)] * len(variances)
    weights = [1 / (between + variance) for variance in variances]
    return [weight * len(weights) / mpmath.fsum(weights) for weight in weights]


def weighted_mean(weights, values):
    return mpmath.fdot(weights, values) / mpmath.fsum(weights)


def fit_line(between, means, priors, variances, half):
    weights = normalised_weights(between, variances)
    prior_centre = weighted_mean(weights, priors)
    mean_centre = weighted_mean(weights, means)
    spread = mpmath.fsum(u * (V - prior_centre) ** 2 for u, V in zip(weights, priors))
    product = mpmath.fsum(u * (V - prior_centre) * (m - mean_centre) for u, V, m in zip(weights, priors, means))
    slope = min(max(product / (spread + SLOPE_RIDGE * half**2), mpf(0)), GREATEST_SLOPE)
    return mean_centre - slope * prior_centre, slope


def moment_variance(predict, means, variances, freedom):
    """Variance of the true means about their predictions, at least 0.

    The variance at which the weighted residual sum of squares equals its
    expectation, `freedom` (Paule and Mandel). `predict(variance)` gives the
    predictions refitted for a variance.
    """

    def residuals(between):
        return [(m - f) ** 2 for m, f in zip(means, predict(between))]

    if all(variance == 0 for variance in variances):
        return mpmath.fsum(residuals(mpf(0))) / freedom

    def expected(between):
        return mpmath.fsum(square / (between + variance) for square, variance in zip(residuals(between), variances))

    if not exceeds(expected(mpf(0)), mpf(freedom)):
        return mpf(0)
    upper = max(variances)
    while expected(upper) > freedom:
        upper *= 2
    root = mpmath.findroot(
        lambda between: expected(between) - freedom,
        (mpf(0), upper),
        solver="anderson",
        tol=mpf(10) ** -80,
        maxsteps=500,
    )
    assert abs(expected(root) - freedom) < mpf(10) ** -38
    # One root only: the sum lies above its expectation before it and below after it.
    for step in range(1, 20):
        assert expected(root * step / 20) > freedom > expected(root * (1 + mpf(step) ** 2 / 10))
    if len(set(variances)) == 1:
        closed_form = mpmath.fsum(residuals(mpf(0))) / freedom - variances[0]
        assert abs(root - closed_form) < TINY
    return root


def fit_calibration(groups, low, high):
    half, middle = (high - low) / 2, (low + high) / 2
    repeated = [group for group in groups if len(group["rewards"]) >= 2]
    present = [group for group in groups if group["rewards"]]
    predicted = [group for group in present if group["prior"] is not None]

    freedom = sum(len(group["rewards"]) - 1 for group in repeated)
    squares = mpmath.fsum(sum_of_squares(group["rewards"]) for group in repeated)
    reward_variance = squares / freedom if freedom else mpf(0)

    def summaries(chosen):
        return (
            [mean(group["rewards"]) for group in chosen],
            [reward_variance / len(group["rewards"]) for group in chosen],
        )

    means, variances = summaries(predicted)
    priors = [group["prior"] for group in predicted]

    def line(between):
        return fit_line(between, means, priors, variances, half)

    def predictions(between):
        intercept, slope = line(between)
        return [intercept + slope * V for V in priors]

    prior_variance, slope = mpf(0), mpf(0)
    if len(predicted) >= 3:
        prior_variance = moment_variance(predictions, means, variances, len(predicted) - 2)
        intercept, slope = line(prior_variance)
    elif predicted:
        intercept = weighted_mean(normalised_weights(mpf(0), variances), means)
    else:
        intercept = middle

    means, variances = summaries(present)

    def grand_mean_at(between):
        return weighted_mean(normalised_weights(between, variances), means)

    between_variance = mpf(0)
    if len(present) >= 2:
        between_variance = moment_variance(
            lambda between: [grand_mean_at(between)] * len(means), means, variances, len(present) - 1
        )
    grand_mean = grand_mean_at(between_variance) if present else middle

    return {
        "intercept": intercept,
        "slope": slope,
        "prior_variance": prior_variance,
        "reward_variance": reward_variance,
        "grand_mean": grand_mean,
        "between_variance": between_variance,
        "groups": sum(group["prior"] is not None for group in repeated),
        "total_groups": len(repeated),
    }


# ---- A whole call (method, sections 4 and 6) -------------------------------


def collect_groups(rewards, ids, prior, mask):
    """Groups in order of first appearance, and every row's place in that order."""
    order = list(dict.fromkeys(ids))
    groups = []
    for identity in order:
        rows = [row for row, of_row in enumerate(ids) if of_row == identity]
        counted = [row for row in rows if mask is None or mask[row]]
        value = prior[(counted or rows)[0]] if prior is not None else None
        if prior is not None:
            assert all(prior[row] == value for row in counted)
        groups.append(
            {
                "id": identity,
                "rows": counted,
                "rewards": [mpf(rewards[row]) for row in counted],
                "prior": None if value is None else mpf(value),
            }
        )
    return groups, [order.index(identity) for identity in ids]


def estimate(rewards, ids, prior, mask, options, calibration):
    """(values of the estimate, calibration fitted to the batch or None)."""
    low, high = (mpf(bound) for bound in options["reward_range"])
    groups, index = collect_groups(rewards, ids, prior, mask)

    fitted = None
    rule = options["rule"]
    if rule in ("calibrated", "james_stein", "mixture"):
        if calibration is None:
            fitted = fit_calibration(groups, low, high)
        else:
            calibration = {name: mpf(value) for name, value in calibration.items()}
        enough = "total_groups" if rule == "james_stein" else "groups"
        if (calibration or fitted)[enough] < LEAST_GROUPS:
            rule = "grpo" if rule == "james_stein" else "v05"

    setting = {
        "low": low,
        "high": high,
        "half": (high - low) / 2,
        "test": options["test"],
        "level": mpf(options["level"]),
        "calibration": calibration or fitted,
    }
    if rule == "mixture":
        setting["weights"] = fit_mixture(groups, setting)

    values = {name: [] for name in ("weight", "baseline", "mse", "bias_squared", "z", "p_value", "rejected")}
    advantages = [mpf(0)] * len(rewards)
    batch = [reward for group in groups for reward in group["rewards"]]
    batch_deviation = standard_deviation(batch, options["ddof"])
    epsilon = mpf(options["epsilon"])

    for group in groups:
        counted, prior_value = group["rewards"], group["prior"]
        weight, baseline, mse = apply_rule(rule, counted, prior_value, setting)
        bias_squared, z, p_value, rejected = test_of_prior(counted, prior_value, setting)
        for name, value in (
            ("weight", weight),
            ("baseline", baseline),
            ("mse", mse),
            ("bias_squared", bias_squared),
            ("z", z),
            ("p_value", p_value),
            ("rejected", rejected),
        ):
            values[name].append(value)

        alone = len(counted) == 1 and (
            rule in ("grpo", "rloo", "median") or (rule in ("v05", "prior") and prior_value is None)
        )

        for place, row in enumerate(group["rows"]):
            row_baseline, spread_of = baseline, counted
            if options["leave_one_out"] or rule == "rloo":
                others = counted[:place] + counted[place + 1 :]
                row_baseline = apply_rule(rule, others, prior_value, setting)[1]
                spread_of = others

            deviation = None
            if options["scale"] == "batch":
                deviation = batch_deviation
            elif options["scale"] == "group":
                deviation = standard_deviation(spread_of, options["ddof"])

            if alone and options["singleton"] == "zero":
                advantages[row] = mpf(0)
                continue
            if alone:
                row_baseline = mpf(0)
                if options["scale"] == "group":
                    deviation = mpf(1)
            advantage = counted[place] - row_baseline
            advantages[row] = advantage if deviation is None else advantage / (deviation + epsilon)

    values |= {
        "rule": rule,
        "advantages": advantages,
        "row_group": index,
        "groups": [group["id"] for group in groups],
        "count": [len(group["rewards"]) for group in groups],
        "mean": [mean(group["rewards"]) for group in groups],
        "prior": [group["prior"] for group in groups],
        "constant": [all_equal(group["rewards"]) for group in groups],
    }
    return values, fitted


# ---- What must hold for every case -----------------------------------------


def close(left, right, size=1):
    return abs(left - right) <= mpf(10) ** -40 * (1 + abs(size))


def check_properties(case):
    rewards, ids, prior, mask, options, calibration = (case[name] for name in INPUTS)
    values, fitted = estimate(rewards, ids, prior, mask, options, calibration)
    low, high = (mpf(bound) for bound in options["reward_range"])
    half = (high - low) / 2
    size = max((abs(mpf(reward)) for reward in rewards), default=1)
    for i, k in enumerate(values["count"]):
        if k > 0:
            group = {name: values[name][i] for name in ("mean", "prior", "baseline", "weight", "mse", "bias_squared")}
            check_group(group, k, values["rule"], half, calibration or fitted, options)

    # Centred rewards sum to 0, unless every row has a scale of its own.
    left_out = options["leave_one_out"] or options["rule"] == "rloo"
    if (
        options["rule"] in ("grpo", "rloo")
        and options["singleton"] == "zero"
        and not (left_out and options["scale"] == "group")
    ):
        for i in range(len(values["groups"])):
            assert close(
                mpmath.fsum(
                    advantage for advantage, of_row in zip(values["advantages"], values["index"]) if of_row == i
                ),
                0,
                size,
            )

    # The order of rows changes nothing.
    def backwards(column):
        return None if column is None else column[::-1]

    turned, _ = estimate(
        backwards(rewards),
        backwards(ids),
        backwards(prior_of_groups(ids, prior, mask)),
        backwards(mask),
        options,
        calibration,
    )
    for left, right in zip(values["advantages"], turned["advantages"][::-1]):
        assert close(left, right, size)

    # Twice the rewards less one: twice the advantages.
    if calibration is None and options["singleton"] == "zero" and options["scale"] == "none":

        def moved(column):
            return column and [None if x is None else 2 * mpf(x) - 1 for x in column]

        shifted = options | {"reward_range": moved(options["reward_range"])}
        doubled, _ = estimate(moved(rewards), ids, moved(prior), mask, shifted, None)
        for left, right in zip(values["advantages"], doubled["advantages"]):
            assert close(2 * left, right, size)


def check_group(group, k, rule, half, calibration, options):
    m, V, b, w, mse = (group[name] for name in ("mean", "prior", "baseline", "weight", "mse"))
    noise = half**2 / k
    assert 0 <= w <= 1
    if rule in ("calibrated", "james_stein"):
        centre, variance = calibration["grand_mean"], calibration["between_variance"]
        if rule == "calibrated" and V is not None:
            low, high = (mpf(bound) for bound in options["reward_range"])
            centre = calibration["intercept"] + calibration["slope"] * V
            centre = min(max(centre, low), high)
            variance = calibration["prior_variance"]
        assert min(m, centre) - TINY <= b <= max(m, centre) + TINY
        assert close(mse, w * mpf(calibration["reward_variance"]) / k)
        assert close(mse, (1 - w) * variance) or calibration["reward_variance"] == 0
    elif rule == "mixture":
        low, high = (mpf(bound) for bound in options["reward_range"])
        assert low < b < high and 0 < mse < half**2 and 0 < w < 1
    elif rule == "v05":
        assert close(mse, w * noise)
        if V is not None and options["rule"] != "james_stein":
            assert min(m, V) - TINY <= b <= max(m, V) + TINY
            if options["test"] == "bound":
                D, d = (m - V) ** 2, group["bias_squared"]
                assert abs(b - m) <= half / mpmath.sqrt(k) + TINY
                assert close(w, 1 - noise / D if D > noise else 0)
                assert close(mse, d * noise / (d + noise))


def prior_of_groups(ids, prior, mask):
    """The prior with every row saying what its group's prior is."""
    if prior is None:
        return None
    groups, index = collect_groups([0] * len(ids), ids, prior, mask)
    return [groups[i]["prior"] for i in index]


# ---- Writing ---------------------------------------------------------------


def number(value, tiny=TINY):
    if value is None:
        return None
    return 0.0 if abs(value) < tiny else float(mpmath.nstr(value, 45))


def written_estimate(values):
    written = {"rule": values["rule"], "advantages": [number(value) for value in values["advantages"]]}
    for name in ("index", "groups", "count"):
        written[name] = values[name]
    for name in ("mean", "prior", "weight", "baseline", "bias_squared", "mse", "z"):
        written[name] = [number(value) for value in values[name]]
    written["p_value"] = [number(value, tiny=0) for value in values["p_value"]]
    for name in ("rejected", "constant"):
        written[name] = [bool(value) for value in values[name]]
    return written


def written_calibration(fitted):
    return {name: int(value) if name in ("groups", "total_groups") else number(value) for name, value in fitted.items()}


def make_case(name, rewards, groups, prior=None, mask=None, calibration=None, **options):
    """One case of the file. `prior` is a list by row or a dictionary by group."""
    options = DEFAULTS | options
    if isinstance(prior, dict):
        prior = [prior.get(identity) for identity in groups]
    values, fitted = estimate(rewards, groups, prior, mask, options, calibration)
    case = {
        "name": name,
        "rewards": rewards,
        "groups": groups,
        "prior": prior,
        "mask": mask,
        "options": options,
        "calibration": calibration,
        "expected": written_estimate(values),
    }
    if fitted is not None:
        case["expected_calibration"] = written_calibration(fitted)
    return case


# ---- Drawing batches -------------------------------------------------------

RANGES = ([0.0, 1.0], [-1.0, 1.0], [-2.0, 5.0])
KINDS = ("two", "several", "continuous")


def honest(rng, truth):
    return truth + rng.gauss(0, 0.15)


def draw_batch(
    rng,
    sizes,
    reward_range=(0.0, 1.0),
    kind="two",
    prior=honest,
    missing=0.0,
    masked=0.0,
    truth=lambda rng: rng.random(),
    shuffled=True,
):
    """Rewards, groups, prior and mask of one group for each size.

    `prior(rng, truth)` and `truth(rng)` are probabilities; a negative size is
    a group of that many rows that are all masked.
    """
    low, high = reward_range
    width = high - low

    def in_range(probability, digits):
        return round(low + width * min(max(probability, 0.0), 1.0), digits)

    def draw_reward(success):
        if kind == "two":
            return high if rng.random() < success else low
        if kind == "several":
            return in_range(round(5 * min(max(rng.gauss(success, 0.3), 0), 1)) / 5, 10)
        return in_range(rng.gauss(success, 0.25), 4)

    rows = []
    for group, size in enumerate(sizes):
        success = truth(rng)
        value = None if prior is None or rng.random() < missing else in_range(prior(rng, success), 3)
        hidden = [size < 0 or rng.random() < masked for _ in range(abs(size))]
        if size > 0:
            hidden[0] = False
        # What a masked row says is not read, except the prior of a group without counted rows.
        for place, is_hidden in enumerate(hidden):
            unread = is_hidden and (size > 0 or place > 0)
            rows.append(
                [
                    99.5 if is_hidden else draw_reward(success),
                    7 * group - 11,
                    rng.choice([None, 77.0]) if unread and not shuffled else value,
                    0 if is_hidden else 1,
                ]
            )
    if shuffled:
        rng.shuffle(rows)
    rewards, groups, priors, mask = (list(column) for column in zip(*rows))
    return {
        "rewards": rewards,
        "groups": groups,
        "prior": None if prior is None else priors,
        "mask": None if all(mask) else mask,
        "reward_range": [low, high],
    }


class Cases:
    """The list that is written, under names that are all different."""

    def __init__(self):
        self.all = []
        self.rng = random.Random(SEED)

    def keep(self, case):
        assert case["name"] not in [other["name"] for other in self.all], case["name"]
        check_properties(case)
        self.all.append(case)

    def add(self, name, *arguments, **options):
        self.keep(make_case(name, *arguments, **options))

    def draw(self, name, sizes, wanted=lambda case: True, calibration=None, options=None, **batch):
        """The first drawn batch that is `wanted` and far from every boundary."""
        for _ in range(2000):
            drawn = draw_batch(self.rng, sizes, **batch)
            try:
                case = make_case(name, **drawn, calibration=calibration, **(options or {}))
                if wanted(case):
                    self.keep(case)
                    return
            except Borderline:
                continue
        raise RuntimeError(f"no batch found for {name}")


# ---- The cases -------------------------------------------------------------


def every_combination(cases):
    """Every rule x leave-one-out x scale x ddof x singleton, on batches with all odd groups."""
    turn = 0
    for rule in ("v05", "calibrated", "grpo", "rloo", "james_stein", "prior", "median"):
        for leave_one_out in (False, True):
            for scale, ddof in (("none", 1), ("group", 0), ("group", 1), ("batch", 0), ("batch", 1)):
                for singleton in ("zero", "raw"):
                    sizes = [1, 2, 3, -2, 4, 2, 1, 5, 3, 2, 4, 3, 2, 1]
                    without_prior = turn % 5 == 4 and rule != "calibrated"

                    def wanted(case, rule=rule):
                        expected = case["expected"]
                        single = [expected["prior"][i] for i, k in enumerate(expected["count"]) if k == 1]
                        some = without_prior or (None in single and set(single) != {None})
                        return (
                            some
                            and expected["rule"] == rule
                            and any(flag and k > 1 for flag, k in zip(expected["constant"], expected["count"]))
                        )

                    words = [rule, "leave one out" if leave_one_out else "whole", scale, f"ddof {ddof}", singleton]
                    cases.draw(
                        "combination: " + ", ".join(words),
                        sizes,
                        wanted,
                        options={
                            "rule": rule,
                            "leave_one_out": leave_one_out,
                            "scale": scale,
                            "ddof": ddof,
                            "singleton": singleton,
                            "epsilon": (1e-6, 1e-4, 1e-8, 0.0)[turn // 3 % 4],
                        },
                        reward_range=RANGES[turn % 3],
                        kind=KINDS[turn // 3 % 3],
                        prior=None if without_prior else honest,
                        missing=0.15,
                        masked=0.1 if turn % 2 else 0.0,
                        shuffled=turn % 4 < 2,
                    )
                    turn += 1


def boundary_and_small(cases):
    """The rule of the paper by hand: the boundary, missing parts, one and two rollouts."""
    wide = [-1.0, 1.0]
    for leave_one_out in (False, True):
        word = "leave one out" if leave_one_out else "whole"
        cases.add(
            f"boundary: k 4, prior 0, means +-1/2, {word}",
            [1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0],
            [0] * 4 + [1] * 4,
            {0: 0.0, 1: 0.0},
            reward_range=wide,
            leave_one_out=leave_one_out,
        )
        cases.add(
            f"boundary: one rollout, prior in the middle, {word}",
            [1.0, 0.0],
            [5, -5],
            {5: 0.5, -5: 0.5},
            leave_one_out=leave_one_out,
        )
        cases.add(
            f"boundary: k 4, prior 1/2, means 1/4 and 3/4, {word}",
            [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0],
            [0] * 4 + [1] * 4,
            {0: 0.5, 1: 0.5},
            leave_one_out=leave_one_out,
        )
        cases.add(
            f"paper: both sides of the boundary, {word}",
            [1.0, 1.0, 1.0, -1.0] * 2,
            [0] * 4 + [1] * 4,
            {0: 0.001, 1: -0.001},
            reward_range=wide,
            leave_one_out=leave_one_out,
        )
        cases.add(
            f"paper: all rewards equal, {word}",
            [1.0] * 4 + [0.0] * 4 + [1.0] * 3,
            [3] * 4 + [2] * 4 + [1] * 3,
            {3: 0.4, 2: 0.9, 1: 0.97},
            leave_one_out=leave_one_out,
        )
        cases.add(
            f"paper: prior equal to the mean, {word}",
            [1.0, 0.0, 1.0, 0.0],
            [8] * 4,
            {8: 0.5},
            leave_one_out=leave_one_out,
        )
        cases.add(
            f"paper: priors at the ends of the range, {word}",
            [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0],
            [1, 1, 1, 2, 2, 3, 4],
            {1: 0.0, 2: 1.0, 3: 1.0, 4: 0.0},
            leave_one_out=leave_one_out,
        )
        for rule in ("v05", "grpo", "median", "prior", "rloo"):
            cases.add(
                f"one row with prior: {rule}, {word}", [0.75], [9], {9: 0.125}, rule=rule, leave_one_out=leave_one_out
            )
            cases.add(
                f"one row without prior, raw: {rule}, {word}",
                [0.75],
                [9],
                rule=rule,
                leave_one_out=leave_one_out,
                singleton="raw",
                scale="group",
            )
        cases.add(
            f"masked: every row, {word}",
            [1.0, 0.0, 1.0],
            [4, 4, 6],
            [0.25, 0.5, None],
            [0, 0, 0],
            leave_one_out=leave_one_out,
        )
        cases.add(
            f"masked: unread rewards and priors, {word}",
            [-1e9, 1.0, 0.0, 1e9, 1.0, 0.5],
            [1, 1, 1, 2, 1, 3],
            [-4.0, 0.75, 0.75, 0.3, 0.75, None],
            [0, 1, 1, 0, 1, 1],
            leave_one_out=leave_one_out,
        )
        for missing in ("some", "all"):
            prior = {1: 0.1} if missing == "some" else {}
            for singleton in ("zero", "raw"):
                cases.add(
                    f"missing priors: {missing}, {singleton}, {word}",
                    [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.5],
                    [1, 1, 2, 2, 1, 3, 4],
                    prior,
                    leave_one_out=leave_one_out,
                    singleton=singleton,
                )
    for rule in ("grpo", "rloo", "median", "prior"):
        cases.add(f"masked: every row, {rule}", [1.0, 0.0, 1.0], [4, 4, 6], [0.25, 0.25, None], [0, 0, 0], rule=rule)
    cases.add(
        "paper: identities at the ends of int64",
        [1.0, 0.0, 1.0, 1.0, 0.0],
        [2**63 - 1, -(2**63), 2**63 - 1, 0, 2**53 + 1],
        {2**63 - 1: 0.2, -(2**63): 0.6, 0: 0.9},
    )
    cases.add("paper: a prior close to the mean of thirds", [1.0, 0.0, 0.0] * 5, [2] * 15, {2: 1 / 3})


def drawn_paper_rule(cases):
    for kind in KINDS:
        for reward_range in RANGES:
            for leave_one_out in (False, True):
                cases.draw(
                    f"paper drawn: {kind}, {reward_range}, leave one out {leave_one_out}",
                    [4, 1, 7, 2, 16, 3, -3, 5],
                    kind=kind,
                    reward_range=reward_range,
                    prior=lambda rng, truth: rng.random(),
                    missing=0.1,
                    masked=0.05,
                    options={"leave_one_out": leave_one_out},
                )


def exact_test(cases):
    def binary(successes, count, high=1.0, low=0.0):
        return [high] * successes + [low] * (count - successes)

    cases.add(
        "exact: prior at the ends of the range",
        binary(0, 3) + binary(1, 3) + binary(3, 3) + binary(2, 3),
        [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3,
        {0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0},
        test="exact",
    )
    cases.add("exact: rejected by the test, inside the bound", binary(1, 4), [0] * 4, {0: 0.01}, test="exact")
    cases.add("exact: accepted by the test, outside the bound", binary(7, 8), [0] * 8, {0: 0.6}, test="exact")
    cases.add(
        "exact: symmetric prior, tied tails",
        binary(2, 10) + binary(9, 10) + binary(5, 10),
        [0] * 10 + [1] * 10 + [2] * 10,
        {0: 0.5, 1: 0.5, 2: 0.5},
        test="exact",
    )
    cases.add(
        "exact: no prior, one rollout, masked group",
        [1.0, 0.0, 1.0, 0.0, 0.0],
        [0, 0, 1, 2, 3],
        [None, None, 0.01, 0.99, 0.3],
        [1, 1, 1, 1, 0],
        test="exact",
        singleton="raw",
    )
    cases.add(
        "exact: no prior, one rollout, masked group, leave one out",
        [1.0, 0.0, 1.0, 0.0, 0.0],
        [0, 0, 1, 2, 3],
        [None, None, 0.01, 0.99, 0.3],
        [1, 1, 1, 1, 0],
        test="exact",
        leave_one_out=True,
    )
    for level in (0.01, 0.05, 0.5):
        for leave_one_out in (False, True):
            for turn, sizes in enumerate(([1, 2, 3, 4, 5, 6, 7], [8, 9, 16], [33], [64])):
                cases.draw(
                    f"exact drawn: {sizes}, level {level}, leave one out {leave_one_out}",
                    sizes,
                    reward_range=RANGES[turn % 3],
                    missing=0.05,
                    masked=0.05,
                    prior=lambda rng, truth: rng.choice([rng.random(), truth]),
                    options={"test": "exact", "level": level, "leave_one_out": leave_one_out},
                )
    cases.add("exact: 100 rollouts", binary(37, 100), [0] * 100, {0: 0.48}, test="exact")
    cases.add("exact: 100 rollouts, tiny p-value", binary(93, 100), [0] * 100, {0: 0.1}, test="exact")
    cases.add("exact: 400 rollouts", binary(218, 400), [0] * 400, {0: 0.5}, test="exact", level=0.1)
    cases.add(
        "exact: 400 rollouts, tiny p-value",
        binary(12, 400, 1.0, -1.0),
        [0] * 400,
        {0: 0.2},
        test="exact",
        level=0.01,
        reward_range=[-1.0, 1.0],
    )
    cases.add(
        "exact: 400 rollouts, leave one out", binary(160, 400), [0] * 400, {0: 0.45}, test="exact", leave_one_out=True
    )


def fits(cases):
    """Calibrations fitted to the batch, with their clips, zeros and fall-backs."""

    def fitted(name, value=None):
        def wanted(case):
            found = case["expected_calibration"][name]
            return found > 0 if value is None else found == value

        return wanted

    def steep(case):
        found = case["expected_calibration"]
        return found["slope"] == GREATEST_SLOPE and found["reward_variance"] > 0

    def clipped(case):
        line, (low, high) = case["expected_calibration"], case["options"]["reward_range"]
        centres = [line["intercept"] + line["slope"] * V for V in case["expected"]["prior"]]
        return line["prior_variance"] > 0 and (min(centres) < low - 0.05 or max(centres) > high + 0.05)

    shapes = {
        "k 4": [4] * 10,
        "k 2": [2] * 14,
        "k unequal": [2, 3, 8, 4, 2, 5, 3, 2, 6, 10],
        "singles too": [1, 4, 1, 3, 2, 1, 4, 5, 3, 2, 4, 3],
    }
    for rule in ("calibrated", "james_stein"):
        variance = "prior_variance" if rule == "calibrated" else "between_variance"
        for turn, (word, sizes) in enumerate(shapes.items()):
            for kind in KINDS:
                leave_one_out = (turn + KINDS.index(kind)) % 2 == 1
                cases.draw(
                    f"fit: {rule}, {word}, {kind}, leave one out {leave_one_out}",
                    sizes,
                    fitted(variance),
                    kind=kind,
                    reward_range=RANGES[(turn + KINDS.index(kind)) % 3],
                    prior=lambda rng, truth: truth + rng.gauss(0, 0.4),
                    options={"rule": rule, "leave_one_out": leave_one_out},
                )
        for leave_one_out in (False, True):
            options = {"rule": rule, "leave_one_out": leave_one_out}
            word = f"{rule}, leave one out {leave_one_out}"
            for sizes in ([4] * 9, [2, 3, 8, 4, 2, 5, 3, 2, 6]):
                cases.draw(
                    f"fit: variance 0, {word}, {len(set(sizes))} sizes",
                    sizes,
                    fitted(variance, 0.0),
                    truth=lambda rng: 0.5,
                    options=options,
                )
            cases.draw(
                f"fit: some priors missing, masked groups, {word}",
                [3, -2, 4, 2, 5, 1, 3, 4, -1, 2, 3, 1, 4, 2, 3],
                lambda case: (
                    case["expected_calibration"]["groups"] >= LEAST_GROUPS
                    and case["expected_calibration"][variance] > 0
                ),
                missing=0.2,
                masked=0.1,
                kind="several",
                options=options,
            )
            ends = [float(i % 3 != 0) for i in range(9) for _ in range(1 + i % 3)]
            nines = [i for i in range(9) for _ in range(1 + i % 3)]
            more = [9, 9, 10, 10, 11, 11]
            priors = {i: round(0.05 + 0.08 * i, 2) for i in range(11)}
            cases.add(f"fit: all groups constant, {word}", ends + [0.1] * 6, nines + more, priors, **options)
            cases.add(f"fit: all rewards equal, {word}", [0.1] * 24, nines + more, priors, **options)
            cases.add(
                f"fit: masked group beside constant groups, {word}",
                ends + [0.1] * 6 + [1.0],
                nines + more + [12],
                priors | {12: 0.66},
                [1] * 24 + [0],
                **options,
            )

    for leave_one_out in (False, True):
        options = {"rule": "calibrated", "leave_one_out": leave_one_out}
        word = f"leave one out {leave_one_out}"
        for sizes in ([4] * 9, [2, 3, 8, 4, 2, 5, 3, 2, 6]):
            shape = f"{len(set(sizes))} sizes, {word}"
            cases.draw(
                f"fit: slope 0, {shape}",
                sizes,
                fitted("slope", 0.0),
                prior=lambda rng, truth: 1 - truth,
                options=options,
            )
            cases.draw(
                f"fit: slope 1.5, {shape}",
                sizes,
                steep,
                reward_range=[-1.0, 1.0],
                truth=lambda rng: rng.choice([0.02, 0.98]),
                prior=lambda rng, truth: 0.5 + 0.4 * (truth - 0.5),
                options=options,
            )
            cases.draw(
                f"fit: clipped prediction, {shape}",
                sizes,
                clipped,
                prior=lambda rng, truth: rng.choice([0.02, 0.5 + 0.5 * (truth - 0.5), 0.97]),
                options=options,
            )
            cases.draw(
                f"fit: one prior for all, {shape}",
                sizes,
                fitted("prior_variance"),
                prior=lambda rng, truth: 0.3,
                options=options,
            )

    for count in (1, 2, 3, 7, 8):
        for rule in ("calibrated", "james_stein"):
            sizes = [3, 1, 4] * (count // 2) + [2] * (count % 2) + [1, 1]
            cases.draw(
                f"few groups: {count} repeated, {rule}",
                sizes,
                kind="continuous",
                options={"rule": rule, "singleton": "raw"},
            )
    cases.draw(
        "few groups: seven priors among ten",
        [3] * 10,
        lambda case: case["expected_calibration"]["groups"] == 7,
        missing=0.3,
        options={"rule": "calibrated"},
    )
    cases.draw(
        "few groups: eight priors among ten",
        [3] * 10,
        lambda case: case["expected_calibration"]["groups"] == 8,
        missing=0.2,
        options={"rule": "calibrated"},
    )
    cases.draw("few groups: no prior at all", [3] * 10, prior=None, options={"rule": "calibrated"})
    cases.draw("few groups: every group of one", [1] * 10, options={"rule": "calibrated"}, kind="continuous")
    cases.draw(
        "few groups: every group of one, grand mean",
        [1] * 10,
        prior=None,
        options={"rule": "james_stein"},
        kind="continuous",
    )
    cases.add(
        "few groups: two priors, unequal k",
        [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
        [0, 0, 1, 1, 1, 1, 1],
        {0: 0.4, 1: 0.9},
        rule="calibrated",
    )
    cases.add(
        "few groups: all rows masked",
        [1.0, 0.0],
        [0, 1],
        {0: 0.4, 1: 0.9},
        [0, 0],
        rule="calibrated",
        reward_range=[-2.0, 5.0],
    )
    cases.draw(
        "fit: sixty groups",
        [4, 2, 3, 5, 1, 4] * 10,
        missing=0.1,
        masked=0.05,
        options={"rule": "calibrated", "leave_one_out": True},
    )


def given_calibrations(cases):
    given = {
        "intercept": 0.15,
        "slope": 0.8,
        "prior_variance": 0.02,
        "reward_variance": 0.17,
        "grand_mean": 0.45,
        "between_variance": 0.06,
        "groups": 31,
        "total_groups": 40,
    }
    variants = {
        "usual": {},
        "no prior variance": {"prior_variance": 0.0, "between_variance": 0.0},
        "no reward variance": {"reward_variance": 0.0},
        "no variance": {"reward_variance": 0.0, "prior_variance": 0.0, "between_variance": 0.0},
        "clipped below": {"intercept": -0.6, "slope": 1.2},
        "clipped above": {"intercept": 0.7, "slope": 1.5},
        "flat": {"slope": 0.0},
        "just enough groups": {"groups": 8, "total_groups": 8},
    }
    for leave_one_out in (False, True):
        for word, change in variants.items():
            cases.draw(
                f"given: {word}, leave one out {leave_one_out}",
                [4, 1, 2, -2, 3],
                kind="several",
                missing=0.2,
                masked=0.1,
                calibration=given | change,
                options={"rule": "calibrated", "leave_one_out": leave_one_out},
            )
        cases.draw(
            f"given: grand mean, leave one out {leave_one_out}",
            [4, 1, 2, -2, 3],
            masked=0.1,
            calibration=given | {"groups": 3},
            options={"rule": "james_stein", "leave_one_out": leave_one_out},
        )
        cases.draw(
            f"given: no prior at all, leave one out {leave_one_out}",
            [4, 1, 2, -2, 3],
            prior=None,
            calibration=given,
            options={"rule": "calibrated", "leave_one_out": leave_one_out},
        )
        for scale in ("group", "batch"):
            cases.draw(
                f"given: scale {scale}, leave one out {leave_one_out}",
                [4, 1, 2, 3, 5],
                kind="continuous",
                calibration=given,
                options={"rule": "calibrated", "leave_one_out": leave_one_out, "scale": scale},
            )
    cases.draw(
        "given: too few groups there and here",
        [4, 1, 2, 3],
        calibration=given | {"groups": 5},
        options={"rule": "calibrated"},
    )
    cases.draw(
        "given: too few groups for the grand mean there and here",
        [4, 1, 2, 3],
        calibration=given | {"groups": 5, "total_groups": 7},
        options={"rule": "james_stein"},
    )


def many_sizes(cases):
    """Groups of 1 to 20 rows, all rows shuffled."""
    for rule, leave_one_out, kind in (
        ("v05", False, "several"),
        ("v05", True, "two"),
        ("calibrated", True, "several"),
        ("median", True, "continuous"),
        ("rloo", False, "several"),
    ):
        cases.draw(
            f"sizes 1 to 20: {rule}, leave one out {leave_one_out}",
            list(range(1, 21)),
            kind=kind,
            missing=0.1,
            options={"rule": rule, "leave_one_out": leave_one_out},
        )


def hard_numbers(cases):
    """Rewards whose sums and squares lose digits in float64."""
    far = [1e8 + 0.25, 1e8 + 0.5, 1e8 + 2.0, 1e8 - 1.75, 1e8, 1e8 + 1.0]
    near = [1.0, 1.00001, 1.0, 1.0, 1.00001, 1.00001]
    single = [1.0, 1.0000100135803223, 1.0, 1.0, 1.0000100135803223, 1.0]  # 1.00001 of float32
    tenths = [0.1] * 10 + [0.7] * 3 + [0.3] * 7
    tenth_groups = [0] * 10 + [1] * 3 + [2] * 7
    for rule in ("grpo", "rloo"):
        for scale in ("none", "group", "batch"):
            options = {"rule": rule, "scale": scale}
            cases.add(f"hard: far from zero, {rule}, {scale}", far, [0, 0, 0, 1, 1, 1], **options)
            cases.add(f"hard: 1 and 1.00001, {rule}, {scale}", near, [0, 0, 0, 1, 1, 1], **options)
            cases.add(
                f"hard: 1 and 1.00001 of float32, {rule}, {scale}", single, [0, 0, 0, 1, 1, 1], epsilon=0.0, **options
            )
            cases.add(f"hard: constant tenths, {rule}, {scale}", tenths, tenth_groups, ddof=0, **options)
    cases.add("hard: far from zero and constant", [1e8 + 0.1] * 7, [0] * 7, rule="grpo", scale="group")
    cases.add(
        "hard: small and large rewards",
        [1e-9, 1e9, 3e-9, -1e9, 2e-9, 5e-9],
        [0, 0, 0, 0, 1, 1],
        rule="grpo",
        scale="group",
        ddof=0,
    )
    for rule in ("v05", "prior", "james_stein"):
        cases.add(
            f"hard: constant tenths with prior, {rule}", tenths, tenth_groups, {0: 0.1, 1: 0.2, 2: 0.9}, rule=rule
        )
        cases.add(
            f"hard: constant tenths, batch of one value, {rule}",
            [0.1] * 9,
            [0] * 4 + [1] * 5,
            {0: 0.1, 1: 0.8},
            rule=rule,
            scale="batch",
        )
    cases.draw(
        "hard: calibrated tenths",
        [3, 7, 6, 3, 7, 6, 3, 7, 6, 2],
        kind="several",
        options={"rule": "calibrated", "scale": "group"},
    )
    full = random.Random(SEED + 1)
    for leave_one_out in (False, True):
        cases.add(
            f"hard: all digits in use, leave one out {leave_one_out}",
            [full.random() for _ in range(24)],
            [i % 5 for i in range(24)],
            {i: full.random() for i in range(4)},
            leave_one_out=leave_one_out,
            scale="group",
        )


def mixtures(cases):
    """The mixture rule, fitted on the batch, with every odd group; too few groups."""
    sizes = [1, 2, 3, -2, 4, 2, 1, 5, 3, 2, 4, 3, 40]
    turn = 0
    for leave_one_out in (False, True):
        for reward_range in RANGES:
            cases.draw(
                f"mixture: {reward_range}, leave one out {leave_one_out}",
                sizes,
                lambda case: case["expected"]["rule"] == "mixture",
                reward_range=reward_range,
                missing=0.15,
                masked=0.1,
                shuffled=turn % 2 == 0,
                options={
                    "rule": "mixture",
                    "leave_one_out": leave_one_out,
                    "scale": ("none", "group", "batch")[turn % 3],
                },
            )
            turn += 1
        cases.draw(
            f"mixture: exact test beside it, leave one out {leave_one_out}",
            sizes,
            lambda case: case["expected"]["rule"] == "mixture",
            options={"rule": "mixture", "test": "exact", "leave_one_out": leave_one_out},
        )
    cases.draw("mixture: too few groups", [4, 1, 2, 3, 3], options={"rule": "mixture"})


def main():
    cases = Cases()
    for part in (
        every_combination,
        boundary_and_small,
        drawn_paper_rule,
        exact_test,
        fits,
        given_calibrations,
        many_sizes,
        hard_numbers,
        mixtures,
    ):
        part(cases)
    lines = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in cases.all)
    path = Path(__file__).with_suffix(".json")
    path.write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases.all)} cases, {path.stat().st_size} bytes in {path.name}")


if __name__ == "__main__":
    main()
