"""A small method with the full contract, so that the shell around the methods is tested in seconds.

Two phases: `seeds` on the host (k-means++ on a few points), `centres` on the device (soft k-means by gradient descent).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxclust.data import prepare
from jaxclust.methods.base import Functions, Method, Model, Result
from jaxclust.methods.shared.job import Job
from jaxclust.numerics import squared_distances, weighted_mean
from jaxclust.train.inference import apply_in_batches
from jaxclust.train.phases import Phases
from jaxclust.train.training import Training, advance, new_state, step_key, to_unit

POINTS = 1000  # the first, that k-means++ sees


@dataclass(frozen=True)
class ToyConfig:
    """Soft k-means.

    n_clusters: how many, or 'auto' for three.
    latent_dim: columns of the embedding, the first pixels.
    """

    n_clusters: int | Literal["auto"] = "auto"
    latent_dim: int = 2
    epochs: float = 40
    batch_size: int = 20
    learning_rate: float = 0.02
    noise: float = 0.01
    likelihood: Literal["auto", "bernoulli", "gaussian"] = "auto"
    only_one: bool = False


def _flat(images: jax.Array) -> jax.Array:
    return to_unit(images).reshape(len(images), -1)


def _log_posterior(centres: jax.Array, images: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(-4.0 * squared_distances(_flat(images), centres))


@cache
def _step(learning_rate: float, noise: float) -> Any:
    """Cached, so that many fits share one compilation."""
    optimiser = optax.adam(learning_rate)

    def step(state: Any, batch: Any) -> Any:
        def loss(params: Any) -> jax.Array:
            jitter = noise * jax.random.uniform(step_key(state, "jitter"), params["centres"].shape)
            distances = squared_distances(_flat(batch.image), params["centres"] + jitter)
            nearest = jnp.take_along_axis(distances, distances.argmin(1, keepdims=True), 1)[:, 0]
            return weighted_mean(nearest, batch.weight)  # not of the minimum: its gradient compares rounded numbers

        value, grads = jax.value_and_grad(loss)(state.params)
        extra = {"seen": state.extra["seen"] + batch.weight.sum()}
        return advance(state, grads, optimiser, extra), {"inertia": value}

    return step


def make(config: ToyConfig, centres: np.ndarray) -> Training:
    def init(key: jax.Array, batch_shape: tuple[int, ...]) -> Any:
        optimiser = optax.adam(config.learning_rate)
        return new_state({"centres": jnp.asarray(centres)}, optimiser, {"seen": jnp.zeros(())}, key)

    def log_posterior(state: Any, images: jax.Array) -> jax.Array:
        return _log_posterior(state.params["centres"], images)

    step = _step(config.learning_rate, config.noise)
    return Training(init, step, lambda state, images: _flat(images)[:, :2], log_posterior)


def restore(meta: Any) -> Functions:
    return _functions(tuple(meta["shape"]), meta["latent_dim"])


@cache
def _functions(shape: tuple[int, ...], latent_dim: int) -> Functions:
    def sample(arrays: Any, key: jax.Array, n: int, cluster: jax.Array) -> jax.Array:
        noise = 0.05 * jax.random.uniform(key, (n, *shape), minval=-1.0)
        return jnp.clip(arrays["centres"][cluster].reshape(shape) + noise, 0.0, 1.0)

    def reconstruct(arrays: Any, images: jax.Array) -> jax.Array:
        return arrays["centres"][_log_posterior(arrays["centres"], images).argmax(1)].reshape(-1, *shape)

    return Functions(
        embed=lambda arrays, images: _flat(images)[:, :latent_dim],
        log_posterior=lambda arrays, images: _log_posterior(arrays["centres"], images),
        sample=sample,
        reconstruct=reconstruct,
    )


def fit(job: Job[ToyConfig]) -> Result:
    config = job.config
    n_clusters = 3 if config.n_clusters == "auto" else config.n_clusters
    if config.only_one:
        n_clusters = 1

    def find_seeds() -> dict[str, np.ndarray]:
        from sklearn.cluster import kmeans_plusplus

        flat = np.asarray(_flat(jnp.asarray(job.images[:POINTS])))
        chosen, _ = kmeans_plusplus(flat, n_clusters, random_state=job.seed("seeds"))
        return {"centres": chosen.astype(np.float32)}

    centres = job.compute("seeds", find_seeds)["centres"]
    training = make(config, centres)
    state = job.train("centres", training, config.epochs)
    meta = {"shape": job.shape, "latent_dim": config.latent_dim}
    model = Model(meta, {"centres": state.params["centres"]}, restore(meta))
    probabilities = np.exp(apply_in_batches(model.functions.log_posterior, model.arrays, job.images))
    labels = probabilities.argmax(1).astype(np.int32)
    return Result(
        model,
        labels,
        probabilities,
        probabilities.max(1) < 0.5,
        apply_in_batches(model.functions.embed, model.arrays, job.images),
        {"reconstruction": labels},
        {"n_clusters": n_clusters, "latent_dim": config.latent_dim, "expert_latent_dims": None},
        {},
    )


METHOD = Method(
    "toy", "soft k-means, for tests", "nobody, 2026", ToyConfig,
    {"quick": ToyConfig(), "full": ToyConfig(epochs=60), "paper": ToyConfig(epochs=400)}, fit, restore,
)  # fmt: skip


def job(config: Any, images: np.ndarray, phases: Phases | None = None, seed: int = 0) -> Job[Any]:
    """What a method's fit is given, of images that are prepared already."""
    return Job(config, images, prepare.plan(images), jax.random.key(seed), phases or Phases())


def blobs(n: int = 150, seed: int = 0, kinds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8, 8) uint8 images of three kinds, or of so many, and their classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % kinds
    centres = np.random.default_rng(99).integers(30, 226, (kinds, 8, 8))
    noisy = centres[labels] + rng.normal(0, 12, (n, 8, 8))
    return np.clip(noisy, 0, 255).astype(np.uint8), labels.astype(np.int64)
