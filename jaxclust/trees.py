"""A binary tree of clusters, as plain numbers: which node each split divides.

Nodes are numbered as they appear: 0 is the root, and split j = 0, 1, .. gives its node the children 2 j + 1 and
2 j + 2. So `splits`, the nodes in the order in which they are split, is the whole tree. Clusters are its leaves from
left to right.
"""

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxclust.errors import InputError


class Tree(NamedTuple):
    """A fitted tree.

    splits: (S,) the node that each split divides; node 0 is the root, split j has the children 2 j + 1 and 2 j + 2.
    masses: (2 S + 1,) of all nodes: the sum of the examples' memberships.
    """

    splits: tuple[int, ...]
    masses: tuple[float, ...]

    @property
    def leaves(self) -> list[int]:
        """The nodes that are clusters 0, 1, .., from left to right."""
        return leaves(self.splits)

    @property
    def children(self) -> dict[int, tuple[int, int]]:
        """The two children of each node that is split."""
        return children(self.splits)

    def cut(self, memberships: np.ndarray, n_leaves: int | None = None) -> np.ndarray:
        """Memberships (n, K) in all leaves -> (n, n_leaves), those of the tree when it had so many; None is all.

        Raises InputError for a number of leaves that it never had.
        """
        return memberships if n_leaves is None else memberships @ cut(self.splits, n_leaves)

    def newick(self) -> str:
        """The tree in Newick's form (see `newick`)."""
        return newick(self.splits, self.masses)

    def linkage(self) -> np.ndarray:
        """The tree as SciPy's linkage of its leaves, (K - 1, 4) (see `linkage`)."""
        return linkage(self.splits, self.masses)


def children(splits: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The two children of each node that is split."""
    return {node: (2 * j + 1, 2 * j + 2) for j, node in enumerate(splits)}


def leaves(splits: Sequence[int]) -> list[int]:
    """Nodes that are not split, from left to right."""
    below, found, open_nodes = children(splits), [], [0]
    while open_nodes:
        node = open_nodes.pop()
        if node in below:
            open_nodes += reversed(below[node])
        else:
            found.append(node)
    return found


def memberships(splits: Sequence[int], shares: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Memberships (2 S + 1, n) float64 of the examples in all nodes, of the shares (S, n) of each split's first child.

    Those of two children sum to their parent's, so those of the leaves to one.
    """
    parts = np.asarray(shares, np.float64)
    found = np.ones((2 * len(splits) + 1, parts.shape[1]))
    for (node, (left, right)), share in zip(children(splits).items(), parts, strict=True):
        found[left], found[right] = share * found[node], (1 - share) * found[node]
    return found


def ways(splits: Sequence[int]) -> np.ndarray:
    """The ways from the root: (2, K, S) float32, 1 where leaf k lies in the first, or second, child of split j."""
    below, ends = children(splits), leaves(splits)
    found = np.zeros((2, len(ends), len(splits)), np.float32)
    parents = {child: (j, side) for j, node in enumerate(splits) for side, child in enumerate(below[node])}
    for k, end in enumerate(ends):
        node = end
        while node:
            j, side = parents[node]
            found[side, k, j] = 1
            node = splits[j]
    return found


def cut(splits: Sequence[int], n_leaves: int) -> np.ndarray:
    """The clusters of the tree after its first `n_leaves` - 1 splits: (K, n_leaves) float32, 1 where a leaf lies in it.

    Raises InputError for more leaves than there are, or fewer than 1.
    """
    if not 1 <= n_leaves <= len(splits) + 1:
        raise InputError(f"n_leaves is {n_leaves}: the tree has 1 to {len(splits) + 1}")
    ends = leaves(splits)
    found = np.zeros((len(ends), n_leaves), np.float32)
    for column, top in enumerate(leaves(splits[: n_leaves - 1])):
        below = leaves_of(splits, top)
        found[[ends.index(end) for end in below], column] = 1
    return found


def leaves_of(splits: Sequence[int], node: int) -> list[int]:
    """The leaves under a node, from left to right."""
    below = children(splits)
    if node not in below:
        return [node]
    return [leaf for child in below[node] for leaf in leaves_of(splits, child)]


def due(masses: Mapping[tuple[int, ...], float], n_splits: int, most: int) -> list[tuple[int, ...]]:
    """At most `most` of the nodes that the next `n_splits` splits divide, the largest first.

    masses: of the nodes that can be split, by name. The next split takes the largest, of equals the first by name;
    which nodes later ones take depends on how uneven splits are, for which halves are assumed here.
    """
    heap = [(-mass, name, name) for name, mass in sorted(masses.items())]
    heapq.heapify(heap)
    found: list[tuple[int, ...]] = []
    for _ in range(n_splits if heap else 0):
        mass, place, name = heapq.heappop(heap)
        if name not in found and place == name:
            found.append(name)
        for side in (0, 1):
            heapq.heappush(heap, (mass / 2, (*place, side), name))
    return found[:most]


def linkage(splits: Sequence[int], masses: Sequence[float]) -> np.ndarray:
    """The tree as SciPy's linkage of its K leaves: (K - 1, 4) float64.

    A row is two clusters that merge, the mass of their parent as the distance, and how many leaves are in it. Row i is
    cluster K + i. Rows are sorted by distance, whatever the order of the splits: no node has more mass than its parent.
    SciPy cuts it as `cut` does where the largest mass was split first.
    masses: (2 S + 1,) of all nodes.
    """
    below, number = children(splits), {leaf: k for k, leaf in enumerate(leaves(splits))}
    rows: list[list[float]] = []
    count = dict.fromkeys(number, 1)
    for node in sorted(splits, key=lambda node: (masses[node], -node)):
        left, right = below[node]
        number[node], count[node] = len(splits) + 1 + len(rows), count[left] + count[right]
        rows.append([number[left], number[right], masses[node], count[node]])
    return np.array(rows, float).reshape(-1, 4)


def newick(splits: Sequence[int], masses: Sequence[float]) -> str:
    """The tree in Newick's form: leaves are named by their clusters, others s0, s1, ..; a branch is as long as the mass
    that its lower end lacks of its upper one."""
    below, number = children(splits), {leaf: k for k, leaf in enumerate(leaves(splits))}

    def text(node: int) -> str:
        if node not in below:
            return str(number[node])
        parts = (f"{text(child)}:{masses[node] - masses[child]:.6g}" for child in below[node])
        return f"({','.join(parts)})s{node}"

    return text(0) + ";"
