"""A model's functions over many examples, in batches of one static shape."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from jaxclust.data.rows import Images
from jaxclust.train.loop import in_batches
from jaxclust.train.programs import options
from jaxclust.typing import Array, PyTree

BATCH = 256


def apply_in_batches(
    function: Callable[[PyTree, Array], Array],
    arrays: PyTree,
    images: Images,
    batch_size: int = BATCH,
    together: bool = True,
) -> np.ndarray:
    """`function(arrays, images)` over all rows: images (n, ...) -> (n, ...).

    Compiled once for one shape, the last batch padded, so that the result for a row does not depend on the others.
    together: see loop.in_batches.
    """
    if len(images) == 0:
        raise ValueError("there are no examples to apply a model to")
    placed = jax.device_put(arrays, jax.local_devices()[0])  # always stated: else it may be compiled twice
    return in_batches(partial(jax.jit(function, compiler_options=options()), placed), images, batch_size, together)
