"""UMAP between two device phases: from posterior means to a space where clusters are dense (McInnes et al. 2018)."""

import importlib
import warnings
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from jaxclust.errors import InputError
from jaxclust.host import numba_cache
from jaxclust.host.neighbours import Nearest, nearest

MIN_NEIGHBORS = 10  # the floor of the text's N // 300
MAX_NEIGHBORS = 100  # its cap


def n_neighbors(n: int) -> int:
    """min(n // 300, 100), at least 10 and less than n (Santos 2020, eq. 3.6; its `max` is read as a cap)."""
    return int(min(max(n // 300, MIN_NEIGHBORS), MAX_NEIGHBORS, n - 1))


def l1_normalise(x: np.ndarray) -> np.ndarray:
    """Rows divided by the sum of their absolute values: (n, d) -> (n, d); rows of zeros stay."""
    return x / np.maximum(np.abs(x).sum(1, keepdims=True), np.finfo(np.float32).tiny)


def umap(
    x: np.ndarray,
    n_components: int,
    seed: int,
    metric: str = "euclidean",
    neighbors: int | None = None,
    min_dist: float = 0.1,
    n_epochs: int | None = None,
) -> np.ndarray:
    """UMAP coordinates of x (n, d): (n, n_components) float32, the same for the same seed (single-threaded).

    metric: 'euclidean', or 'manhattan', which goes with L1-normalised rows in the text. Raises InputError for fewer
    than 3 rows.
    """
    if len(x) < 3:
        raise InputError(f"{len(x)} examples are too few for UMAP: give at least 3")
    k = min(neighbors or n_neighbors(len(x)), len(x) - 1)
    near = nearest(np.asarray(x, np.float32), k - 1, seed) if metric == "euclidean" and k > 1 else None
    return _mapped(x, near, n_components, seed, n_neighbors=k, metric=metric, min_dist=min_dist, n_epochs=n_epochs)


def of_neighbours(x: np.ndarray, near: Nearest, n_components: int, seed: int, n_epochs: int) -> np.ndarray:
    """UMAP coordinates (n, n_components) float32 of x (n, d) whose neighbours are known, with min_dist 0.

    near: of each row the k nearest others; UMAP counts a row among its own neighbours. The same for the same seed.
    """
    k = near.index.shape[1] + 1
    return np.nan_to_num(
        _mapped(x, near, min(n_components, x.shape[1]), seed, n_neighbors=k, min_dist=0.0, n_epochs=n_epochs)
    )


def _mapped(x: np.ndarray, near: Nearest | None, n_components: int, seed: int, **options: Any) -> np.ndarray:
    if near is not None:
        own = np.arange(len(x), dtype=np.int32)[:, None]
        index = np.concatenate([own, near.index], 1)
        distance = np.concatenate([np.zeros(own.shape, np.float32), near.distance], 1)
        options["precomputed_knn"] = (index, distance, None)
    # of new rows that cannot be mapped, disconnected graphs, few rows for a spectrum
    with numba_cache.ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size, kind = min(n_components, len(x) - 2), _umap()
        return numba_cache.healed(
            lambda: np.asarray(
                kind(n_components=size, random_state=seed, n_jobs=1, **options).fit_transform(x), np.float32
            )
        )


@cache
def _umap() -> Any:
    """The class, imported where it is first used: that takes seconds.

    What it compiles anew for every process is kept beside it for the next one.
    """
    numba_cache.place()
    umap = numba_cache.healed(lambda: importlib.import_module("umap"))
    for function in (umap.umap_.smooth_knn_dist, umap.umap_.compute_membership_strengths):
        with suppress(RuntimeError, OSError):  # no place to keep it
            function.enable_caching()
    return umap.UMAP
