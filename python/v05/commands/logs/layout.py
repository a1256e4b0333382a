"""Which field of a row holds what, whatever the trainer calls its fields."""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from .errors import UnknownFormat
from .field_names import (
    ADVANTAGES,
    AGGREGATES,
    ANSWERS,
    COMPLETIONS,
    EVALUATIONS,
    GROUPS,
    INNER_STEPS,
    INPUT,
    LENGTHS,
    LOG_PROBS,
    NO_REWARD,
    NUMBERED_RUNS,
    OTHER_ROLLOUTS,
    PICTURES,
    PROMPTS,
    REWARDS,
    ROLLOUTS,
    RUNS,
    SAMPLES,
    SPLITS,
    STEPS,
    TEXTS,
    TOTALS,
    TRAINERS,
    TRAININGS,
    TURNS,
    VAGUE_STEPS,
    VERSIONS,
    WHOLE,
    plain,
    written,
    written_in_rows,
)
from .files import EVALUATION
from .words import STATUSES, number_of

EVALUATION_FIELDS = (*SPLITS, *EVALUATIONS, *TRAININGS)
RUN_FIELDS = (*RUNS, *NUMBERED_RUNS)
OPTIONS = "name the fields by --prompt FIELD --reward FIELD, and --step FIELD if there is one"


class Layout(NamedTuple):
    """Which fields of a row hold what; None: no field does.

    rewards: candidates for the reward, or the fields of the reward, of which `weights` are then the weights.
    asynchronous: rollouts of one group may be of different steps, of which the latest counts: "" no, "group" yes,
    "neighbours" where they stand together. nameless: nothing is known of the
    prompt but that a group has one, so that both are the same field.
    tokens: log-probabilities of a rollout's tokens, its tokens, or their number. pictures: names of what belongs to a
    prompt, of which a row has one, another, or none. rollout: which rollout, where each turn has a row. sample: which
    rollout of its prompt a row is, from some first number on.
    table: the rows are a batch as its trainer held it, not lines that were written one after the other.
    """

    name: str
    prompt: str
    rewards: tuple
    weights: tuple | None = None
    step: str | None = None
    epoch: str | None = None
    group: str | None = None
    prior: str | None = None
    answer: str | None = None
    pictures: tuple = ()
    rollout: str | None = None
    sample: str | None = None
    advantage: str | None = None
    completion: str | None = None
    tokens: str | None = None
    asynchronous: str = ""
    nameless: bool = False
    table: bool = False

    def in_words(self):
        return f"{self.name} ({' + '.join(self.rewards)})"


def find_layout(row, fields, *, table=False):
    """The `Layout` of a row with one rollout, or None where prompt or reward cannot be found in it."""
    if {"prompt", "rollouts", "successes"} <= row.keys() and not fields.reward:
        return Layout("pass counts", "prompt", ("successes",))
    group = fields.group or _first(GROUPS, row)
    named = fields.prompt or _prompt(row)
    prompt = named or group
    if any(name is not None and name not in row for name in (fields.group, fields.step)):
        return None
    advantage = _first(ADVANTAGES, row)
    completion = _first(COMPLETIONS, row)
    if prompt not in row:
        return None
    verl = prompt == "input" and ("output" in row or "score" in row)
    areal = {"task_id", "sample_idx", "tail_version"} <= row.keys()
    if group is None and (verl or areal):
        group = _first(("uid",) if verl else ("task_id",), row)
    steps = [name for name in (*written(STEPS, row), *_inner_steps(row)) if _is_step(row[name])]
    known = (name for name in steps if row[name] not in (None, "") and plain(name) not in VAGUE_STEPS)
    step = fields.step or next(known, next(iter(steps), None))
    if fields.reward:
        rewards, weights = tuple(fields.reward), tuple(fields.reward.values())
        if any(name not in row for name in rewards):
            return None
    else:
        rewards = _rewards(row, verl, bool(completion and advantage), {prompt, step, group}, row.get(completion))
        weights = (1.0,) if len(rewards) == 1 else None
    if not rewards:
        return None
    sample = None if _first(TURNS, row) else _first(SAMPLES, row)
    if rewards[0].startswith("scores.") and fields.step is None:  # of inspect, whose epochs are repetitions
        step, sample = None, "epoch" if "epoch" in row else sample
    batch = bool(table and completion and advantage)
    name = (
        "AReaL rollouts"
        if areal
        else "verl rollouts"
        if verl
        else "tables of completions"
        if batch
        else "one rollout per row"
    )
    return Layout(
        name=name,
        prompt=prompt,
        rewards=rewards,
        weights=weights,
        step=step,
        epoch="epoch"
        if step not in (None, "epoch") and fields.step is None and is_number(row.get("epoch", "none"))
        else None,
        group=group,
        prior="prior" if "prior" in row else None,
        answer=_first(ANSWERS, row),
        pictures=() if fields.prompt else INPUT if plain(prompt) == "instruction" else PICTURES,
        rollout=_first((*ROLLOUTS, *OTHER_ROLLOUTS), row) if _first(TURNS, row) else None,
        sample=sample,
        advantage=advantage,
        completion=completion,
        tokens=_log_probs(row) or _first(LENGTHS, row),
        asynchronous=""
        if fields.step is not None
        else "group"
        if areal
        else "neighbours"
        if group is not None and step is not None and plain(step.rpartition(".")[2]) in VERSIONS
        else "",
        nameless=named is None,
        table=batch,
    )


