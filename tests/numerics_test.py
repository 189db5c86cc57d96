"""Distances, entropies and named keys."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import entropy as scipy_entropy

from jaxclust import numerics
from jaxclust.host import seeds


def test_squared_distances_match_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(numerics.squared_distances(x, y), cdist(x, y, "sqeuclidean"), rtol=1e-4, atol=1e-5)
    assert (np.asarray(numerics.squared_distances(x, x)) >= 0).all()


def test_entropy_matches_scipy_with_zeros():
    p = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    np.testing.assert_allclose(numerics.entropy(jnp.array(p)), scipy_entropy(p, axis=1), rtol=1e-6)


def test_weighted_mean_leaves_padding_out():
    values = jnp.array([[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]])
    np.testing.assert_allclose(numerics.weighted_mean(values, jnp.array([1.0, 1.0, 0.0])), [2.0, 3.0])
    assert float(numerics.weighted_mean(jnp.ones(3), jnp.zeros(3))) == 0.0


def test_named_streams_differ_and_repeat():
    key = jax.random.key(0)
    a, b = (jax.random.key_data(numerics.fold_name(key, name)) for name in ("order", "augment"))
    assert (a != b).any()
    assert (a == jax.random.key_data(numerics.fold_name(key, "order"))).all()
    assert seeds.seed(key, "umap") == seeds.seed(key, "umap") != seeds.seed(key, "gmm")
    assert 0 <= seeds.seed(key, "umap") < 2**31
