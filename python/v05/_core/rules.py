"""What is true of each baseline rule; its number is that of v05.h."""

from dataclasses import dataclass

from .prototypes import RULES as NUMBERS


@dataclass(frozen=True)
class Rule:
    """Facts about a rule that decide what may be asked of it.

    number: of v05_rule.
    uses_prior: the baseline depends on the prior of a prompt.
    needs_siblings: the baseline is made of other rollouts of the prompt; one rollout has none.
    bounded: every reward must lie in reward_range.
    two_valued: every reward must be an end of reward_range.
    learns: "calibration" or "mixture", what it takes over from earlier batches; None: nothing.
    """

    name: str
    uses_prior: bool = True
    needs_siblings: bool = False
    bounded: bool = True
    two_valued: bool = False
    learns: str | None = None

    @property
    def number(self) -> int:
        return NUMBERS[self.name]


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("v05"),
        Rule("calibrated", learns="calibration"),
        Rule("grpo", uses_prior=False, needs_siblings=True, bounded=False),
        Rule("rloo", uses_prior=False, needs_siblings=True, bounded=False),
        Rule("james_stein", uses_prior=False, needs_siblings=True, bounded=False, learns="calibration"),
        Rule("prior", bounded=False),
        Rule("median", uses_prior=False, needs_siblings=True, bounded=False),
        Rule("discounted_beta"),
        Rule("mixture", two_valued=True, learns="mixture"),
        Rule("batch_mean", uses_prior=False, bounded=False, learns="calibration"),
        Rule("jspo", uses_prior=False, needs_siblings=True, bounded=False),
    )
}