def check_layout(path, line, row, fields, layout):
    """Raises UnknownFormat where there is no layout: with the fields that there are and the options to give."""
    if layout is not None:
        return layout
    found = listing(row)
    named = [("prompt", fields.prompt), ("group", fields.group), ("step", fields.step)]
    for option, name in named + [("reward", name) for name in fields.reward]:
        if name is not None and name not in row:
            raise UnknownFormat(path, line, f"no {option} field {name!r}: found {found}")
    odd = next((name for name in written((*REWARDS, *STATUSES), row) if isinstance(row[name], str)), None)
    if odd is not None and not is_number(row[odd], odd) and not fields.reward:
        problem = (
            f"{odd} must be a number, true, false, pass or fail, got {row[odd]!r:.60}; --reward FIELD names another"
        )
        raise UnknownFormat(path, line, problem)
    raise UnknownFormat(path, line, f"no known log format: found {found}; {OPTIONS}")


def listing(names):
    """Names of fields in words, cut where they are long or many."""
    names = [str(name) for name in names]
    shown = ", ".join(name if len(name) <= 60 else name[:57] + "..." for name in names[:40])
    return shown + f" and {len(names) - 40} more" * (len(names) > 40) or "nothing"


def _rewards(row, verl, batch, others, completion):
    """The fields that may hold the reward; of a batch with advantages all numbers, as reward functions have any
    name. Beside the rewards of several completions a single one is their mean."""
    if verl and "score" in row:
        return ("score",)
    named = tuple(name for name in written(REWARDS, row) if is_number(row[name]))
    if batch:
        numbers = tuple(
            name
            for name, value in row.items()
            if name not in NO_REWARD | others and (name in named or _is_float(name, value))
        )
        return numbers or named
    several = tuple(name for name in named if isinstance(row[name], list))
    if several and len(several) < len(named) and not isinstance(completion, str):
        lengths = {len(row[name]) for name in several}
        return several if isinstance(completion, list) and lengths == {len(completion)} else named
    total = next((name for name in named if plain(name) in TOTALS), None)
    return (total,) if total else named or _leaves(row) or _parts_of_reward(row) or _statuses(row)


def _parts_of_reward(row):
    """Names such as "raw_reward", "format_reward", of numbers that are no means or the like."""
    return tuple(
        name
        for name, value in row.items()
        if plain(name).endswith("_reward")
        and "." not in name
        and not AGGREGATES.intersection(plain(name).split("_"))
        and value is not None
        and is_number(value)
    )


def _statuses(row):
    """Names of fields that say how a program ended."""
    return tuple(name for name in written(STATUSES, row) if isinstance(row[name], str) and is_number(row[name], name))


