"""Normalised cuts of a graph of nearest neighbours: two parts of some examples, between device phases (hc-mgan).

    N_i  example i and its nearest neighbours
    w_ij = s_i s_j |N_i and N_j| / |N_i or N_j| where i is one of N_j, or j of N_i, else 0: pairs who share neighbours
           hold together, and those who are near by chance do not          (Jarvis and Patrick 1973; Levine et al. 2015)
    s_i  the membership in what is to be divided, a mean over i and its neighbours: where a tree has divided the
         examples before, strays would else be cut off as clusters of their own
    cut(A, B) = sum of w between A and B        vol(A) = sum of w between A and all
    ncut = cut / vol(A) + cut / vol(B)                                                  (Shi and Malik 2000, eq. 2)

The second eigenvector of D^-1/2 W D^-1/2, divided by D^1/2, orders the examples; of all places to cut that order, the
least ncut counts. (The first eigenvector is known, and taken out: a graph in pieces has more than one like it.)
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

FEWEST = 4  # members with neighbours that can be divided
SMALLEST = 0.02  # share of the members with neighbours that a part, and a piece of their graph, has at least
BLOCK = 4096  # rows of the graph at a time
EXACT = 200  # members up to which all eigenvectors are found
TOLERANCE = 1e-5  # of the eigenvector of more
MEMBER = 0.5  # examples of less membership are not looked at
UNDECIDED = 2.0  # ncut where there is no cut: the most that there is


class Neighbours(NamedTuple):
    """Who is near whom among n examples.

    rows:    (m,) int, sorted: the examples in the graph.
    graph:   (m, m) in [0, 1], the share of neighbours that both of a pair have, 0 where neither is the other's.
    nearest: (n - m, k) int: of every other example, the nearest that are in the graph, by their place there.
    """

    rows: np.ndarray
    graph: sp.csr_array
    nearest: np.ndarray

    def bisect(self, member: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
        """The part of each example (n,) as of `bisect`, by their memberships (n,), and ncut. Those that are not in the
        graph get the mean of their nearest ones' parts."""
        part, ncut = bisect(self.graph, member[self.rows], seed)
        found = np.empty(len(member))
        found[self.rows] = part
        found[np.setdiff1d(np.arange(len(member)), self.rows)] = part[self.nearest].mean(1)
        return found, ncut


def neighbours(rows: np.ndarray, known: np.ndarray, others: Iterable[np.ndarray], neighbors: int) -> Neighbours:
    """The neighbours of n examples by their values, with `rows` (m,) in the graph.

    known: (m, d), these rows. others: the other n - m, in order, in blocks (b, d). neighbors: how many nearest ones
    count, of few examples fewer than half of them: a graph of all pairs says nothing.
    """
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=min(neighbors, max(1, len(rows) // 2 - 1))).fit(known)
    found = [index.kneighbors(block)[1] for block in others if len(block)]
    nearest = np.concatenate([np.empty((0, index.n_neighbors), int), *found])
    return Neighbours(rows, shared(sp.csr_array(index.kneighbors_graph())), nearest)


def shared(near: sp.csr_array) -> sp.csr_array:
    """The graph of `Neighbours`, of `near` (m, m): 1 for each row's k nearest neighbours, itself not among them."""
    pairs, sets = near.maximum(near.T), sp.csr_array(near + sp.eye_array(near.shape[0]))
    starts = range(0, near.shape[0], BLOCK)
    both = sp.vstack([pairs[i : i + BLOCK].multiply(sets[i : i + BLOCK] @ sets.T) for i in starts], "csr")
    size = sets.nnz // sets.shape[0]  # of each set
    both.data /= 2 * size - both.data
    return both


def bisect(graph: sp.csr_array, member: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """The part of each example by the normalised cut: (n,) float64, 1 in the first part and 0 in the second, and ncut.

    graph: of all n examples, as in `Neighbours`. member: (n,) in [0, 1], before its mean over neighbours. Examples that
    are hardly members, have no neighbour among those that are, or belong to a piece of the graph with less than
    SMALLEST of them, which would be cut off as a cluster, get the mean of their neighbours' parts, 0.5 without any. So
    do all where there are fewer than FEWEST members, or no eigenvector is found; ncut is then UNDECIDED.
    """
    from scipy.sparse.csgraph import connected_components

    near = graph.sign()
    member = (member + near @ member) / (1 + near.sum(1))
    rows = np.flatnonzero(member > MEMBER)
    scale = sp.diags_array(member[rows])
    weights = sp.csr_array(scale @ graph[rows][:, rows] @ scale)
    linked = weights.sum(1) > 0
    piece = connected_components(weights, directed=False)[1]
    kept = linked & (np.bincount(piece)[piece] >= SMALLEST * linked.sum())
    rows, weights = rows[kept], weights[kept][:, kept]
    part = np.full(len(member), np.nan)
    order = ordered(weights, seed) if len(rows) >= FEWEST else None
    if order is None:
        return spread(near, part), UNDECIDED
    cuts = ncuts(weights[order][:, order], weights.sum(1)[order])
    fewest = max(1, round(SMALLEST * len(rows)))
    size = fewest + int(np.argmin(cuts[fewest - 1 : len(rows) - fewest]))
    part[rows[order[:size]]], part[rows[order[size:]]] = 1.0, 0.0
    return spread(near, part), float(cuts[size - 1])


def ordered(weights: sp.csr_array, seed: int) -> np.ndarray | None:
    """The order of a graph's nodes (n,) by the second eigenvector; None where it is not found."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    degree = weights.sum(1)
    root, first = sp.diags_array(degree**-0.5), (degree / degree.sum()) ** 0.5
    scaled = root @ weights @ root  # its eigenvalues are in [-1, 1], and the first is 1: less 2 it is the last
    if len(degree) <= EXACT:
        vector = np.linalg.eigh(scaled.toarray() - 2 * np.outer(first, first))[1][:, -1]
    else:
        rest = LinearOperator(scaled.shape, lambda x: scaled @ x - 2 * first * (first @ x), dtype=float)
        start = np.random.default_rng(seed).normal(size=len(degree))
        try:
            vector = eigsh(rest, k=1, which="LA", v0=start, tol=TOLERANCE)[1][:, 0]
        except ArpackNoConvergence:
            return None
    return np.argsort(vector / degree**0.5, kind="stable")


def ncuts(weights: sp.csr_array, degree: np.ndarray) -> np.ndarray:
    """ncut of the first 1, 2, .., n - 1 nodes of a graph (n, n), whose rows have the sums `degree`, from the others."""
    within = np.cumsum(2 * sp.tril(weights, -1).sum(1) + weights.diagonal())[:-1]
    volume, total = np.cumsum(degree)[:-1], degree.sum()
    return (volume - within) * (1 / volume + 1 / (total - volume))


def spread(near: sp.csr_array, part: np.ndarray) -> np.ndarray:
    """Parts (n,), with the mean of the neighbours' in place of NaN, 0.5 where no neighbour has one. near: (n, n), 1 or
    0."""
    known = np.isfinite(part)
    count = near @ known.astype(float)
    mean = (near @ np.where(known, part, 0.0)) / np.maximum(count, 1.0)
    return np.where(known, part, np.where(count > 0, mean, 0.5))
