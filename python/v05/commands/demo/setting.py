"""How large the demo is: task, model, warm-up and training."""

from dataclasses import dataclass, replace

from ...errors import InvalidArgument


@dataclass(frozen=True)
class Level:
    """Questions of one difficulty: a generator of reasoning-gym and its options, pairs of name and value."""

    generator: str
    options: tuple


@dataclass(frozen=True)
class Setting:
    """All that the arms of a study share.

    levels: of the questions, each the same number of times.
    training_per_level, held_out_per_level: distinct questions of each level.
    warm_up_questions: questions with answers for the supervised warm-up, of all levels together.
    worked: answers are worked out in words instead of a number alone; see `worked`.
    width, layers: of the transformer.
    warm_up_steps, warm_up_batch, warm_up_rate: of the warm-up; its learning rate is the highest of one cycle.
    number_weight: of a digit or sign in the warm-up's loss; of every other token: 1.
    confused_steps, confused_share, confused_rate: of its end, in which that share of the answers belong to other
        questions: like a pre-trained model, this one then knows more than it says, and can learn to say it.
    completion_tokens: the most tokens of an answer.
    rollouts: of a run, all steps together; a run ends with the step that reaches it.
    rollouts_a_step: an arm with fewer rollouts a prompt has more prompts a step.
    prompts_a_step: if given, every arm has this many prompts a step, and as many rollouts as that makes.
    evaluations: how often a run is evaluated after the start, evenly spread.
    rates: (name of an arm, its learning rate) for the arms that have one of their own in this regime.
    seed_stride: reasoning-gym draws question i of a seed as question 0 of seed + i, so that near seeds share nearly all
        of theirs. This many apart every seed of a study has questions of its own.
    """

    levels: tuple
    training_per_level: int = 128
    held_out_per_level: int = 100
    warm_up_questions: int = 15_000
    worked: bool = False
    width: int = 64
    layers: int = 2
    warm_up_steps: int = 1200
    warm_up_batch: int = 128
    warm_up_rate: float = 6e-3
    number_weight: float = 1.0
    confused_steps: int = 100
    confused_share: float = 0.4
    confused_rate: float = 1e-3
    completion_tokens: int = 5
    rollouts: int = 38_400
    rollouts_a_step: int = 128
    prompts_a_step: int | None = None
    evaluations: int = 16
    rates: tuple = ()
    seed_stride: int = 10_000_000

    def learning_rate(self, arm):
        return dict(self.rates).get(arm.name, arm.learning_rate)

    def check(self, arms):
        """Raise where an arm could not make whole steps of whole groups."""
        questions = len(self.levels) * self.training_per_level
        for arm in arms:
            prompts = arm.prompts_a_step(self)
            if not 1 <= prompts <= questions:
                raise InvalidArgument(
                    f"prompts a step must lie between 1 and the {questions} training questions, "
                    f"got {prompts} for {arm.name}"
                )
            if arm.rollouts == 1 and prompts % 2:
                raise InvalidArgument(f"prompts a step must be even for {arm.name}, got {prompts}")
            if not self.prompts_a_step and self.rollouts_a_step % (arm.mean_rollouts or arm.rollouts):
                raise InvalidArgument(
                    f"rollouts_a_step must be a multiple of the rollouts a prompt of every arm, "
                    f"got {self.rollouts_a_step} for {arm.name}"
                )


def _level(generator, **options):
    return Level(generator, tuple(options.items()))


def _plain(terms, digits, operators=("+", "-"), most_terms=None, most_digits=None):
    """Without parentheses and signs."""
    return _level(
        "basic_arithmetic",
        min_terms=terms,
        max_terms=most_terms or terms,
        min_digits=digits,
        max_digits=most_digits or digits,
        operators=operators,
        allow_parentheses=False,
        allow_negation=False,
    )


SHORT_LEVELS = (
    _plain(2, 1, most_digits=2),
    _plain(3, 1),
    _plain(4, 1),
    _plain(5, 1),
    _level("basic_arithmetic", min_terms=2, max_terms=3, min_digits=1, max_digits=1, operators=("+", "-", "*")),
)
# From nearly always solved to never: success rates as far apart as those of a large run.
LONG_LEVELS = (
    _plain(2, 1, most_terms=3),
    _plain(3, 1),
    _plain(4, 1),
    _plain(2, 1, operators=("+", "-", "*"), most_terms=3),
    _plain(3, 2),
    _plain(2, 3),
)

SHORT = Setting(SHORT_LEVELS)
# Most of what these answers could have said otherwise does not decide whether they are right. A tenth of wrong answers
# at the end of the warm-up already halves what this model says rightly.
LONG = Setting(
    LONG_LEVELS,
    held_out_per_level=200,
    warm_up_questions=12_000,
    worked=True,
    warm_up_steps=1000,
    warm_up_batch=64,
    number_weight=4.0,
    confused_share=0.1,
    completion_tokens=96,
    rollouts=12_800,
    evaluations=8,
    rates=(
        ("calibrated-2", 2e-4),
        ("weighted-calibrated-2", 2e-4),
        ("batch-mean-1-x4", 5e-5),
        ("weighted-history-1-x4", 1e-4),
    ),
)
# The easier half of the long questions, after fewer wrong answers: most rollouts succeed.
MOSTLY_SOLVED = replace(
    LONG, levels=LONG_LEVELS[:3], training_per_level=256, held_out_per_level=400, confused_share=0.05, rollouts=6_400
)
REGIMES = {"short": SHORT, "long": LONG, "mostly-solved": MOSTLY_SOLVED}


def full_setting(setting):
    """The same with four times the rollouts and questions."""
    return replace(
        setting,
        rollouts=4 * setting.rollouts,
        training_per_level=4 * setting.training_per_level,
        held_out_per_level=4 * setting.held_out_per_level,
    )


# The run whose log `v05 replay` ships: from nearly always solved to seldom solved after the warm-up.
RECORDED = Setting(
    levels=(
        _level("chain_sum", min_terms=2, max_terms=2, min_digits=1, max_digits=1),
        _level("chain_sum", min_terms=4, max_terms=4, min_digits=1, max_digits=1),
        _level("chain_sum", min_terms=5, max_terms=5, min_digits=1, max_digits=1),
        _level("products", min_terms=2, max_terms=2, min_digits=1, max_digits=1),
        _level("basic_arithmetic", min_terms=2, max_terms=3, min_digits=1, max_digits=1),
        _level("chain_sum", min_terms=2, max_terms=2, min_digits=2, max_digits=2),
        _level("chain_sum", min_terms=3, max_terms=3, min_digits=2, max_digits=2),
    ),
    training_per_level=40,
    held_out_per_level=0,
    warm_up_questions=20_000,
    width=128,
    layers=3,
    warm_up_steps=1600,
    warm_up_rate=2e-3,
    confused_steps=0,
    completion_tokens=8,
    rollouts=44_800,
    rollouts_a_step=160,
    evaluations=0,
    seed_stride=1,  # the questions of the one seed with which it was recorded
)
