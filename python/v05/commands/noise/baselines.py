"""The baselines that are compared: each row's is made of other rollouts alone."""

from dataclasses import dataclass

import numpy as np

from ..._core.calibration import fit_calibration
from ..._core.estimate import estimate

FEWEST_PROMPTS = 16  # for the rule `calibrated`, which is fitted on half of them


@dataclass(frozen=True)
class BaselineErrors:
    """A baseline's.

    errors: (P, k) unbiased estimates of W (r - b)^2 per row, with W the squared norms of the scores.
    rollouts: per prompt, those that are in each other's baselines included.
    correlation: what it adds to the noise that they are, in squared norms of the prompt's mean gradient; a number or
        (P,).
    """

    errors: np.ndarray
    rollouts: int = 1
    correlation: float | np.ndarray = 0.0


def cyclic_mean(rewards, others, weight=None):
    """(P, k) mean of the next `others` rollouts of the same prompt, in a circle; weighted if weights are given."""
    weight = np.ones_like(rewards) if weight is None else weight
    total = np.zeros_like(rewards)
    count = np.zeros_like(rewards)
    for shift in range(1, others + 1):
        total += np.roll(weight * rewards, -shift, axis=1)
        count += np.roll(weight, -shift, axis=1)
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)


def batch_mean(rewards, weight=None):
    """(P, k) mean of the rollouts of all other prompts; weighted if weights are given."""
    weight = np.ones_like(rewards) if weight is None else weight
    total = (weight * rewards).sum() - (weight * rewards).sum(1, keepdims=True)
    count = weight.sum() - weight.sum(1, keepdims=True)
    return np.broadcast_to(total / count, rewards.shape)


def calibrated(rewards, size, known):
    """(P, k) baselines of the rule `calibrated`, of the next `size` - 1 rollouts of the prompt and a prior, the mean of
    the `known` after them, in a circle; and (P, k) how much these rollouts count in them. What priors are worth is
    learnt on the other half of the prompts, which must be in random order, as in a run on earlier steps; a check for
    batches that differ has nothing to do."""
    count, k = rewards.shape
    interval = (rewards.min(), rewards.max())
    window = rewards[:, (np.arange(k)[:, None] + np.arange(size)) % k]  # (P, k, size)
    prior = cyclic_mean(np.roll(rewards, 1 - size, axis=1), known).clip(*interval)  # which rounding may leave
    baseline, weight = np.empty_like(rewards), np.empty_like(rewards)

    def batch(chosen, columns):  # rewards, groups and priors, entry by entry
        rollouts = columns[chosen]
        groups = np.arange(rollouts.shape[0] * k)
        return rollouts.ravel(), *(np.repeat(each, rollouts.shape[2]) for each in (groups, prior[chosen].ravel()))

    for half in (0, 1):
        mine = np.arange(count) % 2 == half
        learnt = fit_calibration(*batch(~mine, window), reward_range=interval)
        others = batch(mine, window[..., 1:])
        found = estimate(*others, rule="calibrated", calibration=learnt, check_fit=False, reward_range=interval)
        baseline[mine], weight[mine] = found.baseline.reshape(-1, k), found.weight.reshape(-1, k)
    return baseline, weight


def baseline_errors(rewards, norms, proxies):
    """{name: BaselineErrors} of (P, k) rewards, norms the W of the rows.

    proxies: {name: (P, k) weights} of the weighted baselines.

    A perfect prior is what is known of a prompt from infinitely many other rollouts: (r - b1)(r - b2) with means b1 and
    b2 of two halves of the others has the expectation of (r - p)^2. A prior of half of a prompt's rollouts is as a
    history that has seen so many.
    """
    count, k = rewards.shape
    sizes = [size for size in (2, 4, 8, 16) if size <= k]
    known = k // 2
    half = (k - 1) // 2
    first = cyclic_mean(rewards, half)
    second = cyclic_mean(np.roll(rewards, -half, axis=1), half)
    found = {
        "none": BaselineErrors(norms * rewards**2),
        "batch mean": BaselineErrors(norms * (rewards - batch_mean(rewards)) ** 2),
        "perfect prior": BaselineErrors(norms * (rewards - first) * (rewards - second)),
    }
    for size in sizes:
        error = norms * (rewards - cyclic_mean(rewards, size - 1)) ** 2
        found[f"leave-one-out of {size}"] = BaselineErrors(error, size, 1 / (size - 1))
    for size in sizes:
        if size + known <= k and count >= FEWEST_PROMPTS:
            baseline, weight = calibrated(rewards, size, known)
            error = norms * (rewards - baseline) ** 2
            name = f"calibrated of {size}, prior of {known}"
            found[name] = BaselineErrors(error, size, (weight**2).mean(1) / (size - 1))
    for name, weight in proxies.items():
        found[f"batch mean, weights {name}"] = BaselineErrors(norms * (rewards - batch_mean(rewards, weight)) ** 2)
        own = cyclic_mean(rewards, k - 1, weight)
        found[f"prompt's own, weights {name}"] = BaselineErrors(norms * (rewards - own) ** 2)
    return found
