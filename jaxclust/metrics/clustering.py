"""Scores of a clustering: against known classes, or from the embedding alone. NumPy in, plain floats out.

Labels are integers. -1 among the predicted ones is noise; -1 among the true ones is an unknown class, and such points
are left out of every score that needs classes. Classes are only ever read here, never in fitting.
scikit-learn and SciPy do the work where they have the score.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Average = Literal["arithmetic", "max", "min", "geometric"]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

SILHOUETTE_POINTS = 5000  # above this many points the silhouette is taken over a fixed random subset
SMALLEST_SHARE = 0.01  # see effective_clusters


def class_map(labels_pred: ArrayLike, labels_true: ArrayLike) -> dict[int, int]:
    """The one-to-one map {cluster: class} that agrees with most points (Kuhn 1955, the Hungarian method).

    labels_pred (n,) int, -1 is noise; labels_true (n,) int, -1 is unknown. Surplus clusters, and noise, are absent
    from the map. Raises ValueError for arrays that do not match, or if no class is known.
    """
    from scipy.optimize import linear_sum_assignment

    pred, true = _pair(labels_pred, labels_true)
    counts, clusters, classes = contingency(pred, true)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return {int(clusters[i]): int(classes[j]) for i, j in zip(rows, columns, strict=True)}


def contingency(labels_pred: ArrayLike, labels_true: ArrayLike) -> tuple[IntArray, IntArray, IntArray]:
    """Points of each cluster in each class: counts (K, C) int64, cluster ids (K,), class ids (C,), both ascending.

    Noise (-1 in labels_pred) is left out of the counts, but every known class of labels_true keeps its column.
    """
    pred, true = _pair(labels_pred, labels_true)
    classes, column = np.unique(true, return_inverse=True)
    kept = pred >= 0
    clusters, row = np.unique(pred[kept], return_inverse=True)
    counts = np.zeros((len(clusters), len(classes)), np.int64)
    np.add.at(counts, (row, column[kept]), 1)
    return counts, clusters, classes


def accuracy(labels_pred: ArrayLike, labels_true: ArrayLike) -> float:
    """ACC: the share of points whose cluster maps to their class under `class_map`, in [0, 1].

    ACC = max_m sum_i [m(pred_i) = true_i] / n over one-to-one maps m (Yang et al. 2010, eq. 12). Noise (-1) and
    points of surplus clusters count as wrong.
    """
    from scipy.optimize import linear_sum_assignment

    pred, true = _pair(labels_pred, labels_true)
    counts, _, _ = contingency(pred, true)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(true))


def acc_labelled(labels_pred: ArrayLike, labels_true: ArrayLike, noise: ArrayLike | None = None) -> float | None:
    """ACC over the points that are not noise, with the map that is best for those; None if all are noise.

    A point is noise if its predicted label is -1 or its flag in noise (n,) bool is set.
    """
    pred = np.where(_noise(_labels(labels_pred, "labels_pred"), noise), -1, labels_pred)
    pred, true = _pair(pred, labels_true)
    kept = pred >= 0
    return accuracy(pred[kept], true[kept]) if kept.any() else None


def noise_fraction(labels_pred: ArrayLike, noise: ArrayLike | None = None) -> float:
    """The share of points that are noise (label -1, or flagged in noise (n,) bool), in [0, 1]."""
    return float(_noise(_labels(labels_pred, "labels_pred"), noise).mean())


def nmi(labels_pred: ArrayLike, labels_true: ArrayLike, average_method: Average = "arithmetic") -> float:
    """Normalised mutual information, in [0, 1]; noise (-1) is a cluster of its own.

    I(pred; true) divided by the mean of the two entropies, or by the larger one with average_method='max'
    (Vinh et al. 2010).
    """
    from sklearn.metrics import normalized_mutual_info_score

    pred, true = _pair(labels_pred, labels_true)
    return float(normalized_mutual_info_score(true, pred, average_method=average_method))


def ari(labels_pred: ArrayLike, labels_true: ArrayLike) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985), 1 for equal partitions and 0 on average for random ones.

    Noise (-1) is a cluster of its own.
    """
    from sklearn.metrics import adjusted_rand_score

    pred, true = _pair(labels_pred, labels_true)
    return float(adjusted_rand_score(true, pred))


