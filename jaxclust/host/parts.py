"""A given number of clusters, from more of them or from fewer: joined by Ward's rule, divided by 2-means."""

import numpy as np


def merged(map: np.ndarray, labels: np.ndarray, n_clusters: int, seed: int = 0) -> np.ndarray:
    """Labels (n,) with the clusters joined, by Ward's rule in the map (n, d), until there are so many; noise stays."""
    labels = labels.copy()
    while (k := int(labels.max()) + 1) > n_clusters:
        counts = np.bincount(labels[labels >= 0], minlength=k).astype(float)
        centres = np.stack([map[labels == c].mean(0) for c in range(k)])
        squared = ((centres[:, None] - centres) ** 2).sum(-1)
        cost = squared * counts[:, None] * counts / (counts[:, None] + counts) + np.diag(np.full(k, np.inf))
        a, b = sorted(np.unravel_index(cost.argmin(), cost.shape))
        labels[labels == b] = a
        labels[labels > b] -= 1
    return labels


def split(map: np.ndarray, labels: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Labels (n,) with clusters divided, the one of the largest squares by 2-means in the map (n, d), until there are
    so many; each part has two rows at least."""
    from sklearn.cluster import KMeans

    labels = labels.copy()
    while (k := int(labels.max()) + 1) < n_clusters:
        members = [np.flatnonzero(labels == c) for c in range(k)]
        squares = [((map[m] - map[m].mean(0)) ** 2).sum() if len(m) >= 4 else -1.0 for m in members]
        if max(squares) < 0:  # none has four rows: the noise is next
            members.append(np.flatnonzero(labels < 0))
            squares.append(0.0)
        rows = members[int(np.argmax(squares))]
        if len(rows) < 4:  # parts of three are left: as many equal parts, along the widest direction
            return in_equal_parts(map, n_clusters)
        part = KMeans(2, n_init=10, random_state=seed).fit_predict(map[rows])
        if np.bincount(part, minlength=2).min() < 2:  # one row apart from the others
            away = ((map[rows] - map[rows].mean(0)) ** 2).sum(1)
            part = np.zeros(len(rows), int)
            part[np.argsort(-away, kind="stable")[:2]] = 1
        labels[rows[part == 1]] = k
    return labels


def in_equal_parts(map: np.ndarray, n_clusters: int) -> np.ndarray:
    """Labels (n,) of n_clusters parts with as many rows each, by their places on the first principal axis."""
    centred = map - map.mean(0)
    place = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    labels = np.empty(len(map), np.int32)
    for part, rows in enumerate(np.array_split(np.argsort(place, kind="stable"), n_clusters)):
        labels[rows] = part
    return labels
