"""dcn: its loss by loops, and its centroids against eq. 8, one example after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust.methods.baselines import dcn
from jaxclust.methods.shared.coders import coders
from jaxclust.methods.shared.extent import Extent
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch

rng = np.random.default_rng(0)
X = rng.normal(size=(8, 5)).astype(np.float32)
CONFIG = dcn.Config(
    n_clusters=3, hidden=(7,), latent_dim=2, clustering_weight=0.5, learning_rate=1e-2, precision="float32"
)
WEIGHT = np.array([1, 1, 1, 1, 1, 1, 1, 0], np.float32)
BATCH = Batch(jnp.asarray(X), jnp.arange(8), jnp.asarray(WEIGHT))


def one_by_one(mu, counts, z, labels):
    """Yang et al. 2017, eq. 8."""
    mu, counts = np.array(mu, np.float64), np.array(counts, np.float64)
    for code, k in zip(z, labels, strict=True):
        counts[k] += 1
        mu[k] -= (mu[k] - code) / counts[k]
    return mu, counts


def test_a_batch_moves_centroids_as_its_examples_in_turn():
    mu, counts, z = rng.normal(size=(4, 3)), np.array([100.0, 2, 7, 1]), rng.normal(size=(30, 3))
    labels = rng.integers(0, 3, 30)  # cluster 3 gets none
    members = np.eye(4)[labels]
    ours = dcn.moved_centroids(*(jnp.asarray(a, jnp.float32) for a in (mu, counts, z, members)))
    theirs = one_by_one(mu, counts, z, labels)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1])
    np.testing.assert_allclose(ours[0][3], mu[3], rtol=1e-6)


def test_a_step_has_the_loss_of_the_text_and_eq_8_moves_the_centroids():
    pair = coders(CONFIG, Extent((5,), 0, 0))
    training = dcn.training(CONFIG, pair, 8)
    state = initial(training, jax.random.key(0), (1, 5))
    stats, mu = state.extra["stats"], np.asarray(state.params["centroids"])
    z = np.asarray(pair.embed(state.params, stats, X))
    labels = ((z[:, None] - mu) ** 2).sum(-1).argmin(1)
    output = np.asarray(pair.picture(state.params, stats, z))
    new, terms = jax.jit(training.step)(state, BATCH)
    assert float(terms["reconstruction"]) == pytest.approx(((output - X)[:7] ** 2).sum() / 7, rel=1e-4)
    assert float(terms["clustering"]) == pytest.approx(0.25 * ((z - mu[labels])[:7] ** 2).sum() / 7, rel=1e-4)
    expected, counts = one_by_one(mu, np.full(3, 100.0), z[:7], labels[:7])
    np.testing.assert_allclose(new.params["centroids"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(new.extra["counts"], counts)
    assert not np.allclose(new.params["encoder"]["Dense_0"]["kernel"], state.params["encoder"]["Dense_0"]["kernel"])
