"""Normalised cuts: against slow sums, scikit-learn's spectral clustering, and by hand."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse import linalg
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_blobs

from jaxclust.host import cuts


def slow_ncut(weights, first):
    """ncut of rows `first` (n,) bool of dense weights (n, n), pair by pair."""
    total, n = [0.0, 0.0], len(first)
    across = sum(weights[i, j] for i in range(n) for j in range(n) if first[i] and not first[j])
    for i in range(n):
        total[0 if first[i] else 1] += weights[i].sum()
    return across / total[0] + across / total[1]


def graph_of(x, neighbors):
    return cuts.neighbours(np.arange(len(x)), x, (), neighbors).graph


def test_the_graph_joins_nearest_neighbours_both_ways():
    """N_0 and N_1 are {0, 1}, N_2 is {1, 2}, N_3 is {2, 3}."""
    x = np.array([[0.0], [1.0], [3.0], [7.0]])
    by_hand = np.array([[0, 3, 0, 0], [3, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]]) / 3
    np.testing.assert_allclose(graph_of(x, 1).toarray(), by_hand)
    np.testing.assert_allclose(graph_of(x, 10).toarray(), by_hand, err_msg="of four rows the nearest one counts")


def test_the_graph_weighs_pairs_by_the_neighbours_they_share(monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 3))
    order = np.argsort(np.linalg.norm(x[:, None] - x, axis=-1), axis=1)[:, :7]  # itself and six others
    sets, expected = [set(row) for row in order], np.zeros((40, 40))
    for i, own in enumerate(sets):
        for j, other in enumerate(sets):
            if i != j and (i in other or j in own):
                expected[i, j] = len(own & other) / len(own | other)
    np.testing.assert_allclose(graph_of(x, 6).toarray(), expected)
    monkeypatch.setattr(cuts, "BLOCK", 7)
    np.testing.assert_allclose(graph_of(x, 6).toarray(), expected)


@pytest.mark.parametrize("n", [5, 8, 11, 12])
def test_few_rows_are_no_graph_of_all_pairs(n):
    x = np.where(np.arange(n) < n // 2, 0.0, 50.0)[:, None] + np.random.default_rng(n).normal(size=(n, 3))
    part, _ = cuts.bisect(graph_of(x, 10), np.ones(n), 0)
    assert len(set(part[: n // 2])) == len(set(part[n // 2 :])) == 1
    assert part[0] != part[-1]


def test_examples_outside_the_graph_follow_their_nearest_ones():
    """Two groups and, of one, an example nearer to the other."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (40, 2)), rng.normal(9, 1, (40, 2)), [[0.0, 1.0], [8.0, 9.0]]])
    rows = np.flatnonzero(np.arange(82) % 2 == 0)[:-1]  # without the last two
    outside = np.setdiff1d(np.arange(82), rows)
    near = cuts.neighbours(rows, x[rows], [x[outside[:7]], x[:0], x[outside[7:]]], 5)
    assert near.nearest.shape == (82 - len(rows), 5)
    part, ncut = near.bisect(np.ones(82), 0)
    assert ncut == pytest.approx(0, abs=1e-6)
    assert len(set(part[:40])) == len(set(part[40:80])) == 1
    assert part[80] == part[0] != part[40] == part[81]
    distances = np.linalg.norm(x[1] - x[rows], axis=1)
    assert set(near.nearest[0]) == set(np.argsort(distances)[:5])


def test_ncuts_of_an_order_are_those_of_slow_sums():
    rng = np.random.default_rng(0)
    weights = rng.random((9, 9)) * (rng.random((9, 9)) < 0.5)
    weights += weights.T + 0.1
    found = cuts.ncuts(sp.csr_array(weights), weights.sum(1))
    np.testing.assert_allclose(found, [slow_ncut(weights, np.arange(9) < size) for size in range(1, 9)])


def test_two_cliques_by_hand():
    """Two triangles and one edge between them: the cut is 1, each volume 7."""
    graph = np.zeros((6, 6))
    graph[:3, :3] = graph[3:, 3:] = 1
    graph[2, 3] = graph[3, 2] = 1
    np.fill_diagonal(graph, 0)
    part, value = cuts.bisect(sp.csr_array(graph), np.ones(6), 0)
    assert value == pytest.approx(2 / 7)
    assert part.tolist() in ([1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1])


