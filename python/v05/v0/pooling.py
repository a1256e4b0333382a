"""One state for a whole prompt."""

import torch


def last_token_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(n, width): the state of each row's last token, of states (n, tokens, width), whichever side is padded.

    mask: (n, tokens), False on padding; at least one True a row.
    """
    position = torch.arange(mask.shape[1], device=mask.device)
    last = (position * mask).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), last]
