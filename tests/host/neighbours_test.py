"""Nearest neighbours against all distances in float64, copies of rows, both metrics, and the way for many rows."""

import numpy as np
import pytest

from jaxclust.errors import InputError
from jaxclust.host import neighbours

X = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)  # more than a block, and not two


def by_loop(rows, x, k, own=False):
    """Sorted distances of the k nearest, in float64, and the rows of each, nearest first."""
    distances, index = [], []
    for i, row in enumerate(np.asarray(rows, np.float64)):
        far = np.sqrt(((np.asarray(x, np.float64) - row) ** 2).sum(1))
        if own:
            far[i] = np.inf
        order = np.argsort(far, kind="stable")[:k]
        index.append(order)
        distances.append(far[order])
    return np.array(index), np.array(distances)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_the_nearest_others_are_those_of_a_loop(offset):
    """Far from the origin too, where squares of float32 would cancel."""
    x = (X * 4).round().astype(np.float32) / 4 + np.random.default_rng(1).normal(0, 1e-2, X.shape) + offset
    x = x.astype(np.float32)
    found = neighbours.nearest(x, 9, 0)
    index, distance = by_loop(x, x, 9, own=True)
    assert found.index.dtype == np.int32
    assert found.index.shape == found.distance.shape == (700, 9)
    assert not (found.index == np.arange(700)[:, None]).any()
    np.testing.assert_allclose(found.distance, distance, rtol=2e-3, atol=1e-5)
    assert (found.index == index).mean() > 0.999
    assert (np.diff(found.distance, axis=1) >= 0).all()


def test_copies_of_a_row_are_neighbours_and_a_row_is_not_its_own():
    x = np.concatenate([np.repeat(X[:3], 20, 0), X[3:60]])
    found = neighbours.nearest(x, 12, 0)
    assert not (found.index == np.arange(len(x))[:, None]).any()
    assert all(len(set(row)) == 12 for row in found.index)
    np.testing.assert_array_equal(found.index[:60] // 20, np.repeat([0, 1, 2], 20)[:, None].repeat(12, 1))
    assert not found.distance[:60].any()
    _, distance = by_loop(x, x, 12, own=True)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-4, atol=1e-6)


def test_all_others_can_be_asked_for():
    found = neighbours.nearest(X[:6], 5, 0)
    np.testing.assert_array_equal(np.sort(found.index, 1), [[j for j in range(6) if j != i] for i in range(6)])


def test_the_first_of_them():
    found = neighbours.nearest(X[:50], 8, 0)
    np.testing.assert_array_equal(found.first(3).index, found.index[:, :3])
    np.testing.assert_array_equal(found.first(3).distance, found.distance[:, :3])


def test_the_nearest_of_others_are_those_of_a_loop():
    rows = np.concatenate([X[600:] + 0.01, X[:2]])
    found = neighbours.nearest_of(rows, X[:600], 4)
    index, distance = by_loop(rows, X[:600], 4)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.index[-2:, 0], [0, 1])
    assert not found.distance[-2:, 0].any(), "a row of x is its own nearest here"


def test_euclidean_distances_of_what_is_compared_rise_with_cosine_distances():
    x = X[:80] * np.random.default_rng(0).uniform(0.1, 10, (80, 1)).astype(np.float32)
    found = neighbours.nearest(neighbours.compared(x, "cosine"), 5, 0)
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    cosine = 1 - unit @ unit.T
    np.fill_diagonal(cosine, np.inf)
    np.testing.assert_array_equal(found.index, np.argsort(cosine, 1, kind="stable")[:, :5])
    np.testing.assert_allclose(found.distance**2 / 2, np.sort(cosine, 1)[:, :5], rtol=1e-3, atol=1e-6)
    assert np.isfinite(neighbours.compared(np.zeros((2, 3)), "cosine")).all()
    np.testing.assert_array_equal(neighbours.compared(x, "euclidean"), x)


def test_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match="metric is 'manhattan': choose euclidean or cosine"):
        neighbours.compared(X, "manhattan")


@pytest.mark.slow  # compiles for a minute
def test_of_many_rows_most_neighbours_are_found(monkeypatch):
    index, distance = by_loop(X, X, 10, own=True)
    monkeypatch.setattr(neighbours, "EXACT", 100)
    monkeypatch.setattr(neighbours, "_blocks", None)  # not by all distances
    found = neighbours.nearest(X, 10, 0)
    assert found.index.shape == found.distance.shape == (700, 10)
    assert (found.index.dtype, found.distance.dtype) == (np.int32, np.float32)
    assert not (found.index == np.arange(700)[:, None]).any()
    recall = np.mean([len(set(a) & set(b)) for a, b in zip(found.index, index, strict=True)]) / 10
    assert recall > 0.9
    assert np.median(found.distance / distance) == pytest.approx(1, abs=1e-3)
    again = neighbours.nearest(X, 10, 0)
    np.testing.assert_array_equal(found.index, again.index)


def test_the_way_for_many_rows_leaves_out_a_row_itself(monkeypatch):
    """pynndescent counts a row as the first of its own neighbours."""
    import pynndescent

    asked = {}

    class Fake:
        def __init__(self, x, n_neighbors, random_state, n_jobs):
            asked.update(n_neighbors=n_neighbors, random_state=random_state)
            self.neighbor_graph = by_loop(x, x, n_neighbors)

    monkeypatch.setattr(pynndescent, "NNDescent", Fake)
    monkeypatch.setattr(neighbours, "EXACT", 59)
    found = neighbours.nearest(X[:60], 4, 7)
    assert asked == {"n_neighbors": 5, "random_state": 7}
    index, distance = by_loop(X[:60], X[:60], 4, own=True)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-6)
    assert (found.index.dtype, found.distance.dtype) == (np.int32, np.float32)
