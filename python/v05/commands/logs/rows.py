"""A row of a log as a rollout, or as several of one reward."""

import json
import re
from hashlib import blake2b
from math import expm1, inf, isinf, nan
from typing import NamedTuple
from unicodedata import normalize

from .errors import LogError
from .field_names import LENGTHS
from .layout import is_evaluation, picture_of
from .words import number_of

PADDING = re.compile("pad[0-9a-f]{32}")  # the uid of rows with which verl fills a batch up
STEP = re.compile(r"\D*(\d+)\D*|\D*(\d+)\s*(?:/|of)\s*\d+\D*")  # "step 12", "global_step_12", "12/100"
MOST_STEPS = 2**53  # from here on two steps may be one and the same number
PLACE = re.compile(r"(?:_\d+){1,2}$")  # in verl's uid of a rollout: its place in the group and of its part


class Rollout(NamedTuple):
    """`times` rollouts of a log; a missing step, epoch, reward, advantage or prior is NaN.

    rewards: of the fields of the layout. answer: to the prompt, as logged. picture: of the prompt, what stands for it,
    "" for none. mark: what equal lines have in common; 0: none. squared_norm: of its score, up to a factor: see
    `squared_norm`. evaluation, run, rollout, sample: as the fields of the row say.
    """

    line: int
    prompt: str | bytes
    text: str
    step: float
    epoch: float
    group: str
    answer: str
    picture: str
    rewards: tuple
    advantage: float
    prior: float
    times: int
    mark: int
    squared_norm: float = nan
    evaluation: bool = False
    run: str = ""
    rollout: str = ""
    sample: str = ""


def rollout(path, line, row, layout, mark=0, run=None):
    """The rollout of a row, or None for a row of padding. Rewards of None, NaN or "" count as missing. run: the field
    that tells which run the row is of."""
    if layout.group == "uid" and PADDING.match(str(row.get("uid", ""))):
        return None
    if layout.prompt not in row:
        raise LogError(path, line, f"the field {layout.prompt!r} is missing; every row must name its prompt")
    scores = []
    for field in layout.rewards:
        if field not in row:
            raise LogError(path, line, f"the field {field!r} is missing; write null for a rollout without reward")
        scores.append(
            _candidate(path, line, field, row[field])
            if layout.weights is None
            else number(path, line, field, row[field])
        )
    prompt, text = prompt_key(path, line, layout.prompt, row[layout.prompt])
    return Rollout(
        line,
        prompt,
        text,
        nan if layout.step is None else step_number(path, line, layout.step, row.get(layout.step)),
        nan if layout.epoch is None else number(path, line, layout.epoch, row.get(layout.epoch)),
        "" if layout.group is None else _group(row.get(layout.group), layout),
        "" if layout.answer is None else str(row.get(layout.answer))[:200],
        _picture(picture_of(row, layout)),
        tuple(scores),
        nan if layout.advantage is None else _number_or_nan(row.get(layout.advantage)),
        nan if layout.prior is None else number(path, line, layout.prior, row.get(layout.prior)),
        1,
        mark,
        nan if layout.tokens is None else squared_norm(layout.tokens, row.get(layout.tokens)),
        is_evaluation(row),
        "" if run is None or row.get(run) is None else str(row[run])[:200],
        "" if layout.rollout is None else str(row.get(layout.rollout))[:200],
        "" if layout.sample is None else str(row.get(layout.sample))[:200],
    )


def pass_counts(path, line, row):
    """Yield what a row with the number of successes at each visit of one prompt stands for: successes, then
    failures."""
    prompt, text = prompt_key(path, line, "prompt", row.get("prompt"))
    rollouts, successes = row.get("rollouts"), row.get("successes")
    if type(rollouts) is not int or rollouts < 1:
        raise LogError(path, line, f"rollouts must be a whole number of at least 1, got {rollouts!r:.60}")
    if not isinstance(successes, list):
        raise LogError(path, line, f"successes must be a list of counts, got {successes!r:.60}")
    for visit, count in enumerate(successes):
        if type(count) is not int or not 0 <= count <= rollouts:
            raise LogError(path, line, f"successes must lie between 0 and {rollouts} rollouts, got {count!r:.60}")
        for reward, times in ((1.0, count), (0.0, rollouts - count)):
            if times:
                yield Rollout(line, prompt, text, float(visit), nan, "", "", "", (reward,), nan, nan, times, 0)


