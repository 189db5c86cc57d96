"""vade and gmvae: responsibilities against scikit-learn, their divergences against Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from jaxclust.methods.baselines import gmvae, vade
from jaxclust.methods.shared.coders import of_gaussians
from jaxclust.methods.shared.extent import Extent
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch

K, P = 3, 2
EXTENT = Extent((5,), 0, 0)


def mixture(seed=0):
    """scikit-learn's mixture of diagonal covariances and unequal weights, and the same as vade's prior."""
    rng = np.random.default_rng(seed)
    model = GaussianMixture(K, covariance_type="diag")
    model.weights_ = np.array([0.6, 0.3, 0.1])
    model.means_ = rng.normal(size=(K, P)) * 2
    model.covariances_ = rng.uniform(0.2, 3, (K, P))
    model.precisions_cholesky_ = 1 / np.sqrt(model.covariances_)
    logits = np.log(model.weights_) + 1.7  # the softmax takes any constant away: weights count once
    return model, {"logits": logits, "mean": model.means_, "log_var": np.log(model.covariances_)}


def test_vade_s_responsibilities_are_scikit_learn_s(float64):
    model, prior = mixture()
    z = np.random.default_rng(1).normal(size=(50, P)) * 2
    np.testing.assert_allclose(np.exp(vade.log_responsibilities(prior, z)), model.predict_proba(z), atol=1e-12)


def test_gmvae_s_posterior_is_scikit_learn_s(float64):
    model, prior = mixture()
    model.weights_ = np.full(K, 1 / K)
    z = np.random.default_rng(1).normal(size=(50, P)) * 2
    variance = np.exp(prior["log_var"])
    of_every_z = (np.broadcast_to(part, (50, K, P)) for part in (prior["mean"], variance))
    np.testing.assert_allclose(np.exp(gmvae.log_posterior_of(z, *of_every_z)), model.predict_proba(z), atol=1e-12)


def test_the_start_is_the_mixture_that_scikit_learn_fits():
    model, _ = mixture()
    codes = model.sample(600)[0].astype(np.float32)
    prior = vade.mixture(codes, K, 0)
    labels = np.asarray(vade.log_responsibilities(prior, codes)).argmax(1)
    np.testing.assert_array_equal(labels, prior["labels"])


def test_vade_s_divergence_against_monte_carlo(float64):
    """sum_c g_c (E_q[log q(z|x) - log p(z|c)] + log(g_c / pi_c)), by 200,000 draws."""
    model, prior = mixture()
    z, mean, var = np.array([[0.3, -1.0]]), np.array([0.5, -0.8]), np.array([0.4, 0.1])
    q = multivariate_normal(mean, np.diag(var))
    draws = q.rvs(200_000, random_state=0)
    g = model.predict_proba(z)[0]
    each = np.zeros(len(draws))
    for c in range(K):
        p = multivariate_normal(model.means_[c], np.diag(model.covariances_[c]))
        each += g[c] * (q.logpdf(draws) - p.logpdf(draws) + np.log(g[c] / model.weights_[c]))
    exact = float(vade.divergence(prior, z, mean[None], np.log(var)[None])[0])
    assert abs(exact - each.mean()) < 4 * each.std() / np.sqrt(len(draws))


def test_one_gaussian_of_unit_variance_is_a_plain_vae(float64):
    prior = {"logits": np.zeros(1), "mean": np.zeros((1, P)), "log_var": np.zeros((1, P))}
    mean, var = np.array([[0.5, -0.8]]), np.array([[0.4, 0.1]])
    expected = 0.5 * (var + mean**2 - 1 - np.log(var)).sum()
    assert float(vade.divergence(prior, mean, mean, np.log(var))[0]) == pytest.approx(expected, rel=1e-12)


def test_an_encoder_s_output_is_split_into_gaussians():
    seen = jnp.arange(12.0)[None] - 3
    (mean, log_var), (other, other_log_var) = of_gaussians(4, 2)(seen, -2.0)
    np.testing.assert_array_equal(mean[0], [-3, -2, -1, 0])
    np.testing.assert_array_equal(other[0], [1, 2])
    np.testing.assert_array_equal(log_var[0], [1, 2, 3, 4])
    np.testing.assert_array_equal(other_log_var[0], [5, 6])
    assert float(of_gaussians(1)(jnp.array([[0.0, 99.0]]), 0.0)[0][1][0, 0]) == 10


@pytest.mark.slow
def test_gmvae_s_cluster_term_has_a_floor():
    """At the start p(k|z, w) is nearly uniform or not; the term is never below `least`."""
    config = gmvae.Config(n_clusters=K, hidden=(4,), latent_dim=P, noise_dim=2, least=50.0)
    training = gmvae.training(config, EXTENT)
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    state = initial(training, jax.random.key(0), x.shape)
    _, terms = jax.jit(training.step)(state, Batch(jnp.asarray(x), jnp.arange(8), jnp.ones(8)))
    assert float(terms["clusters"]) == 50
    parts = sum(float(terms[name]) for name in ("reconstruction", "codes", "noise", "clusters"))
    assert float(terms["loss"]) == pytest.approx(parts, rel=1e-6)
