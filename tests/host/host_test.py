"""The host stages on data whose answer is known."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from jaxclust.errors import InputError
from jaxclust.host import consensus, density, latent_dim, manifold, mixtures

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


def test_no_clusters_at_all_names_the_remedy():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="--n-clusters"):
        density.hdbscan_or_smaller(rng.normal(size=(12, 2)), 6, print)


TWO, THREE = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
OTHER_THREE, NOISE = np.array([0, 1, 2, 0, 1, 2]), np.full(6, -1)


def elected(*labellings):
    """The labels elected, each labelling one voter."""
    winner = consensus.elect([consensus.Candidate(labels, 0, 5, "leaf") for labels in labellings])
    return None if winner is None else winner.labels


def test_election_by_hand():
    assert elected(TWO, TWO, THREE, NOISE) is TWO  # 3 comes up once, noise is no cluster
    assert elected(TWO, TWO, THREE, OTHER_THREE, THREE) is TWO  # 3 more often, but never the same
    assert elected(TWO, TWO, THREE, THREE, THREE) is THREE
    assert elected(THREE, TWO, THREE, TWO) is TWO  # equal: the fewest clusters
    assert elected(THREE) is THREE
    assert elected(NOISE, np.zeros(6, int)) is None


def test_the_elected_labelling_is_the_one_that_agrees_most():
    odd = np.random.default_rng(0).integers(0, 4, 400)
    assert elected(odd, Y, (Y + 1) % 4) is not odd


def test_excess_of_mass_votes_where_leaves_confirm_its_partition(monkeypatch):
    leaf = {1: THREE, 2: OTHER_THREE, 3: TWO, 4: THREE}
    eom = {1: TWO, 2: OTHER_THREE, 3: 1 - TWO, 4: TWO}

    def labels(x, size, metric, selection):
        return (leaf if selection == "leaf" else eom)[size]

    monkeypatch.setattr(density, "labels", labels)
    monkeypatch.setattr(density, "hdbscan", lambda x, size, metric, selection: (size, selection))
    notes = []
    options = ("euclidean", 0, notes.append)
    draws = [np.zeros((6, 1))] * 2

    def winner(sizes, n_clusters, selection):
        return consensus.density_clusters(draws, sizes, n_clusters, selection, *options)

    assert winner([1, 3, 4], "auto", "leaf")[0] in (1, 4)
    assert notes == ["votes for each number of clusters: 2: 2, 3: 4"]
    assert winner([1, 3, 4], "auto", "both")[0] == 3  # all of eom is that leaf's partition, under other names or sizes
    assert notes[1] == "votes for each number of clusters: 2: 8, 3: 4"
    assert winner([1], "auto", "both") == (1, "leaf")  # eom finds two, as no leaf does: no vote
    assert winner([1], 2, "both") == (1, "eom")  # but it is asked where K is given and leaves have none
    assert winner([1, 2], 3, "both")[1] == "leaf"


def test_consensus_finds_the_number_of_blobs():
    draws = [X, X + np.random.default_rng(1).normal(scale=0.05, size=X.shape).astype(np.float32)]
    found = consensus.density_clusters(draws, [15, 30, 60], "auto", "both", "euclidean", 0, lambda text: None)
    assert found.memberships.shape[1] == 4
    given = consensus.density_clusters(draws, [15, 30], 7, "eom", "euclidean", 0, lambda text: None)
    assert given.memberships.shape == (400, 7)


def test_gaussian_mixture_finds_k_by_bic(monkeypatch):
    monkeypatch.setattr(consensus, "LARGEST_BIC", 6)
    found = consensus.gaussian_clusters(X, "auto", 0)
    assert found.memberships.shape[1] == 4
    assert adjusted_rand_score(Y, found.labels) > 0.97
    np.testing.assert_allclose(mixtures.gaussian_mixture(X, 4, 0).sum(1), 1.0, rtol=1e-5)
