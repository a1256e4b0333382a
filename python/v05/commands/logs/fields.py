"""Which field of a row holds what, whatever the trainer calls its fields."""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from ...errors import InvalidArgument
from .errors import UnknownFormat
from .files import EVALUATION
from .words import STATUSES, number_of

# The first of these that a row has.
PROMPTS = (
    "prompt",
    "question",
    "problem",
    "query",
    "instruction",
    "input",
    "input_prompt",
    "prompt_text",
    "prompts",
    "user_prompt",
    "full_prompt",
    "question_content",
    "question_text",
    "problem_statement",
    "prompt_tokens",
    "prompt_ids",
    "prompt_token_ids",
    "prompt_id",
    "problem_id",
    "question_id",
    "task_id",
    "instance_id",
    "example_id",
    "doc_id",
)
STEPS = (
    "global_step",
    "global_steps",
    "training_step",
    "train_step",
    "trainer_step",
    "step",
    "iteration",
    "iter",
    "update",
    "update_step",
    "policy_version",
    "policy_step",
    "tail_version",
    "epoch",
    "steps",  # often how many steps a rollout took
)
# Names that mean a step of the training also inside of an object.
INNER_STEPS = ("global_step", "global_steps", "training_step", "train_step", "trainer_step", "policy_version")
TRAINERS = ("trainer", "train", "training")  # objects whose "step" is one
# One of these is the reward; several are candidates.
REWARDS = (
    "reward",
    "rewards",
    "score",
    "scores",
    "scalar_reward",
    "total_reward",
    "reward_total",
    "final_reward",
    "reward_score",
    "outcome_reward",
    "passed",
    "is_correct",
    "correct",
    "correctness",
    "acc",
    "accuracy",
    "exact_match",
    "extractive_match",
    "graded_list",
    "success",
    "resolved",
    "is_resolved",
    "follow_all_instructions",
)
COMPLETIONS = (
    "completion",
    "completions",
    "response",
    "responses",
    "output",
    "outputs",
    "output_response",
    "generation",
    "generations",
    "completion_ids",
    "response_tokens",
    "response_ids",
    "output_ids",
    "solution",
    "code",
    "pred",
    "trajectory",
    "messages",
)
TOTALS = ("reward", "total_reward", "reward_total")  # of several rewards the first of these is the sum
AGGREGATES = {"mean", "avg", "average", "std", "max", "min", "best", "baseline", "norm", "normalized", "expected"}
# Of several fields of a reward's object this is the reward, and the others are parts of it.
WHOLE = ("reward", "total", "total_reward", "score", "overall", "final", "sum")
# What belongs to a prompt beside its text.
PICTURES = (
    "image",
    "images",
    "image_path",
    "image_paths",
    "image_url",
    "image_urls",
    "image_file",
    "image_files",
    "image_id",
    "video",
    "videos",
    "video_path",
    "audio",
    "audios",
    "audio_path",
)
INPUT = ("input", *PICTURES)  # what belongs to an instruction
TRAJECTORIES = ("trajectory_id", "traj_id", "episode_id")
# Which rollout of its prompt a row is.
SAMPLES = (
    "sample_idx",
    "sample_index",
    "sample_id",
    "rollout_idx",
    "rollout_index",
    "rollout_id",
    "completion_idx",
    "completion_index",
    "completion_id",
    "generation_idx",
    "traj_idx",
    *TRAJECTORIES,
    "attempt",
    "trial",
    "repeat",
    "repetition",
    "seed",
)
GROUPS = ("group_id", "group_index", "group_idx", "group_uid", "group")
# Rows that are of an evaluation by what they say, a text or a flag.
SPLITS = ("split", "mode", "phase", "stage", "partition")
EVALUATIONS = ("is_eval", "is_evaluation", "is_validation", "is_val", "is_test", "eval", "evaluation")
TRAININGS = ("is_train", "is_training", "training")
# What tells apart several logs in one; and the rows of one rollout, where it has one a turn.
RUNS = (
    "run_id",
    "run_name",
    "run",
    "experiment_name",
    "experiment",
    "exp_name",
    "filter",
    "model_name",
    "model",
    "algorithm",
)
NUMBERED_RUNS = ("run_id", "run", "seed", "random_seed", "learning_rate", "lr")
ROLLOUTS = ("rollout_id", *TRAJECTORIES, "sample_id")
TURNS = ("turn", "turn_id", "turn_idx", "turn_index")
ANSWERS = ("gts", "gt", "ground_truth", "reference_answer", "target", "gold", "label")
ADVANTAGES = ("advantage", "advantages")
# What tells the squared norm of a rollout's score, up to a factor; log-probabilities tell more than a length.
LOG_PROBS = (
    "rollout_log_probs",
    "old_log_probs",
    "sampling_logprobs",
    "completion_logprobs",
    "response_logprobs",
    "output_logprobs",
    "token_logprobs",
    "logprobs",
    "log_probs",
)
LENGTHS = (
    "completion_length",
    "completion_len",
    "completion_tokens",
    "response_length",
    "response_len",
    "response_tokens",
    "output_length",
    "output_len",
    "output_tokens",
    "completion_ids",
    "response_ids",
    "output_ids",
    "num_tokens",
)
TEXTS = {*PROMPTS, *COMPLETIONS, *ANSWERS, "answer"}
NO_REWARD = {*STEPS, *GROUPS, *ADVANTAGES, *LOG_PROBS, *LENGTHS, "prior"}
CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # where a word begins in "promptText"
OPTIONS = "name the fields by --prompt FIELD --reward FIELD, and --step FIELD if there is one"


