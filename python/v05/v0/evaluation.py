"""How good predictions of success are: within a context, by level, and as probabilities."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .._core.evaluation_mode import evaluating
from .._core.types import Progress, RewardRange
from ..errors import Error
from .embedding import PromptEmbedding
from .episodes import ContextPool, Episode, judging_episodes
from .heads import Head
from .scores import Score, solved


def evaluate(
    embedding: PromptEmbedding,
    head: Head,
    context: Sequence[Score],
    queries: Sequence[Score],
    *,
    context_size: int = 256,
    reward_range: RewardRange = (-1.0, 1.0),
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Metrics of an embedding with a head on Scores; see `metrics`. context, queries: lists of Scores.

    Every query is predicted from one context of its policy and step, drawn from `context` by the seed.
    """
    pool = ContextPool(context, context_size, reward_range)
    episodes = judging_episodes(pool, queries, random.Random(seed))
    probability, label, score, group = [], [], [], []
    with evaluating(embedding):
        for number, episode in enumerate(episodes):
            if progress:
                progress("evaluating", number, len(episodes))
            with torch.no_grad():
                log_odds = episode_log_odds(embedding, head, episode, reward_range)
            if not log_odds.isfinite().all():
                raise Error("the head gave log-odds that are not finite: nothing can be judged by them")
            probability += torch.sigmoid(log_odds.double()).tolist()
            label += [solved(query.score, reward_range) for query in episode.queries]
            score += [
                (query.score - reward_range[0]) / (reward_range[1] - reward_range[0]) for query in episode.queries
            ]
            group += [number] * len(episode.queries)
    return metrics(*map(np.asarray, (probability, label, score, group)))


def episode_log_odds(
    embedding: PromptEmbedding, head: Head, episode: Episode, reward_range: RewardRange
) -> torch.Tensor:
    """(q,) log-odds of the queries' success from the context of an Episode."""
    features = embedding([score.prompt for score in episode.context + episode.queries])
    shown = len(episode.context)
    labels = torch.tensor([solved(score.score, reward_range) for score in episode.context]).long()
    return head(features[:shown], labels.to(features.device), features[shown:])


def metrics(probability: np.ndarray, label: np.ndarray, score: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """Figures of predicted probabilities of success.

    probability: (n,) predicted. label: (n,) whether solved. score: (n,) in [0, 1]. group: (n,) the context of each.

    auc_within            share of pairs of a solved and an unsolved query of one context that are in the right order,
                          ties half; what is left when the level of the policy is taken away. None without pairs
    auc_pooled            the same over all pairs
    accuracy              share of queries with (probability >= 1/2) = label
    brier                 mean (probability - label)^2
    squared_error         mean (probability - score)^2
    calibration_slope     of the straight line through label on probability; 1 is right. None if all are predicted alike
    calibration_intercept of the same line; 0 is right
    calibration_error     mean over queries of |mean label - mean probability| of the tenth of [0, 1] that they fall in
    queries, contexts     numbers
    """
    counts = [_ordered_pairs(probability[group == one], label[group == one]) for one in np.unique(group)]
    right, pairs = (sum(column) for column in zip(*counts))
    pooled_right, pooled_pairs = _ordered_pairs(probability, label)
    spread = probability.var() if np.ptp(probability) > 0 else 0.0  # of equal ones rounding leaves some
    slope = ((probability - probability.mean()) * (label - label.mean())).mean() / spread if spread > 0 else None
    tenth = np.minimum((10 * probability).astype(int), 9)
    gap = [abs((label - probability)[tenth == one].sum()) for one in np.unique(tenth)]
    return {
        "auc_within": right / pairs if pairs else None,
        "auc_pooled": pooled_right / pooled_pairs if pooled_pairs else None,
        "accuracy": float(((probability >= 0.5) == label).mean()),
        "brier": float(((probability - label) ** 2).mean()),
        "squared_error": float(((probability - score) ** 2).mean()),
        "calibration_slope": None if slope is None else float(slope),
        "calibration_intercept": None if slope is None else float(label.mean() - slope * probability.mean()),
        "calibration_error": float(sum(gap) / len(label)),
        "queries": len(label),
        "contexts": len(np.unique(group)),
    }


def _ordered_pairs(probability, label):
    """(pairs in the right order, pairs)."""
    positive, negative = np.sort(probability[label]), np.sort(probability[~label])
    below = np.searchsorted(negative, positive, side="left").sum()
    at_most = np.searchsorted(negative, positive, side="right").sum()
    return float(below + at_most) / 2, len(positive) * len(negative)
