"""The options of the trainers."""

from dataclasses import InitVar, dataclass
from typing import Any, Literal

from .._core.types import RewardRange, RuleName, ScaleName, TestName
from ..errors import InvalidArgument
from ..priors.sources import Prior


@dataclass
class V05Config:
    """What a V_0.5 trainer does in place of TRL's group mean. The defaults suit a first run.

    rule, reward_range, test, level, discount, capacity: as in v05.AdvantageEstimator.
    leave_one_out: a rollout's baseline does not know its own reward. Rule "grpo" is the mean of all whatever it says;
        with one left out its name is "rloo".
    prior: "history" (None: where the rule uses priors), "history+context", "tracker", "column", "tracker+column",
        "none", a function of a list of prompts or a prior source.
    prior_field: the dataset's column of prior values in reward units, for the priors "column" and "tracker+column";
        None or NaN in it: no value.
    id_field: the dataset's column of ids that tell prompts apart; None: the text and the images of the prompt do, and
        with environments, which make the prompt of it, the whole row.
    scale: "none", "group" or "batch" as in v05.AdvantageEstimator; None: "none", but for rules "grpo" and "rloo" what
        the trainer does with its own advantages (`scale_rewards`, `normalize_advantages`).
    baseline_fraction: as in v05.AdvantageEstimator: below 1 for one rollout per prompt with rewards of 0 and 1, and
        where rollouts are used again (`num_iterations`).
    num_generations: rollouts per prompt in training, in place of the TRL config's, which forbids 1; None: the TRL
        config's. 1 is for rules whose baseline does not need other rollouts of the prompt.
    allocation: "off": every prompt gets num_generations rollouts. "osla", "neyman": that many first, then more in
        rounds, where this rule of v05.Allocator wants them.
    initial: num_generations by its name in v05.Allocator; None: as there.
    maximum: rollouts per prompt at most.
    maximum_without_prior: the same for prompts that have no prior of their own yet, such as all of a run's first epoch
        with a history, which "osla" would all take to the maximum; None: as the others.
    budget: rollouts per generation batch at most; None: no limit. It bounds the memory of a training step.
    wave: the most that a prompt asks for in a round. A round costs a call of the generation engine: few large waves are
        fast, many small ones spend fewer rollouts.
    weigh: "prompts": whatever their sizes, all groups of a generation batch have the same weight in the gradient.
        "rollouts": every rollout has, so that groups count by their size.
    weights: "score" or "length": baselines are the best for the gradient instead of the reward, each rollout weighted
        by the squared norm of its score (method section 13), which its tokens' probabilities tell, or by its length;
        see v05.training.score_weights. "score" takes TRL's own log-probabilities; where it has none (vLLM off, one
        update per batch) it costs a forward pass per generation batch. Not for rules "mixture" and "median". "none":
        all alike. None: "score" with one rollout per prompt, where it trained better than without, unless tools or
        environments may return images; else "none".
    modulation: True or options of v05.modulate_advantages: GRPO's loss weighs the tokens of a rollout as DynaMO does,
        with the log-probabilities and entropies that the loss itself computes; the trainer's own epsilons where
        `clip_low` and `clip_high` are not given.
    """

    rule: RuleName = "calibrated"
    prior: Prior | None = None
    prior_field: str = "prior"
    id_field: str | None = None
    reward_range: RewardRange | None = None
    leave_one_out: bool = True
    scale: ScaleName | None = None
    test: TestName = "bound"
    level: float = 0.05
    discount: float = 0.8
    capacity: int | None = None
    baseline_fraction: float = 1.0
    num_generations: int | None = None
    allocation: Literal["off", "osla", "neyman"] = "off"
    initial: int | None = None
    maximum: int = 16
    maximum_without_prior: int | None = None
    budget: int | None = None
    wave: int = 4
    weigh: Literal["prompts", "rollouts"] = "prompts"
    weights: Literal["none", "length", "score"] | None = None
    modulation: bool | dict[str, Any] = False
    key_column: InitVar[str | None] = None  # id_field and prior_field in programs of before the first release
    prior_column: InitVar[str | None] = None

    def __post_init__(self, key_column: str | None, prior_column: str | None) -> None:
        for name, earlier, given in (
            ("id_field", "key_column", key_column),
            ("prior_field", "prior_column", prior_column),
        ):
            if given is None:
                continue
            if getattr(self, name) not in (getattr(type(self), name), given):
                raise InvalidArgument(
                    f"{earlier} is the earlier name of {name}: both were given, {given!r} and {getattr(self, name)!r}"
                )
            setattr(self, name, given)
