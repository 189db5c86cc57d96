"""Nearest neighbours, found once for all draws of UMAP and whatever else asks who is near whom.

Exact, by blocks of distances on the device, up to EXACT rows; nearest-neighbour descent (Dong et al. 2011, as in
pynndescent) above it. Distances are sums of squares of differences from the mean, in float32 at the highest precision:
the default of GPUs and TPUs takes other rows for the nearest.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxclust.errors import InputError
from jaxclust.host import numba_cache
from jaxclust.system import environment
from jaxclust.typing import Array

EXACT = 50_000  # rows up to which all distances are computed
BLOCK = 512  # rows whose distances to all others are on the device at a time
METRICS = ("euclidean", "cosine")


class Nearest(NamedTuple):
    """The k nearest rows of each of n rows, nearest first; without a row itself if they are its own.

    index: (n, k) int32.  distance: (n, k) float32, Euclidean distances of what was compared.
    """

    index: np.ndarray  # type: ignore[assignment]  # tuple.index is not missed
    distance: np.ndarray

    def first(self, k: int) -> "Nearest":
        """The k nearest of them."""
        return Nearest(self.index[:, :k], self.distance[:, :k])


def compared(x: np.ndarray, metric: str) -> np.ndarray:
    """Rows (n, d) whose Euclidean distances are those of `metric`, or rise with them: of length 1 for 'cosine'."""
    if metric not in METRICS:
        raise InputError(f"metric is {metric!r}: choose {' or '.join(METRICS)}")
    x = np.asarray(x, np.float32)
    if metric == "cosine":
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return x


def nearest(x: np.ndarray, k: int, seed: int) -> Nearest:
    """The k nearest other rows of each row of x (n, d) float32, k < n."""
    if len(x) > EXACT:
        return _descent(x, k, seed)
    centred = x - x.mean(0)
    found = _blocks(centred, centred, k + 1)
    own = np.arange(len(x))[:, None]
    # a row is not always its own nearest: copies of it come first where their number is lower
    kept = np.argsort(found.index == own, axis=1, kind="stable")[:, :k]
    return Nearest(*(np.take_along_axis(part, kept, 1) for part in found))


def nearest_of(rows: np.ndarray, x: np.ndarray, k: int) -> Nearest:
    """The k rows of x (n, d) nearest to each of `rows` (m, d), exactly: indices into x."""
    mean = x.mean(0)
    return _blocks(rows - mean, x - mean, k)


def _blocks(rows: np.ndarray, x: np.ndarray, k: int) -> Nearest:
    environment.start_jax()
    index = np.empty((len(rows), k), np.int32)
    distance = np.empty((len(rows), k), np.float32)
    known, squares = jax.device_put((x, (x.astype(np.float64) ** 2).sum(1).astype(np.float32)))
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        padded = np.concatenate([block, np.zeros((BLOCK - len(block), x.shape[1]), np.float32)])
        near, squared = _nearest_block(padded, known, squares, k)
        index[start : start + BLOCK] = np.asarray(near)[: len(block)]
        distance[start : start + BLOCK] = np.sqrt(np.asarray(squared)[: len(block)])
    return Nearest(index, distance)


@partial(jax.jit, static_argnums=3)
def _nearest_block(rows: Array, x: Array, squares: Array, k: int) -> tuple[Array, Array]:
    """Of the k nearest of each row their numbers and squared distances, the latter from differences."""
    product = jnp.dot(rows, x.T, precision=lax.Precision.HIGHEST)
    _, near = lax.top_k(2 * product - squares, k)
    squared = ((rows[:, None] - x[near]) ** 2).sum(-1)
    order = jnp.argsort(squared, axis=1, stable=True)
    return jnp.take_along_axis(near, order, 1), jnp.take_along_axis(squared, order, 1)


def _descent(x: np.ndarray, k: int, seed: int) -> Nearest:
    def found() -> tuple[np.ndarray, np.ndarray]:
        from pynndescent import NNDescent  # umap-learn brings it

        return NNDescent(x, n_neighbors=k + 1, random_state=seed, n_jobs=None).neighbor_graph

    numba_cache.place()
    with numba_cache.ALONE:
        index, distance = numba_cache.healed(found)
    return Nearest(index[:, 1:].astype(np.int32), distance[:, 1:].astype(np.float32))
