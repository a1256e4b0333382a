"""What `v05 noise` found."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class NoiseRow:
    """A baseline.

    rollouts: per prompt, at which `noise` is least for it at equal cost (1 for baselines that need no sibling).
    within: noise of one rollout within its prompt, E[W (r - b)^2] less |g|^2, the squared norm of the prompt's mean
        gradient; with k rollouts that have each other's rewards in their baselines, where these count w in all, plus
        w^2 |g|^2 / (k - 1) (leave-one-out: w = 1).
    noise: of a step per rollout, within + rollouts x between. relative: noise over that of the batch mean with one
        rollout.
    *_interval: 95 %, by bootstrap over prompts; the rule `calibrated` is not fitted anew.
    """

    baseline: str
    rollouts: int
    within: float
    within_interval: tuple[float, float]
    noise: float
    noise_interval: tuple[float, float]
    relative: float
    relative_interval: tuple[float, float]


@dataclass(frozen=True)
class NoiseReport:
    """The noise of the gradient of one model on one set of prompts.

    prompts, rollouts, tokens: how many, rollouts and mean tokens per prompt and rollout.
    success: mean reward. spread: Var(p) / (Var(p) + E p (1 - p)), the share of the rewards' variance that a perfect
        prior explains. norm_ratio: mean squared norm of the score of rollouts with less than the mean reward over that
        of the others; 1 where the value of a prompt is the best baseline.
    between: variance over prompts of the prompt's mean gradient.
    rows: NoiseRow of every baseline, the least noise first.
    """

    prompts: int
    rollouts: int
    tokens: float
    success: float
    spread: float
    norm_ratio: float
    between: float
    between_interval: tuple[float, float]
    rows: tuple[NoiseRow, ...]

    def row(self, baseline: str) -> NoiseRow:
        """The row of a baseline by its name."""
        return next(row for row in self.rows if row.baseline == baseline)

    @property
    def sentence(self) -> str:
        """The finding in words."""
        best, control = self.rows[0], self.row("batch mean")
        if best is control or best.relative_interval[1] >= 1:
            return (
                "Here no baseline is measurably better than the mean of the batch with one rollout per prompt "
                f"(the least noise: {best.baseline}, {best.relative:.2f} of its)."
            )
        return (
            f"Here the least noise is that of {best.baseline} with {best.rollouts} "
            f"rollout{'s' if best.rollouts > 1 else ''} per prompt: {best.relative:.2f} of the mean of the batch "
            f"({best.relative_interval[0]:.2f} to {best.relative_interval[1]:.2f})."
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain types."""
        return asdict(self) | {"sentence": self.sentence}
