"""What a user holds in memory: arrays, matrices of scipy.sparse, data frames."""

from typing import Any

import numpy as np

from jaxclust.data.readers import frames, sparse
from jaxclust.data.rows import Images, LazyArray


def read(images: Any) -> Images:
    """`images` as an array, or as `LazyArray` where they are in parts, or sparse.

    A matrix of scipy.sparse (n, d) and a data frame of numbers become float32: see `sparse.as_rows` and `frames.given`.
    """
    if isinstance(images, LazyArray | np.ndarray):
        return images
    from scipy.sparse import issparse

    if issparse(images):
        return sparse.as_rows(images)
    return frames.given(images) if frames.is_frame(images) else np.asarray(images)
