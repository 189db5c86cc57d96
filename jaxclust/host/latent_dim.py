"""The latent-dimension finder: how many principal components the posterior means need (Santos 2020, section 3.3.1)."""

import numpy as np


def explained_variance(means: np.ndarray) -> np.ndarray:
    """Share of the variance that each principal component of `means` (n, d) explains: (min(n, d),), falling, sum 1."""
    centred = means.astype(np.float64) - means.mean(0, dtype=np.float64)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    return values / max(values.sum(), np.finfo(np.float64).tiny)


def fewest(shares: np.ndarray, threshold: float) -> int:
    """The fewest of the falling `shares` (d,) of the variance whose sum reaches `threshold` in (0, 1]; 2 to d."""
    reached = int(np.searchsorted(np.cumsum(shares), threshold - 1e-9)) + 1
    return int(np.clip(reached, min(2, len(shares)), len(shares)))


def latent_dim(means: np.ndarray, threshold: float) -> int:
    """The fewest components of means (n, d) whose cumulative explained variance reaches `threshold`; 2 to min(n, d)."""
    return fewest(explained_variance(means), threshold)


def cluster_latent_dims(means: np.ndarray, labels: np.ndarray, n_clusters: int, threshold: float) -> np.ndarray:
    """`latent_dim` of each cluster's members: means (n, d), labels (n,) in [-1, n_clusters) -> (n_clusters,) int.

    A cluster of fewer than three members gets 2.
    """
    groups = (means[labels == k] for k in range(n_clusters))
    return np.array([latent_dim(g, threshold) if len(g) > 2 else 2 for g in groups])
