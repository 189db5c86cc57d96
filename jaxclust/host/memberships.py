"""How often the draws, and a row's neighbours, say each cluster. The terms are those of clusters.py."""

from collections.abc import Sequence

import numpy as np

from jaxclust.host.leaves import Level
from jaxclust.host.scores import Scored, View, information, similar


def matching(chosen: Scored, scored: Sequence[Scored]) -> list[Level]:
    """Of each other draw of the view the level that agrees most with the chosen one."""
    found = []
    for draw in sorted({one.draw for one in scored if one.view == chosen.view} - {chosen.draw}):
        levels = [one.level for one in scored if (one.view, one.draw) == (chosen.view, draw)]
        alike = [level for level in levels if similar(level, chosen.level)]
        if alike:
            found.append(max(alike, key=lambda level: information(chosen.level, level)))
    return found


def memberships(chosen: Scored, matches: Sequence[Level], view: View) -> np.ndarray:
    """How often the draws, and a row's neighbours, say each cluster: (n, K) float32, rows sum to one.

    A cluster of another draw stands for the chosen one that it shares most rows with.
    """
    n_clusters = chosen.n_clusters
    map = view.maps[chosen.draw]
    votes = one_hot(filled(map, chosen.level.labels), n_clusters)
    for other in matches:
        both = (chosen.level.labels >= 0) & (other.labels >= 0)
        table = np.zeros((other.n_clusters, n_clusters))
        np.add.at(table, (other.labels[both], chosen.level.labels[both]), 1)
        stands_for = np.append(np.where(table.any(1), table.argmax(1), -1), -1)
        votes += one_hot(stands_for[other.labels], n_clusters)
    if view.near is not None:
        votes = votes / votes.sum(1, keepdims=True)
        around = np.zeros_like(votes)
        for place in view.near.index.T:
            around += votes[place]
        votes += around / len(view.near.index.T)
    return (votes / votes.sum(1, keepdims=True)).astype(np.float32)


def filled(map: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels (n,) without noise: those of the nearest row in the map (n, d) that has one."""
    from scipy.spatial import cKDTree

    known = labels >= 0
    if known.all():
        return labels
    out = labels.copy()
    out[~known] = labels[known][cKDTree(map[known]).query(map[~known])[1]]
    return out


def one_hot(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """(n,) -> (n, K) float32; rows of -1 are zero."""
    return (labels[:, None] == np.arange(n_clusters)).astype(np.float32)
