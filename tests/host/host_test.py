"""The host stages on data whose answer is known."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from jaxclust.errors import InputError
from jaxclust.host import density, latent_dim, manifold, mixtures, neighbours

X, Y = make_blobs(400, centers=4, cluster_std=0.6, random_state=0, n_features=3)
X = X.astype(np.float32)


def test_explained_variance_matches_scikit_learn():
    means = np.random.default_rng(0).normal(size=(200, 6)) * np.arange(1, 7)
    np.testing.assert_allclose(
        latent_dim.explained_variance(means), PCA().fit(means).explained_variance_ratio_, rtol=1e-6
    )


def test_latent_dim_of_a_known_rank_does_not_depend_on_the_size_chosen():
    rng = np.random.default_rng(0)
    for size in (10, 50):
        means = rng.normal(size=(500, 4)) @ np.linalg.qr(rng.normal(size=(size, size)))[0][:4]
        assert latent_dim.latent_dim(means + 1e-3 * rng.normal(size=means.shape), 0.999) == 4


def test_latent_dim_thresholds_by_hand():
    means = np.diag([3.0, 2.0, 1.0])  # any shape of cloud: take the shares from the function itself
    shares = np.cumsum(latent_dim.explained_variance(means))
    assert latent_dim.latent_dim(means, shares[1] - 1e-6) == 2
    assert latent_dim.latent_dim(means, 1.0) >= 2


def test_fewest_components_by_hand():
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    assert [latent_dim.fewest(shares, t) for t in (0.1, 0.8, 0.81, 0.95, 1.0)] == [2, 2, 3, 3, 4]
    assert latent_dim.fewest(np.ones(1), 0.9) == 1


def test_cluster_latent_dims():
    rng = np.random.default_rng(0)
    flat = np.zeros((100, 8))
    flat[:, :3] = rng.normal(size=(100, 3))
    round_ = rng.normal(size=(100, 8))
    dims = latent_dim.cluster_latent_dims(np.concatenate([flat, round_]), np.repeat([0, 1], 100), 3, 0.95)
    assert dims[0] == 3
    assert dims[1] >= 7
    assert dims[2] == 2  # no members


@pytest.mark.parametrize(("n", "expected"), [(300, 10), (9298, 30), (70_000, 100), (8, 7)])
def test_n_neighbors(n, expected):
    assert manifold.n_neighbors(n) == expected


def test_l1_normalise():
    rows = manifold.l1_normalise(np.array([[1.0, -3.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.25, -0.75], [0.0, 0.0]])


def test_umap_is_deterministic():
    first, second = (manifold.umap(X[:120], 2, seed=3, n_epochs=20, neighbors=8) for _ in range(2))
    assert first.shape == (120, 2)
    assert (first == second).all()


def test_umap_of_known_neighbours_keeps_blobs_apart_and_is_deterministic():
    near = neighbours.nearest(X, 14, 0)
    first, second = (manifold.of_neighbours(X, near, 10, 3, 50) for _ in range(2))
    assert first.shape == (400, 3), "no more components than columns"
    assert first.dtype == np.float32
    assert (first == second).all()
    assert (manifold.of_neighbours(X, near, 10, 4, 50) != first).any()
    own = neighbours.nearest(first, 5, 0).index
    assert (Y[own] == Y[:, None]).mean() > 0.95


def test_hdbscan_finds_blobs_and_memberships_agree():
    found = density.hdbscan(X, 20)
    assert found.memberships.shape == (400, 4)
    np.testing.assert_allclose(found.memberships.sum(1), 1.0, rtol=1e-5)
    kept = found.labels >= 0
    assert (found.memberships[kept].argmax(1) == found.labels[kept]).mean() > 0.97
    assert adjusted_rand_score(Y[kept], found.labels[kept]) > 0.97


def test_min_cluster_size_shrinks_and_says_so():
    notes = []
    found = density.hdbscan_or_smaller(X, 300, notes.append)
    assert found.memberships.shape[1] >= 2
    assert notes
    assert "min_cluster_size" in notes[0]


def test_min_samples_and_selection_are_those_of_hdbscan():
    """Two pairs of blobs: leaves are four, excess of mass takes the pairs; min_samples smooths."""
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [4, 0], [40, 0], [44, 0]])
    x = centres[np.arange(200) % 4] + rng.normal(0, 0.8, (200, 2))
    counts = {how: density.labels(x, 20, selection=how, min_samples=5).max() + 1 for how in ("leaf", "eom")}
    assert counts == {"leaf": 4, "eom": 2}
    left_out = [(density.labels(x, 20, min_samples=k) < 0).sum() for k in (1, 20)]
    assert left_out[0] != left_out[1]
    assert density.labels(x[:8], 2, min_samples=50).shape == (8,), "no more than there are others"


def test_no_clusters_at_all_names_the_remedy():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="--n-clusters"):
        density.hdbscan_or_smaller(rng.normal(size=(12, 2)), 6, print)


def test_gaussian_mixture_finds_k_by_bic(monkeypatch):
    monkeypatch.setattr(mixtures, "LARGEST_BIC", 6)
    found = mixtures.gaussian_clusters([X], "auto", 0)
    assert found.memberships.shape[1] == 4
    assert adjusted_rand_score(Y, found.labels) > 0.97
    np.testing.assert_allclose(mixtures.gaussian_mixture(X, 4, 0).sum(1), 1.0, rtol=1e-5)


def test_a_mixture_of_a_given_number_has_it_and_leaves_nothing_out():
    found = mixtures.gaussian_clusters([X], 7, 0, runs=2)
    assert found.memberships.shape == (400, 7)
    np.testing.assert_array_equal(found.labels, found.memberships.argmax(1))
    with pytest.raises(InputError, match=r"^3 examples are too few to find the number of clusters: set --n-clusters"):
        mixtures.gaussian_clusters([X[:3]], "auto", 0)


def test_a_consensus_of_mixtures_outvotes_the_one_that_differs():
    """Components are numbered anew in each, and one of three labels half of the rows at random."""
    rng = np.random.default_rng(0)
    classes = np.arange(60) % 3
    good = np.eye(3, dtype=np.float32)[classes]
    bad = np.eye(3, dtype=np.float32)[np.where(np.arange(60) < 30, rng.integers(0, 3, 60), classes)]
    each = [bad, good[:, [2, 0, 1]], 0.8 * good[:, [1, 0, 2]] + np.float32(0.2 / 3)]
    for several in (each, each[::-1]):
        shares = mixtures.consensus(several)
        assert shares.dtype == np.float32
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
        assert adjusted_rand_score(classes, shares.argmax(1)) == 1
    np.testing.assert_array_equal(mixtures.consensus([bad]), bad)
