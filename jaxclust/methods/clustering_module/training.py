"""The losses (eq. 7 and 10) and the trainings."""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxclust import losses
from jaxclust.methods.clustering_module.config import AEConfig, Config
from jaxclust.methods.clustering_module.model import Module, centroids_of, log_responsibilities, random_module
from jaxclust.methods.shared.coders import Coders
from jaxclust.methods.shared.extent import Extent, vectors
from jaxclust.numerics import fold_name, product
from jaxclust.train.optimisers import damped_adam
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state
from jaxclust.typing import Array, Key, PyTree

PRIOR = 0.75  # of the examples of a batch, as which alpha 'auto' counts

# Losses


def cm_terms(module: Module, x: Array, weight: Array, alpha: Array) -> dict[str, Array]:
    """The four terms of L_CM (eq. 7), which is their sum: x (b, d), weight (b,), alpha (K,)."""
    g, mu = jnp.exp(log_responsibilities(module, x)), centroids_of(module)
    return {
        "reconstruction": (weight * losses.gaussian_reconstruction(product(g, mu), x)).sum(),
        "sparsity": (weight * losses.responsibility_sparsity(g, (mu**2).sum(-1))).sum(),
        "overlap": -(weight * losses.responsibility_overlap(g, mu)).sum(),
        "balance": losses.dirichlet_balance(g, weight, alpha),
    }


def ae_cm_terms(module: Module, z: Array, weight: Array, alpha: Array, orthonormality: float) -> dict[str, Array]:
    """The terms of eq. 10 but for the autoencoder's: z (b, p), weight (b,), alpha (K,)."""
    g, mu = jnp.exp(log_responsibilities(module, z)), centroids_of(module)
    return {
        "module_reconstruction": (weight * losses.gaussian_reconstruction(product(g, mu), z)).sum(),
        "sparsity": (weight * losses.responsibility_sparsity(g)).sum(),
        "balance": losses.dirichlet_balance(g, weight, alpha),
        "orthonormality": orthonormality * losses.orthonormality(mu),
    }


def guided_terms(module: Module, z: Array, labels: Array, weight: Array, orthonormality: float) -> dict[str, Array]:
    """The same with responsibilities that are given, labels (b,), -1 unknown; the encoder learns them by -log g."""
    mu, known = centroids_of(module), weight * (labels >= 0)
    log_g = jnp.take_along_axis(log_responsibilities(module, z), labels[:, None], 1)[:, 0]
    return {
        "module_reconstruction": (known * losses.gaussian_reconstruction(mu[labels], z)).sum(),
        "guidance": -(known * log_g).sum(),
        "orthonormality": orthonormality * losses.orthonormality(mu),
    }


# Trainings


class Length(NamedTuple):
    """Steps of a training, and of the averaging epoch at its end."""

    steps: int
    averaged: int


def averaged(mean: PyTree, params: PyTree, step: Array, length: Length) -> PyTree:
    """The mean of the parameters over the averaging epoch up to this step; before it, `mean` as it is."""
    count = step - (length.steps - length.averaged) + 1

    def update() -> PyTree:
        return jax.tree.map(lambda m, p: m + (p - m) / count, mean, params)

    return jax.lax.cond(count > 0, update, lambda: mean)


@lru_cache(32)
def clustering_module(config: Config, n_clusters: int, dim: int, length: Length, extent: Extent | None) -> Training:
    """The training of the module alone, on images of that extent or on codes (b, dim). extra: 'mean', the averaged
    parameters."""
    adam = damped_adam(config.learning_rate)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params = {"module": random_module(fold_name(key, "module"), n_clusters, dim)}
        return new_state(params, adam, {"mean": jax.tree.map(jnp.zeros_like, params)}, key)

    def loss(params: PyTree, batch: Batch) -> tuple[Array, PyTree]:
        x = batch.image if extent is None else vectors(extent, batch.image)
        alpha = concentrations(config, n_clusters, batch.weight)
        terms = cm_terms(params["module"], x, batch.weight, alpha)
        return sum(terms.values(), jnp.zeros(())), terms

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, terms = jax.grad(loss, has_aux=True)(state.params, batch)
        new = advance(state, grads, adam, {})
        mean = averaged(state.extra["mean"], new.params, state.step, length)
        return new._replace(extra={"mean": mean}), per_example(terms, batch)

    def log_posterior(state: TrainState, images: Array) -> Array:
        x = images if extent is None else vectors(extent, images)
        return log_responsibilities(state.extra["mean"]["module"], x)

    return Training(init, step, log_posterior=log_posterior)


@lru_cache(32)
def ae_clustering_module(
    config: AEConfig, n_clusters: int, length: Length, pair: Coders, guided: bool = False
) -> Training:
    """The joint training of autoencoder and module. extra: 'mean' as above, the coders' 'stats', and 'labels' (n,)
    if it is guided by these."""
    adam = damped_adam(config.learning_rate, length.steps, config.schedule)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = pair.init(fold_name(key, "coders"), batch_shape[0])
        params["module"] = random_module(fold_name(key, "module"), n_clusters, config.latent_dim)
        mean = jax.tree.map(jnp.zeros_like, settled(params, stats))
        return new_state(params, adam, {"mean": mean, "stats": stats}, key)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, tuple[PyTree, PyTree]]:
        x, weight = pair.target(batch.image), batch.weight
        z, stats = pair.encode(params, state.extra["stats"], pair.random(state, batch.image), weight)
        output, stats = pair.decode(params, stats, z, weight)
        if guided:
            labels = state.extra["labels"][batch.index]
            terms = guided_terms(params["module"], z, labels, weight, config.orthonormality)
        else:
            alpha = concentrations(config, n_clusters, weight)
            terms = ae_cm_terms(params["module"], z, weight, alpha, config.orthonormality)
        terms["reconstruction"] = config.beta * (weight * losses.gaussian_reconstruction(output, x)).sum()
        return sum(terms.values(), jnp.zeros(())), (stats, terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        new = advance(state, grads, adam, {})
        mean = averaged(state.extra["mean"], settled(new.params, stats), state.step, length)
        return new._replace(extra={**state.extra, "mean": mean, "stats": stats}), per_example(terms, batch)

    return Training(init, step)


def settled(params: PyTree, stats: PyTree) -> PyTree:
    """What is averaged: all parameters; the module's alone where running statistics belong to the last ones."""
    return {"module": params["module"]} if jax.tree.leaves(stats) else params


def concentrations(config: Config, n_clusters: int, weight: Array) -> Array:
    """alpha as (K,) for a batch of examples with weight (b,), 0 or 1.

    'auto': what the prior adds to the counts of all clusters is PRIOR of the batch, however many there are. For the
    text's batch and clusters on USPS this gives its alpha of 20.
    """
    alpha = 1.0 + PRIOR * weight.sum() / n_clusters if config.alpha == "auto" else jnp.array(config.alpha)
    return jnp.broadcast_to(alpha, (n_clusters,))


def per_example(terms: dict[str, Array], batch: Batch) -> dict[str, Array]:
    """Sums over the batch as means, with their sum as 'loss'."""
    return {name: term / batch.weight.sum() for name, term in {**terms, "loss": sum(terms.values())}.items()}
