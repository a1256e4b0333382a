"""What V_0 is trained and judged on: a context of one policy, and queries of the same policy at the same step."""

import warnings
from dataclasses import dataclass
from itertools import cycle, islice

from .._core.arguments import integer
from ..errors import InvalidArgument
from .scores import Score, by_context, solved


@dataclass(frozen=True)
class Episode:
    """Scores that are shown, and Scores that are asked for."""

    context: list[Score]
    queries: list[Score]


class ContextPool:
    """Draws contexts. scores: those that may be shown, of any number of policies and steps.

    Queries of (dataset, model, step) see scores of the same three or, where there are none, those of the same model and
    step in other datasets. A prompt that is asked for is never shown.
    """

    def __init__(self, scores, size, reward_range):
        if integer("context_size", size) < 2:
            raise InvalidArgument(f"context_size must be at least 2, got {size}")
        self._size = size
        self._reward_range = reward_range
        self._own = by_context(scores)
        self._policy = {}
        for (_, model, step), group in self._own.items():
            self._policy.setdefault((model, step), []).extend(group)

    def draw(self, context, queries, chance):
        """Up to `size` Scores with both classes, drawn by chance (a random.Random); None where there are none."""
        asked = {query.prompt for query in queries}
        pool = self._own.get(context) or self._policy.get(context[1:], [])
        pool = [score for score in pool if score.prompt not in asked]
        drawn = chance.sample(pool, min(self._size, len(pool)))
        shown = {self._solved(score) for score in drawn}
        if len(shown) == 2:
            return drawn
        others = [score for score in pool if self._solved(score) not in shown]
        # A draw of one class says nothing to a classifier; one score of the other makes it a context.
        return drawn[:-1] + [chance.choice(others)] if len(drawn) > 1 and others else None

    def _solved(self, score):
        return solved(score.score, self._reward_range)


def training_episodes(pool, queries, count, reward_range, chance):
    """Episodes for one pass over the queries, in random order; in each, solved and unsolved queries take turns.

    Of every context the smaller class is repeated in turn until it is as large as the other, so that all are pairs of
    one solved and one unsolved prompt. count: queries an episode, at least 2; an odd one counts as one less.
    Contexts with one class only make no pair; a warning names them, and those with an episode left out, because all
    others to show are of one class.
    """
    episodes, left_out = [], []
    for context, group in by_context(queries).items():
        positive = [query for query in group if solved(query.score, reward_range)]
        negative = [query for query in group if not solved(query.score, reward_range)]
        if not positive or not negative:
            left_out.append(context)
            continue
        chance.shuffle(positive)
        chance.shuffle(negative)
        pair_count = max(len(positive), len(negative))
        pairs = list(islice(zip(cycle(positive), cycle(negative)), pair_count))
        for start in range(0, pair_count, count // 2):
            asked = [query for pair in pairs[start : start + count // 2] for query in pair]
            shown = pool.draw(context, asked, chance)
            if shown is None:
                if context not in left_out:
                    left_out.append(context)
                continue
            episodes.append(Episode(shown, asked))
    if not episodes:
        raise InvalidArgument(
            "no context has both solved and unsolved prompts to show and to ask for: scores below and above the "
            f"midpoint of reward_range, which is {tuple(reward_range)}"
        )
    if left_out:
        warnings.warn(f"left out, as all prompts to show or to ask for are of one class: {left_out}", stacklevel=2)
    chance.shuffle(episodes)
    return episodes


def judging_episodes(pool, queries, chance):
    """One Episode a context, with all its queries as they are."""
    episodes = [Episode(pool.draw(context, group, chance), group) for context, group in by_context(queries).items()]
    for episode in episodes:
        if episode.context is None:
            raise InvalidArgument(f"the context of {episode.queries[0].context} has no prompts of both classes to show")
    return episodes
