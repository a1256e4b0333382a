"""What priors are compared on: visits of prompts, and the context that each was to be predicted from."""

from dataclasses import dataclass

import numpy as np

from ..._core.arguments import checked_range
from ...errors import InvalidArgument
from ...priors.context_buffer import ContextBuffer
from ...v0.scores import by_context, read_scores
from ..logs import detect_reward_range, read_log
from ..replay.visits import Visits, gather_visits

MOST_ROLLOUTS = 64


@dataclass(frozen=True)
class Episode:
    """Visits to be predicted from one context. rows: (q,) indices of visits; prompts, scores: the context."""

    rows: np.ndarray
    prompts: list
    scores: np.ndarray


@dataclass(frozen=True)
class Cases:
    """Visits with everything that a prior may look at. `visits.batches` are the contexts: a step, a policy and step."""

    name: str
    kind: str  # "log" or "scores"
    visits: Visits
    reward_range: tuple
    texts: list | None  # (v,) of each visit; None where the prompts have no text
    episodes: list
    notes: tuple = ()  # sentences on the data


def cases_of_log(log, *, reward_range=None, only_visits=None, context_size=256, refits=40, progress=None, **reading):
    """The visits of a log, each to be predicted from a ContextBuffer of the steps before.

    The context is renewed at most `refits` times, at steps that are evenly spread. reading: arguments of `read_log`.
    """
    if refits < 1:
        raise InvalidArgument(f"refits must be at least 1, got {refits}")
    content = read_log(log, progress=progress, texts=True, **reading)
    visits = gather_visits(content, only_visits)
    reward_range = detect_reward_range(content, reward_range)
    texts = [content.texts[prompt] for prompt in visits.prompt]
    if all(text.lstrip("-").isdecimal() for text in content.texts):
        return Cases(content.name, "log", visits, reward_range, None, [], content.notes)
    steps = len(visits.batches) - 1
    starts = np.unique(np.linspace(0, steps, min(refits, steps) + 1).round().astype(int))
    mean = np.add.reduceat(visits.reward, visits.start) / visits.count
    buffer = ContextBuffer(context_size, reward_range=reward_range)
    episodes = []
    for first, last in zip(starts[:-1], starts[1:]):
        prompts, scores, _ = buffer.pairs()
        asked = [row for row in range(visits.batches[first], visits.batches[last]) if texts[row].strip()]
        episodes.append(Episode(np.array(asked, dtype=np.int64), prompts, scores))
        for step in range(first, last):
            rows = [row for row in range(visits.batches[step], visits.batches[step + 1]) if texts[row].strip()]
            buffer.add([texts[row] for row in rows], mean[rows], step)
    return Cases(content.name, "log", visits, reward_range, texts, episodes, content.notes)


def cases_of_scores(context, query=None, *, prompts=None, reward_range=None, rollouts=None, folds=8):
    """Queries, each to be predicted from the context of its dataset, model and step; files as in v05.v0.scores.

    query: None: each of `folds` parts of a context is predicted from the rest of it.
    rollouts: how many each score is the mean of, all of them at an end of the range; None: the fewest that fit the
        scores.
    """
    known = reward_range is not None
    reward_range = checked_range(reward_range if known else (-1.0, 1.0))
    scores = read_scores(context, prompts=prompts, reward_range=reward_range)
    if not known and all(score.score >= 0 for score in scores):
        raise InvalidArgument(
            f"reward_range must be given where no score is below 0, as in {context}: 0 1 for shares of successes, -1 1 "
            "where every prompt has been solved more often than not"
        )
    shown = by_context(scores)
    asked = shown if query is None else by_context(read_scores(query, prompts=prompts, reward_range=reward_range))
    for name in asked:
        if name not in shown:
            raise InvalidArgument(f"{query}: no context in {context} is of {' / '.join(map(str, name))}")
    smallest = min(len({score.prompt for score in scores}) for scores in shown.values())
    if query is None and not 2 <= folds <= smallest:
        raise InvalidArgument(
            f"folds must lie between 2 and the {smallest} prompts of the smallest context, got {folds}"
        )
    queries = [score for scores in asked.values() for score in scores]
    ends = np.cumsum([0] + [len(scores) for scores in asked.values()])
    episodes = []
    for number, name in enumerate(asked):
        rows = np.arange(ends[number], ends[number + 1])
        # A prompt that is asked for is never shown: parts are of prompts, of which one may have several scores.
        texts = {}
        part = np.array([texts.setdefault(score.prompt, len(texts)) for score in asked[name]]) % folds
        for fold in [None] if query is not None else range(folds):
            hidden = {score.prompt for score, own in zip(asked[name], part) if fold in (None, own)}
            known = [score for score in shown[name] if score.prompt not in hidden]
            episodes.append(
                Episode(
                    rows if fold is None else rows[part == fold],
                    [score.prompt for score in known],
                    np.array([score.score for score in known]),
                )
            )
    low, high = reward_range
    share = (np.array([score.score for score in queries]) - low) / (high - low)
    rollouts = _rollouts(share, rollouts)
    numbers = {}
    visits = Visits(
        prompt=np.array([numbers.setdefault(score.prompt, len(numbers)) for score in queries]),
        count=np.full(len(queries), rollouts),
        start=np.arange(len(queries)) * rollouts,
        reward=np.where(np.arange(rollouts) < np.rint(share * rollouts)[:, None], high, low).ravel(),
        logged_prior=np.full(len(queries), np.nan),
        earlier=np.zeros(len(queries), np.int64),
        batches=ends,
        asked=np.ones(len(queries), bool),
    )
    return Cases(str(query or context), "scores", visits, reward_range, [score.prompt for score in queries], episodes)


def _rollouts(share, given):
    """The number of rollouts that scores, as shares of successes, are means of."""
    fits = (n for n in range(1, MOST_ROLLOUTS + 1) if np.allclose(share * n, np.rint(share * n), rtol=0, atol=1e-4))
    if given is None:
        found = next(fits, None)
        if found is None:
            raise InvalidArgument(
                f"rollouts must be given: the scores are means of no number of successes up to {MOST_ROLLOUTS}"
            )
        return found
    if given < 1 or not np.allclose(share * given, np.rint(share * given), rtol=0, atol=1e-4):
        raise InvalidArgument(f"rollouts must be what the scores are means of, got {given}, which does not fit them")
    return given
