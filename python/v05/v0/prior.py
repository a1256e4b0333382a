"""V_0 as a prior for prompts never seen."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch

from .._core.arguments import checked_range, checked_scores
from .._core.row_cache import RowCache
from .._core.texts import checked_texts
from .._core.types import FilePath, OptionalNumbers, RewardRange
from ..errors import InvalidArgument
from .checkpoint import WEIGHTS, load_weights, read_checkpoint
from .embedding import PromptEmbedding
from .heads import NamedHead, make_head
from .scores import solved

SHORT_CONTEXT = 128
FOLDS = 5
_LOOKED_AT = 64  # entries of each weight that tell whether it was trained


class V0Prior:
    """Predicts the current policy's mean reward on any prompt from a context of (prompt, score) pairs.

        prior = V0Prior.from_pretrained("v_0_for_grpo_training.pt", "Qwen/Qwen3-Embedding-0.6B",
                                        "tabpfn-v2.5-classifier-v2.5_default.ckpt", device="cuda")
        prior.fit(context_prompts, context_scores)                # 256 recent ones, say
        value, standard_deviation = prior.predict(prompts)

    A prompt counts as solved where its score is at least the midpoint of reward_range; value = lo + (hi - lo)
    P(solved), which training on the scores themselves makes the mean reward.

    embedding: a PromptEmbedding; where it is trained, fit anew. head: "kernel" or what else `make_head` takes.
    reward_range: (lo, hi) of scores and values. cache_size: prompts whose features are kept, 4 kB each; those used
    longest ago go first. One thread at a time.
    """

    def __init__(
        self,
        embedding: PromptEmbedding,
        head: NamedHead,
        *,
        reward_range: RewardRange = (0.0, 1.0),
        cache_size: int = 16384,
    ) -> None:
        self.reward_range = checked_range(reward_range)
        self.embedding = embedding.eval()
        self.head = make_head(head, device=embedding.device)
        self._cache_size = cache_size
        self._cache = RowCache(cache_size)
        self._weights = self._version()
        self._context: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: FilePath,
        embedding_model: FilePath,
        tabpfn_model: FilePath | None = None,
        *,
        head: NamedHead = "tabpfn",
        estimators: int = 4,
        reward_range: RewardRange = (0.0, 1.0),
        device: str | torch.device = "cpu",
        batch_size: int = 32,
        maximum_tokens: int = 2048,
        cache_size: int = 16384,
    ) -> "V0Prior":
        """The trained model.

        checkpoint: official weights or those of `v05 v0 train`: .pt or .safetensors, with every weight of backbone and
        adapter. embedding_model: folder or hub name of the backbone and its tokenizer. tabpfn_model: file of TabPFN's
        classifier. head: "tabpfn", or what else `make_head` takes. estimators: of TabPFN. device: of PyTorch; the 0.6B
        backbone takes 2.4 GB in float32. batch_size, maximum_tokens: see PromptEmbedding.

        Raises CheckpointError that names every missing, unknown or misshapen weight.
        """
        checked_range(reward_range)
        head = make_head(head, tabpfn_model, estimators=estimators, device=device)
        weights = read_checkpoint(checkpoint)[WEIGHTS]
        embedding = PromptEmbedding.from_pretrained(
            embedding_model, device=device, batch_size=batch_size, maximum_tokens=maximum_tokens
        )
        load_weights(embedding, weights, checkpoint)
        return cls(embedding, head, reward_range=reward_range, cache_size=cache_size)

    def fit(self, prompts: Sequence[str], scores: OptionalNumbers) -> "V0Prior":
        """Takes a new context in place of the old one; no parameter changes. Returns self.

        prompts: strings, not empty. scores: (n,) mean rewards within reward_range, on both sides of its midpoint.
        Warns below 128 pairs: so few tell V_0 little. On an error the old context stays.
        """
        prompts = checked_texts(prompts, blank=True)
        scores = checked_scores(scores, len(prompts), self.reward_range)
        labels = solved(scores, self.reward_range)
        if not len(prompts):
            raise InvalidArgument("the context must not be empty")
        if labels.all() or not labels.any():
            raise InvalidArgument(
                f"scores must lie on both sides of the midpoint of {self.reward_range}, got {len(scores)} all "
                f"{'at or above' if labels.all() else 'below'} it: from one class nothing can be told"
            )
        if len(prompts) < SHORT_CONTEXT:
            warnings.warn(
                f"a context of {len(prompts)} prompts is short: V_0 needs 256 and is near chance below "
                f"{SHORT_CONTEXT} (arXiv 2602.03584)",
                stacklevel=2,
            )
        before = self._cache, self._weights
        if self._version() != self._weights:  # trained since: other features
            self._cache, self._weights = RowCache(self._cache_size), self._version()
        try:
            context = self._features(prompts), torch.as_tensor(labels, device=self.embedding.device).long()
            deviation = self._cross_fitted_deviation(*context, scores)
        except BaseException:  # the old context stays, and with it the features that it was made of
            self._cache, self._weights = before
            raise
        self._context, self._deviation = context, deviation
        return self

    def predict(self, prompts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(value, standard_deviation) of each prompt: two (n,) float64 arrays in reward units.

        The standard deviation is the same for all prompts: the root mean squared error with which the context's own
        scores are predicted from the rest of the context (5 folds). It holds the sampling noise of the scores too.
        """
        if self._context is None:
            raise InvalidArgument("predict needs a context: call fit(prompts, scores) first")
        prompts = checked_texts(prompts, blank=True)
        value = self._value(*self._context, self._features(prompts)) if prompts else np.empty(0)
        return value, np.full(len(prompts), self._deviation)

    def _value(self, context, labels, queries):
        low, high = self.reward_range
        with torch.no_grad():
            probability = torch.sigmoid(self.head(context, labels, queries)).double().cpu().numpy()
        if not np.isfinite(probability).all():
            raise InvalidArgument("the head gave a probability that is not finite")
        return low + (high - low) * probability

    def _cross_fitted_deviation(self, context, labels, scores):
        """Each fold has its share of both classes, so that what is left has both; a class of one cannot be left out."""
        smaller = int(min(labels.sum(), len(labels) - labels.sum()))
        if smaller < 2:
            return float(np.std(scores))
        fold = torch.empty_like(labels)
        for label in (0, 1):
            rows = (labels == label).nonzero()[:, 0]
            fold[rows] = torch.arange(len(rows), device=rows.device) % min(FOLDS, smaller)
        squares = np.empty(len(scores))
        for number in range(min(FOLDS, smaller)):
            out = fold == number
            value = self._value(context[~out], labels[~out], context[out])
            out = out.cpu().numpy()
            squares[out] = (scores[out] - value) ** 2
        return float(np.sqrt(squares.mean()))

    def _version(self):
        """Changes with every change of a weight in place; fused optimizers do not count theirs."""
        weights = list(self.embedding.parameters())
        counted = sum(one._version for one in weights if not one.is_inference())
        with torch.no_grad():
            parts = [one.flatten()[:: max(1, one.numel() // _LOOKED_AT)].double().sum() for one in weights]
            return counted, *torch.stack(parts).tolist()

    def _rows_of(self, prompts):
        """A copy of each row: one that is kept would keep them all."""
        return [row.copy() for row in self.embedding(prompts).float().cpu().numpy()]

    def _features(self, prompts):
        """(n, features) on the embedding's device; each prompt passes the backbone once."""
        with torch.no_grad():
            rows = self._cache.rows(prompts, self._rows_of)
        return torch.as_tensor(np.stack(rows), device=self.embedding.device)
