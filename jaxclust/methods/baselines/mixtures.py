"""k-means (kmeans), Gaussian mixtures of full covariance (gmm) and isotropic ones (igmm), by scikit-learn.

    x_i    an example as a vector (d,)            S_k, s_k  covariance of cluster k, or its standard deviation
    mu_k   its mean or centroid                   pi_k      its weight

    kmeans  min_mu sum_i min_k |x_i - mu_k|^2                                            (Lloyd 1982)
    gmm     max    sum_i log sum_k pi_k N(x_i | mu_k, S_k)                               (EM, Dempster et al. 1977)
    igmm    max    sum_i log sum_k 1/K  N(x_i | mu_k, s_k^2 I)                           (EM)

The baselines of Boubekki et al. 2021, sections 5.1.3 and 5.2. scikit-learn fits them on the host, to at most
`max_samples` examples; prediction is pure functions of what it found:

    log p_ik = log pi_k + log det P_k - 1/2 |P_k^T (x_i - mu_k)|^2 - const,   S_k^-1 = P_k P_k^T

k-means predicts as the mixture of equal weights and covariances s^2 I whose s^2 is the mean squared distance to the
nearest centroid, per dimension: its labels are those of the nearest centroid. Codes are the K distances |P_k^T (x -
mu_k)|, which stay small where examples are large.

Starts: K examples drawn at random, or k-means++ (Arthur & Vassilvitskii 2007). For the mixtures that makes the first
assignments those of the nearest of them.
Deviations: the text does not say how many iterations k-means and EM may take; `iterations` is its 150 epochs of cm.
"""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.assignments import log_gaussian_posterior, squared_mahalanobis
from jaxclust.errors import InputError
from jaxclust.host import sampling
from jaxclust.methods.base import Functions, Method, Model, Result, presets
from jaxclust.methods.shared.config import ScalingConfig
from jaxclust.methods.shared.extent import Extent, pictures, vectors
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.outcome import outcome
from jaxclust.numerics import squared_distances
from jaxclust.typing import Array, Key, PyTree

NARROW = 100  # columns below which threads of BLAS wait for each other: 126 s and 2 s on pendigits, on a busy machine


@dataclass(frozen=True)
class Config(ScalingConfig):
    """Settings of kmeans."""

    n_clusters: int = 10
    """Number of clusters K."""
    start: Literal["random", "k-means++"] = "random"
    """First means: examples drawn at random, or far from each other."""
    restarts: int = 1
    """Fits from other first means; the one of the best objective is kept."""
    iterations: int = 150
    """Iterations at most."""
    max_samples: int = 70_000
    """Examples that are fitted to at most, drawn at random; all are labelled."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.n_clusters, int) and self.max_samples < self.n_clusters:
            raise InputError(f"max_samples is {self.max_samples}: give at least n_clusters, {self.n_clusters}")


@dataclass(frozen=True)
class MixtureConfig(Config):
    """Settings of gmm and igmm."""

    regularisation: float = 1e-6
    """Added to the variances."""


# On the host: x (n, d), seed -> 'means' (K, d), 'precision_cholesky', 'log_weights' (K,)


def kmeans(config: Config, x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Centroids, and the one standard deviation of all clusters."""
    from sklearn.cluster import KMeans

    found = KMeans(
        config.n_clusters,
        init=config.start,
        n_init=config.restarts,
        max_iter=config.iterations,
        random_state=seed,
    ).fit(x)
    deviation = np.sqrt(found.inertia_ / x.size) or 1.0  # every example a centroid: any will do
    return _arrays(found.cluster_centers_, np.full(config.n_clusters, 1 / deviation), None)


