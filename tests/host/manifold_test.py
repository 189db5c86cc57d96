import numpy as np
import pytest

from jaxclust.host import manifold


def rows(n=120, d=6):
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def test_the_neighbours_of_a_map_are_exact(monkeypatch):
    """UMAP gets a row itself and then its nearest others, as NumPy sorts them."""
    given = {}

    class Reducer:
        def __init__(self, **options):
            given.update(options)

        def fit_transform(self, x):
            return x[:, : given["n_components"]]

    monkeypatch.setattr(manifold, "_umap", lambda: Reducer)
    x = rows()
    manifold.umap(x, 2, seed=3, neighbors=8, min_dist=0.2)
    index, distance, _ = given["precomputed_knn"]
    expected = np.linalg.norm(x[:, None] - x[None], axis=-1)
    assert index.shape == (len(x), 8)
    np.testing.assert_array_equal(index, np.argsort(expected, 1, kind="stable")[:, :8])
    np.testing.assert_allclose(distance, np.sort(expected, 1)[:, :8], rtol=1e-4, atol=1e-5)
    assert (given["n_neighbors"], given["min_dist"], given["random_state"]) == (8, 0.2, 3)


def test_manhattan_is_left_to_umap(monkeypatch):
    seen = []
    monkeypatch.setattr(manifold, "_mapped", lambda x, near, *_, **options: seen.append((near, options["metric"])))
    manifold.umap(rows(), 2, seed=0, metric="manhattan")
    assert seen == [(None, "manhattan")]


@pytest.mark.parametrize("metric", ["euclidean", pytest.param("manhattan", marks=pytest.mark.slow)])
def test_a_seed_says_the_map(metric):
    one, again = (manifold.umap(rows(60), 2, seed=1, metric=metric, n_epochs=20) for _ in range(2))
    assert one.shape == (60, 2)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, again)


def test_what_umap_compiles_is_kept_for_the_next_process():
    from numba.core.caching import FunctionCache
    from umap import umap_

    manifold._umap()
    for function in (umap_.smooth_knn_dist, umap_.compute_membership_strengths):
        assert isinstance(function._cache, FunctionCache)
