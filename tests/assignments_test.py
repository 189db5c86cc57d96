"""Soft assignments against values by hand and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from jaxclust import assignments
from jaxclust.numerics import squared_distances

rng = np.random.default_rng(0)
X = (rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + 3 * rng.integers(0, 2, (200, 1))).astype(np.float32)


def test_student_t_by_hand():
    z, mu = jnp.array([[0.0, 0.0]]), jnp.array([[1.0, 0.0], [0.0, np.sqrt(3.0)]])  # squared distances 1 and 3
    np.testing.assert_allclose(jnp.exp(assignments.log_student_t(z, mu)), [[2 / 3, 1 / 3]], rtol=1e-6)  # 1/2, 1/4
    three = np.array([(1 + 1 / 3) ** -2, (1 + 3 / 3) ** -2])
    np.testing.assert_allclose(jnp.exp(assignments.log_student_t(z, mu, 3.0))[0], three / three.sum(), rtol=1e-6)


def test_student_t_keeps_far_points_in_log_space():
    z, mu = jnp.array([[1e12, 0.0]]), jnp.array([[0.0, 0.0], [1.0, 0.0]])
    value, grad = jax.value_and_grad(lambda z: assignments.log_student_t(z, mu)[0, 0])(z)
    assert float(value) == pytest.approx(-np.log(2))
    assert np.isfinite(grad).all()


def test_target_distribution_by_hand():
    q = jnp.array([[0.8, 0.2], [0.5, 0.5]])
    f = q.sum(0)  # 1.3, 0.7
    first, second = np.array([0.64 / 1.3, 0.04 / 0.7]), np.array([0.25 / 1.3, 0.25 / 0.7])
    expected = [first / first.sum(), second / second.sum()]
    np.testing.assert_allclose(assignments.target_distribution(q, f), expected, rtol=1e-6)


def test_target_of_an_empty_cluster_is_finite():
    target = assignments.target_distribution(jnp.array([[1.0, 0.0]]), jnp.array([5.0, 0.0]))
    np.testing.assert_array_equal(target, [[1.0, 0.0]])


def test_distance_softmax_by_hand():
    z, mu = jnp.array([[0.0]]), jnp.array([[1.0], [2.0]])
    log = assignments.log_distance_softmax(z, mu, 0.5)  # -1/2 and -2
    np.testing.assert_allclose(log[0, 0] - log[0, 1], 1.5, rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(log).sum(), 1.0, rtol=1e-6)


@pytest.mark.parametrize("kind", ["full", "spherical"])
def test_gaussian_posterior_is_that_of_scikit_learn(kind):
    """Unequal weights and covariances: an error of a half, of a determinant or of the weights is seen."""
    model = GaussianMixture(3, covariance_type=kind, random_state=0).fit(X.astype(np.float64))
    assert model.weights_.max() > 1.3 * model.weights_.min()
    arrays = (model.means_, model.precisions_cholesky_, np.log(model.weights_))
    log = assignments.log_gaussian_posterior(X, *(jnp.asarray(a, jnp.float32) for a in arrays))
    np.testing.assert_allclose(np.exp(log), model.predict_proba(X.astype(np.float64)), atol=2e-5)


def test_mahalanobis_of_a_unit_covariance_is_the_distance():
    mu = X[:4]
    ours = assignments.squared_mahalanobis(X, mu, jnp.full(4, 2.0))
    np.testing.assert_allclose(ours, 4 * squared_distances(jnp.asarray(X), jnp.asarray(mu)), rtol=1e-4, atol=1e-3)
    full = assignments.squared_mahalanobis(X, mu, jnp.broadcast_to(2 * jnp.eye(3), (4, 3, 3)))
    np.testing.assert_allclose(full, ours, rtol=1e-5)
