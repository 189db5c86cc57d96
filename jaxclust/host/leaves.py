"""Persistent leaves: the clusters of a density tree at every least size, and how much of the data each size explains.

HDBSCAN's tree says in which order dense groups join (Campello et al. 2013). Its leaves depend on min_cluster_size; but
every leaf lives over a range of sizes, so one tree holds the clusterings of all of them (Bot, McInnes and Aerts 2025,
Persistent multiscale density-based clustering, arXiv:2512.16558):

    death(c)  the size of the smaller of c and its sibling: from there on their parent is no longer divided
    birth(c)  the largest death among its descendants: below it c is itself divided
    level s   all c with birth(c) <= s < death(c)
    persistence(s) = sum of death(c) of the level / n,  in [0, 1]: near 1 where clusters are as large as they can be and
                     leave nothing out, small where they are chips of something larger

The tree comes from the package hdbscan; the rest is NumPy. Deviation: the text weighs deaths by their distances too;
clusterings are compared over several draws here (clusters.py), and that tells more.
"""

from typing import Any, NamedTuple

import numpy as np

SMALLEST = 5  # rows that a cluster has at least, where there are as many
MIN_SAMPLES = 5  # neighbours that make a row's density


class Tree(NamedTuple):
    """A density tree of n rows. Nodes are numbered from the root, 0; parents come before their children.

    parent: (m,) of each node, -1 of the root.  size: (m,) rows.  birth, death: (m,) sizes, as above.
    last: (n,) the smallest node that holds each row.
    """

    parent: np.ndarray
    size: np.ndarray
    birth: np.ndarray
    death: np.ndarray
    last: np.ndarray


class Level(NamedTuple):
    """A clustering of n rows: labels (n,) int32, -1 is noise; its number of clusters, its least size, and the share of
    the data that it explains."""

    labels: np.ndarray
    n_clusters: int
    size: float
    persistence: float


def density_tree(x: np.ndarray, min_samples: int = MIN_SAMPLES, smallest: int = SMALLEST) -> Tree:
    """The tree of x (n, d), n at least 3; nodes have at least `smallest` rows, but two where n is small."""
    import hdbscan

    n = len(x)
    smallest = max(2, min(smallest, n // 4))
    model = hdbscan.HDBSCAN(
        min_cluster_size=smallest,
        min_samples=max(1, min(min_samples, n - 1)),
        approx_min_span_tree=False,
        core_dist_n_jobs=1,
    ).fit(np.asarray(x, np.float64))
    return of_condensed(model.condensed_tree_.to_numpy(), n, smallest)


def of_condensed(condensed: Any, n: int, smallest: int) -> Tree:
    """The tree of hdbscan's condensed one: records of parent, child, lambda_val, child_size; rows are below n."""
    divisions = condensed[condensed["child"] >= n]
    m = int(max(condensed["parent"].max(), divisions["child"].max(initial=0))) - n + 1
    parent, size = np.full(m, -1), np.full(m, n)
    child = divisions["child"] - n
    parent[child], size[child] = divisions["parent"] - n, divisions["child_size"]
    birth, death = np.full(m, float(smallest)), np.full(m, float(n))
    pairs = np.argsort(parent[1:], kind="stable").reshape(-1, 2) + 1  # every division is in two
    death[pairs] = size[pairs].min(1, keepdims=True)
    for a, b in pairs[np.argsort(-parent[pairs[:, 0]], kind="stable")]:  # from the leaves upwards
        birth[parent[a]] = max(birth[a], birth[b], death[a])
    last = np.zeros(n, int)
    rows = condensed[condensed["child"] < n]
    last[rows["child"]] = rows["parent"] - n
    return Tree(parent, size, birth, death, last)


def levels(tree: Tree, fewest: int = 2) -> list[Level]:
    """The clusterings of a tree with at least that many clusters, one for each number of them: the most persistent."""
    best: dict[int, tuple[float, float, np.ndarray]] = {}
    for size in np.unique([tree.birth[1:], tree.death[1:]]):
        alive = (tree.birth <= size) & (tree.death > size)
        alive[0] = False
        count, persistence = int(alive.sum()), float(tree.death[alive].sum() / len(tree.last))
        if count >= fewest and persistence > best.get(count, (0.0,))[0]:
            best[count] = (persistence, float(size), alive)
    return [
        Level(labels_of(tree, alive), count, size, persistence)
        for count, (persistence, size, alive) in sorted(best.items())
    ]


def labels_of(tree: Tree, alive: np.ndarray) -> np.ndarray:
    """Labels (n,) int32 of the nodes that are chosen, alive (m,) bool, no two below each other; -1 is noise."""
    label = np.full(len(alive), -1, np.int32)
    label[alive] = np.arange(alive.sum())
    for node in range(1, len(alive)):
        if label[node] < 0:
            label[node] = label[tree.parent[node]]
    return label[tree.last]
