"""The ELBO with an augmentation loss (eq. 13 and 14), and the trainings."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxclust import losses
from jaxclust.methods.shared.lengths import epochs_of, per_epoch
from jaxclust.methods.vc.config import Config
from jaxclust.methods.vc.model import Inferred, Networks
from jaxclust.numerics import entropy, fold_name, weighted_mean
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state, step_key
from jaxclust.typing import Array, Key, PyTree

# Loss


class Active(NamedTuple):
    """The clusters (b, j) that are decoded for an example, and their weights (b, j) in a sum over all k."""

    clusters: Array
    weights: Array


def active(key: Key, log_q: Array, count: int) -> Active:
    """All clusters, weighted by q(k|x), where `count` is at least K. Else the count - 1 likeliest, and one that is
    drawn from the rest: its weight is the rest's probability, and changes with the parameters as its own."""
    n_clusters = log_q.shape[1]
    if count >= n_clusters:
        return Active(jnp.broadcast_to(jnp.arange(n_clusters), log_q.shape), jnp.exp(log_q))
    log_top, top = lax.top_k(log_q, count - 1)
    rest = jnp.where(jax.nn.one_hot(top, n_clusters).sum(1) > 0, -jnp.inf, lax.stop_gradient(log_q))
    drawn = jax.random.categorical(key, rest)[:, None]
    log_drawn = jnp.take_along_axis(log_q, drawn, 1)
    weight = jnp.exp(jax.nn.logsumexp(rest, -1, keepdims=True) + log_drawn - lax.stop_gradient(log_drawn))
    return Active(jnp.concatenate([top, drawn], 1), jnp.concatenate([jnp.exp(log_top), weight], 1))


def expected(weights: Array, values: Array) -> Array:
    """sum_k w_k v_k, (b, j) twice -> (b,), as v_0 + sum_k w_k (v_k - v_0), v_0 a constant: the same where weights sum
    to one, with a gradient of small variance where one of them stands for several."""
    baseline = lax.stop_gradient(values[:, :1])
    return baseline[:, 0] + (weights * (values - baseline)).sum(-1)


class Evidence(NamedTuple):
    """The parts of the ELBO of each example, (b,) in nats."""

    log_likelihood: Array
    entropy: Array
    kl: Array

    def elbo(self, reconstruction_weight: Array | float = 1.0) -> Array:
        """Eq. 13: (b,)."""
        return reconstruction_weight * self.log_likelihood + self.entropy - self.kl


def evidence(
    nets: Networks, params: PyTree, stats: PyTree, key: Key, x: Array, seen: Inferred, at: Active, weight: Array | None
) -> tuple[Evidence, tuple[Array, Array], PyTree]:
    """The parts of the ELBO of x (b, ...), with one z for each active cluster; q(z|x, k) of these; new stats.

    weight: (b,) for batch statistics, to which a decoding adds what its cluster's weight is; None takes kept ones.
    """
    mean, var = nets.posterior(params, seen.features, at.clusters)
    prior_mean, prior_var = nets.prior(params, jax.nn.one_hot(at.clusters, seen.log_q.shape[1]))
    b, j, p = mean.shape
    z = mean + jnp.sqrt(var) * jax.random.normal(key, mean.shape)
    share = None if weight is None else lax.stop_gradient(weight[:, None] * at.weights).reshape(-1)
    output, stats = nets.decode(params, stats, z.reshape(b * j, p), share)
    log_likelihood = nets.log_likelihood(output, jnp.repeat(x, j, 0)).reshape(b, j)
    kl = losses.gaussian_kl(mean, var, prior_mean, prior_var)
    parts = Evidence(expected(at.weights, log_likelihood), entropy(jnp.exp(seen.log_q)), expected(at.weights, kl))
    return parts, (mean, var), stats


def disagreement(q: Array, moved_q: Array) -> Array:
    """sum_k (q(k|x) - q(k|x^))^2: (b, K) twice -> (b,) (eq. 14)."""
    return ((q - moved_q) ** 2).sum(-1)


# Trainings


class Schedules(NamedTuple):
    """lambda_recons and lambda_aug: their values, and the steps at which the next one begins."""

    reconstruction: tuple[tuple[float, ...], tuple[int, ...]]
    consistency: tuple[tuple[float, ...], tuple[int, ...]]


