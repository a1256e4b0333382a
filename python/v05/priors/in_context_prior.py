"""The success of the current policy on any prompt, from its scores on others, without a model of one's own."""

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from .._core.arguments import checked_range, checked_scores, choice
from .._core.row_cache import RowCache
from .._core.types import Numbers, OptionalNumbers, RewardRange
from ..errors import InvalidArgument, MissingExtra
from .context_buffer import ContextBuffer
from .encoders import make_encoder
from .heads import HEADS
from .prompt_text import checked_prompts

HeadName = Literal["gp", "ridge", "knn"]
SHORT_CONTEXT = 128
_LENGTH_WEIGHT = 0.5  # of the logarithm of a prompt's length beside features of mean square length 1


class InContextPrior:
    """Value and standard deviation of prompts never seen, by regression on a context of (prompt, score) pairs.

        prior = InContextPrior()
        prior.fit(context_prompts, context_scores)                # or a ContextBuffer
        value, standard_deviation = prior.predict(prompts)

    A weak prior, for first visits: on real scores (method section 10) the area under the ROC curve is about 0.70 over
    policies and steps and 0.66 within one. Use it with the rule "calibrated".

    encoder: "tfidf" (parts of words, no download), the name or path of a sentence-transformers model, or a function of
        a list of n prompts to an (n, d) array. The logarithm of the prompt's length is always a further feature.
    head: "gp"     Gaussian process, hyper-parameters by marginal likelihood
          "ridge"  ridge regression, penalty by leave-one-out
          "knn"    nearest neighbours, their number by leave-one-out
    reward_range: (lo, hi) of scores and values.
    cache_size: prompts whose encoding is kept, by hash; those used longest ago go first. With "tfidf" 7 kB each where
        prompts have 300 characters, 34 kB where they have 2,000.

    The same context gives the same predictions. One thread at a time. Needs scikit-learn (extra v05[priors]).
    """

    def __init__(
        self,
        encoder: str | Callable[[list[str]], Numbers] = "tfidf",
        head: HeadName = "gp",
        *,
        reward_range: RewardRange = (0.0, 1.0),
        cache_size: int = 4096,
    ) -> None:
        if find_spec("sklearn") is None:
            raise MissingExtra("InContextPrior", "priors")
        self.reward_range = checked_range(reward_range)
        self._head = choice("head", head, HEADS)
        self._encoder = make_encoder(encoder)
        self._cache = RowCache(cache_size)
        self._fitted: tuple[Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: fitted anew, which the next fit does, it predicts the same."""
        return self.__dict__ | {"_fitted": None}

    def fit(self, prompts: ContextBuffer | Sequence[str], scores: OptionalNumbers | None = None) -> "InContextPrior":
        """Takes a new context in place of the old one. Returns self.

        prompts: a ContextBuffer, or (n,) strings that are not empty. scores: (n,) mean rewards within reward_range.
        Warns below 128 pairs. Raises InvalidArgument for an empty context and for scores that are all equal, from which
        nothing can be told; on an error the old context stays. About 0.5 s for 512 pairs whose encodings are known.
        """
        if isinstance(prompts, ContextBuffer):
            if scores is not None:
                raise InvalidArgument("scores must be left out where a ContextBuffer, which has them, is given")
            prompts, scores, _ = prompts.pairs()
        prompts = checked_prompts(prompts)
        scores = checked_scores(scores, len(prompts), self.reward_range)
        if not len(scores):
            raise InvalidArgument("the context must not be empty")
        if scores.min() == scores.max():
            raise InvalidArgument(
                f"scores must differ, got {len(scores)} that are all {scores[0]:g}: from one class nothing can be told"
            )
        if len(scores) < SHORT_CONTEXT:
            warnings.warn(
                f"a context of {len(scores)} prompts is short: below {SHORT_CONTEXT} predictions are near chance, "
                "256 is a good size",
                stacklevel=2,
            )
        rows = self._cache.rows(prompts, self._encoder.encode)
        project = self._encoder.fit(rows)
        length = _log_length(prompts)
        centre, spread = length.mean(), length.std() or 1.0

        def features(prompts, rows):
            return np.column_stack([project(rows), _LENGTH_WEIGHT * (_log_length(prompts) - centre) / spread])

        low, high = self.reward_range
        head = self._head().fit(features(prompts, rows), (scores - low) / (high - low))
        self._fitted = features, head
        return self

    def predict(self, prompts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(value, standard_deviation) of each prompt: two (n,) float64 arrays in reward units.

        The value is cut to reward_range. The standard deviation is that of the prompt's score, so it holds what the
        prompt's text does not tell and the sampling noise of the scores in the context, too.
        """
        if self._fitted is None:
            raise InvalidArgument("predict needs a context: call fit first")
        prompts = checked_prompts(prompts)
        if not prompts:
            return np.empty(0), np.empty(0)
        features, head = self._fitted
        value, deviation = head.predict(features(prompts, self._cache.rows(prompts, self._encoder.encode)))
        low, high = self.reward_range
        return np.clip(low + (high - low) * value, low, high), (high - low) * deviation


def _log_length(prompts):
    return np.log1p([len(prompt) for prompt in prompts])
