"""What a user holds in memory: arrays and tensors, matrices of scipy.sparse, tables, AnnData."""

from typing import Any

import numpy as np

from jaxclust.data.readers import annotated, frames, sparse
from jaxclust.data.readers.arrays import as_array
from jaxclust.data.readers.found import Found
from jaxclust.data.rows import Images, LazyArray


def read(images: Any) -> Images:
    """`images` as an array, or as `LazyArray` where they are in parts, or sparse: `found`."""
    return found(images).images


def found(data: Any) -> Found:
    """Arrays and tensors as `as_array` takes them, tables as `frames.given`, AnnData as `annotated.given`.

    A matrix of scipy.sparse (n, d) becomes `LazyArray` of float32, which stays sparse: `sparse.as_rows`.
    """
    from scipy.sparse import issparse

    if isinstance(data, LazyArray):
        return Found(data)
    if issparse(data):
        return Found(sparse.as_rows(data))
    if annotated.is_annotated(data):
        return annotated.given(data)
    return frames.given(data) if frames.is_frame(data) else Found(as_array(data))


def is_table(data: Any) -> bool:
    """Whether its rows have more than numbers: names, ids, classes."""
    return frames.is_frame(data) or annotated.is_annotated(data)


def described(table: Any) -> Any:
    """What scikit-learn's conventions compare of what `is_table`."""
    return frames.described(table) if frames.is_frame(table) else np.broadcast_to(np.float32(0), table.shape)
