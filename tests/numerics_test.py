"""Distances, entropies and named keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy.spatial.distance import cdist
from scipy.stats import entropy as scipy_entropy

from jaxclust import assignments, losses, numerics
from jaxclust.host import seeds
from jaxclust.methods.baselines.dcn import moved_centroids
from jaxclust.methods.clustering_module.model import log_responsibilities, random_module
from jaxclust.methods.clustering_module.training import ae_cm_terms, cm_terms
from jaxclust.train.augment import warp


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


def multiplied(closed):
    """The precisions of all products in a program, its inner ones included."""
    found = []
    for equation in closed.jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found.append(equation.params["precision"])
        for value in equation.params.values():
            if hasattr(value, "jaxpr"):
                found += multiplied(value)
    return found


X, Y, WEIGHT = jnp.ones((5, 3)), jnp.ones((4, 3)), jnp.ones(5)
MODULE = random_module(jax.random.key(0), 4, 3)
DECIDING = {  # what distances, assignments and the losses of them multiply
    "squared_distances": (numerics.squared_distances, X, Y),
    "mmd": (losses.maximum_mean_discrepancy, X, X + 1, WEIGHT),
    "overlap": (losses.responsibility_overlap, jnp.ones((5, 4)) / 4, Y),
    "orthonormality": (losses.orthonormality, Y),
    "student-t": (assignments.log_student_t, X, Y),
    "gaussian posterior": (assignments.log_gaussian_posterior, X, Y, jnp.stack([jnp.eye(3)] * 4), jnp.zeros(4)),
    "module": (log_responsibilities, MODULE, X),
    "cm": (lambda *args: sum(cm_terms(*args).values()), MODULE, X, WEIGHT, jnp.ones(4)),
    "ae-cm": (lambda *args: sum(ae_cm_terms(*args, 1.0).values()), MODULE, X, WEIGHT, jnp.ones(4)),
    "dcn": (moved_centroids, Y, jnp.ones(4), X, jnp.eye(5, 4)),
    "warp": (warp, jnp.ones((2, 4, 4, 1)), jnp.ones((2, 2, 2)), jnp.ones((2, 2))),
}


@pytest.mark.parametrize("name", DECIDING)
def test_what_decides_about_clusters_is_multiplied_in_full_float32(name):
    """On TPUs and GPUs the default has fewer bits; gradients too."""
    function, *args = DECIDING[name]
    programs = [jax.make_jaxpr(function)(*args)]
    programs.append(jax.make_jaxpr(jax.grad(lambda *args: sum(map(jnp.sum, jax.tree.leaves(function(*args))))))(*args))
    for found in map(multiplied, programs):
        assert found, "nothing is multiplied"
        assert all(precision == (lax.Precision.HIGHEST,) * 2 for precision in found), found