def test_blobs_that_touch_come_apart_as_by_spectral_clustering():
    x, truth = make_blobs(400, centers=[[0, 0], [4, 0]], random_state=0)
    graph = graph_of(x, 20)
    part, value = cuts.bisect(graph, np.ones(400), 0)
    assert abs(np.mean(part == truth) - 0.5) > 0.45
    dense, spectral = graph.toarray(), SpectralClustering(2, affinity="precomputed", random_state=0)
    assert value <= slow_ncut(dense, spectral.fit_predict(dense) == 1) + 1e-9
    assert value == pytest.approx(slow_ncut(dense, part == 1))


def test_memberships_weigh_and_outsiders_follow_their_neighbours():
    x = np.concatenate([np.random.default_rng(i).normal(6.0 * i, 1, (60, 2)) for i in range(3)])
    member = np.repeat([0.9, 0.8, 0.0], 60)
    member[::7] = 0.3
    part, _ = cuts.bisect(graph_of(x, 8), member, 0)
    inside = member > cuts.MEMBER
    assert len(set(part[:60][inside[:60]])) == 1
    assert set(part[:60][inside[:60]]) != set(part[60:120][inside[60:120]])
    hardly = np.flatnonzero(~inside[:120])
    assert np.abs(part[hardly] - part[np.where(hardly < 60, 1, 61)]).max() < 0.5
    np.testing.assert_array_equal(part[150:][[5, 9]], 0.5)


def test_a_graph_in_pieces_is_cut_between_them():
    blocks = sp.block_diag([np.ones((20, 20)) - np.eye(20)] * 3, format="csr")
    part, value = cuts.bisect(sp.csr_array(blocks), np.ones(60), 1)
    assert value == pytest.approx(0, abs=1e-9)
    assert all(len(set(part[i : i + 20])) == 1 for i in (0, 20, 40))


@pytest.mark.parametrize("alike", [False, True])
def test_a_piece_of_a_few_examples_decides_nothing(alike):
    """Two groups that touch and twelve examples far away, which are no hundredth of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1012, 5)) * np.where(np.arange(1012) < 1000, 1, 0 if alike else 1)[:, None]
    x += np.repeat([0.0, 4.0, 99.0], [500, 500, 12])[:, None] * np.eye(5)[0]
    part, value = cuts.bisect(graph_of(x, 10), np.ones(1012), 0)
    assert abs(part[:500].mean() - part[500:1000].mean()) > 0.9
    assert value < 0.1
    np.testing.assert_array_equal(part[1000:], 0.5)


def test_strays_of_an_earlier_division_are_not_cut_off_as_a_cluster():
    """Of three groups one was divided away before, but for a tenth of it."""
    x = np.concatenate(
        [np.random.default_rng(i).normal(0, 1, (200, 2)) + [[0, 0], [5, 0], [30, 0]][i] for i in range(3)]
    )
    member = np.concatenate([np.ones(400), np.arange(200) % 10 == 0])
    part, _ = cuts.bisect(graph_of(x, 10), member, 0)
    assert np.abs(part[:200].mean() - part[200:400].mean()) > 0.9


def test_too_few_members_are_left_undecided():
    graph = graph_of(np.arange(9.0)[:, None], 2)
    part, value = cuts.bisect(graph, (np.arange(9) < 3).astype(float), 0)
    np.testing.assert_array_equal(part, 0.5)
    assert value == cuts.UNDECIDED


def test_without_an_eigenvector_all_are_undecided(monkeypatch):
    def never(*arguments, **options):
        raise linalg.ArpackNoConvergence("no convergence", np.zeros(0), np.zeros((0, 0)))

    monkeypatch.setattr(linalg, "eigsh", never)
    n = cuts.EXACT + 1
    part, value = cuts.bisect(graph_of(np.arange(n)[:, None], 2), np.ones(n), 0)
    np.testing.assert_array_equal(part, 0.5)
    assert value == cuts.UNDECIDED


def test_the_same_seed_gives_the_same_cut():
    x = np.random.default_rng(0).normal(size=(300, 5))
    for rows in (x, x[:40], np.zeros((12, 2)), np.repeat([[0.0], [1.0]], 6, 0)):
        graph = graph_of(rows, 2)
        first, second = (cuts.bisect(graph, np.ones(len(rows)), 3) for _ in range(2))
        np.testing.assert_array_equal(first[0], second[0])
        assert first[1] == second[1]


def test_few_and_many_members_are_ordered_by_the_same_vector(monkeypatch):
    weights = graph_of(np.random.default_rng(0).normal(size=(150, 3)), 8)
    exact = cuts.ordered(weights, 0)
    monkeypatch.setattr(cuts, "EXACT", 0)
    searched = np.argsort(cuts.ordered(weights, 0))
    assert abs(np.corrcoef(np.argsort(exact), searched)[0, 1]) > 0.999