def _leaves(row):
    """Names of numbers inside of "reward", "scores" and the like: "reward.accuracy", "scores.match.value"."""
    inner = [name for name, value in row.items() if "." in name and is_number(value, name)]
    last = tuple(name for name in inner if name.rpartition(".")[2] in REWARDS)
    below = tuple(name for name in inner if name.partition(".")[0] in REWARDS)
    values = tuple(name for name in below if name.endswith(".value"))
    whole = tuple(name for part in WHOLE for name in below if name.rpartition(".")[2] == part)[:1]
    return values or whole or below or last


def is_number(value, field=""):
    """Whether a value of a row may be a reward: a number, True, a number as text, nothing, or a list of such."""
    if isinstance(value, list):
        return all(is_number(item) for item in value[:8])
    if isinstance(value, str):
        return number_of(value, field) is not None
    return value is None or isinstance(value, (int, float, Decimal))


def _is_float(name, value):
    """Whether a value of a batch may be that of a reward function: no integer, as an index has, and no answer."""
    if isinstance(value, str):
        return name not in TEXTS and is_number(value) and not value.lstrip("-").isdecimal()
    return value is None or isinstance(value, (bool, float))


def is_evaluation(row):
    """Whether a row says that it is of an evaluation. Trainers may write the field into such rows only."""
    names = written_in_rows(EVALUATION_FIELDS, row)
    return bool(names) and any(_says_evaluation(name, row[name]) for name in names)


def _says_evaluation(name, value):
    if plain(name) in SPLITS:
        return isinstance(value, str) and EVALUATION.search(value) is not None
    return _flag(name, value) is (plain(name) in EVALUATIONS)


def picture_of(row, layout):
    """What belongs to the prompt of a row, the first that is not empty, or None."""
    names = written_in_rows(layout.pictures, row)
    return next((row[name] for name in names if row[name] not in (None, "", [])), None) if names else None


def run_field(row):
    """The field that tells which run a row is of: a name, else a number; None where the row has none."""
    names = written_in_rows(RUN_FIELDS, row)
    if not names:
        return None
    texts = (name for name in names if isinstance(row[name], str) and not is_number(row[name]))
    numbers = (name for name in names if isinstance(row[name], (int, float, str)))
    return next(
        (name for name in texts if plain(name) in RUNS),
        next((name for name in numbers if plain(name) in NUMBERED_RUNS), None),
    )


def _flag(name, value):
    """True or False as people write it, None for anything else. A number is a flag where the name begins with "is",
    also a float, as a column with gaps has them; one that is called "eval" may be a score."""
    text = str(value).strip().lower()
    if plain(name).startswith("is_"):
        text = {"1": "true", "1.0": "true", "0": "false", "0.0": "false"}.get(text, text)
    return {"true": True, "yes": True, "false": False, "no": False}.get(text)


def _is_step(value):
    """Whether a value may be a step: a number, a short text with one, or a time, which is none."""
    if isinstance(value, str):
        return len(value) <= 32 and (is_number(value) or any(map(str.isdecimal, value)))
    return is_number(value) and not isinstance(value, list) or isinstance(value, date)


def _inner_steps(row):
    """The fields of objects in the row, "object.field", that are a step of the training."""
    found = (name for name in row if "." in name)
    return (
        name
        for name in found
        if name.rpartition(".")[2] in INNER_STEPS or name.rpartition(".")[0] in TRAINERS and name.endswith(".step")
    )


def _prompt(row):
    """The field of the prompt: of those that are called so the first that is not empty."""
    found = written(PROMPTS, row)
    return next(
        (name for name in found if row[name] not in (None, "", [])), _inner(PROMPTS, row) or next(iter(found), None)
    )


def _log_probs(row):
    """The field of the log-probabilities of single tokens; their sum tells nothing of the norm of a score."""
    return next((name for name in written(LOG_PROBS, row) if isinstance(row[name], (list, str))), None)


def _first(names, row):
    return next(iter(written(names, row)), None)


def _inner(names, row):
    """The first field of an object in the row, "object.field", that is called so."""
    inner = {name.rpartition(".")[2]: name for name in reversed(row) if "." in name}
    return next((inner[name] for name in names if name in inner), None)
