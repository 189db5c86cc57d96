"""Loss terms, one value per example, each with its equation. The caller weights and averages them."""

import jax
import jax.numpy as jnp
import optax

from jaxclust.numerics import entropy, product, squared_distances, weighted_mean
from jaxclust.typing import Array


def _per_example(values: Array) -> Array:
    return values.reshape(values.shape[0], -1).sum(-1)


def bernoulli_reconstruction(logits: Array, images: Array) -> Array:
    """Binary cross-entropy -sum_j [x_j log s(l_j) + (1 - x_j) log(1 - s(l_j))] over pixels j, in nats.

    logits (b, ...) of any size, images (b, ...) in [0, 1] -> (b,).
    """
    return _per_example(optax.sigmoid_binary_cross_entropy(logits, images))


def gaussian_reconstruction(output: Array, images: Array) -> Array:
    """Squared error sum_j (x_j - y_j)^2 over pixels: (b, ...) twice -> (b,).

    It is the negative log-likelihood, up to a constant, of a Gaussian whose variance is 1/2.
    """
    return _per_example((output - images) ** 2)


def reconstruction(likelihood: str, output: Array, images: Array) -> Array:
    """The term of that likelihood, 'bernoulli' (output are logits) or 'gaussian': (b, ...) twice -> (b,)."""
    term = bernoulli_reconstruction if likelihood == "bernoulli" else gaussian_reconstruction
    return term(output, images)


def mean_image(likelihood: str, output: Array) -> Array:
    """The image that a decoder's output stands for: the sigmoid of logits, or the output itself."""
    return jax.nn.sigmoid(output) if likelihood == "bernoulli" else output


def kl_standard_normal(mean: Array, log_var: Array) -> Array:
    """KL(N(m, diag s^2) || N(0, I)) for each latent dimension, 1/2 (m^2 + s^2 - 1 - log s^2), in nats.

    (b, d) twice -> (b, d): the caller sums (Kingma & Welling 2014, appendix B) or averages over active dimensions.
    """
    return 0.5 * (mean**2 + jnp.exp(log_var) - 1.0 - log_var)


def gaussian_log_density(x: Array, mean: Array, variance: Array) -> Array:
    """log N(x | m, diag v) in nats, summed over the last axis: shapes that broadcast to (..., d) -> (...)."""
    return -0.5 * ((x - mean) ** 2 / variance + jnp.log(2.0 * jnp.pi * variance)).sum(-1)


def gaussian_kl(mean: Array, variance: Array, prior_mean: Array, prior_variance: Array) -> Array:
    """KL(N(m, diag v) || N(m', diag v')) = 1/2 sum_j [(v_j + (m_j - m'_j)^2) / v'_j - 1 - log(v_j / v'_j)], in nats.

    Shapes that broadcast to (..., d) -> (...).
    """
    ratio = variance / prior_variance
    return 0.5 * (ratio + (mean - prior_mean) ** 2 / prior_variance - 1.0 - jnp.log(ratio)).sum(-1)


def squared_wasserstein(mean: Array, variance: Array, other_mean: Array, other_variance: Array) -> Array:
    """W2^2 of two Gaussians of diagonal covariance, |m - m'|^2 + |s - s'|^2, s the standard deviations.

    Prasad et al. 2020, eq. 17, who call the square W2 (Dowson and Landau 1982). (..., d) four times -> (...).
    """
    return ((mean - other_mean) ** 2 + (jnp.sqrt(variance) - jnp.sqrt(other_variance)) ** 2).sum(-1)


def soft_label_kl(log_probabilities: Array, target: Array) -> Array:
    """KL(target || p) = sum_k t_k (log t_k - log p_k), in nats: (b, K) twice -> (b,)."""
    return -(target * log_probabilities).sum(-1) - entropy(target)


def sample_entropy(probabilities: Array, weight: Array) -> Array:
    """S = -1/b sum_i sum_k p_ik log p_ik (Santos 2020, eq. 3.3): (b, K), (b,) -> () in nats. One-hot rows give 0."""
    return weighted_mean(entropy(probabilities), weight)


def negative_batch_entropy(probabilities: Array, weight: Array) -> Array:
    """B = sum_k q_k log q_k, q the batch mean of p (Santos 2020, eq. 3.4): () in nats, -log K when balanced."""
    return -entropy(weighted_mean(probabilities, weight))


def responsibility_sparsity(responsibilities: Array, squared_norms: Array | float = 1.0) -> Array:
    """E1 = sum_k g_k (1 - g_k) |mu_k|^2 (Boubekki et al. 2021, eq. 7; with norms of 1 eq. 9): (b, K), (K,) -> (b,).

    With norms of 1 it is the Gini impurity, 0 for one-hot rows. Numbers are those of the text's ablation (5.2.3), E0 to
    E3; its sections 3 and 4 count the same terms from E1.
    """
    return (responsibilities * (1.0 - responsibilities) * squared_norms).sum(-1)


