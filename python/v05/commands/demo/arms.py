"""The arms of the study: they share all but baseline, rollouts per prompt, reuse, clipping and learning rate."""

from dataclasses import dataclass, replace

from ...errors import InvalidArgument


@dataclass(frozen=True)
class Arm:
    """One way to train.

    name: for the command line.
    label: for people.
    rollouts: per prompt; where they are allocated, the first ones.
    learning_rate: in the short regime. With one update that of GRPO for nearly all: the best by the mean accuracy over
        the run is twice as high for one rollout, and makes a policy surer, not better.
    v05: arguments of V05Config; None: TRL's own GRPOTrainer, as released.
    mean_rollouts: per prompt, expected, where they are allocated.
    updates: on each batch of rollouts (TRL's num_iterations): with more than 1 they are used again.
    largest_norm: to which the gradient is clipped (max_grad_norm).
    """

    name: str
    label: str
    rollouts: int
    learning_rate: float
    v05: dict | None = None
    mean_rollouts: int | None = None
    updates: int = 1
    largest_norm: float = 1.0

    def prompts_a_step(self, setting):
        return setting.prompts_a_step or setting.rollouts_a_step // (self.mean_rollouts or self.rollouts)

    @property
    def control(self):
        """Name of the arm without which a gain of this one says nothing of its baseline.

        One rollout per prompt with the mean of the batch as baseline, its rollouts used as often.
        """
        return _reused_name("batch-mean-1", self.updates)


def no_value(prompts):
    """A prior that knows nothing: with it the advantage is the reward itself."""
    return [0.0] * len(prompts)


def _reused_name(name, updates):
    return name if updates == 1 else f"{name}-x{updates}"


def _reused(arm, updates, learning_rate, largest_norm=1.0):
    return replace(
        arm,
        name=_reused_name(arm.name, updates),
        label=f"{arm.label} ×{updates}",
        updates=updates,
        learning_rate=learning_rate,
        largest_norm=largest_norm,
    )


GRPO_16 = Arm("grpo-16", "GRPO 16", 16, 2e-4)
GRPO_4 = Arm("grpo-4", "GRPO 4", 4, 2e-4)
BATCH_MEAN = Arm("batch-mean-1", "batch mean 1", 1, 2e-4, dict(rule="batch_mean", weights="none"))
NO_BASELINE = Arm("no-baseline-1", "no baseline 1", 1, 2e-4, dict(rule="prior", prior=no_value, weights="none"))
HISTORY = Arm("history-1", "history 1", 1, 2e-4, dict(rule="prior", weights="none"))
WEIGHTED_BATCH_MEAN = Arm(
    "weighted-batch-mean-1", "weighted batch mean 1", 1, 2e-4, dict(rule="batch_mean", weights="score")
)
WEIGHTED_HISTORY = Arm("weighted-history-1", "weighted history 1", 1, 2e-4, dict(rule="prior", weights="score"))
HALF_BATCH_MEAN = Arm(
    "half-batch-mean-1", "half batch mean 1", 1, 2e-4, dict(rule="batch_mean", weights="none", baseline_fraction=0.5)
)
HALF_HISTORY = Arm(
    "half-history-1", "half the history 1", 1, 2e-4, dict(rule="prior", weights="score", baseline_fraction=0.5)
)

# Clipped at .2 every update of arms with one rollout has the same norm, which is what makes four of them pay; for GRPO
# it does not.
ARMS = (
    GRPO_16,
    GRPO_4,
    Arm("grpo-2", "GRPO 2", 2, 2e-4),
    Arm("rloo-4", "RLOO 4", 4, 2e-4, dict(rule="rloo", scale="none")),
    BATCH_MEAN,
    NO_BASELINE,
    Arm("v05-4", "V_0.5 4", 4, 2e-4, dict(rule="v05", leave_one_out=False)),
    Arm("calibrated-4", "calibrated 4", 4, 2e-4, dict(rule="calibrated")),
    Arm("calibrated-2", "calibrated 2", 2, 4e-4, dict(rule="calibrated")),
    Arm("weighted-calibrated-2", "weighted calibrated 2", 2, 4e-4, dict(rule="calibrated", weights="score")),
    HISTORY,
    WEIGHTED_BATCH_MEAN,
    WEIGHTED_HISTORY,
    HALF_BATCH_MEAN,
    HALF_HISTORY,
    Arm(
        "osla-4-16",
        "OSLA 4-16",
        4,
        2e-4,
        dict(rule="v05", leave_one_out=False, allocation="osla", maximum=16),
        mean_rollouts=8,
    ),
    Arm(
        "neyman-2-16", "Neyman 2-16", 2, 2e-4, dict(rule="calibrated", allocation="neyman", maximum=16), mean_rollouts=4
    ),
    _reused(GRPO_16, 2, 2e-4),
    _reused(GRPO_4, 2, 2e-4),
    _reused(BATCH_MEAN, 2, 2e-4),
    _reused(WEIGHTED_HISTORY, 2, 2e-4),
    _reused(GRPO_16, 4, 1e-4),
    _reused(GRPO_4, 4, 1e-4),
    _reused(BATCH_MEAN, 4, 2e-4, largest_norm=0.2),
    _reused(NO_BASELINE, 4, 2e-4, largest_norm=0.2),
    _reused(HISTORY, 4, 2e-4, largest_norm=0.2),
    _reused(WEIGHTED_BATCH_MEAN, 4, 2e-4, largest_norm=0.2),
    _reused(WEIGHTED_HISTORY, 4, 2e-4, largest_norm=0.2),
    _reused(HALF_BATCH_MEAN, 4, 2e-4, largest_norm=0.2),
    _reused(HALF_HISTORY, 4, 2e-4, largest_norm=0.2),
)
QUICK = ("grpo-16", "grpo-4", "batch-mean-1", "no-baseline-1", "weighted-history-1")


def find_arms(names):
    """The arms of these names, in the order of `ARMS`."""
    known = [arm.name for arm in ARMS]
    for name in names:
        if name not in known:
            raise InvalidArgument(f"arms must be among {', '.join(known)}, got {name!r}")
    return [arm for arm in ARMS if arm.name in names]
