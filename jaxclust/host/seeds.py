"""The only place where a random key becomes an integer seed, for NumPy, UMAP and scikit-learn."""

import jax
import numpy as np

from jaxclust.numerics import fold_name
from jaxclust.typing import Key


def seed(key: Key, name: str) -> int:
    """An integer in [0, 2^31) for the host stage called `name`."""
    return int(np.asarray(jax.random.bits(fold_name(key, name), dtype=np.uint32)) >> 1)
