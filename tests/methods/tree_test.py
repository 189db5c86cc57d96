"""The tree of clusters: numbering, cuts, exports."""

import numpy as np
import pytest
from scipy.cluster import hierarchy

from jaxclust import trees as tree
from jaxclust.errors import InputError

# node 0 -> 1, 2; node 2 -> 3, 4; node 1 -> 5, 6
#            0 (10)
#      1 (4)        2 (6)
#    5 (3) 6 (1)  3 (2) 4 (4)
SPLITS, MASSES = [0, 2, 1], [10.0, 4.0, 6.0, 2.0, 4.0, 3.0, 1.0]


def test_children_and_leaves_from_left_to_right():
    assert tree.children(SPLITS) == {0: (1, 2), 2: (3, 4), 1: (5, 6)}
    assert tree.leaves(SPLITS) == [5, 6, 3, 4]
    assert tree.leaves([]) == [0]
    assert tree.leaves_of(SPLITS, 2) == [3, 4]


def test_ways_name_the_child_at_each_split():
    first, second = tree.ways(SPLITS)
    np.testing.assert_array_equal(first, [[1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(second, [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0]])


@pytest.mark.parametrize(("n_leaves", "groups"), [(1, [[0, 1, 2, 3]]), (2, [[0, 1], [2, 3]]), (3, [[0, 1], [2], [3]])])
def test_a_cut_merges_leaves(n_leaves, groups):
    found = tree.cut(SPLITS, n_leaves)
    assert [np.flatnonzero(column).tolist() for column in found.T] == groups


def test_a_cut_at_all_leaves_is_the_identity_and_others_are_refused():
    np.testing.assert_array_equal(tree.cut(SPLITS, 4), np.eye(4))
    for n_leaves in (0, 5):
        with pytest.raises(InputError, match="1 to 4"):
            tree.cut(SPLITS, n_leaves)


def test_the_linkage_is_one_for_scipy():
    found = tree.linkage(SPLITS, MASSES)
    np.testing.assert_array_equal(found, [[0, 1, 4, 2], [2, 3, 6, 2], [4, 5, 10, 4]])
    assert hierarchy.is_valid_linkage(found)
    assert hierarchy.is_monotonic(found)
    for n_leaves in (2, 3):
        labels = hierarchy.fcluster(found, n_leaves, "maxclust")
        ours = tree.cut(SPLITS, n_leaves).argmax(1)
        assert len({*zip(labels, ours, strict=True)}) == n_leaves, "SciPy cuts it as we do"


def test_the_linkage_is_sorted_where_a_small_leaf_was_split_before_a_large_one():
    found = tree.linkage([0, 1, 2], [10.0, 4.0, 6.0, 3.0, 1.0, 2.0, 4.0])
    np.testing.assert_array_equal(found, [[0, 1, 4, 2], [2, 3, 6, 2], [4, 5, 10, 4]])
    assert hierarchy.is_monotonic(found)
    assert hierarchy.is_monotonic(tree.linkage([0, 2, 1], [10.0, 6.0, 4.0, 1.0, 3.0, 4.0, 2.0]))


def test_newick_has_the_leaves_and_branches_by_mass():
    assert tree.newick(SPLITS, MASSES) == "((0:1,1:3)s1:6,(2:4,3:2)s2:4)s0;"
    assert tree.newick([], [5.0]) == "0;"


def test_the_largest_is_due_first_and_others_only_if_splits_are_left():
    assert tree.due({(1,): 8.0, (0,): 8.0}, 1, 1) == [(0,)], "of equals the first"
    masses = {(0,): 60.0, (1, 0): 25.0, (1, 1): 15.0}
    assert tree.due(masses, 1, 4) == [(0,)]
    assert tree.due(masses, 3, 4) == [(0,)], "60, then its halves of 30"
    assert tree.due(masses, 4, 4) == [(0,), (1, 0)]
    assert tree.due(masses, 20, 4) == [(0,), (1, 0), (1, 1)]
    assert tree.due(masses, 20, 2) == [(0,), (1, 0)]
    assert tree.due(masses, 0, 2) == []
    assert tree.due({}, 3, 2) == []
