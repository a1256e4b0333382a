"""The baselines that are compared: each row's is made of other rollouts alone."""

import numpy as np


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


def squared_errors(rewards, norms, proxies, sizes):
    """{baseline: (P, k) unbiased estimates of W (r - b)^2 per row}, with W the squared norms of the scores.

    proxies: {name: (P, k) weights} of the weighted baselines. sizes: rollouts per prompt of the leave-one-out means.

    A perfect prior is what is known of a prompt from infinitely many other rollouts: (r - b1)(r - b2) with means b1 and
    b2 of two halves of the others has the expectation of (r - p)^2.
    """
    k = rewards.shape[1]
    half = (k - 1) // 2
    first = cyclic_mean(rewards, half)
    second = cyclic_mean(np.roll(rewards, -half, axis=1), half)
    errors = {
        "none": norms * rewards**2,
        "batch mean": norms * (rewards - batch_mean(rewards)) ** 2,
        "perfect prior": norms * (rewards - first) * (rewards - second),
    }
    for size in sizes:
        errors[f"leave-one-out of {size}"] = norms * (rewards - cyclic_mean(rewards, size - 1)) ** 2
    for name, weight in proxies.items():
        errors[f"batch mean, weights {name}"] = norms * (rewards - batch_mean(rewards, weight)) ** 2
        errors[f"prompt's own, weights {name}"] = norms * (rewards - cyclic_mean(rewards, k - 1, weight)) ** 2
    return errors
