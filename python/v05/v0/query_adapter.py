"""The residual query adapter: many small questions to the tokens of a prompt, partly made from the prompt itself."""

import torch
from torch import nn

from .pooling import last_token_pool


class ResidualQueryAdapter(nn.Module):
    """Hidden states of a prompt's tokens to one row of features (V_0, arXiv 2602.03584).

        queries  = static_queries + generator(state of the last token)
        tokens   = proj_kv(states)
        features = mha(query=ln_q(queries), key=ln_kv(tokens), value=tokens)     flattened

    The generator's last layer starts at zero, so that training starts from the static queries alone.

    width: of the hidden states. queries, query_width: 168 and 6, hence 1,008 features. heads: divides query_width.
    bottleneck: width inside the generator. dropout: in the generator, while training.

    The names of the parameters are those of the official checkpoints.
    """

    def __init__(
        self,
        width: int,
        *,
        queries: int = 168,
        query_width: int = 6,
        heads: int = 3,
        bottleneck: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.static_queries = nn.Parameter(torch.randn(1, queries, query_width))
        self.generator = nn.Sequential(
            nn.Linear(width, bottleneck),
            nn.LayerNorm(bottleneck),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(bottleneck, queries * query_width),
        )
        for parameter in self.generator[-1].parameters():
            nn.init.zeros_(parameter)
        self.proj_kv = nn.Linear(width, query_width)
        self.mha = nn.MultiheadAttention(query_width, heads, batch_first=True)
        self.ln_q = nn.LayerNorm(query_width)
        self.ln_kv = nn.LayerNorm(query_width)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, queries * query_width) features of states (n, tokens, width); mask (n, tokens) is False on padding.

        Padding must hold finite numbers; what they are changes nothing.
        """
        offsets = self.generator(last_token_pool(states, mask)).view(len(states), *self.static_queries.shape[1:])
        tokens = self.proj_kv(states)
        answers, _ = self.mha(
            self.ln_q(self.static_queries + offsets),
            self.ln_kv(tokens),
            tokens,
            key_padding_mask=~mask,
            need_weights=False,
        )
        return answers.flatten(1)
