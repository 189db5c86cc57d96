"""UMAP between two device phases: from posterior means to a space where clusters are dense (McInnes et al. 2018)."""

import warnings

import numpy as np

from jaxclust.host.neighbours import Nearest

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

    metric: 'euclidean', or 'manhattan', which goes with L1-normalised rows in the text.
    """
    from umap import UMAP  # seconds of imports: only where it is used

    reducer = UMAP(
        n_components=min(n_components, len(x) - 2),
        n_neighbors=min(neighbors or n_neighbors(len(x)), len(x) - 1),
        metric=metric,
        random_state=seed,
        min_dist=min_dist,
        n_epochs=n_epochs,
        n_jobs=1,
    )
    return np.asarray(reducer.fit_transform(x), np.float32)


def of_neighbours(x: np.ndarray, near: Nearest, n_components: int, seed: int, n_epochs: int) -> np.ndarray:
    """UMAP coordinates (n, n_components) float32 of x (n, d) whose neighbours are known, with min_dist 0.

    near: of each row the k nearest others; UMAP counts a row among its own neighbours. The same for the same seed.
    """
    own = np.arange(len(x), dtype=np.int32)[:, None]
    index = np.concatenate([own, near.index], 1)
    distance = np.concatenate([np.zeros(own.shape, np.float32), near.distance], 1)
    with warnings.catch_warnings():  # new rows cannot be mapped, disconnected graphs, few rows for a spectrum
        warnings.simplefilter("ignore")
        from umap import UMAP

        reducer = UMAP(
            n_components=min(n_components, x.shape[1], len(x) - 2),
            n_neighbors=index.shape[1],
            min_dist=0.0,
            n_epochs=n_epochs,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(index, distance, None),
        )
        return np.nan_to_num(np.asarray(reducer.fit_transform(x), np.float32))
