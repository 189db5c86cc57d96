"""The one way in which host phases look at fewer rows than there are."""

import numpy as np


def sample(n: int, largest: int, seed: int) -> np.ndarray:
    """Sorted rows of a random sample of at most `largest` of n: (m,) int."""
    if n <= largest:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, largest, replace=False))
