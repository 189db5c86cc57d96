"""The latent-dimension finder: how many principal components the posterior means need (Santos 2020, section 3.3.1)."""

import numpy as np


def explained_variance(means: np.ndarray) -> np.ndarray:
    """Share of the variance that each principal component of `means` (n, d) explains: (min(n, d),), falling, sum 1."""
    centred = means.astype(np.float64) - means.mean(0, dtype=np.float64)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    return values / max(values.sum(), np.finfo(np.float64).tiny)


def latent_dim(means: np.ndarray, threshold: float) -> int:
    """The fewest components whose cumulative explained variance reaches `threshold` in (0, 1]; at least 2."""
    cumulative = np.cumsum(explained_variance(means))
    reached = int(np.searchsorted(cumulative, threshold - 1e-9)) + 1
    return int(np.clip(reached, min(2, means.shape[1]), means.shape[1]))


def cluster_latent_dims(means: np.ndarray, labels: np.ndarray, n_clusters: int, threshold: float) -> np.ndarray:
    """`latent_dim` of each cluster's members: means (n, d), labels (n,) in [-1, n_clusters) -> (n_clusters,) int.

    A cluster of fewer than three members gets 2.
    """
    groups = (means[labels == k] for k in range(n_clusters))
    return np.array([latent_dim(g, threshold) if len(g) > 2 else 2 for g in groups])
