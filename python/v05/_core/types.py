"""The kinds that the annotations of the public face name. Nothing is imported for their sake when a program runs."""

import os
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor
else:
    ArrayLike = Tensor = Any

# The fixed choices. A test holds them to the tables of the core.
RuleName: TypeAlias = Literal[
    "v05",
    "calibrated",
    "grpo",
    "rloo",
    "james_stein",
    "prior",
    "median",
    "discounted_beta",
    "mixture",
    "batch_mean",
    "jspo",
]
ScaleName: TypeAlias = Literal["none", "group", "batch"]
SingletonName: TypeAlias = Literal["zero", "raw"]
TestName: TypeAlias = Literal["bound", "exact"]
AllocationRuleName: TypeAlias = Literal["osla", "neyman"]
LookAheadName: TypeAlias = Literal["same_bias", "same_mean", "derivative"]
ObjectiveName: TypeAlias = Literal["neyman", "dynamo", "v0", "v0_greedy", "hit"]
PriorityName: TypeAlias = Literal["official", "paper", "probability"]
PriorName: TypeAlias = Literal["history", "history+context", "tracker", "column", "tracker+column", "none"]

#: (lo, hi) of a reward; a list is what configuration files have.
RewardRange: TypeAlias = tuple[float, float] | list[float]
#: What becomes an array of numbers: a number, sequences, numpy arrays, torch tensors.
Numbers: TypeAlias = ArrayLike | Tensor
#: The same where None stands for a number that is not known.
OptionalNumbers: TypeAlias = Numbers | Sequence[float | None]
#: Values of prompts: a number for all, one per row, or a dict by group id.
PriorValues: TypeAlias = OptionalNumbers | dict[Any, Any]
#: Which rows belong together: integers or any hashables but floats.
GroupIds: TypeAlias = np.ndarray | Tensor | Sequence[Hashable]
#: What tells prompts apart in all of training.
Keys: TypeAlias = np.ndarray | Tensor | Sequence[int | str | bytes | np.integer]
FilePath: TypeAlias = str | os.PathLike[str]
#: Called as progress(stage, done, total).
Progress: TypeAlias = Callable[[str, int, int], object]

#: Results come in the kind of these.
Rewards = TypeVar("Rewards", np.ndarray, Sequence[float], Tensor)
Array = TypeVar("Array", np.ndarray, Tensor)
