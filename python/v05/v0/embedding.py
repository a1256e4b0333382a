"""Prompts to features: tokenizer, language model as backbone, residual query adapter."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .._core.arguments import integer
from .._core.generators import kept_generators, seeded_generators
from .._core.texts import checked_texts
from .._core.types import FilePath
from ..errors import InvalidArgument, MissingExtra
from .query_adapter import ResidualQueryAdapter

# No tokenizer makes tokens this long on average: characters beyond them are cut before it sees a megabyte.
CHARACTERS_PER_TOKEN = 64


def check_at_least_one(name: str, value: Any) -> None:
    """Raise for what is no number of tokens, prompts or scores."""
    if integer(name, value) < 1:
        raise InvalidArgument(f"{name} must be at least 1, got {value}")


class PromptEmbedding(nn.Module):
    """A row of features for each prompt.

    backbone: a transformers model that gives `last_hidden_state`, such as that of Qwen3-Embedding-0.6B.
    tokenizer: its fast tokenizer. It pads on the right from here on: backbones that count positions from the left
        would take a padded prompt for another.
    maximum_tokens: a prompt is cut after as many, or the most that the backbone takes. batch_size: prompts that pass
        the backbone together.
    adapter: options of ResidualQueryAdapter.

    The features of a prompt depend on no other prompt (but for rounding, as batches are padded).
    """

    def __init__(
        self, backbone: Any, tokenizer: Any, *, maximum_tokens: int = 2048, batch_size: int = 32, **adapter: Any
    ) -> None:
        super().__init__()
        for name, value in (("maximum_tokens", maximum_tokens), ("batch_size", batch_size)):
            check_at_least_one(name, value)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.pad_token is None:
            raise InvalidArgument("the tokenizer must have a padding or an end token")
        tokenizer.truncation_side = tokenizer.padding_side = "right"
        self.tokenizer = tokenizer
        positions = getattr(backbone.config, "max_position_embeddings", None) or maximum_tokens
        self.maximum_tokens = min(maximum_tokens, positions, tokenizer.model_max_length)
        self.batch_size = batch_size
        self.backbone = backbone
        self.adapter_layer = ResidualQueryAdapter(backbone.config.hidden_size, **adapter)

    @classmethod
    def from_pretrained(
        cls, embedding_model: FilePath, *, device: str | torch.device = "cpu", seed: int = 0, **options: Any
    ) -> "PromptEmbedding":
        """Tokenizer and backbone in float32 from a folder or hub name; the adapter is new, drawn from the seed."""
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingExtra("PromptEmbedding", "value-model") from error
        for name in options.keys() & {"maximum_tokens", "batch_size"}:
            check_at_least_one(name, options[name])
        try:
            with kept_generators("cpu"):  # what a folder lacks is drawn
                tokenizer = AutoTokenizer.from_pretrained(embedding_model)
                backbone = AutoModel.from_pretrained(embedding_model)
        except Exception as error:  # whatever the libraries raise for a file that is damaged or of another model
            raise InvalidArgument(f"embedding_model cannot be loaded from {embedding_model!r}: {error}") from error
        known = getattr(backbone.config, "vocab_size", 0)
        if 2 * len(tokenizer) < known:  # transformers makes an empty one where there is no file
            raise InvalidArgument(
                f"embedding_model must come with its tokenizer, got one of {len(tokenizer)} tokens in "
                f"{embedding_model!r} for a backbone that knows {known}"
            )
        backbone.config.use_cache = False  # nothing is generated: keys and values would take more than the weights
        # The official weights are float32, whatever the folder's own dtype.
        with seeded_generators(seed, "cpu"):
            embedding = cls(backbone, tokenizer, **options).float()
        return embedding.to(device)

    @property
    def device(self) -> torch.device:
        """Where the adapter, and the features, are."""
        return self.adapter_layer.static_queries.device

    def freeze_backbone(self, frozen: bool = True) -> None:
        """Whether training leaves the backbone alone."""
        self.backbone.requires_grad_(not frozen)

    def forward(self, prompts: Sequence[str]) -> torch.Tensor:
        """(n, features), differentiable in the adapter's parameters and, unless frozen, in the backbone's.

        Raises InvalidArgument for an empty prompt and for states of the backbone that are not finite.
        """
        prompts = checked_texts(prompts, blank=True)
        token_ids = self._token_ids(prompts)
        if not token_ids:
            return self.adapter_layer.static_queries.new_zeros((0, self.adapter_layer.static_queries.numel()))
        longest_first = sorted(range(len(token_ids)), key=lambda row: -len(token_ids[row]))  # little padding
        batches = [
            longest_first[start : start + self.batch_size] for start in range(0, len(token_ids), self.batch_size)
        ]
        with torch.autocast(self.device.type, enabled=False):  # of a trainer around it
            features = torch.cat(
                [
                    self._batch_features([prompts[row] for row in rows], [token_ids[row] for row in rows])
                    for rows in batches
                ]
            )
        place = torch.empty(len(token_ids), dtype=torch.long, device=features.device)
        place[torch.tensor(longest_first, device=features.device)] = torch.arange(len(token_ids), device=place.device)
        return features[place]

    def _token_ids(self, prompts):
        if not prompts:
            return []
        limit = CHARACTERS_PER_TOKEN * self.maximum_tokens
        token_ids = self.tokenizer(
            [prompt[:limit].encode("utf-8", "replace").decode() for prompt in prompts],
            truncation=True,
            max_length=self.maximum_tokens,
        )["input_ids"]
        for prompt, ids in zip(prompts, token_ids):
            if not ids:
                raise InvalidArgument(f"a prompt must have at least one token, got {prompt[:60]!r}")
        return token_ids

    def _batch_features(self, prompts, token_ids):
        batch = self.tokenizer.pad({"input_ids": token_ids}, return_tensors="pt").to(self.device)
        mask = batch["attention_mask"].bool()
        trained = any(parameter.requires_grad for parameter in self.backbone.parameters())
        with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
            output = self.backbone(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        # Padding may hold anything, NaN too, and nothing times NaN is NaN.
        states = output.last_hidden_state.masked_fill(~mask[..., None], 0).to(self.adapter_layer.static_queries.dtype)
        finite = states.isfinite().all(dim=2).all(dim=1)
        if not finite.all():
            prompt = prompts[int(finite.logical_not().nonzero()[0])]
            raise InvalidArgument(f"an embedding must be finite, got NaN or infinity for the prompt {prompt[:60]!r}")
        return self.adapter_layer(states, mask)
