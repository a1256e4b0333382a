"""Records of a log as rows of one rollout each: tables, groups in a line, documents with rollouts deep inside."""

from .errors import LogError
from .field_names import COMPLETIONS, INNER_STEPS, PROMPTS, REWARDS, STEPS, TRAINERS, written
from .files import STEP
from .layout import find_layout, listing
from .rows import number
from .words import is_folded, unfolded

DEEPEST = 8
MOST_COLUMNS = 1000
CHATS = ("messages", "conversations", "conversation", "chat")
CONTENTS = ("text", "image", "image_url", "video", "audio")
TOKENS = ("completion", "response", "output", "completion_ids", "response_tokens", "response_ids", "output_ids")
ANSWERERS = ("assistant", "gpt", "model", "bot")


def flat_rows(path, line, value, fields):
    """Yield the rows of a JSON object: dicts of which each is a rollout, or cannot be told to be one.

    A table {"columns": [...], "data": [[...]]} becomes its rows; lists of equal length in a row, such as the rewards
    and completions of a group, become a row each; of a document the rows inside inherit what stands around them; fields
    of an object inside of a row are called "object.field".
    """
    for row, _ in _inside(value, {}, 0, fields):
        yield from _split(path, line, row, fields)


def _inside(value, around, depth, fields):
    """[(row, whether it is known to be a rollout)]: all rows where one is known, else an example of what is there."""
    if isinstance(value, list):
        parts = [item for item in value if isinstance(item, (dict, list))]
        if len(parts) > 1 and not fields.reward:
            around = _without_rewards(around)  # such as the accuracy of all of them
        parts = [_inside(item, around, depth + 1, fields) for item in parts]
        return _known(parts, depth, whole=True)
    if depth > DEEPEST:
        return []
    value = _named(_unfolded(value, fields), around, fields)
    if {"instance", "request", "result"} <= value.keys():
        return []  # HELM's requests, whose success is none of the answer
    if _is_by_name(value, fields):
        return _inside([part for part in value.values() if isinstance(part, dict)], around, depth + 1, fields)
    if (table := _table(value, fields)) is not None:
        rows = [around | _unfolded(row, fields) for row in table]
        return [(row, bool(find_layout(row, fields))) for row in rows]
    own = {name: item for name, item in value.items() if not _is_rows(item, fields)}
    for above in (_without_rewards(around), around) if around else ({},):  # a reward of its own before that of them all
        if find_layout(above | own, fields):
            return [(above | value if around else value, True)]
        row = _joined(above | own)
        if find_layout(row, fields):
            return [(row, True)]
    inside = [
        _inside(item, row | _step_of(name), depth + 1, fields) for name, item in value.items() if _is_rows(item, fields)
    ]
    return _known(inside, depth, whole=False) or [(row, False)]


def _unfolded(value, fields):
    """An object whose reward is a list or an object written as text, with what the text says; completions that are
    texts of lists are left out, as they tell nothing."""
    names = [name for name in fields.reward or written(REWARDS, value) if is_folded(value.get(name))]
    found = {name: unfolded(value[name]) for name in names}
    if not any(isinstance(item, (list, dict)) for item in found.values()):
        return value
    lists = [name for name in written(COMPLETIONS, value) if is_folded(value[name]) and name not in found]
    return {name: item for name, item in (value | found).items() if name not in lists}


def _without_rewards(row):
    rewards = written(REWARDS, row)
    return {name: item for name, item in row.items() if name not in rewards}


def _known(parts, depth, whole):
    """The rows of the parts that have a known one, or of all of them where they are the elements of a list."""
    known = [part for part in parts if any(is_known for _, is_known in part)]
    if known:
        return [row for part in (parts if whole else known) for row in part]
    return next((part[:1] for part in parts if part), []) if whole or depth == 0 else []


def _named(value, around, fields):
    """An object with the fields that options name by their path, "object.field" or "list.0"; and with the prompt of a
    chat, what stands before the first answer, or of NeMo-RL, which logs the turns of a chat as a list of texts."""
    names = [name for name in fields.names() if "." in name]
    found = {name: item for name in names if name not in value and (item := _at(value, name.split("."))) is not None}
    turns = value.get("content")
    if (
        "prompt" not in value
        and "rewards" in value
        and isinstance(turns, list)
        and len(turns) > 1
        and all(isinstance(turn, str) for turn in turns)
    ):
        found["prompt"], found["content"] = "\n".join(turns[:-1] if len(turns) < 4 else turns[:2]), "\n".join(turns)
    elif not fields.prompt and not any(name in value or name in around for name in PROMPTS):
        chats = next((chats for name in CHATS if (chats := _chats(value.get(name)))), [])
        questions = [_question(chat) for chat in chats]
        if questions and all(questions[0] == question for question in questions):
            found["prompt"] = questions[0]
    run = value.get("eval")
    if "samples" in value and isinstance(run, dict) and "model" in run:  # of inspect
        found["model"] = run["model"]
    if not fields.step and not any(written(STEPS, row) for row in (value, around)):
        found |= _inner_step(value)
    return value | found if found else value


def _inner_step(value):
    """{"object.field": step} of the objects in an object, or {}."""
    for name, part in value.items():
        if isinstance(part, dict):
            names = (*INNER_STEPS, "step") if name in TRAINERS else INNER_STEPS
            for inner in written(names, part)[:1]:
                return {f"{name}.{inner}": part[inner]}
    return {}