def schedules_of(config: Config, n: int, size: int | None) -> Schedules:
    """The schedules of both weights, in steps. size: numbers in an image, None for features."""
    scale = config.reconstruction_size / size if config.reconstruction_size and size else 1.0

    def begins(epochs: tuple[float, ...]) -> tuple[int, ...]:
        return tuple(round(epochs_of(config, epoch, n) * per_epoch(config, n)) for epoch in epochs)

    return Schedules(
        (tuple(scale * weight for weight in config.reconstruction_weights), begins(config.reconstruction_epochs)),
        (config.consistency_weights, begins(config.consistency_epochs)),
    )


def value_at(step: Array, schedule: tuple[tuple[float, ...], tuple[int, ...]]) -> Array:
    """The value of that step: ()."""
    values, begins = schedule
    return jnp.asarray(values)[(step >= jnp.asarray(begins, jnp.int32)).sum()]


@lru_cache(32)
def variational_clustering(config: Config, n_clusters: int, nets: Networks, schedules: Schedules) -> Training:
    """The training by L. extra: 'stats' of the networks."""
    adam = optax.adam(config.learning_rate)
    count = n_clusters if config.active_clusters == "all" else config.active_clusters

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
        x, weight = nets.target(batch.image), batch.weight
        augmented = nets.augment(step_key(state, "augment"), x)
        both, weights = jnp.concatenate([x, augmented]), jnp.concatenate([weight, weight])
        seen, stats = nets.infer(params, state.extra["stats"], both, weights)
        at = active(step_key(state, "clusters"), seen.log_q, count)
        parts, (mean, var), stats = evidence(nets, params, stats, step_key(state, "posterior"), both, seen, at, weights)
        b = len(x)
        first = Active(at.clusters[:b], at.weights[:b])
        if count >= n_clusters:
            moved_mean, moved_var = mean[b:], var[b:]
        else:
            moved_mean, moved_var = nets.posterior(params, seen.features[b:], first.clusters)
        distance = losses.squared_wasserstein(mean[:b], var[:b], moved_mean, moved_var)
        q = jnp.exp(seen.log_q)
        terms = {
            "elbo": weighted_mean(parts.elbo(value_at(state.step, schedules.reconstruction)), weights),
            "log_likelihood": weighted_mean(parts.log_likelihood, weights),
            "kl": weighted_mean(parts.kl, weights),
            "entropy": weighted_mean(parts.entropy, weights),
            "cluster_disagreement": weighted_mean(disagreement(q[:b], q[b:]), weight),
            "code_distance": weighted_mean(expected(first.weights, distance), weight),
        }
        agree = jnp.zeros(())
        if config.consistency in ("both", "clusters"):
            agree += terms["cluster_disagreement"]
        if config.consistency in ("both", "codes"):
            agree += terms["code_distance"]
        total = -terms["elbo"] + value_at(state.step, schedules.consistency) * agree
        return total, (stats, {**terms, "loss": total})

    return _training(nets, adam, loss)


@lru_cache(32)
def guided(config: Config, nets: Networks, schedules: Schedules) -> Training:
    """The training with clusters that are given, 'labels' (n,) in extra, -1 unknown: they stand in for q(k|x), one-hot,
    and it learns them by -log q(k|x). Of x^ alone, without L_aug, with the first lambda_recons."""
    adam = optax.adam(config.learning_rate)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
        x = nets.augment(step_key(state, "augment"), nets.target(batch.image))
        labels = state.extra["labels"][batch.index]
        known, labels = batch.weight * (labels >= 0), jnp.maximum(labels, 0)
        seen, stats = nets.infer(params, state.extra["stats"], x, batch.weight)
        at = Active(labels[:, None], jnp.ones((len(x), 1)))
        parts, _, stats = evidence(nets, params, stats, step_key(state, "posterior"), x, seen, at, known)
        value = parts.elbo(schedules.reconstruction[0][0]) - parts.entropy
        terms = {
            "elbo": weighted_mean(value, known),
            "guidance": -weighted_mean(jnp.take_along_axis(seen.log_q, labels[:, None], 1)[:, 0], known),
        }
        return terms["guidance"] - terms["elbo"], (stats, {**terms, "loss": terms["guidance"] - terms["elbo"]})

    return _training(nets, adam, loss)


def _training(nets: Networks, adam: optax.GradientTransformation, loss: Any) -> Training:
    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = nets.init(fold_name(key, "networks"))
        return new_state(params, adam, {"stats": stats}, key)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        return advance(state, grads, adam, {**state.extra, "stats": stats}), terms

    return Training(init, step)
