"""k-means and Gaussian mixtures: predictions equal scikit-learn's, and the isotropic one has uniform weights."""

import dataclasses

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

from jaxclust import methods, models
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.methods.baselines import mixtures
from jaxclust.methods.shared.extent import Extent
from jaxclust.models import Request
from jaxclust.train.phases import Phases

rng = np.random.default_rng(0)
CLASSES = np.repeat([0, 1, 2], [60, 120, 220])
X = np.array([[0, 0, 0], [4, 1, 0], [0, 5, 2]])[CLASSES] + rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3))
X = X.astype(np.float32)
EXTENT = Extent((3,), 0, 0)
SETTINGS = {"n_clusters": 3, "restarts": 3, "start": "k-means++"}


def posterior(arrays, x):
    return np.exp(mixtures.functions(EXTENT, True).log_posterior(arrays, x))


@pytest.mark.parametrize("start", ["random", "k-means++"])
def test_a_full_mixture_predicts_as_scikit_learn(start):
    config = mixtures.MixtureConfig(n_clusters=3, restarts=3, start=start)
    arrays = mixtures.gaussian_mixture(config, X, 7)
    init = {"random": "random_from_data", "k-means++": "k-means++"}[start]
    theirs = GaussianMixture(3, n_init=3, max_iter=150, init_params=init, random_state=7).fit(X.astype(np.float64))
    np.testing.assert_allclose(posterior(arrays, X), theirs.predict_proba(X), atol=1e-4)


def test_k_means_predicts_as_scikit_learn_and_its_spread_is_pooled():
    arrays = mixtures.kmeans(mixtures.Config(**SETTINGS), X, 3)
    theirs = KMeans(3, init="k-means++", n_init=3, random_state=3).fit(X)
    np.testing.assert_array_equal(posterior(arrays, X).argmax(1), theirs.predict(X))
    variance = np.mean(
        [np.sum((x - theirs.cluster_centers_[k]) ** 2) / 3 for x, k in zip(X, theirs.labels_, strict=True)]
    )
    np.testing.assert_allclose(arrays["precision_cholesky"], 1 / np.sqrt(variance), rtol=1e-4)


def test_an_isotropic_mixture_is_a_fixed_point_of_em_with_uniform_weights():
    centres = np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0]])
    x = (centres[CLASSES] + np.random.default_rng(1).normal(size=(400, 3))).astype(np.float32)
    arrays = mixtures.isotropic_mixture(mixtures.MixtureConfig(**SETTINGS, regularisation=0.0, iterations=1000), x, 0)
    np.testing.assert_allclose(np.exp(arrays["log_weights"]), 1 / 3, rtol=1e-6)
    mu, s = arrays["means"].astype(np.float64), 1 / arrays["precision_cholesky"].astype(np.float64)
    density = [[np.exp(-((row - m) ** 2).sum() / (2 * t**2)) / t**3 for m, t in zip(mu, s, strict=True)] for row in x]
    g = np.array(density) / np.sum(density, 1, keepdims=True)
    assert g.mean(0).max() > 0.4, "with weights of its own it would be another"
    np.testing.assert_allclose(posterior(arrays, x), g, atol=1e-4)
    means = g.T @ x / g.sum(0)[:, None]
    np.testing.assert_allclose(means, mu, atol=0.02)
    variances = [(g[:, k] * ((x - means[k]) ** 2).sum(1)).sum() / (3 * g[:, k].sum()) for k in range(3)]
    np.testing.assert_allclose(np.sqrt(variances), s, rtol=0.02)


@pytest.mark.parametrize("name", ["kmeans", "gmm", "igmm"])
def test_samples_have_the_mean_and_covariance_of_their_cluster(name):
    config = dataclasses.replace(methods.find(name).presets["quick"], **SETTINGS)
    arrays = mixtures.FITS[name](config, X, 0)
    drawn = np.asarray(mixtures.functions(EXTENT, True).sample(arrays, jax.random.key(0), 20_000, 1))
    p = arrays["precision_cholesky"][1]
    precision = p @ p.T if p.ndim else p**2 * np.eye(3)
    np.testing.assert_allclose(drawn.mean(0), arrays["means"][1], atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.linalg.inv(precision), atol=0.15)


def test_a_bounded_sample_is_fitted_and_all_are_labelled():
    method = methods.find("kmeans")
    request = Request(method, dataclasses.replace(method.presets["quick"], n_clusters=3, max_samples=40, restarts=5))
    preprocess, images = models.prepared(request.config, sources.load(X).images)
    result = models.fit(request, images, preprocess, Phases())
    assert result.labels.shape == (400,)
    whole = models.fit(
        Request(method, dataclasses.replace(request.config, max_samples=400)), images, preprocess, Phases()
    )
    assert not np.array_equal(whole.model.arrays["means"], result.model.arrays["means"])


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="max_samples is 5"):
        mixtures.Config(max_samples=5)
    with pytest.raises(InputError, match="regularisation is -1"):
        mixtures.MixtureConfig(regularisation=-1)
    with pytest.raises(InputError, match="n_clusters is 'auto': give a whole number"):
        models.check_config(mixtures.Config(n_clusters="auto"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "floor"), [("kmeans", 0.65), ("gmm", 0.6), ("igmm", 0.65)])
def test_digits(name, floor):
    data, classes = load_digits(return_X_y=True)
    method = methods.find(name)
    config = dataclasses.replace(method.presets["quick"], start="k-means++", restarts=5)
    preprocess, images = models.prepared(config, sources.load(data.reshape(-1, 8, 8)).images)
    result = models.fit(Request(method, config), images, preprocess, Phases())
    assert models.score(result.labels, classes)["acc"] > floor