@dataclass(frozen=True)
class Fields:
    """Names of fields that are to be used in place of those that would be found. None, {}: find them.

    reward: {name: weight}; the reward is the weighted sum of these fields. where: {name: text}; only rows whose fields
    are these are read.
    """

    prompt: str | None = None
    group: str | None = None
    step: str | None = None
    reward: dict = field(default_factory=dict)
    where: dict = field(default_factory=dict)

    def names(self):
        """The names that are given."""
        names = [self.prompt, self.group, self.step, *self.reward, *self.where]
        return [name for name in names if name is not None]

    def want(self, row):
        """Whether a row is to be read."""
        return all(name in row and _is_alike(str(row[name]), value) for name, value in self.where.items())


def _is_alike(value, wanted):
    """Whether two texts are the same word, or the same number: a table of floats has 3.0 for the step 3."""
    value, wanted = value.strip().lower(), wanted.strip().lower()
    if value == wanted:
        return True
    try:
        return float(value) == float(wanted)
    except ValueError:
        return False


class Layout(NamedTuple):
    """Which fields of a row hold what; None: no field does.

    rewards: candidates for the reward, or the fields of the reward, of which `weights` are then the weights.
    asynchronous: rollouts of one group may be of different steps; the latest counts. nameless: nothing is known of the
    prompt but that a group has one, so that both are the same field.
    tokens: log-probabilities of a rollout's tokens, its tokens, or their number. split: whether the row is of an
    evaluation. run: which of several logs in one it is of. rollout: which rollout, where each turn has a row. sample:
    which rollout of its prompt a row is, from some first number on.
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
    picture: str | None = None
    split: str | None = None
    run: str | None = None
    rollout: str | None = None
    sample: str | None = None
    advantage: str | None = None
    completion: str | None = None
    tokens: str | None = None
    asynchronous: bool = False
    nameless: bool = False
    table: bool = False

    def in_words(self):
        return f"{self.name} ({' + '.join(self.rewards)})"


def fields_of(reward=(), prompt=None, group=None, step=None, where=()):
    """The `Fields` of options as a command or a caller gives them."""
    for option, name in (("prompt", prompt), ("group", group), ("step", step)):
        if name is not None and not str(name).strip():  # as of a variable of the shell that is not set
            raise InvalidArgument(f"{option} must name a field, got {name!r}")
    return Fields(prompt, group, step, reward_weights(reward), _conditions(where))


def _conditions(where):
    """{name: text} of a dict, or a sequence of NAME=VALUE."""
    if isinstance(where, dict):
        return {str(name): str(value) for name, value in where.items()}
    found = {}
    for text in (where,) if isinstance(where, str) else where or ():
        name, equals, value = str(text).partition("=")
        if not equals or not name:
            raise InvalidArgument(f"where must be FIELD=VALUE, got {text!r}")
        found[name] = value
    return found


def reward_weights(reward):
    """{name: weight} of a dict, a name, or a sequence of names that may be written NAME=WEIGHT."""
    if isinstance(reward, dict):
        reward = [f"{name}={_weight(name, weight)!r}" for name, weight in reward.items()]
    weights = {}
    for text in (reward,) if isinstance(reward, str) else reward or ():
        name, equals, weight = str(text).rpartition("=")
        name, weight = (name, _weight(text, weight)) if equals else (str(text), 1.0)
        if name in weights:
            raise InvalidArgument(f"reward must name each field once, got {name} twice")
        weights[name] = weight
    if weights and not any(weights.values()):
        raise InvalidArgument("reward must have a field whose weight is not 0, got none")
    return weights


def _weight(name, weight):
    try:
        value = float(weight)
    except (TypeError, ValueError):
        value = float("nan")
    if not abs(value) < 1e30:
        raise InvalidArgument(f"reward must be fields or FIELD=WEIGHT with a finite weight, got {name!r}")
    return value


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
    step = fields.step or next(
        (name for name in (*written(STEPS, row), *_inner_steps(row)) if _is_step(row[name])), None
    )
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
        picture=None if fields.prompt else _first(INPUT if _plain(prompt) == "instruction" else PICTURES, row),
        split=_split(row),
        run=_run(row),
        rollout=_first(ROLLOUTS, row) if _first(TURNS, row) else None,
        sample=sample,
        advantage=advantage,
        completion=completion,
        tokens=_first(LOG_PROBS, row) or _first(LENGTHS, row),
        asynchronous=areal and fields.step is None,
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
    total = next((name for name in named if _plain(name) in TOTALS), None)
    return (total,) if total else named or _leaves(row) or _parts_of_reward(row) or _statuses(row)


def _parts_of_reward(row):
    """Names such as "raw_reward", "format_reward", of numbers that are no means or the like."""
    return tuple(
        name
        for name, value in row.items()
        if _plain(name).endswith("_reward")
        and "." not in name
        and not AGGREGATES.intersection(_plain(name).split("_"))
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


def _split(row):
    """The field that tells whether a row is of an evaluation."""
    texts = (name for name in written(SPLITS, row) if isinstance(row[name], str))
    flags = (name for name in written((*EVALUATIONS, *TRAININGS), row) if _flag(row[name]) is not None)
    return next(texts, next(flags, None))


def is_evaluation(name, value):
    """Whether a row with this in the field of its split is of an evaluation."""
    if _plain(name) in SPLITS:
        return isinstance(value, str) and EVALUATION.search(value) is not None
    return _flag(value) is (_plain(name) in EVALUATIONS)


def _run(row):
    """The field that tells which run a row is of: a name, else a number."""
    names = (name for name in written(RUNS, row) if isinstance(row[name], str) and not is_number(row[name]))
    numbers = (name for name in written(NUMBERED_RUNS, row) if isinstance(row[name], (int, float, str)))
    return next(names, next(numbers, None))


def _flag(value):
    """True or False as people write it, None for anything else."""
    text = str(value).strip().lower()
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text)


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


def _first(names, row):
    return next(iter(written(names, row)), None)


def written(names, row):
    """The fields of a row that are called so: as they are here, else as people write them, "Prompt", "Global step"."""
    if exact := [name for name in names if name in row]:
        return exact
    written = {_plain(name): name for name in reversed(row)}
    return [written[name] for name in names if name in written]


@lru_cache(4096)
def _plain(name):
    """A name as it is here: "Global step", "global-step" and "globalStep" are "global_step"."""
    return CAPITAL.sub("_", str(name).strip()).lower().replace(" ", "_").replace("-", "_")


def _inner(names, row):
    """The first field of an object in the row, "object.field", that is called so."""
    inner = {name.rpartition(".")[2]: name for name in reversed(row) if "." in name}
    return next((inner[name] for name in names if name in inner), None)
