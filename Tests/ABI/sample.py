"""A batch large enough that calls overlap, for tests and for the scripts that they run."""

import numpy as np


def batch(seed, rows=20_000):
    """Rewards, groups in mixed order and priors."""
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, rows // 8, rows)
    return generator.integers(0, 2, rows).astype(np.float64), groups, generator.random(rows // 8)[groups]
