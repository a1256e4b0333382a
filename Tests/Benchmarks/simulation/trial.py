"""Every contestant plays the same step again and again, with fresh rollouts."""

from dataclasses import dataclass

import numpy as np
import v05

from .columns import QUANTITIES, measure, summarise
from .contestants import INITIAL, MOST, Batch, equal_average, fixed_groups, neyman, osla
from .population import INTERVAL, PRIORS, Population, draw_rewards, make_prior, population_of_log

BATCH = 256  # prompts, about
NO_PRIOR = "none"


@dataclass(frozen=True)
class Row:
    prior: str  # one of PRIORS, or NO_PRIOR for rules that do not look at it
    allocation: str
    baseline: str
    columns: dict  # name -> (value, standard error)


@dataclass(frozen=True)
class Trial:
    log: str
    seed: int
    steps: int
    population: Population
    prior_error: dict  # prior -> mean squared error of its values
    rows: tuple

    def row(self, prior, allocation, baseline):
        wanted = (prior, allocation, baseline)
        return next(row for row in self.rows if (row.prior, row.allocation, row.baseline) == wanted)

    def as_dict(self):
        return dict(
            log=self.log,
            seed=self.seed,
            steps=self.steps,
            prompts=len(self.population),
            reward_variance=float(self.population.variance.mean()),
            prior_error=self.prior_error,
            rows=[
                dict(prior=row.prior, allocation=row.allocation, baseline=row.baseline)
                | {name: dict(value=value, standard_error=error) for name, (value, error) in row.columns.items()}
                for row in self.rows
            ],
        )


def hold_trial(log, steps, seed, priors=PRIORS, progress=lambda done, total, name: None):
    """A `Trial` of all contestants, those that need a prior with each of `priors`.

    steps: repeats of the step, at least 3. All contestants get the same rollouts.
    """
    world, draws, *believed = np.random.default_rng(seed).spawn(2 + len(PRIORS))
    population = population_of_log(log, world)
    stage = _Stage(population, steps, draws)
    rows, prior_error = [], {}
    total = _number(fixed_groups(with_prior=False)) + len(priors) * (
        _number(fixed_groups(with_prior=True)) + _number(osla()) + _number(neyman()) + _number(equal_average(INITIAL))
    )

    def enter(prior, contestants, name):
        for contestant in contestants:
            progress(len(rows), total, f"{name}: {contestant.name}, {contestant.baseline}")
            columns = summarise(stage.play(contestant, prior), population.variance)
            rows.append(Row(name, contestant.name, contestant.baseline, columns))

    unknown = stage.with_mixtures(make_prior("constant", population, world))
    enter(unknown, fixed_groups(with_prior=False), NO_PRIOR)
    for name in priors:
        prior = make_prior(name, population, believed[PRIORS.index(name)])
        prior_error[name] = float(np.mean((prior.value - population.value) ** 2))
        known = stage.with_mixtures(prior)
        enter(known, fixed_groups(with_prior=True), name)
        taken = len(rows)
        enter(known, osla(), name)
        average = rows[taken].columns["rollouts"][0]
        enter(known, neyman(), name)
        enter(known, equal_average(average), name)
    return Trial(str(log), seed, steps, population, prior_error, tuple(rows))


def _number(contestants):
    return sum(1 for _ in contestants)


class _Stage:
    """The rollouts that all contestants draw from. In each repeat all prompts are dealt at random into batches."""

    def __init__(self, population, steps, generator):
        self.population = population
        count = len(population)
        self.rewards = draw_rewards(np.broadcast_to(population.value, (steps, count)), MOST, generator)
        self.warm_up = draw_rewards(population.value, INITIAL, generator)
        batches = max(1, round(count / BATCH))
        self.deals = [np.array_split(generator.permutation(count), batches) for _ in range(steps)]

    def with_mixtures(self, prior):
        """The prior and, for each batch, the mixture of those before it, of `INITIAL` rollouts per prompt."""
        running = v05.RunningMixture(reward_range=INTERVAL)

        def update(prompts, rewards):
            repeated = np.repeat(prompts, INITIAL)
            return running.update(rewards.ravel(), repeated, prior.value[repeated])

        mixture = update(np.arange(len(self.population)), self.warm_up)
        mixtures = []
        for rewards, deal in zip(self.rewards, self.deals, strict=True):
            mixtures.append([])
            for prompts in deal:
                mixtures[-1].append(mixture)
                mixture = update(prompts, rewards[prompts, :INITIAL])
        return prior, mixtures

    def play(self, contestant, known):
        """What was measured of a contestant, (repeat, quantity, prompt)."""
        prior, mixtures = known
        outcome = np.empty((len(self.deals), len(QUANTITIES), len(self.population)))
        for repeat, deal in enumerate(self.deals):
            for prompts, mixture in zip(deal, mixtures[repeat], strict=True):
                batch = Batch(prior.value[prompts], prior.strength[prompts], self.rewards[repeat, prompts], mixture)
                outcome[repeat][:, prompts] = measure(contestant.play(batch), self.population.value[prompts])
        return outcome
