"""One row of a log, whatever the trainer calls its fields, as rollouts."""

import json
import re
from hashlib import blake2b
from math import isinf, nan
from typing import NamedTuple

from .errors import LogError


class Rollout(NamedTuple):
    """One rollout of a log; a missing step, reward or prior is NaN."""

    line: int
    prompt: str | bytes
    text: str  # of the prompt
    step: float
    reward: float
    prior: float


class Layout(NamedTuple):
    """Which fields of a row hold what; several reward fields are added up."""

    name: str
    prompt: str
    reward: tuple
    step: str = "step"
    prior: str = "prior"


PASS_COUNTS = Layout("pass counts, one prompt a line", "prompt", ("successes",))
PADDING = re.compile("pad[0-9a-f]{32}")  # the uid of rows with which verl fills a batch up
EXPECTED = (
    "expected prompt and reward (one rollout a row, optionally step and prior), "
    "input, score and step (verl), prompt, rollouts and successes (pass counts), or "
    "prompt, completion, advantage and reward functions (TRL, parquet)"
)


def recognise(names, reward=()):
    """The layout of rows with these field names, or None. `reward` overrides the reward fields."""
    names = set(names)
    if {"prompt", "rollouts", "successes"} <= names:
        return PASS_COUNTS
    if "prompt" in names and ("reward" in names or reward):
        layout = Layout("one rollout a row", "prompt", ("reward",))
    elif "input" in names and ("score" in names or reward):
        layout = Layout("verl rollouts", "input", ("score",))
    else:
        return None
    return layout._replace(reward=tuple(reward)) if reward else layout


def check_fields(path, line, names, layout):
    """Raise unless the rows have a known layout with all its reward fields."""
    listing = ", ".join(map(str, names)) or "nothing"
    if layout is None:
        raise LogError(path, line, f"no known log format: found {listing}; {EXPECTED}")
    for field in layout.reward:
        if field not in names:
            raise LogError(path, line, f"no reward field {field!r}: found {listing}")


def flat_rollout(path, line, row, layout):
    """The rollout of a row that holds one. Rewards of None, NaN or "" count as missing.

    The reward is the sum of the reward fields that are not missing.
    """
    if PADDING.match(str(row.get("uid", ""))):
        return Rollout(line, "padding", "", nan, nan, nan)
    if layout.prompt not in row:
        raise LogError(path, line, f"the field {layout.prompt!r} is missing; every row must name its prompt")
    scores = []
    for field in layout.reward:
        if field not in row:
            raise LogError(path, line, f"the field {field!r} is missing; write null for a rollout without reward")
        scores.append(number(path, line, field, row[field]))
    scored = [score for score in scores if score == score]
    return Rollout(
        line,
        *_prompt(path, line, layout.prompt, row[layout.prompt]),
        number(path, line, layout.step, row.get(layout.step)),
        sum(scored) if scored else nan,
        number(path, line, layout.prior, row.get(layout.prior)),
    )


def pass_counts(path, line, row):
    """The rollouts of a row with the number of successes at each visit of one prompt."""
    prompt, text = _prompt(path, line, "prompt", row.get("prompt"))
    rollouts, successes = row.get("rollouts"), row.get("successes")
    if type(rollouts) is not int or rollouts < 1:
        raise LogError(path, line, f"rollouts must be a whole number of at least 1, got {rollouts!r}")
    if not isinstance(successes, list):
        raise LogError(path, line, f"successes must be a list of counts, got {successes!r}")
    for visit, count in enumerate(successes):
        if type(count) is not int or not 0 <= count <= rollouts:
            raise LogError(path, line, f"successes must lie between 0 and {rollouts} rollouts, got {count!r}")
        for rollout in range(rollouts):
            yield Rollout(line, prompt, text, float(visit), float(rollout < count), nan)


def number(path, line, field, value):
    """A number of a log as a float: None, "" and NaN are NaN; numbers may be written as text."""
    if value is None or value == "":
        return nan
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise LogError(path, line, f"{field} must be a number, got {value!r:.60}") from None
    if isinf(result):
        raise LogError(path, line, f"{field} must be finite, got {value!r}")
    return result


def _prompt(path, line, field, value):
    """A short hashable name of a prompt, and its text: text, a number, or the messages of a chat."""
    if value is None or value == "":
        raise LogError(path, line, f"{field} is empty; every row must name its prompt")
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    if len(text) <= 32:
        return text, text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), text