def homogeneity(labels_pred: ArrayLike, labels_true: ArrayLike) -> float:
    """1 - H(class | cluster) / H(class), in [0, 1]: does each cluster hold one class (Rosenberg, Hirschberg 2007)?"""
    from sklearn.metrics import homogeneity_score

    pred, true = _pair(labels_pred, labels_true)
    return float(homogeneity_score(true, pred))


def completeness(labels_pred: ArrayLike, labels_true: ArrayLike) -> float:
    """1 - H(cluster | class) / H(cluster), in [0, 1]: is each class in one cluster (Rosenberg, Hirschberg 2007)?"""
    from sklearn.metrics import completeness_score

    pred, true = _pair(labels_pred, labels_true)
    return float(completeness_score(true, pred))


def silhouette(embedding: ArrayLike, labels_pred: ArrayLike, max_points: int = SILHOUETTE_POINTS) -> float | None:
    """Mean silhouette coefficient, in [-1, 1], Euclidean (Rousseeuw 1987); needs no classes.

    embedding (n, d) float; labels_pred (n,) int. Noise (-1) is left out first. Above `max_points` points it is
    computed over a random subset of that size, always the same one for the same n. None where it is undefined:
    fewer than two clusters, or every point a cluster of its own.
    """
    from sklearn.metrics import silhouette_score

    points, labels = _embedded(embedding, labels_pred)
    if len(labels) > max_points:
        subset = np.random.default_rng(0).choice(len(labels), max_points, replace=False)
        points, labels = points[subset], labels[subset]
    return float(silhouette_score(points, labels)) if _separable(labels) else None


def calinski_harabasz(embedding: ArrayLike, labels_pred: ArrayLike) -> float | None:
    """Variance ratio criterion (Calinski and Harabasz 1974), at least 0 and larger for tighter clusters.

    embedding (n, d) float; labels_pred (n,) int. Noise (-1) is left out. None where it is undefined, as in
    `silhouette`.
    """
    from sklearn.metrics import calinski_harabasz_score

    points, labels = _embedded(embedding, labels_pred)
    return float(calinski_harabasz_score(points, labels)) if _separable(labels) else None


def cluster_sizes(labels_pred: ArrayLike) -> dict[int, int]:
    """{cluster: points} over the clusters that hold points, in ascending order of id; noise (-1) is left out."""
    labels = _labels(labels_pred, "labels_pred")
    clusters, counts = np.unique(labels[labels >= 0], return_counts=True)
    return {int(cluster): int(count) for cluster, count in zip(clusters, counts, strict=True)}


def perplexity(assignments: ArrayLike) -> float | None:
    """exp(-sum_k p_k log p_k), p_k the mean share of cluster k: from 1 (one holds all) to K (all equal).

    assignments is (n,) int labels, whose noise (-1) is left out, or (n, K) probabilities whose rows sum to one, of
    which p is the mean row. None if no point is left. It is the exponential of the entropy in nats, so the base
    does not matter.
    """
    if np.ndim(assignments) == 2:
        share = np.asarray(assignments, np.float64)
        if not share.size or not np.allclose(share.sum(axis=1), 1.0, atol=1e-3) or (share < 0).any():
            raise ValueError(f"assignments of shape {share.shape} must hold rows of probabilities that sum to one")
        share = share.mean(axis=0)
        share = share[share > 0]
    else:
        counts = np.array(list(cluster_sizes(assignments).values()), np.float64)
        if not len(counts):
            return None
        share = counts / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def effective_clusters(labels_pred: ArrayLike, min_share: float = SMALLEST_SHARE) -> int:
    """The number of clusters that are not splinters: those that hold at least `min_share` (1%) of the points.

    Where there are more than 10 clusters, the bound falls to a tenth of an even share, 0.1 / K, so that many small
    clusters still count. Noise (-1) is left out of the points. (`perplexity` is the smooth measure of the same.)
    """
    counts = np.array(list(cluster_sizes(labels_pred).values()))
    if not len(counts):
        return 0
    return int((counts >= min(min_share, 0.1 / len(counts)) * counts.sum()).sum())


