"""HDBSCAN with a min_cluster_size, the texts' rule: clusters, noise and soft memberships of one set of coordinates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxclust.errors import InputError

LEAST = 5  # min_cluster_size below which no clusters are looked for


class Clusters(NamedTuple):
    """A clustering of n points into K clusters.

    labels:      (n,) int32, -1 is noise.
    memberships: (n, K) float32, rows sum to one; the noise rows too.
    """

    labels: np.ndarray
    memberships: np.ndarray


def _fit(x: np.ndarray, min_cluster_size: int, metric: str, selection: str, min_samples: int, soft: bool) -> Any:
    import hdbscan as package

    return package.HDBSCAN(
        min_cluster_size=max(2, min_cluster_size),
        min_samples=max(1, min(min_samples, len(x) - 1)),
        metric="euclidean" if metric == "cosine" else metric,
        cluster_selection_method=selection,
        prediction_data=soft,
        core_dist_n_jobs=1,
    ).fit(x)


def labels(
    x: np.ndarray, min_cluster_size: int, metric: str = "euclidean", selection: str = "leaf", min_samples: int = 10
) -> np.ndarray:
    """HDBSCAN's labels of x (n, d): (n,) int32, -1 is noise (Campello et al. 2013; McInnes et al. 2017)."""
    return _fit(x, min_cluster_size, metric, selection, min_samples, False).labels_.astype(np.int32)


def hdbscan(
    x: np.ndarray, min_cluster_size: int, metric: str = "euclidean", selection: str = "leaf", min_samples: int = 10
) -> Clusters:
    """`labels` with soft memberships: the probability of each cluster, given that a point is in one at all."""
    import hdbscan as package

    found = labels(x, min_cluster_size, metric, selection, min_samples)
    k = int(found.max()) + 1
    if k < 2:
        return Clusters(found, np.ones((len(x), k), np.float32))
    model = _fit(x, min_cluster_size, metric, selection, min_samples, True)
    memberships = np.nan_to_num(package.all_points_membership_vectors(model)) + 1e-12
    return Clusters(found, (memberships / memberships.sum(1, keepdims=True)).astype(np.float32))


def hdbscan_or_smaller(
    x: np.ndarray,
    min_cluster_size: int,
    note: Callable[[str], None],
    metric: str = "euclidean",
    selection: str = "leaf",
    min_samples: int = 10,
) -> Clusters:
    """`hdbscan`, with min_cluster_size made smaller step by step, saying so, until it finds two clusters.

    Raises InputError if even a size of 5 finds fewer.
    """
    size = min_cluster_size
    while True:
        found = hdbscan(x, size, metric, selection, min_samples)
        if found.memberships.shape[1] >= 2:
            return found
        if size <= LEAST:
            raise InputError("fewer than two clusters found at any min_cluster_size: set --n-clusters to a number")
        size = max(LEAST, size * 2 // 3)
        note(f"fewer than two clusters found: trying again with min_cluster_size {size}")
