"""What the modulation of tokens reports, whichever way it was computed."""

import dataclasses

TOKEN_ARRAYS = ("entropy", "log_prob", "old_log_prob")


@dataclasses.dataclass(frozen=True)
class ModulationStatistics:
    """What became of the tokens that the mask counts.

    token_count: their number.
    clipped: share with an advantage other than 0 whose gradient the clipping of the ratio takes away.
    compensation, stabilization: mean of each factor; 1 without tokens.
    largest_change: the largest |dH|, the change of a token's entropy that the others are measured by.
    smallest_entropy, largest_entropy: range of the entropies; NaN without tokens.
    """

    __module__ = "v05"

    token_count: int
    clipped: float
    compensation: float
    stabilization: float
    largest_change: float
    smallest_entropy: float
    largest_entropy: float


def place(sequence: int, token: int | None) -> str:
    """Where a refused token stands, for a message."""
    return f"sequence {sequence}" if token is None else f"sequence {sequence}, token {token}"