def score(
    labels_pred: ArrayLike,
    labels_true: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    embedding: ArrayLike | None = None,
) -> dict[str, float | None]:
    """Every score of one clustering, by name; None where a score is undefined or its input is absent.

    labels_pred: (n,) int in [0, K); -1 is noise, which counts as wrong in acc.
    labels_true: (n,) int classes, -1 where unknown: those points are left out of acc, acc_labelled, nmi, ari,
                 homogeneity, completeness. These are None if it is None or knows no class.
    noise:       (n,) bool, points that the density step left out although labels_pred gives them a cluster: acc
                 counts them by labels_pred, acc_labelled leaves them out.
    embedding:   (n, d) float, for silhouette and calinski_harabasz.
    Raises ValueError, naming both shapes, for arrays that do not match.
    """
    pred = _labels(labels_pred, "labels_pred")
    n_clusters = len(cluster_sizes(pred))
    scores: dict[str, float | None] = dict.fromkeys(
        ("acc", "acc_labelled", "nmi", "ari", "homogeneity", "completeness", "silhouette", "calinski_harabasz")
    )
    if labels_true is not None and _matching(pred, labels_true)[1].any():
        scores["acc"] = accuracy(pred, labels_true)
        scores["acc_labelled"] = acc_labelled(pred, labels_true, noise)
        scores["nmi"] = nmi(pred, labels_true)
        scores["ari"] = ari(pred, labels_true)
        scores["homogeneity"] = homogeneity(pred, labels_true)
        scores["completeness"] = completeness(pred, labels_true)
    if embedding is not None:
        scores["silhouette"] = silhouette(embedding, pred)
        scores["calinski_harabasz"] = calinski_harabasz(embedding, pred)
    scores["noise_fraction"] = noise_fraction(pred, noise)
    scores["perplexity"] = perplexity(pred)
    scores["effective_clusters"] = effective_clusters(pred)
    scores["n_clusters"] = n_clusters
    return scores


def _labels(labels: ArrayLike, name: str) -> IntArray:
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must have shape (n,) with n at least 1, found {array.shape}")
    if array.dtype.kind not in "iub":
        raise ValueError(f"{name} of shape {array.shape} must hold integers, found {array.dtype}")
    if name == "labels_pred" and array.min() < -1:
        raise ValueError(f"{name} must be -1 (noise) or a cluster from 0 on, found {array.min()}")
    return array.astype(np.int64)


def _matching(labels_pred: ArrayLike, labels_true: ArrayLike) -> tuple[tuple[IntArray, IntArray], BoolArray]:
    """Both labellings, (n,) each, and which points have a known class, (n,) bool."""
    shapes = np.shape(labels_pred), np.shape(labels_true)
    if shapes[0] != shapes[1]:
        raise ValueError(f"labels_pred {shapes[0]} and labels_true {shapes[1]} must have one shape (n,)")
    true = _labels(labels_true, "labels_true")
    return (_labels(labels_pred, "labels_pred"), true), true != -1


def _pair(labels_pred: ArrayLike, labels_true: ArrayLike) -> tuple[IntArray, IntArray]:
    """Both labellings of the points whose class is known."""
    (pred, true), known = _matching(labels_pred, labels_true)
    if not known.any():
        raise ValueError(f"labels_true {true.shape} must know the class of at least one point: all are -1")
    return pred[known], true[known]


def _noise(pred: IntArray, noise: ArrayLike | None) -> BoolArray:
    if noise is None:
        return pred == -1
    flags = np.asarray(noise)
    if flags.shape != pred.shape:
        raise ValueError(f"noise {flags.shape} and labels_pred {pred.shape} must have one shape (n,)")
    if flags.dtype != np.bool_:
        raise ValueError(f"noise of shape {flags.shape} must hold booleans, found {flags.dtype}")
    return flags | (pred == -1)


def _embedded(embedding: ArrayLike, labels_pred: ArrayLike) -> tuple[NDArray[np.float64], IntArray]:
    """The points that are not noise, (m, d) and (m,)."""
    points, labels = np.asarray(embedding), _labels(labels_pred, "labels_pred")
    if points.ndim != 2 or len(points) != len(labels):
        raise ValueError(f"embedding {points.shape} must be (n, d) with the n of labels_pred {labels.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"embedding {points.shape} holds NaN or infinite values")
    return points[labels >= 0].astype(np.float64), labels[labels >= 0]


def _separable(labels: IntArray) -> bool:
    return 2 <= len(np.unique(labels)) <= len(labels) - 1