def step_number(path, line, field, value):
    """The number of a step: a number, or a text with one, such as "step 12" or "12/100"."""
    if isinstance(value, str) and (found := STEP.fullmatch(value.strip())):
        value = found[1] or found[2] if not _is_float(value) else value
    step = number(path, line, field, value, "--step FIELD")
    if abs(step) >= MOST_STEPS:
        raise LogError(path, line, f"{field} must lie below 2^53, got {value!r:.60}; --step FIELD names another field")
    return step


def _is_float(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def number(path, line, field, value, option=None):
    """A number of a log as a float: None, "", "NA" and NaN are NaN; numbers and True, False, pass, fail may be written
    as text."""
    if value is None:
        return nan
    try:
        result = number_of(value, field) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = None
    if result is None:
        cure = f"; {option} names another field" if option else ""
        raise LogError(path, line, f"{field} must be a number, got {value!r:.60}{cure}")
    if isinf(result):
        raise LogError(path, line, f"{field} must be finite, got {value!r:.60}")
    return result


def prompt_key(path, line, field, value):
    """A short hashable name of a prompt, and its text: text, a number, the messages of a chat, or tokens."""
    if value is None or value == "":
        raise LogError(path, line, f"{field} is empty; every row must name its prompt")
    if isinstance(value, str):
        key, text = _settled(value), value
    else:
        key = text = json.dumps(_settled(_whole(value)), sort_keys=True, default=str)
    return key if len(key) <= 32 else blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest(), text


def _settled(value):
    """A prompt without what tells no prompts apart: white space at its ends, how a line ends, the Unicode form of a
    letter, and of messages what is not said in them."""
    if isinstance(value, str):
        value = value.strip().replace("\r\n", "\n") or value
        return value if value.isascii() else normalize("NFC", value)
    if isinstance(value, dict):
        ids = ("id",) if "role" in value else ()
        return {name: _settled(part) for name, part in value.items() if part is not None and name not in ids}
    if isinstance(value, list) and value and not isinstance(value[0], (int, float)):
        return [_settled(part) for part in value]
    return value


def _whole(value):
    """An id that became 3.0, because others of its column are missing, as 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def squared_norm(field, tokens):
    """That of a rollout's score, up to a factor: the sum of (1 - p)^2 over its tokens from their log-probabilities,
    else how many there are, given as a number or as a list of them. NaN where that cannot be told."""
    if field in LENGTHS:
        count = len(tokens) if isinstance(tokens, list) else _number_or_nan(tokens)
        return float(count) if count > 0 else nan
    if not _are_numbers(tokens) or not tokens:
        return nan
    return sum(expm1(min(value, 0.0)) ** 2 for value in tokens)


def _are_numbers(values):
    return isinstance(values, list) and all(isinstance(value, (int, float)) and value == value for value in values)


def _picture(value):
    """A short name for the image of a prompt, whatever a log has of it: a path, several, or its bytes."""
    if value is None:
        return ""
    return blake2b(
        json.dumps(value, sort_keys=True, default=str).encode("utf-8", "surrogatepass"), digest_size=16
    ).hexdigest()


def _group(value, layout):
    text = "" if value is None else str(_whole(value))
    return PLACE.sub("", text) if layout.group == "uid" else text


def _candidate(path, line, field, value):
    """A number that may be a reward, infinite where it is no number, so that the field is none."""
    try:
        return number(path, line, field, value)
    except LogError:
        return inf


def _number_or_nan(value):
    """An advantage or a length, which is only looked at where it is a number."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return nan
    return result if abs(result) < 1e300 else nan
