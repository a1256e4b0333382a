"""What is known of a run: points along its rollouts."""

from dataclasses import dataclass
from math import nan


@dataclass(frozen=True)
class Point:
    """An evaluation, and means over the steps since the one before; NaN before the first step.

    rollouts: so far.
    accuracy: probability that a sampled answer to a held-out question is right, mean over the questions.
    reward: mean of the training rollouts.
    gradient_norm: before clipping.
    entropy: of the tokens, in nats.
    rollouts_a_prompt: of a step.
    prior_weight: 1 minus the weight of the group mean in the baseline; 0 where no prior is used.
    """

    rollouts: int
    accuracy: float
    reward: float = nan
    gradient_norm: float = nan
    entropy: float = nan
    rollouts_a_prompt: float = nan
    prior_weight: float = nan


@dataclass(frozen=True)
class Regime:
    """What the questions are for a model: it says which baseline has the least noise (method.md, section 13).

    tokens: of an answer, its end counted, on the mean.
    solved: mean p, the share of a question's sampled answers that are right.
    spread: Var(p) / (Var(p) + mean of p (1 - p)), unbiased: what the best baseline per question takes off the noise of
        the best one for all, where W does not depend on the outcome. NaN where nothing or everything is solved.
    weight_ratio: of W, the squared norm of an answer's score, failures to successes of the same question; NaN where no
        question has both.
    """

    tokens: float
    solved: float
    spread: float
    weight_ratio: float


@dataclass(frozen=True)
class Run:
    """An arm, by name, trained from the warm start of a seed. regime: at that start."""

    arm: str
    seed: int
    learning_rate: float
    points: list
    regime: Regime | None = None

    @property
    def area(self):
        """Mean accuracy over the run: the area under its curve, as a share of all."""
        rollouts = [point.rollouts for point in self.points]
        accuracy = [point.accuracy for point in self.points]
        parts = zip(rollouts, rollouts[1:], accuracy, accuracy[1:])
        return sum((end - start) * (one + other) / 2 for start, end, one, other in parts) / rollouts[-1]
