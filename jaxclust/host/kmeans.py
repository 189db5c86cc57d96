"""k-means of codes between two device phases."""

import numpy as np

RUNS = 20  # of k-means, of which the best counts


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