def responsibility_overlap(responsibilities: Array, centroids: Array) -> Array:
    """E2 = sum_{k != l} g_k g_l mu_k . mu_l, of responsibilities (b, K) and centroids (K, d): (b,).

    Boubekki et al. 2021, eq. 7, whose sum includes k = l by mistake: |g mu|^2 would be counted twice.
    E0 + E1 - E2 = sum_k g_k |x - mu_k|^2, E0 = |x - sum_k g_k mu_k|^2, is the expected log-likelihood of an isotropic
    Gaussian mixture, up to a constant.
    """
    off_diagonal = product(centroids, centroids.T) * (1.0 - jnp.eye(centroids.shape[0], dtype=centroids.dtype))
    return (product(responsibilities, off_diagonal) * responsibilities).sum(-1)


def dirichlet_balance(responsibilities: Array, weight: Array, alpha: Array) -> Array:
    """E3 = sum_k (1 - alpha_k) log q_k, q the batch mean of the responsibilities (b, K): () in nats.

    Boubekki et al. 2021, eq. 7: a Dirichlet prior of concentration alpha (K,). Which cluster gets which alpha_k is
    not stated: both are sorted, so the largest alpha goes with the largest share (appendix 2). With alpha = 1 + 1/K it
    is KL(uniform || q) + log K.
    """
    shares = jnp.sort(weighted_mean(responsibilities, weight))
    return ((1.0 - jnp.sort(alpha)) * jnp.log(shares + 1e-10)).sum()


def orthonormality(centroids: Array) -> Array:
    """|mu mu^T - I_K|_1, the sum of absolute values (Boubekki et al. 2021, eq. 10): (K, d) -> ().

    The text prints mu^T mu; its eq. 8 and the K x K identity say which product is meant.
    """
    return jnp.abs(product(centroids, centroids.T) - jnp.eye(centroids.shape[0], dtype=centroids.dtype)).sum()


def relativistic_pair(favoured: Array, other: Array) -> Array:
    """-log f(D(favoured) - D(other)), f the sigmoid, of what a critic says before it: (b,) twice -> (b,) in nats.

    The critic's loss with codes of the prior as favoured, the encoder's with its own (Jolicoeur-Martineau 2018;
    eq. 3 and 4 of `hrwae-gan`). Equal values give log 2.
    """
    return jax.nn.softplus(other - favoured)


def standard_pair(favoured: Array, other: Array) -> Array:
    """-log f(D(favoured)) - log(1 - f(D(other))), f the sigmoid: (b,) twice -> (b,) in nats (Goodfellow et al. 2014).

    The critic's loss with codes of the prior as favoured; the encoder's, that does not saturate, with its own.
    """
    return jax.nn.softplus(-favoured) + jax.nn.softplus(other)


def cosine_dissimilarity(x: Array, y: Array) -> Array:
    """1 - <x, y> / (|x| |y|) of maps (b, ...), flattened, twice: (b,) in [0, 2]; 1 where one of them is zero."""
    x, y = (maps.reshape(len(maps), -1).astype(jnp.float32) for maps in (x, y))
    squares = (x**2).sum(-1) * (y**2).sum(-1)
    return 1.0 - (x * y).sum(-1) * jax.lax.rsqrt(jnp.maximum(squares, 1e-12))


def maximum_mean_discrepancy(x: Array, y: Array, weight: Array) -> Array:
    """MMD^2 between codes x (n, d) and prior draws y (n, d), inverse multiquadratic kernels: ().

    k(a, b) = sum_s C_s / (C_s + |a - b|^2), C_s = 2 d s for s in .1, .2, .5, 1, 2, 5, 10; unbiased
    (Tolstikhin et al. 2018, algorithm 2). weight (n,) is 0 for padding, for which the pair is left out.
    """
    pairs = weight[:, None] * weight[None] * (1.0 - jnp.eye(x.shape[0]))
    count = jnp.maximum(pairs.sum(), 1.0)
    cross_pairs = weight[:, None] * weight[None]
    xx, yy, xy = squared_distances(x, x), squared_distances(y, y), squared_distances(x, y)
    total = jnp.zeros(())
    for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        c = 2.0 * x.shape[-1] * scale
        within = (pairs * (c / (c + xx) + c / (c + yy))).sum() / count
        across = (cross_pairs * c / (c + xy)).sum() / jnp.maximum(cross_pairs.sum(), 1.0)
        total += within - 2.0 * across
    return total
