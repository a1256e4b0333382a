"""TRL's standard deviation of a group, for groups of any size."""

import torch
from trl.trainer.utils import nanstd


def group_deviation(rewards: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """TRL's standard deviation of each row's group, whatever the sizes; NaN for fewer than two scored rewards.

    groups: numbers from 0, in order.
    """
    counts = torch.bincount(groups)
    place = torch.arange(len(groups), device=groups.device) - (counts.cumsum(0) - counts)[groups]
    table = rewards.new_full((len(counts), int(counts.max())), torch.nan)
    table[groups, place] = rewards
    return nanstd(table, dim=1)[groups]
