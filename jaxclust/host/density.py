"""HDBSCAN between two device phases: clusters, noise and soft memberships, and a number of clusters that lasts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxclust.errors import InputError


class Clusters(NamedTuple):
    """A clustering of n points into K clusters.

    labels:      (n,) int32, -1 is noise.
    memberships: (n, K) float32, rows sum to one; the noise rows too.
    """

    labels: np.ndarray
    memberships: np.ndarray


MIN_SAMPLES = 10  # neighbours that make a point's density: smooth, whatever the size of the clusters


def _fit(x: np.ndarray, min_cluster_size: int, metric: str, selection: str, prediction_data: bool) -> Any:
    import hdbscan as package

    return package.HDBSCAN(
        min_cluster_size=max(2, min_cluster_size),
        min_samples=min(MIN_SAMPLES, len(x) - 1),
        metric=metric,
        cluster_selection_method=selection,
        prediction_data=prediction_data,
        core_dist_n_jobs=1,
    ).fit(x)


def labels(x: np.ndarray, min_cluster_size: int, metric: str = "euclidean", selection: str = "leaf") -> np.ndarray:
    """HDBSCAN's labels of x (n, d): (n,) int32, -1 is noise (Campello et al. 2013; McInnes et al. 2017)."""
    return _fit(x, min_cluster_size, metric, selection, False).labels_.astype(np.int32)


def hdbscan(x: np.ndarray, min_cluster_size: int, metric: str = "euclidean", selection: str = "leaf") -> Clusters:
    """`labels` with soft memberships: the probability of each cluster, given that a point is in one at all."""
    import hdbscan as package

    model = _fit(x, min_cluster_size, metric, selection, True)
    found = model.labels_.astype(np.int32)
    k = int(found.max()) + 1
    if k < 2:
        return Clusters(found, np.ones((len(x), k), np.float32))
    memberships = np.nan_to_num(package.all_points_membership_vectors(model)) + 1e-12
    return Clusters(found, (memberships / memberships.sum(1, keepdims=True)).astype(np.float32))


def hdbscan_or_smaller(
    x: np.ndarray,
    min_cluster_size: int,
    note: Callable[[str], None],
    metric: str = "euclidean",
    selection: str = "leaf",
) -> Clusters:
    """`hdbscan`, with min_cluster_size made smaller step by step, saying so, until it finds two clusters.

    Raises InputError if even a size of 5 finds fewer.
    """
    size = min_cluster_size
    while True:
        found = hdbscan(x, size, metric, selection)
        if found.memberships.shape[1] >= 2:
            return found
        if size <= 5:
            raise InputError("fewer than two clusters found at any min_cluster_size: set --n-clusters to a number")
        size = max(5, size * 2 // 3)
        note(f"fewer than two clusters found: trying again with min_cluster_size {size}")
