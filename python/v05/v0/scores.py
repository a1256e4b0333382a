"""Scores of prompts under a policy: checked, labelled, and read from files in the layout of the V_0 data.

    context.jsonl, train.jsonl ...   {"dataset": "dapomath", "id": 5562, "model": "Qwen3-4B-Instruct", "step": 16,
                                      "score": -1.0}
    prompts.jsonl                    {"id": "dapomath_5562", "prompt": "..."}       or the official
    prompt_dict.json                 {"dapomath_5562": "...", ...}

`score` is the mean reward of `model` at training step `step`. Scores of one dataset, model and step form a context.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core.arguments import checked_range
from .._core.json_lines import json_rows
from .._core.types import FilePath, RewardRange
from ..errors import InvalidArgument

FIELDS = ("dataset", "id", "model", "step", "score")


@dataclass(frozen=True)
class Score:
    """The mean reward of a policy on a prompt. context: (dataset, model, step)."""

    context: tuple[Any, Any, Any]
    prompt: str
    score: float


def read_scores(
    path: FilePath, *, prompts: FilePath | None = None, reward_range: RewardRange = (-1.0, 1.0)
) -> list[Score]:
    """The Scores of a .jsonl file, in its order.

    prompts: file of the prompts' texts; None: prompts.jsonl or prompt_dict.json beside the scores.
    Raises InvalidArgument that names file, line and rule.
    """
    path = Path(path)
    low, high = checked_range(reward_range)
    texts = read_prompts(prompts or _prompts_beside(path))
    scores = []
    for number, row in json_rows(path):
        missing = [field for field in FIELDS if field not in row]
        if missing:
            raise InvalidArgument(f"{path}, line {number}: {', '.join(missing)} missing")
        unnamed = [field for field in FIELDS[:-1] if isinstance(row[field], (list, dict))]
        if unnamed:
            raise InvalidArgument(
                f"{path}, line {number}: {unnamed[0]} must be a text or a number, got {row[unnamed[0]]!r:.100}"
            )
        score = row["score"]
        # Written so that NaN fails.
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not low <= score <= high:
            raise InvalidArgument(f"{path}, line {number}: score must lie in [{low:g}, {high:g}], got {score!r}")
        key = f"{row['dataset']}_{row['id']}"
        if key not in texts:
            raise InvalidArgument(f"{path}, line {number}: no prompt has the id {key!r}")
        scores.append(Score((row["dataset"], row["model"], row["step"]), texts[key], float(score)))
    if not scores:
        raise InvalidArgument(f"{path} has no scores")
    return scores


def read_prompts(path: FilePath) -> dict[str, str]:
    """{id: text} of a prompts.jsonl or prompt_dict.json."""
    path = Path(path)
    if path.suffix == ".json":
        try:
            texts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"{path} cannot be read: {error}") from error
    else:
        texts = {row.get("id"): row.get("prompt") for _, row in json_rows(path)}
    if not isinstance(texts, dict):
        raise InvalidArgument(f"{path} must give every id a prompt, got {type(texts).__name__}")
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            raise InvalidArgument(
                f"{path} must give every id a prompt that is a string and not empty, got {text!r:.100} for {name!r}"
            )
    return texts


def by_context(scores: Iterable[Score]) -> dict[tuple[Any, Any, Any], list[Score]]:
    """{context: its Scores}, in order of first appearance."""
    groups: dict[tuple[Any, Any, Any], list[Score]] = {}
    for score in scores:
        groups.setdefault(score.context, []).append(score)
    return groups


def solved(score: Any, reward_range: RewardRange) -> Any:
    """The label of V_0: whether a score is at least the midpoint of the range."""
    return score >= (reward_range[0] + reward_range[1]) / 2


def _prompts_beside(path):
    for name in ("prompts.jsonl", "prompt_dict.json"):
        if (path.parent / name).is_file():
            return path.parent / name
    raise InvalidArgument(f"neither prompts.jsonl nor prompt_dict.json is beside {path}")
