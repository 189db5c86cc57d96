"""Persistent leaves: a tree worked by hand, what holds for every tree, and the barcode of another package."""

import numpy as np
import pytest

from jaxclust.host import leaves
from tests.saved import plscan

N = 20
RECORD = [("parent", np.intp), ("child", np.intp), ("lambda_val", float), ("child_size", np.intp)]


def condensed(nodes, rows, n=N):
    """hdbscan's condensed tree. nodes: {child: (parent, size)}; rows: the node each row falls out of; 0 is the root."""
    records = [(n + parent, n + child, 1.0, size) for child, (parent, size) in nodes.items()]
    records += [(n + node, row, 2.0, 1) for row, node in enumerate(rows)]
    return np.array(records, RECORD)


# rows 0-4 in node 3, 5-8 in 4, 9-11 in their parent 1, 12-17 in 2, 18 and 19 in none
BY_HAND = condensed({1: (0, 12), 2: (0, 6), 3: (1, 5), 4: (1, 4)}, [3] * 5 + [4] * 4 + [1] * 3 + [2] * 6 + [0] * 2)
FINE = [1] * 5 + [2] * 4 + [-1] * 3 + [0] * 6 + [-1] * 2
COARSE = [0] * 12 + [1] * 6 + [-1] * 2


def chosen(tree, size):
    alive = (tree.birth <= size) & (tree.death > size)
    alive[0] = False
    return alive


def above(tree, node):
    while node > 0:
        node = tree.parent[node]
        yield node


def test_births_and_deaths_by_hand():
    tree = leaves.of_condensed(BY_HAND, N, 2)
    np.testing.assert_array_equal(tree.parent, [-1, 0, 0, 1, 1])
    np.testing.assert_array_equal(tree.size, [N, 12, 6, 5, 4])
    np.testing.assert_array_equal(tree.death, [N, 6, 6, 4, 4])
    np.testing.assert_array_equal(tree.birth, [6, 4, 2, 2, 2])
    np.testing.assert_array_equal(tree.last, np.repeat([3, 4, 1, 2, 0], [5, 4, 3, 6, 2]))


def test_a_birth_is_the_largest_death_below_not_only_the_children_s():
    """Node 1 is divided into halves of 4 from size 4 on, but its own sibling has 3 rows: it is never a leaf."""
    rows = [3] * 4 + [4] * 4 + [2] * 3 + [0]
    tree = leaves.of_condensed(condensed({1: (0, 8), 2: (0, 3), 3: (1, 4), 4: (1, 4)}, rows, 12), 12, 2)
    np.testing.assert_array_equal(tree.death[1:], [3, 3, 4, 4])
    np.testing.assert_array_equal(tree.birth, [4, 4, 2, 2, 2])
    assert not any(chosen(tree, size)[1] for size in range(2, 13))


def test_levels_by_hand():
    fine, coarse = leaves.levels(leaves.of_condensed(BY_HAND, N, 2), 2)[::-1]
    assert (fine.n_clusters, fine.size) == (3, 2)
    assert fine.persistence == pytest.approx((4 + 4 + 6) / N)
    np.testing.assert_array_equal(fine.labels, FINE)
    assert (coarse.n_clusters, coarse.size) == (2, 4)
    assert coarse.persistence == pytest.approx((6 + 6) / N)
    np.testing.assert_array_equal(coarse.labels, COARSE)
    assert fine.labels.dtype == np.int32
    assert [level.n_clusters for level in leaves.levels(leaves.of_condensed(BY_HAND, N, 2), 3)] == [3]


def test_of_levels_with_the_same_number_the_most_persistent_is_kept():
    """Three leaves at size 2 and again at size 3, when node 1 is no longer divided but 2 is: the second has more."""
    nodes = {1: (0, 10), 2: (0, 10), 3: (1, 2), 4: (1, 8), 5: (2, 5), 6: (2, 5), 7: (4, 4), 8: (4, 4)}
    rows = [3] * 2 + [7] * 4 + [8] * 4 + [5] * 5 + [6] * 5
    by_number = {level.n_clusters: level for level in leaves.levels(leaves.of_condensed(condensed(nodes, rows), N, 2))}
    # size 2: 5, 6 (death 5), 7, 8 (4); 3 has death 2, which is not above it.  size 4: 1 (10), 5, 6.  size 5: 1, 2.
    assert {number: (one.size, one.persistence) for number, one in by_number.items()} == {
        4: (2, pytest.approx(18 / N)), 3: (4, pytest.approx(20 / N)), 2: (5, pytest.approx(20 / N)),
    }  # fmt: skip


def test_a_tree_without_divisions_has_no_levels():
    tree = leaves.of_condensed(condensed({}, [0] * 6, 6), 6, 2)
    assert leaves.levels(tree) == []
    assert leaves.levels(tree, 1) == []


@pytest.mark.parametrize("seed", range(4))
def test_what_holds_for_every_tree(seed):
    x = plscan.points(seed=seed)
    tree = leaves.density_tree(x)
    found = leaves.levels(tree)
    assert found
    assert (tree.parent[1:] < np.arange(1, len(tree.parent))).all(), "parents come first"
    counts = [level.n_clusters for level in found]
    assert counts == sorted(set(counts))
    for level in found:
        alive = chosen(tree, level.size)
        assert not any(alive[list(above(tree, node))].any() for node in np.flatnonzero(alive)), "one below another"
        assert 0 < level.persistence <= 1
        sizes = np.bincount(level.labels[level.labels >= 0])
        assert len(sizes) == level.n_clusters == alive.sum()
        np.testing.assert_array_equal(sizes, tree.size[alive], "a node's rows, those that fall out of it too")
        assert sizes.min() >= max(level.size, leaves.SMALLEST)


def test_separated_blobs_are_a_level_that_explains_all():
    x = np.repeat(np.eye(4) * 50, 25, 0) + np.random.default_rng(0).normal(size=(100, 4))
    (level,) = (level for level in leaves.levels(leaves.density_tree(x)) if level.n_clusters == 4)
    assert level.persistence == 1.0
    assert len(set(zip(level.labels, np.repeat(np.arange(4), 25), strict=True))) == 4


@pytest.mark.parametrize("n", [3, 4, 5, 9, 21])
def test_few_rows_have_a_tree_too(n):
    x = np.random.default_rng(n).normal(size=(n, 2))
    tree = leaves.density_tree(x)
    assert tree.size[0] == n == len(tree.last)
    assert (tree.size >= 2).all()
    assert all(level.labels.max() + 1 == level.n_clusters >= 2 for level in leaves.levels(tree))


@pytest.mark.parametrize("seed", plscan.SEEDS)
def test_births_and_deaths_are_those_of_plscan(seed):
    """Of Bot, McInnes and Aerts' own package, on the same condensed tree: saved, since it compiles for a minute."""
    saved = np.load(plscan.FILE)
    births, deaths, parents = (saved[f"{name}-{seed}"] for name in ("births", "deaths", "parents"))
    n = len(plscan.points(seed))
    ours = leaves.of_condensed(saved[f"tree-{seed}"], n, plscan.SIZE)
    assert len(births) > 8, "there is something to compare"
    np.testing.assert_array_equal(ours.birth, births)
    np.testing.assert_array_equal(ours.death, deaths)
    np.testing.assert_array_equal(ours.parent[1:], parents[1:] - n)