def gaussian_mixture(config: MixtureConfig, x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Means, full covariances and weights by EM."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    threads = 1 if x.shape[1] < NARROW else None  # scikit-learn's own choice
    with threadpool_limits(threads, user_api="blas"):
        found = GaussianMixture(**_options(config, "full", seed)).fit(x.astype(np.float64))
    return _arrays(found.means_, found.precisions_cholesky_, found.weights_)


def isotropic_mixture(config: MixtureConfig, x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Means and spherical covariances by EM with weights that stay uniform."""
    from sklearn.mixture import GaussianMixture

    class Uniform(GaussianMixture):
        """scikit-learn has no such option: the M-step's weights are set back, so that the E-step sees uniform ones."""

        def _m_step(self, *arguments: Any, **options: Any) -> None:
            super()._m_step(*arguments, **options)
            self.weights_ = np.full(self.n_components, 1.0 / self.n_components)

    found = Uniform(**_options(config, "spherical", seed)).fit(x.astype(np.float64))
    return _arrays(found.means_, found.precisions_cholesky_, None)


def _options(config: MixtureConfig, covariance: str, seed: int) -> dict[str, Any]:
    return {
        "n_components": config.n_clusters,
        "covariance_type": covariance,
        "init_params": "random_from_data" if config.start == "random" else "k-means++",
        "n_init": config.restarts,
        "max_iter": config.iterations,
        "reg_covar": config.regularisation,
        "random_state": seed,
    }


def _arrays(means: np.ndarray, precision_cholesky: np.ndarray, weights: np.ndarray | None) -> dict[str, np.ndarray]:
    if weights is None:
        weights = np.full(len(means), 1.0 / len(means))
    found = {"means": means, "precision_cholesky": precision_cholesky, "log_weights": np.log(weights)}
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


FITS = {"kmeans": kmeans, "gmm": gaussian_mixture, "igmm": isotropic_mixture}


# What a fitted one can do


def functions(extent: Extent, opinion: bool) -> Functions:
    """Pure functions of the arrays above. opinion: whether the nearest centroid may differ from the posterior."""

    def embed(arrays: PyTree, images: Array) -> Array:
        return jnp.sqrt(squared_mahalanobis(vectors(extent, images), arrays["means"], arrays["precision_cholesky"]))

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return log_gaussian_posterior(
            vectors(extent, images), arrays["means"], arrays["precision_cholesky"], arrays["log_weights"]
        )

    def decode(arrays: PyTree, latent: Array, cluster: Array | None = None) -> Array:
        return pictures(extent, latent)

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        noise = jax.random.normal(key, (n, extent.size))
        p = arrays["precision_cholesky"][cluster]
        spread = noise / p if p.ndim == 0 else jax.scipy.linalg.solve_triangular(p, noise.T, trans=1).T
        return pictures(extent, arrays["means"][cluster] + spread)

    def reconstruct(arrays: PyTree, images: Array) -> Array:
        return pictures(extent, arrays["means"][log_posterior(arrays, images).argmax(-1)])

    def second_opinion(arrays: PyTree, images: Array) -> Array:
        return squared_distances(vectors(extent, images), arrays["means"]).argmin(-1).astype(jnp.int32)

    def centroids(arrays: PyTree) -> Array:
        return arrays["means"]

    other = second_opinion if opinion else None
    return Functions(
        embed=embed,
        log_posterior=log_posterior,
        sample=sample,
        reconstruct=reconstruct,
        second_opinion=other,
        decode=decode,
        centroids=centroids,
    )


def fit(name: str, job: Job[Any]) -> Result:
    """One phase on the host: scikit-learn's fit to a sample."""
    from sklearn.exceptions import ConvergenceWarning

    def solve() -> dict[str, np.ndarray]:
        x = job.vectors(sampling.sample(job.n, job.config.max_samples, job.seed("sample")))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", ConvergenceWarning)
            found = FITS[name](job.config, x, job.seed("mixture"))
        if any(issubclass(warning.category, ConvergenceWarning) for warning in said):
            job.note(f"{name} had not converged after {job.config.iterations} iterations, or found equal examples")
        return found

    arrays = job.compute("mixture", solve)
    meta = {"config": asdict(job.config), **job.extent.to_meta()}
    return outcome(Model(meta, arrays, restore(name, meta)), job.images, {})


def restore(name: str, meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return functions(Extent.from_meta(meta), opinion=name != "kmeans")


def _method(name: str, title: str, source: str, config: type) -> Method:
    return Method(
        name, title, source, config, presets(config()), partial(fit, name), partial(restore, name), warm=False
    )


KMEANS = _method("kmeans", "k-means, by scikit-learn", "Lloyd, Least squares quantization in PCM, 1982", Config)
GMM = _method(
    "gmm",
    "Gaussian mixture with full covariances, by scikit-learn",
    "Dempster et al., Maximum likelihood from incomplete data via the EM algorithm, 1977",
    MixtureConfig,
)
IGMM = _method(
    "igmm",
    "isotropic Gaussian mixture with uniform weights, by scikit-learn",
    "Boubekki et al., Joint optimization of an autoencoder for clustering and embedding, 2021, section 5.1.3",
    MixtureConfig,
)
