"""dkm: its clustering term by hand and in the limit, and how its sharpness rises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust.methods.baselines import dkm
from jaxclust.methods.shared.coders import coders
from jaxclust.methods.shared.extent import Extent
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch

rng = np.random.default_rng(0)
Z, R = rng.normal(size=(6, 2)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
SETTINGS = {"n_clusters": 3, "hidden": (7,), "latent_dim": 2, "precision": "float32"}


def slow(z, r, a):
    """The term of each example, by loops."""
    out = []
    for code in z:
        distance = np.array([((code - centroid) ** 2).sum() for centroid in r], np.float64)
        share = np.exp(-a * (distance - distance.min()))
        out.append((distance * share / share.sum()).sum())
    return np.array(out)


@pytest.mark.parametrize("a", [0.1, 3.0, 1000.0])
def test_the_term_by_hand(a):
    np.testing.assert_allclose(dkm.clustering(Z, R, a), slow(Z, R, a), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_in_the_limit_it_is_k_means():
    """The term and its gradient: 2 (r_k - z_i), summed over the examples of cluster k."""
    distances = ((Z[:, None] - R) ** 2).sum(-1)
    np.testing.assert_allclose(dkm.clustering(Z, R, 1e5), distances.min(1), rtol=1e-4)
    gradient = jax.grad(lambda r: dkm.clustering(jnp.asarray(Z), r, 1e5).sum())(jnp.asarray(R))
    labels = distances.argmin(1)
    expected = [2 * (R[k] - Z[labels == k]).sum(0) for k in range(3)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)


def test_sharpness_rises_as_in_the_text():
    config = dkm.Config(**SETTINGS, start="random", epochs=20, annealing_epochs=5)
    values, steps = dkm.sharpnesses(config, batches=7)
    ratio = [2 ** (1 / np.log(i + 1) ** 2) for i in (1, 2, 3)]
    np.testing.assert_allclose(values, 0.1 * np.cumprod([1, *ratio]), rtol=1e-5)
    assert steps == 35
    fixed, _ = dkm.sharpnesses(dkm.Config(**SETTINGS), 7)
    np.testing.assert_array_equal(fixed, [1000.0])


@pytest.mark.slow
@pytest.mark.parametrize(("step", "place"), [(0, 0), (4, 1), (1000, 3)])
def test_a_step_uses_the_sharpness_of_its_time(step, place):
    config = dkm.Config(**SETTINGS, start="random", epochs=8, annealing_epochs=2, clustering_weight=0.3, batch_size=6)
    pair = coders(config, Extent((5,), 0, 0))
    training = dkm.training(config, pair, n=12)
    state = initial(training, jax.random.key(0), (1, 5))._replace(step=jnp.int32(step))
    x = rng.normal(size=(6, 5)).astype(np.float32)
    z = np.asarray(pair.embed(state.params, state.extra["stats"], x))
    _, terms = jax.jit(training.step)(state, Batch(jnp.asarray(x), jnp.arange(6), jnp.array([1.0, 1, 1, 1, 1, 0])))
    a = dkm.sharpnesses(config, 2)[0][place]
    expected = 0.3 * slow(z[:5], np.asarray(state.params["centroids"]), a).mean()
    assert float(terms["clustering"]) == pytest.approx(expected, rel=1e-4)
