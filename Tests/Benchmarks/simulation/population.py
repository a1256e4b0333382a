"""The prompts of a simulated step: their true values from a log, and priors of chosen quality.

All values are on the scale of rewards -1 and 1, so that squares are in units of h^2.
"""

from dataclasses import dataclass

import numpy as np
import v05
from v05.commands.logs import detect_reward_range, read_log
from v05.commands.replay.visits import gather_visits

INTERVAL = (-1.0, 1.0)
WINDOW = 4  # visits before and after that are averaged into the success rate at a visit
FIRST_VISIT = 5  # a step's prompts have been visited that often before
HISTORY_ROLLOUTS = 4  # of every earlier visit
STRENGTH = 8.0  # rewards that a synthetic prior is worth to "discounted_beta"


@dataclass(frozen=True)
class Prior:
    """What is believed of each prompt before the step, (p,) each."""

    name: str
    value: np.ndarray
    strength: np.ndarray


@dataclass(frozen=True)
class Population:
    """The prompts of the step, (p,)."""

    value: np.ndarray  # true mean of the rewards
    earlier: tuple  # of (prompts, their true values), one an earlier visit, in order of time

    def __len__(self):
        return len(self.value)

    @property
    def variance(self):
        """Of one reward of each prompt."""
        return 1 - self.value**2


def population_of_log(path, generator):
    """A `Population` at visits drawn at random from a log that `v05 replay` can read.

    The success rate of a prompt at a visit is the mean reward, scaled to 0 ... 1, of the visits from `WINDOW` before to
    `WINDOW` after, with half a success and half a failure added. Every prompt is taken at one of its visits after the
    first `FIRST_VISIT` (at its last one if it has no more).
    """
    log = read_log(path)
    low, high = detect_reward_range(log)
    visits = gather_visits(log)
    successes = np.add.reduceat((visits.reward - low) / (high - low), visits.start)
    by_prompt = np.lexsort((visits.earlier, visits.prompt))
    bounds = np.flatnonzero(np.diff(visits.prompt[by_prompt], prepend=-1))[1:]
    courses = [2 * _smoothed(successes[visit], visits.count[visit]) - 1 for visit in np.split(by_prompt, bounds)]
    now = [generator.integers(min(FIRST_VISIT, len(course) - 1), len(course)) for course in courses]
    earlier = []
    for back in range(max(now), 0, -1):
        prompts = np.flatnonzero(np.array(now) >= back)
        earlier.append((prompts, np.array([courses[prompt][now[prompt] - back] for prompt in prompts])))
    return Population(np.array([course[visit] for course, visit in zip(courses, now, strict=True)]), tuple(earlier))


def _smoothed(successes, rollouts):
    visit = np.arange(len(successes))
    first, end = np.maximum(visit - WINDOW, 0), np.minimum(visit + WINDOW + 1, len(visit))
    successes, rollouts = (np.concatenate([[0], np.cumsum(numbers)]) for numbers in (successes, rollouts))
    return (successes[end] - successes[first] + 0.5) / (rollouts[end] - rollouts[first] + 1)


def draw_rewards(values, rollouts, generator):
    """Rewards -1 and 1 with these means, (..., rollouts)."""
    return np.where(generator.random((*values.shape, rollouts)) < (1 + values[..., None]) / 2, 1.0, -1.0)


def make_prior(name, population, generator):
    """One of `PRIORS` for a population. See the definitions in simulator.py."""
    if name == "history":
        return Prior(name, *_history(population, generator))
    value = SYNTHETIC[name](population.value, generator)
    return Prior(name, np.clip(value, *INTERVAL), np.full(len(population), STRENGTH))


def _hallucinated(truth, generator):
    return np.where(generator.random(len(truth)) < 0.2, np.where(truth < 0, *reversed(INTERVAL)), truth)


def _history(population, generator):
    history = v05.History(reward_range=INTERVAL)
    for prompts, values in population.earlier:
        rewards = draw_rewards(values, HISTORY_ROLLOUTS, generator)
        history.record(np.repeat(prompts, HISTORY_ROLLOUTS), rewards.ravel())
    return history.predict(np.arange(len(population)))


SYNTHETIC = {
    "perfect": lambda truth, generator: truth,
    "noise .2": lambda truth, generator: truth + 0.2 * generator.standard_normal(len(truth)),
    "noise .4": lambda truth, generator: truth + 0.4 * generator.standard_normal(len(truth)),
    "biased": lambda truth, generator: truth + 0.3,
    "hallucinated": _hallucinated,
    "constant": lambda truth, generator: np.full(len(truth), truth.mean()),
    "adversarial": lambda truth, generator: -truth,
}
PRIORS = ("history", *SYNTHETIC)
