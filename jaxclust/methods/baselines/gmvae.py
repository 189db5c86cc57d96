"""Gaussian mixture VAE (gmvae): the prior's Gaussians are made from noise by a network (Dilokthanakul et al. 2016).

The text's y is an example here and its x the code, as elsewhere in this library:

    w ~ N(0, I)     k ~ Cat(1/K)     z|k, w ~ N(mu_k(w), diag sigma^2_k(w))     x|z  the decoder
    q(z|x), q(w|x) Gaussian;  p(k|z, w) the exact posterior, proportional to N(z; mu_k(w), sigma^2_k(w))

    L = |x - xhat|^2 + sum_k p(k|z, w) KL(q(z|x) || p(z|w, k)) + KL(q(w|x) || N(0, I))
        + max(least, KL(p(k|z, w) || 1/K))

one draw of z and w for each example. Its clusters tend to merge, against which stands the minimum `least` below which
the last term has no gradient ("minimum information constraint"). New data: p(k|z, w) at the means.
Deviations: dense networks of this library's baselines in place of the text's; the squared error for all data.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxclust import losses
from jaxclust.methods.base import Functions, Method, Model, Result, presets
from jaxclust.methods.shared.autoencoder import sample_gaussian
from jaxclust.methods.shared.coders import CoderConfig, Coders, coders, of_gaussians
from jaxclust.methods.shared.config import ScalingConfig
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.outcome import outcome
from jaxclust.nn.variational import Gaussians
from jaxclust.numerics import entropy, fold_name, weighted_mean
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state, step_key
from jaxclust.typing import Array, Key, PyTree

FIRST_LOG_VARIANCE = -2.0


@dataclass(frozen=True)
class Config(ScalingConfig, CoderConfig):
    """Settings of gmvae."""

    n_clusters: int = 10
    """Number of clusters K."""
    noise_dim: int = 10
    """Size of w."""
    prior_hidden: int = 120
    """Units of the hidden layer that makes the Gaussians of w."""
    least: float = 0.5
    """Nats below which KL(p(k|z, w) || 1/K) has no gradient."""
    reconstruction_weight: float = 1.0
    """Weight of the squared error."""
    epochs: float = 300
    """Epochs of the training."""
    batch_size: int = 256
    """Most examples a batch; all batches of an epoch are of one size."""
    learning_rate: float = 1e-3
    """Learning rate (Adam)."""


def log_posterior_of(z: Array, mean: Array, variance: Array) -> Array:
    """log p(k|z, w), k uniform before: z (b, p), the Gaussians of w (b, K, p) twice -> (b, K)."""
    return jax.nn.log_softmax(losses.gaussian_log_density(z[:, None], mean, variance))


def modules(config: Config, extent: Extent) -> tuple[Coders, Gaussians]:
    """The pair whose encoder gives both posteriors, and the network of the prior."""
    pair = coders(config, extent, outputs=2 * (config.latent_dim + config.noise_dim))
    return pair, Gaussians(config.n_clusters, config.latent_dim, config.prior_hidden)


def training(config: Config, extent: Extent) -> Training:
    """The training of all networks. extra: 'stats' of encoder and decoder."""
    adam, (pair, gaussians) = optax.adam(config.learning_rate), modules(config, extent)
    heads = of_gaussians(config.latent_dim, config.noise_dim)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = pair.init(fold_name(key, "coders"), batch_shape[0])
        params["prior"] = gaussians.init(fold_name(key, "prior"), jnp.zeros((1, config.noise_dim)))["params"]
        return new_state(params, adam, {"stats": stats}, key)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, PyTree]:
        x, weight = pair.target(batch.image), batch.weight
        seen, stats = pair.encode(params, state.extra["stats"], pair.random(state, batch.image), weight)
        (mean, log_var), (noise_mean, noise_log_var) = heads(seen, FIRST_LOG_VARIANCE)
        z = sample_gaussian(step_key(state, "posterior"), mean, log_var)
        w = sample_gaussian(step_key(state, "noise"), noise_mean, noise_log_var)
        prior_mean, prior_var = gaussians.apply({"params": params["prior"]}, w)
        posterior = jnp.exp(log_posterior_of(z, prior_mean, prior_var))
        kl = losses.gaussian_kl(mean[:, None], jnp.exp(log_var)[:, None], prior_mean, prior_var)
        output, stats = pair.decode(params, stats, z, weight)
        information = weighted_mean(jnp.log(config.n_clusters) - entropy(posterior), weight)
        error = losses.gaussian_reconstruction(output, x)
        terms = {
            "reconstruction": config.reconstruction_weight * weighted_mean(error, weight),
            "codes": weighted_mean((posterior * kl).sum(-1), weight),
            "noise": weighted_mean(losses.kl_standard_normal(noise_mean, noise_log_var).sum(-1), weight),
            "clusters": jnp.maximum(config.least, information),
        }
        return sum(terms.values(), jnp.zeros(())), (stats, terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        terms["loss"] = sum(terms.values(), jnp.zeros(()))
        return advance(state, grads, adam, {"stats": stats}), terms

    return Training(init, step)


def fit(job: Job[Config]) -> Result:
    """One phase, 'training'."""
    state = job.train("training", training(job.config, job.extent), job.config.epochs)
    arrays = jax.device_get({"params": state.params, "stats": state.extra["stats"]})
    meta = {"config": asdict(job.config), **job.extent.to_meta()}
    return outcome(Model(meta, arrays, restore(meta)), job.images, {}, latent_dim=job.config.latent_dim)


def functions(config: Config, extent: Extent) -> Functions:
    """What a fitted one can do: a cluster's centroid is its Gaussian's mean at w = 0, samples draw w too."""
    pair, gaussians = modules(config, extent)
    heads = of_gaussians(config.latent_dim, config.noise_dim)

    def means(arrays: PyTree, images: Array) -> tuple[Array, Array]:
        (z, _), (w, _) = heads(pair.embed(arrays["params"], arrays["stats"], images), FIRST_LOG_VARIANCE)
        return z, w

    def prior(arrays: PyTree, w: Array) -> tuple[Array, Array]:
        return gaussians.apply({"params": arrays["params"]["prior"]}, w)

    def embed(arrays: PyTree, images: Array) -> Array:
        return means(arrays, images)[0]

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        z, w = means(arrays, images)
        return log_posterior_of(z, *prior(arrays, w))

    def decode(arrays: PyTree, latent: Array, cluster: Array | None = None) -> Array:
        return pair.picture(arrays["params"], arrays["stats"], latent)

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        k_noise, k_code = jax.random.split(key)
        mean, var = prior(arrays, jax.random.normal(k_noise, (n, config.noise_dim)))
        noise = jax.random.normal(k_code, (n, config.latent_dim))
        return decode(arrays, mean[:, cluster] + jnp.sqrt(var[:, cluster]) * noise)

    def reconstruct(arrays: PyTree, images: Array) -> Array:
        return decode(arrays, embed(arrays, images))

    def centroids(arrays: PyTree) -> Array:
        return prior(arrays, jnp.zeros((1, config.noise_dim)))[0][0]

    return Functions(
        embed=embed,
        log_posterior=log_posterior,
        sample=sample,
        reconstruct=reconstruct,
        decode=decode,
        centroids=centroids,
    )


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return functions(Config(**meta["config"]), Extent.from_meta(meta))


METHOD = Method(
    name="gmvae",
    title="Gaussian mixture VAE: the mixture's Gaussians are made from noise by a network",
    source="Dilokthanakul et al., Deep unsupervised clustering with Gaussian mixture variational autoencoders, 2016",
    Config=Config,
    presets=presets(Config(epochs=100)),
    fit=fit,
    restore=restore,
)