def _step_of(name):
    """{"step": number} of rows that stand under a name such as "step_3", or {}."""
    found = STEP.search(name)
    return {"step": int(found[1])} if found else {}


def _chats(item):
    """The chat of a field, or those of a group."""
    if is_chat(item):
        return [item]
    return item if isinstance(item, list) and item and all(map(is_chat, item)) else []


def _question(chat):
    """The messages before the first answer."""
    answers = (place for place, turn in enumerate(chat) if str(turn.get("role", turn.get("from"))).lower() in ANSWERERS)
    return chat[: next(answers, 0)]


def _at(value, path):
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _table(value, fields):
    """The rows of a table with "columns" and "data", as W&B and pandas write it, or with each column by index, as
    pandas does too; or None."""
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        names = [str(name) for name in columns]
        return [dict(zip(names, cells)) for cells in data if isinstance(cells, list) and len(cells) == len(names)]
    parts = list(value.values())
    if len(parts) < 2 or not all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        return None
    rows = ({name: part[index] for name, part in value.items()} for index in parts[0])
    first = next(rows, None)
    return [first, *rows] if first and find_layout(first, fields) else None


def _is_by_name(value, fields):
    """Whether an object has rollouts by name or number, as pandas writes a table by its index."""
    parts = [part for part in value.values() if isinstance(part, dict)]
    if len(parts) < 2 or len(parts) < len(value) / 2:
        return False
    first = find_layout(_joined(parts[0]), fields)
    return first is not None and all(first.prompt in part or first.prompt in _joined(part) for part in parts)


def _is_rows(item, fields):
    """Whether rollouts may stand inside: a list of objects that is no chat, or objects by name."""
    if isinstance(item, dict):
        lists = [part for part in list(item.values())[:MOST_COLUMNS] if isinstance(part, list)]
        return any(_is_rows(part, fields) for part in lists) or _is_by_name(item, fields)
    return isinstance(item, list) and bool(item) and all(isinstance(part, dict) for part in item) and not is_chat(item)


def is_chat(item):
    """Whether a list is the messages of a chat, or the parts of one."""
    return (
        isinstance(item, list)
        and bool(item)
        and all(
            isinstance(part, dict)
            and ("role" in part or {"from", "value"} <= part.keys() or part.get("type") in CONTENTS)
            for part in item
        )
    )


def _is_one_completion(name, item, length):
    """Whether a completion is one text, one chat with an answer, or the tokens of one, and no list of several: of
    answers, or of messages that are one each."""
    if is_chat(item):
        answers = sum(len(_question([turn])) == 0 for turn in item)
        return 0 < answers and not answers == len(item) == length
    tokens = name in TOKENS and isinstance(item, list) and bool(item) and all(type(part) is int for part in item)
    return isinstance(item, str) or tokens


def _joined(row):
    """A row with the fields of the objects in it as fields of its own."""
    flat = {}
    for name, item in row.items():
        if isinstance(item, dict):
            for inner, part in item.items():
                if isinstance(part, dict):
                    flat |= {f"{name}.{inner}.{last}": leaf for last, leaf in part.items()}
                else:
                    flat[f"{name}.{inner}"] = part
        else:
            flat[name] = item
    return flat


def _split(path, line, row, fields):
    """Yield a row whose reward is a list as one row per entry; lists of the same length are split along, a chat or
    tokens are not."""
    layout = find_layout(row, fields)
    lists = {}
    if layout is not None and layout.name != "pass counts":
        lists = {name: row[name] for name in layout.rewards if isinstance(row[name], list)}
    if not lists:
        yield row
        return
    if len(lists) < len(layout.rewards) and layout.weights is None and not (layout.completion and layout.advantage):
        problem = (
            f"several fields may be the reward: {listing(layout.rewards)}; name it by --reward {next(iter(lists))}"
        )
        raise LogError(path, line, problem)
    row = {name: item for name, item in row.items() if isinstance(item, list) or name not in REWARDS}  # their mean
    length = len(next(iter(lists.values())))
    for name, item in lists.items():
        if len(item) != length:
            raise LogError(path, line, f"{name} has {len(item)} entries where {next(iter(lists))} has {length}")
    if layout.completion == "output_response":  # SkyRL's scores are of the tokens
        yield row | {name: sum(number(path, line, name, part) for part in item) for name, item in lists.items()}
        return
    if length != 1 and _is_one_completion(layout.completion, row.get(layout.completion), length):
        problem = (
            f"{next(iter(lists))} is a list of {length} beside one {layout.completion}; write one number per rollout"
        )
        raise LogError(path, line, problem)
    for name in (layout.prompt, layout.completion):
        texts = row.get(name)
        if isinstance(texts, list) and len(texts) != length and texts and isinstance(texts[0], str):
            raise LogError(path, line, f"{name} has {len(texts)} entries where {next(iter(lists))} has {length}")
    split = {
        name
        for name, item in row.items()
        if isinstance(item, list)
        and len(item) == length
        and (name != layout.prompt or isinstance(item[0] if item else None, (str, list)))
    }
    for place in range(length):
        part = {name: item[place] if name in split else item for name, item in row.items()}
        yield from _split(path, line, part, fields)
