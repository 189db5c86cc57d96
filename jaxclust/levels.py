"""Other clusterings by the tree that gave the clusters, coarser and finer, for the examples of a fit and for new ones.

A level divides some clusters and joins others. Its part of each cluster is a cell, which has a mean embedding; a new
example belongs to the nearest cell of its own cluster, and so to that cell's cluster of the level. The labels of the
examples that were fitted are those that the tree gave.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxclust.errors import InputError

FEWEST = 0.02  # share of a cluster below which its part in a level's cluster is no cell


class Levels(NamedTuple):
    """Levels by their cells, m of all of them.

    level: (m,) int, number of clusters of the cell's level.  cluster: (m,) int, the cluster that it is a part of.
    label: (m,) int, its cluster of the level.  mean: (m, d) float32, its mean embedding.
    """

    level: np.ndarray
    cluster: np.ndarray
    label: np.ndarray
    mean: np.ndarray


def of_labels(levels: np.ndarray, labels: np.ndarray, embedding: np.ndarray) -> Levels:
    """The cells of levels (l, n) within the clusters `labels` (n,), with embeddings (n, d)."""
    cells: list[tuple[int, int, int, np.ndarray]] = []
    for of_level in levels:
        number = int(of_level.max()) + 1
        for cluster in np.unique(labels):
            inside = np.flatnonzero(labels == cluster)
            parts, counts = np.unique(of_level[inside], return_counts=True)
            for part, count in zip(parts, counts, strict=True):
                if count >= FEWEST * len(inside) or count == counts.max():
                    mean = embedding[inside[of_level[inside] == part]].mean(0)
                    cells.append((number, int(cluster), int(part), mean))
    if not cells:
        empty = np.zeros(0, np.int32)
        return Levels(empty, empty, empty, np.zeros((0, embedding.shape[1]), np.float32))
    level, cluster, label, mean = zip(*cells, strict=True)
    whole = [np.array(column, np.int32) for column in (level, cluster, label)]
    return Levels(whole[0], whole[1], whole[2], np.stack(mean).astype(np.float32))


def regrouped(levels: Levels, members: Sequence[Sequence[int]]) -> Levels:
    """The levels of other clusters, each of which has the cells of its members, clusters of before."""
    cells = [np.flatnonzero(np.isin(levels.cluster, list(of))) for of in members]
    cluster = np.repeat(np.arange(len(members), dtype=np.int32), [len(of) for of in cells])
    which = np.concatenate(cells)
    return Levels(levels.level[which], cluster, levels.label[which], levels.mean[which])


def numbers(levels: Levels | None) -> tuple[int, ...]:
    """The numbers of clusters that there are levels of, rising."""
    return () if levels is None else tuple(int(k) for k in np.unique(levels.level))


def check_level(levels: Levels | None, n_clusters: int) -> Levels:
    """The levels, of which one has that number of clusters; raises InputError for a number that none has."""
    offered = numbers(levels)
    if levels is None or n_clusters not in offered:
        known = f"choose one of {', '.join(map(str, offered))}" if offered else "this model has none"
        raise InputError(f"there is no level of {n_clusters} clusters: {known}")
    return levels


def labels_at(levels: Levels | None, n_clusters: int, labels: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    """Labels (n,) int32 of the level with that number, of examples whose clusters and embeddings (n, d) are known.

    Raises InputError for a number that no level has.
    """
    levels = check_level(levels, n_clusters)
    out = np.zeros(len(labels), np.int32)
    of_level = levels.level == n_clusters
    for cluster in np.unique(labels):
        cells = np.flatnonzero(of_level & (levels.cluster == cluster))
        if not len(cells):  # a cluster that no example of the fit was in
            cells = np.flatnonzero(of_level)
        rows = np.flatnonzero(labels == cluster)
        squared = ((embedding[rows, None] - levels.mean[cells]) ** 2).sum(-1)
        out[rows] = levels.label[cells[squared.argmin(1)]]
    return out
