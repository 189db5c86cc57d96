"""Normalised cuts of a graph of nearest neighbours: two parts of some examples, between device phases (hc-mgan).

    w_ij = s_i s_j where i is one of j's nearest neighbours, or j of i's
    s_i  the membership in what is to be divided, a mean over i and its neighbours: where a tree has divided the
         examples before, strays would else be cut off as clusters of their own
    cut(A, B) = sum of w between A and B        vol(A) = sum of w between A and all
    ncut = cut / vol(A) + cut / vol(B)                                                  (Shi and Malik 2000, eq. 2)

The second eigenvector of D^-1/2 W D^-1/2, divided by D^1/2, orders the examples; of all places to cut that order, the
least ncut counts. (The first eigenvector is known, and taken out: a graph in pieces has more than one like it.)
"""

import numpy as np
import scipy.sparse as sp

FEWEST = 4  # members with neighbours that can be divided
SMALLEST = 0.02  # share of the examples that a part has at least
TOLERANCE = 1e-5  # of the eigenvector
MEMBER = 0.5  # examples of less membership are not looked at


def neighbour_graph(x: np.ndarray, neighbors: int) -> sp.csr_array:
    """The graph of rows x (n, d): (n, n), 1 where one of a pair is among the nearest `neighbors` of the other."""
    from sklearn.neighbors import kneighbors_graph

    graph = sp.csr_array(kneighbors_graph(x, min(neighbors, len(x) - 1), include_self=False))
    return graph.maximum(graph.T)


def bisect(graph: sp.csr_array, member: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """The part of each example by the normalised cut: (n,) float64, 1 in the first part and 0 in the second, and ncut.

    graph: of all n examples. member: (n,) in [0, 1], before its mean over neighbours. Examples that are hardly members,
    or have no neighbour among those that are, get the mean of their neighbours' parts, 0.5 without any. So do all where
    there are fewer than FEWEST members, or no eigenvector is found; ncut is then 2, the most that there is.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    member = (member + graph @ member) / (1 + graph.sum(1))
    rows = np.flatnonzero(member > MEMBER)
    scale = sp.diags_array(member[rows])
    weights = sp.csr_array(scale @ graph[rows][:, rows] @ scale)
    degree = weights.sum(1)
    rows, weights, degree = rows[degree > 0], weights[degree > 0][:, degree > 0], degree[degree > 0]
    if len(rows) < FEWEST:
        return np.full(len(member), 0.5), 2.0
    root, first = sp.diags_array(degree**-0.5), (degree / degree.sum()) ** 0.5
    scaled = root @ weights @ root
    rest = LinearOperator(scaled.shape, lambda x: scaled @ x - first * (first @ x), dtype=float)  # without the first
    start = np.random.default_rng(seed).normal(size=len(rows))
    try:
        vector = eigsh(rest, k=1, which="LA", v0=start, tol=TOLERANCE)[1][:, 0]
    except ArpackNoConvergence:
        return np.full(len(member), 0.5), 2.0
    order = np.argsort(vector / degree**0.5, kind="stable")
    cuts = ncuts(weights[order][:, order], degree[order])
    fewest = max(1, round(SMALLEST * len(rows)))
    size = fewest + int(np.argmin(cuts[fewest - 1 : len(rows) - fewest]))
    part = np.full(len(member), np.nan)
    part[rows[order[:size]]], part[rows[order[size:]]] = 1.0, 0.0
    return spread(graph, part), float(cuts[size - 1])


def ncuts(weights: sp.csr_array, degree: np.ndarray) -> np.ndarray:
    """ncut of the first 1, 2, .., n - 1 nodes of a graph (n, n), whose rows have the sums `degree`, from the others."""
    within = np.cumsum(2 * sp.tril(weights, -1).sum(1) + weights.diagonal())[:-1]
    volume, total = np.cumsum(degree)[:-1], degree.sum()
    return (volume - within) * (1 / volume + 1 / (total - volume))


def spread(graph: sp.csr_array, part: np.ndarray) -> np.ndarray:
    """Parts (n,), with the mean of the neighbours' in place of NaN, 0.5 where no neighbour has one."""
    known = np.isfinite(part)
    count = graph @ known.astype(float)
    mean = (graph @ np.where(known, part, 0.0)) / np.maximum(count, 1.0)
    return np.where(known, part, np.where(count > 0, mean, 0.5))
