"""Soft assignments of examples to clusters, as log probabilities, and the targets that follow from them."""

import jax
import jax.numpy as jnp

from jaxclust.numerics import contraction, squared_distances
from jaxclust.typing import Array


def log_student_t(z: Array, centroids: Array, dof: float = 1.0) -> Array:
    """log q_ik, q_ik ~ (1 + |z_i - mu_k|^2 / nu)^(-(nu + 1) / 2), normalised over k (Xie et al. 2016, eq. 1).

    z (n, d), centroids (K, d) -> (n, K). dof: nu, the degrees of freedom.
    """
    return jax.nn.log_softmax(-0.5 * (dof + 1.0) * jnp.log1p(squared_distances(z, centroids) / dof))


def target_distribution(responsibilities: Array, frequency: Array) -> Array:
    """p_ik = (q_ik^2 / f_k) / sum_l (q_il^2 / f_l), which sharpens q and evens clusters out (Xie et al. 2016, eq. 3).

    responsibilities q (n, K), rows that sum to one; frequency f (K,), the sums of q over the data set -> (n, K).
    """
    raised = responsibilities**2 / jnp.maximum(frequency, 1e-12)
    return raised / raised.sum(-1, keepdims=True)


def log_distance_softmax(z: Array, centroids: Array, sharpness: Array | float) -> Array:
    """log softmax_k(-a |z_i - mu_k|^2): z (n, d), centroids (K, d) -> (n, K) (Fard et al. 2020, eq. 5).

    With a = 1 / (2 s^2) it is the posterior of a mixture of equal weights and the covariance s^2 I.
    """
    return jax.nn.log_softmax(-sharpness * squared_distances(z, centroids))


def squared_mahalanobis(x: Array, means: Array, precision_cholesky: Array) -> Array:
    """(x_i - mu_k)^T S_k^-1 (x_i - mu_k), S_k^-1 = P_k P_k^T: x (n, d), means (K, d) -> (n, K).

    precision_cholesky: P as scikit-learn has it, (K, d, d) upper triangular; or (K,) for spherical covariances, 1 / s.
    """
    difference = x[:, None] - means
    if precision_cholesky.ndim == 1:
        return (difference**2).sum(-1) * precision_cholesky**2
    white = contraction("nkd,kde->nke", difference, precision_cholesky)
    return (white**2).sum(-1)


def log_gaussian_posterior(x: Array, means: Array, precision_cholesky: Array, log_weights: Array) -> Array:
    """log of pi_k N(x_i | mu_k, S_k) / sum_l pi_l N(x_i | mu_l, S_l) (Bishop 2006, eq. 9.23): (n, d) -> (n, K).

    log N = log det P - 1/2 (x - mu)^T P P^T (x - mu) + const. means (K, d), log_weights log pi (K,),
    precision_cholesky: P as in `squared_mahalanobis`.
    """
    if precision_cholesky.ndim == 1:
        log_det = x.shape[1] * jnp.log(precision_cholesky)
    else:
        log_det = jnp.log(jnp.diagonal(precision_cholesky, axis1=1, axis2=2)).sum(-1)
    return jax.nn.log_softmax(log_weights + log_det - 0.5 * squared_mahalanobis(x, means, precision_cholesky))
