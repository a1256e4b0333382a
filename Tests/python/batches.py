"""Batches of rollouts that the tests share."""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Batch:
    """Rewards, groups and prior per row, and the true value of every group, whose ids are 0, 1, 2 ..."""

    rewards: np.ndarray
    groups: np.ndarray
    prior: np.ndarray
    values: np.ndarray

    @property
    def arguments(self):
        return self.rewards, self.groups, self.prior


def simulated(generator, group_count, rollouts, prior):
    """0/1 rewards of prompts whose success rates crowd at 0 and 1, as they do in training.

    rollouts: a group, a number or an array. prior: function of the true values and the generator.
    """
    values = generator.beta(0.5, 0.5, group_count)
    groups = np.repeat(np.arange(group_count), rollouts)
    rewards = (generator.random(len(groups)) < values[groups]).astype(np.float64)
    return Batch(rewards, groups, np.broadcast_to(prior(values, generator), (group_count,))[groups], values)


def perfect(values, generator):
    return values


def noisy(values, generator):
    return np.clip(values + generator.normal(0, 0.2, len(values)), 0, 1)


def constant(values, generator):
    return 0.5


def adversarial(values, generator):
    return 1 - values
