"""Which prompt a rollout is of: files that name prompts, and prompts that share a text."""

import numpy as np

from ..._core.files import local_path
from .errors import LogError
from .field_names import PROMPTS
from .layout import listing
from .numbering import numbered
from .parquet import open_table, table_rows
from .rows import prompt_key
from .streams import PARQUET, opened, text_lines, unpacked
from .values import json_values

MOST_VERDICTS = 4  # values of a field that says how a rollout did
SHARED = 0.25  # of the groups may share their prompt with another of the step before the text is no name for it


def read_prompts(path):
    """The keys of the prompts that a file names: a prompt per line, or rows of JSON or parquet with a field for it."""
    keys, path = set(), local_path(path, "the file of prompts")
    with opened(path) as (head, stream):
        if head.startswith(PARQUET):
            for row in table_rows(path, open_table(path, stream)):
                keys.add(_key(path, None, row))
            return keys
        lines = text_lines(path, unpacked(path, head, stream))
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[", b'"')):
            for line, _, value in json_values(path, lines, []):
                keys.update(_key(path, line, item) for item in (value if isinstance(value, list) else [value]))
        else:
            keys.update(
                prompt_key(path, number, "prompt", line.rstrip("\r\n"))[0] for number, line in lines if line.strip()
            )
    return keys


def _key(path, line, value):
    if isinstance(value, dict):
        field = next((name for name in PROMPTS if name in value), None)
        if field is None:
            raise LogError(path, line, f"must name a prompt: found {listing(value)}")
        value = value[field]
    return prompt_key(path, line, "prompt", value)[0]


def pictured_prompts(found, texts, beside):
    """(prompt of each row, their texts, sentences) where images belong to prompts: the same text with another image is
    another prompt. Images of which each row has its own, as of a file that is written anew, tell nothing. beside: the
    word for them."""
    prompt, picture = found["prompt"], found["picture"]
    pairs = numbered(prompt, picture)
    if (
        (picture < 0).all()
        or pairs.max() == prompt.max()
        or len(np.unique(pairs[picture >= 0])) == np.count_nonzero(picture >= 0)
    ):
        return prompt, texts, []
    return pairs, _texts(texts, prompt, pairs), [f"The same text with another {beside} is another prompt."]


def distinct_prompts(found, texts):
    """(prompt of each row, their texts, sentences) where the text of a prompt does not say which it is, as with images.

    Then text and logged answer tell prompts apart, or, where those are shared too, every group is a prompt of its own.
    """
    prompt, answer, group, step = (found[name] for name in ("prompt", "answer", "group", "step"))
    shared = _shared(prompt, group, step)
    nameless = bool(found["nameless"].any())
    if not nameless and shared <= SHARED:
        if not _mixed(prompt, answer, group, step) or _is_verdict(answer, found["reward"]):
            return prompt, texts, []
    by_answer = numbered(prompt, answer)
    if not nameless and _shared(by_answer, group, step) <= SHARED and _settled(answer, group, step):
        note = (
            "Rollouts of a step have the same prompt and different answers to it: prompt and answer together name it."
        )
        return by_answer, _texts(texts, prompt, by_answer), [note]
    by_group = numbered(step, prompt, group)
    note = (
        "Groups of a step have the same prompt, or none, and nothing tells which it is, so no visit has a history: "
        "name a field that tells prompts apart by --prompt."
    )
    return by_group, _texts(texts, prompt, by_group), [note]


def _mixed(prompt, answer, group, step):
    """Whether rollouts without a group have one prompt and several right answers at most of the visits."""
    alone = (group < 0) & (answer >= 0)
    if not alone.any():
        return False
    visit, pair = (
        numbered(*columns) for columns in ((step[alone], prompt[alone]), (step[alone], prompt[alone], answer[alone]))
    )
    _, first = np.unique(pair, return_index=True)
    _, answers = np.unique(visit[first], return_counts=True)
    return np.count_nonzero(answers > 1) > len(answers) / 2


def _is_verdict(answer, reward):
    """Whether what is called an answer is what somebody said of the rollout, such as "correct": few values, which tell
    most of the reward."""
    values, which = np.unique(answer, return_inverse=True)
    means = np.bincount(which, reward) / np.bincount(which)
    return len(values) <= MOST_VERDICTS and 2 * means[which].var() > reward.var()


def _settled(answer, group, step):
    """Whether the rollouts of a group have one answer, so that it is that of the prompt and not of the model."""
    known = group >= 0
    groups, pairs = numbered(step[known], group[known]), numbered(step[known], group[known], answer[known])
    return not known.any() or pairs.max() + 1 <= 1.01 * (groups.max() + 1)


def _shared(prompt, group, step):
    """The share of groups that have the same prompt as another group of the step."""
    known = group >= 0
    if not known.any():
        return 0.0
    groups, first = np.unique(numbered(step[known], prompt[known], group[known]), return_index=True)
    _, times = np.unique(numbered(step[known], prompt[known])[first], return_counts=True)
    return times[times > 1].sum() / len(groups)


def _texts(texts, old, new):
    if texts is None:
        return None
    _, first = np.unique(new, return_index=True)
    return tuple(texts[code] for code in old[first])
