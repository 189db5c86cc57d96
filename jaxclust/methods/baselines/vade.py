"""Variational deep embedding (vade): a VAE with a mixture as prior, started by an autoencoder (Jiang et al. 2017).

    c ~ Cat(pi)      z|c ~ N(mu_c, diag sigma^2_c)      x|z  the decoder      q(z|x) = N(m, diag s^2)

    g_c = q(c|x) = p(c|z) = pi_c N(z; mu_c, sigma^2_c) / sum_b pi_b N(z; mu_b, sigma^2_b)
    L = |x - xhat|^2 + sum_c g_c KL(q(z|x) || p(z|c)) + sum_c g_c log(g_c / pi_c)

pi, mu and sigma^2 are parameters. Start: an autoencoder alone, then a mixture of its codes, diagonal covariances (the
text pre-trains layer by layer; here at once). q(z|x)'s log-variance begins at -4, so that codes are first what the
autoencoder made of them. New data: g at z = m.
Deviations: the squared error for all data (the text's decoder is Bernoulli for MNIST); leaky ReLU and Adam at a
constant rate, as in the other baselines; log-variances of q(z|x) are clipped to +-10.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxclust import losses
from jaxclust.methods.base import Functions, Method, Result, presets
from jaxclust.methods.baselines.centroids import CodeConfig, finished, functions, pretrained
from jaxclust.methods.shared.autoencoder import sample_gaussian
from jaxclust.methods.shared.coders import Coders, coders, of_gaussians
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.job import Job
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state, step_key
from jaxclust.typing import Array, Key, PyTree

FIRST_LOG_VARIANCE = -4.0


@dataclass(frozen=True)
class Config(CodeConfig):
    """Settings of vade."""

    epochs: float = 300
    """Epochs of the joint training."""
    reconstruction_weight: float = 1.0
    """Weight of the squared error."""


def log_responsibilities(prior: Mapping[str, Array], z: Array) -> Array:
    """log p(c|z): z (b, p), 'logits' (K,), 'mean' and 'log_var' (K, p) -> (b, K)."""
    density = losses.gaussian_log_density(z[:, None], prior["mean"], jnp.exp(prior["log_var"]))
    return jax.nn.log_softmax(jax.nn.log_softmax(prior["logits"]) + density)


def divergence(prior: Mapping[str, Array], z: Array, mean: Array, log_var: Array) -> Array:
    """sum_c g_c KL(q(z|x) || p(z|c)) + sum_c g_c log(g_c / pi_c), (b, p) three times -> (b,)."""
    log_g = log_responsibilities(prior, z)
    kl = losses.gaussian_kl(mean[:, None], jnp.exp(log_var)[:, None], prior["mean"], jnp.exp(prior["log_var"]))
    return (jnp.exp(log_g) * (kl + log_g - jax.nn.log_softmax(prior["logits"]))).sum(-1)


def joint(config: Config, pair: Coders) -> Training:
    """The training of network and mixture. extra: 'stats' of the networks."""
    adam, heads = optax.adam(config.learning_rate), of_gaussians(config.latent_dim)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = pair.init(fold_name(key, "coders"), batch_shape[0])
        shape = (config.n_clusters, config.latent_dim)
        mean = jax.random.normal(fold_name(key, "prior"), shape)
        params["prior"] = {"logits": jnp.zeros(config.n_clusters), "mean": mean, "log_var": jnp.zeros(shape)}
        return new_state(params, adam, {"stats": stats}, key)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, PyTree]:
        x, weight = pair.target(batch.image), batch.weight
        seen, stats = pair.encode(params, state.extra["stats"], pair.random(state, batch.image), weight)
        ((mean, log_var),) = heads(seen, FIRST_LOG_VARIANCE)
        z = sample_gaussian(step_key(state, "posterior"), mean, log_var)
        output, stats = pair.decode(params, stats, z, weight)
        error = losses.gaussian_reconstruction(output, x)
        terms = {
            "reconstruction": config.reconstruction_weight * weighted_mean(error, weight),
            "divergence": weighted_mean(divergence(params["prior"], z, mean, log_var), weight),
        }
        return sum(terms.values(), jnp.zeros(())), (stats, terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        terms["loss"] = sum(terms.values(), jnp.zeros(()))
        return advance(state, grads, adam, {"stats": stats}), terms

    return Training(init, step)


def mixture(codes: np.ndarray, n_clusters: int, seed: int) -> dict[str, np.ndarray]:
    """A mixture of diagonal covariances of codes (n, p), by scikit-learn: 'logits', 'mean', 'log_var', 'labels'."""
    from sklearn.mixture import GaussianMixture

    found = GaussianMixture(n_clusters, covariance_type="diag", random_state=seed, n_init=5, reg_covar=1e-4).fit(codes)
    return {
        "logits": np.log(np.maximum(found.weights_, 1e-6)).astype(np.float32),
        "mean": found.means_.astype(np.float32),
        "log_var": np.log(found.covariances_).astype(np.float32),
        "labels": found.predict(codes).astype(np.int32),
    }


def fit(job: Job[Config]) -> Result:
    """Phases: 'autoencoder', 'mixture' of its codes on the host, 'joint'."""
    config, pair = job.config, wide(job.config, job.extent)
    training = joint(config, pair)
    before = pretrained(job, first_half(config, pair))
    first = job.compute("mixture", lambda: mixture(before.codes, config.n_clusters, job.seed("mixture")))
    state = initial(training, fold_name(job.key, "joint"), (1, *job.shape))
    params = {**before.params, "prior": {name: first[name] for name in ("logits", "mean", "log_var")}}
    state = state._replace(params=params, extra={"stats": before.stats})
    state = job.train("joint", training, config.epochs, state=state)
    params = dict(state.params)
    prior = params.pop("prior")
    arrays = {"params": params, "stats": state.extra["stats"], "prior": prior, "centroids": prior["mean"]}
    return finished(job, functions_of(config, pair), arrays, {"mixture": first["labels"]})


def wide(config: Config, extent: Extent) -> Coders:
    """The pair whose encoder gives mean and log-variance side by side (b, 2 p), and whose decoder takes z (b, p)."""
    return coders(config, extent, outputs=2 * config.latent_dim)


def first_half(config: Config, pair: Coders) -> Coders:
    """The same as an autoencoder: its code is the mean."""

    def encode(params: PyTree, stats: PyTree, x: Array, weight: Array) -> tuple[Array, PyTree]:
        seen, stats = pair.encode(params, stats, x, weight)
        return seen[:, : config.latent_dim], stats

    def embed(params: PyTree, stats: PyTree, images: Array) -> Array:
        return pair.embed(params, stats, images)[:, : config.latent_dim]

    return pair._replace(encode=encode, embed=embed)


def functions_of(config: Config, pair: Coders) -> Functions:
    """What a fitted one can do; samples are of p(z|c)."""

    def assign(arrays: PyTree, codes: Array) -> Array:
        return log_responsibilities(arrays["prior"], codes)

    can = functions(first_half(config, pair), assign)
    assert can.decode is not None
    decode = can.decode

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        prior = arrays["prior"]
        noise = jax.random.normal(key, (n, config.latent_dim))
        z = prior["mean"][cluster] + jnp.exp(0.5 * prior["log_var"][cluster]) * noise
        return decode(arrays, z, cluster)

    return replace(can, sample=sample)


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    config = Config(**meta["config"])
    return functions_of(config, wide(config, Extent.from_meta(meta)))


METHOD = Method(
    name="vade",
    title="variational deep embedding: a VAE with a Gaussian mixture as prior, started by an autoencoder",
    source="Jiang et al., Variational deep embedding: an unsupervised and generative approach, IJCAI 2017",
    Config=Config,
    presets=presets(Config(pretrain_epochs=50, epochs=50)),
    fit=fit,
    restore=restore,
)
