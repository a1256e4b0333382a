"""Rollouts spread over prompts before any is generated (method section 7)."""

from ctypes import byref

import numpy as np

from . import prototypes as c
from .arguments import choice, integer, number
from .arrays import address, column
from .call import call
from .library import library
from .types import Numbers, ObjectiveName, OptionalNumbers, PriorityName


def allocate(
    probability: OptionalNumbers,
    total: int,
    *,
    minimum: int = 1,
    maximum: int | None = None,
    objective: ObjectiveName = "neyman",
    priority: PriorityName = "official",
    exponent: float | None = None,
    seen: Numbers | None = None,
    strength: Numbers | None = None,
) -> np.ndarray:
    """Number of rollouts of each prompt, (g,) int64, that sum to exactly `total`.

    probability: (g,) predicted success probabilities in [0, 1]; NaN counts as 1/2, the one that promises most.
    total: rollouts of all prompts together, between g * minimum and g * maximum.
    minimum, maximum: of every prompt; a minimum of 1 starves none. maximum None: no limit.
    objective: "neyman"     the next rollout to the prompt with the largest p (1 - p) s / (s + 1) / (k (k + 1)), the
                            drop of its gradient noise (s: strength). Exact optimum.
               "dynamo"     the official procedure of DynaMO (arXiv 2602.19208): up to 4 rollouts for prompts hardly
                            seen, the minimum for all, the rest in proportion to a priority by largest remainder.
                            Where the total does not reach for the first two, it leaves prompts below the minimum.
               "v0"         V_0's utility, sum of B (1 - p) (1 - (1 - p)^(B - 1)) (arXiv 2602.03584), maximised exactly
                            by dynamic programming in g * total * (maximum - minimum) steps, at most 4e9 (about ten
                            seconds).
               "v0_greedy"  the same utility by the paper's greedy; no better, sometimes worse. With minimum=0 no first
                   rollout adds any, and it spreads the total evenly.
               "hit"        the probability of a success among a prompt's rollouts (arXiv 2605.07114), p Beta
                            distributed with mean probability and strength. Exact optimum.
    priority: of "dynamo", with p the mean accuracy of a prompt so far:
              "official"     the authors' code: 1 for a prompt never seen (p NaN, or seen 0), .01 from p = .85 on, else
                             4 p (1 - p), at least .01.
              "paper"        p (1 - p) n / (n - 1), the unbiased variance of n = seen rewards; 1/4 below 2. Needs seen.
              "probability"  (p (1 - p))^exponent.
    exponent: of the priority "probability": 1 (None) or 0.5 (a standard deviation, as in the paper's theorem).
    seen: (g,) rollouts of each prompt seen before, for "dynamo"; None: none for its first rollouts, some for its
        priority.
    strength: (g,) rewards that each probability is worth, as History.predict returns, not looked at where that is NaN;
        None: it is known exactly.

    Ties go by index; what gains nothing anywhere is given one each in order of index, again and again.
    Raises InvalidArgument for infeasible totals and probabilities outside [0, 1].
    """
    probability = column(probability, "probability", np.float64)
    count = len(probability)
    seen = None if seen is None else column(seen, "seen", np.int64, count)
    strength = None if strength is None else column(strength, "strength", np.float64, count)
    options = c.AllocationOptions()
    call(library.v05_allocation_options_initialize, byref(options), options.struct_size)
    options.objective = choice("objective", objective, c.OBJECTIVES)
    options.priority = choice("priority", priority, c.PRIORITIES)
    options.minimum = integer("minimum", minimum)
    if maximum is not None:
        options.maximum = integer("maximum", maximum)
    if exponent is not None:
        options.exponent = number("exponent", exponent)
    counts = np.empty(count, np.int64)
    call(
        library.v05_allocation_solve,
        byref(options),
        count,
        address(probability),
        address(seen),
        address(strength),
        integer("total", total),
        address(counts),
    )
    return counts
