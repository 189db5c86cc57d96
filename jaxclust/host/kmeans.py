"""First clusters between two device phases: k-means, of codes or of their UMAP, and how many clusters there are."""

from collections.abc import Callable

import numpy as np

from jaxclust.host import consensus, manifold

RUNS = 20  # of k-means, of which the best counts
COMPONENTS, NEIGHBORS, EPOCHS = 10, 15, 200  # of UMAP, for clusters and not for pictures
SHARES = (0.01, 0.0126, 0.016, 0.02, 0.0253, 0.032, 0.0405, 0.0513, 0.065)  # of the sample: HDBSCAN's smallest cluster
FEWEST = 10  # examples of it, where there are as many


def first_centroids(x: np.ndarray, n_clusters: int, seed: int, *, seeding_only: bool = False) -> dict[str, np.ndarray]:
    """Centroids of x (n, d) by k-means, the best of RUNS, or by the seeding of k-means++ alone.

    Returns 'centroids' (K, d) float32, 'labels' (n,) int32 of the nearest, and 'variance' () float32 in one dimension
    around it, sum_i min_k |x_i - mu_k|^2 / (n d).
    """
    from sklearn.cluster import KMeans, kmeans_plusplus
    from sklearn.metrics import pairwise_distances_argmin_min

    if seeding_only:
        centroids = kmeans_plusplus(x, n_clusters, random_state=seed)[0]
    else:
        centroids = KMeans(n_clusters, n_init=RUNS, random_state=seed).fit(x).cluster_centers_
    labels, distances = pairwise_distances_argmin_min(x, centroids)
    return {
        "centroids": np.asarray(centroids, np.float32),
        "labels": labels.astype(np.int32),
        "variance": np.asarray((distances**2).mean() / x.shape[1], np.float32),
    }


def manifold_labels(
    x: np.ndarray, n_clusters: int | str, draws: int, seed: int, largest: int, note: Callable[[str], None]
) -> np.ndarray:
    """Labels (n,) int32 of x (n, d) by HDBSCAN's vote over draws of UMAP (host/consensus.py), -1 where it has none.

    Clusters of codes are seldom round; UMAP keeps neighbours together. n_clusters: a number, or 'auto' to find it.
    largest: most rows, at random, that are looked at; the others have no label. Raises InputError where 'auto' finds
    fewer than two clusters.
    """
    rows = sample(len(x), largest, seed)
    maps = [
        manifold.umap(x[rows], COMPONENTS, seed + i, neighbors=NEIGHBORS, min_dist=0.0, n_epochs=EPOCHS)
        for i in range(draws)
    ]
    fewest = max(2, min(FEWEST, len(rows) // 4))
    sizes = sorted({max(fewest, round(share * len(rows))) for share in SHARES})
    labels = np.full(len(x), -1, np.int32)
    labels[rows] = consensus.density_clusters(maps, sizes, n_clusters, "both", "euclidean", seed, note).labels
    return labels


def sample(n: int, largest: int, seed: int) -> np.ndarray:
    """Sorted rows of a random sample of at most `largest` of n: (m,) int."""
    if n <= largest:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, largest, replace=False))
