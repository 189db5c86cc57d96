"""What a user holds in memory: arrays, matrices of scipy.sparse, data frames."""

from typing import Any

import numpy as np

from jaxclust.data.readers import frames, sparse
from jaxclust.data.rows import Images, LazyArray
from jaxclust.errors import InputError


def read(images: Any) -> Images:
    """`images` as an array, or as `LazyArray` where they are in parts, or sparse.

    A matrix of scipy.sparse (n, d) and a data frame of numbers become float32: see `sparse.as_rows` and `frames.given`.
    """
    if isinstance(images, LazyArray | np.ndarray):
        return images
    from scipy.sparse import issparse

    if issparse(images):
        return sparse.as_rows(images)
    return frames.given(images) if frames.is_frame(images) else as_array(images)


def as_array(data: Any) -> np.ndarray:
    """`numpy.asarray`. Raises InputError where rows differ in length."""
    try:
        return np.asarray(data)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        lengths = [len(row) if hasattr(row, "__len__") else 1 for row in data]
        place = next((i for i, length in enumerate(lengths) if length != lengths[0]), 1)
        what = f"example 0 holds {lengths[0]} values and example {place} {lengths[place]}"
        raise InputError(
            f"array: {what if lengths[place] != lengths[0] else 'examples differ in shape'}: give all one shape"
        ) from error
