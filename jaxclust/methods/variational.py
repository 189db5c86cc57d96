"""Variational Clustering (vc): a VAE whose prior is a mixture of Gaussians, learned from scratch (Prasad et al. 2020).

    k ~ Cat(1/K)      z|k ~ N(mu_beta(e_k), diag sigma^2_beta(e_k))      x|z ~ Bernoulli or Gaussian, by a decoder
    q(z, k|x) = q(k|x) q(z|x, k)     q(k|x) a softmax, q(z|x, k) = N(mu_psi(x, e_k), diag sigma^2_psi(x, e_k))

k is summed over, so nothing discrete is drawn (eq. 13; one z for every k):

    ELBO(x) = lambda_recons sum_k q(k|x) log p(x|z_k) + H[q(k|x)] - sum_k q(k|x) KL(q(z|x, k) || p(z|k))

x^ is x transformed at random; both are encoded, and should agree (eq. 14 and 17):

    L_aug(x, x^) = sum_k (q(k|x) - q(k|x^))^2 + sum_k q(k|x) W2(q(z|x, k), q(z|x^, k))
    L = - mean of ELBO(x) and ELBO(x^) + lambda_aug L_aug                                             (eq. 18)

log p(k) = -log K is left out, as in the text. With `active_clusters` j < K the sums over k of log p(x|z_k), KL and W2
have j terms: the j - 1 likeliest clusters, and one drawn from the others, in their proportions, that stands for them
all. The gradient's expectation is that of the whole sum (Liu et al., Rao-Blackwellized stochastic gradients, 2019).

Beyond the text: the start 'manifold'. Random starts often end with fewer clusters than asked. Here density clusters of
UMAPs of a VAE's codes (host/clusters.py) take the place of q(k|x) for some epochs, and q(k|x) learns them; then L.
Several `restarts` are trained, and one is kept by a `choice` that needs no label.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxclust import losses
from jaxclust.data.augment import NONE
from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images, take
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Functions, Method, Model, Result, System, known_fields
from jaxclust.methods.parts.autoencoder import AutoencoderSpec, autoencoder
from jaxclust.methods.parts.coders import frame, inputs_of
from jaxclust.methods.parts.first_clusters import first_clusters
from jaxclust.methods.parts.networks import compute_type
from jaxclust.methods.parts.outcome import frame_of, outcome, with_clusters
from jaxclust.methods.parts.population import Restarts, over_members, pick
from jaxclust.methods.parts.variational_config import QUICK, Config, augmentation
from jaxclust.methods.parts.variational_model import Inferred, Networks, functions
from jaxclust.numerics import entropy, fold_name, weighted_mean
from jaxclust.train import loop
from jaxclust.train.phases import Phases
from jaxclust.train.state import advance, new_state, step_key
from jaxclust.typing import Array, Batch, Key, PyTree, TrainState

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


class Plan(NamedTuple):
    """lambda_recons and lambda_aug: their values, and the steps at which the next one begins."""

    reconstruction: tuple[tuple[float, ...], tuple[int, ...]]
    consistency: tuple[tuple[float, ...], tuple[int, ...]]


def stretch(step: Array, plan: tuple[tuple[float, ...], tuple[int, ...]]) -> Array:
    """The value of that step: ()."""
    values, begins = plan
    return jnp.asarray(values)[(step >= jnp.asarray(begins, jnp.int32)).sum()]


@lru_cache(32)
def variational_clustering(config: Config, n_clusters: int, nets: Networks, plan: Plan) -> Method:
    """The training by L. extra: 'stats' of the networks."""
    adam = optax.adam(config.learning_rate)
    count = n_clusters if config.active_clusters == "all" else config.active_clusters

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
        x, weight = nets.target(batch.image), batch.weight
        moved = nets.moved(step_key(state, "augment"), x)
        both, weights = jnp.concatenate([x, moved]), jnp.concatenate([weight, weight])
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
            "elbo": weighted_mean(parts.elbo(stretch(state.step, plan.reconstruction)), weights),
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
        total = -terms["elbo"] + stretch(state.step, plan.consistency) * agree
        return total, (stats, {**terms, "loss": total})

    return _training(nets, adam, loss)


@lru_cache(32)
def guided(config: Config, n_clusters: int, nets: Networks, plan: Plan) -> Method:
    """The training with clusters that are given, 'labels' (n,) in extra, -1 unknown: in their place q(k|x) is one-hot,
    and it learns them by -log q(k|x)."""
    adam = optax.adam(config.learning_rate)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
        x = nets.moved(step_key(state, "augment"), nets.target(batch.image))
        labels = state.extra["labels"][batch.index]
        known, labels = batch.weight * (labels >= 0), jnp.maximum(labels, 0)
        seen, stats = nets.infer(params, state.extra["stats"], x, batch.weight)
        at = Active(labels[:, None], jnp.ones((len(x), 1)))
        parts, _, stats = evidence(nets, params, stats, step_key(state, "posterior"), x, seen, at, known)
        value = parts.elbo(plan.reconstruction[0][0]) - parts.entropy
        terms = {
            "elbo": weighted_mean(value, known),
            "guidance": -weighted_mean(jnp.take_along_axis(seen.log_q, labels[:, None], 1)[:, 0], known),
        }
        return terms["guidance"] - terms["elbo"], (stats, {**terms, "loss": terms["guidance"] - terms["elbo"]})

    return _training(nets, adam, loss)


def _training(nets: Networks, adam: optax.GradientTransformation, loss: Any) -> Method:
    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = nets.init(fold_name(key, "networks"))
        return new_state(params, adam, {"stats": stats}, key)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        return advance(state, grads, adam, {**state.extra, "stats": stats}), terms

    return Method(init, step)


# The phases


def fit(config: Config, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """Phases: for the start 'manifold' a VAE ('autoencoder'), 'clusters' of its codes on the host and 'guided'; then
    'joint'; the choice of a restart."""
    view, n = frame(preprocess), len(images)
    Networks(config, config.max_clusters, view, preprocess.likelihood).check()
    found = manifold(config, images, preprocess, key, phases) if config.start == "manifold" else None
    first = None if found is None else found.labels
    n_clusters = config.max_clusters if found is None else found.memberships.shape[1]
    n_clusters = int(n_clusters if config.n_clusters == "auto" else config.n_clusters)
    nets = Networks(config, n_clusters, view, preprocess.likelihood)
    plan = plan_of(config, n, prod(view.shape) if len(view.shape) > 1 else None)
    size = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(nets.init, key)[0]))
    runs = Restarts(phases, key, config.restarts, config.batch_size, size, convolutional=len(view.shape) > 1)
    joint = variational_clustering(config, n_clusters, nets, plan)
    state = None
    if first is not None:
        state = runs.begun("joint", joint, images)
        fresh = runs.begun("guided", joint, images)
        fresh = fresh._replace(extra={**fresh.extra, "labels": np.broadcast_to(first, (config.restarts, n))})
        method = guided(config, n_clusters, nets, plan)
        last = runs.train("guided", method, images, epochs_of(config, config.guided_epochs, n), fresh)
        state = state._replace(params=last.params, extra={"stats": last.extra["stats"]})
    state = runs.train("joint", joint, images, epochs_of(config, config.epochs, n), state)
    stacked = {"params": state.params, "stats": state.extra["stats"]}
    result = chosen(config, n_clusters, nets, runs, stacked, images, preprocess, first)
    return with_clusters(result, found)


def manifold(config: Config, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Found:
    """Clusters by the density of UMAPs of a VAE's codes."""
    n = len(images)
    steps = loop.total_steps(epochs_of(config, config.pretrain_epochs, n), per_epoch(config, n))
    spec = AutoencoderSpec(
        latent_dim=config.latent_dim,
        likelihood=preprocess.likelihood,
        width=0.5,
        floor=32,
        learning_rate=2e-3,
        schedule="cosine",
        n_steps=steps,
        kl_weight=0.1,
        augmentation=augmentation(config) if config.augmentation == "images" else NONE,
        clean_target=True,
        form=config.form,
        dtype=compute_type(config.precision),
    )
    method = autoencoder(spec, preprocess.shape)
    state = phases.train(
        "autoencoder",
        method,
        images,
        key=fold_name(key, "autoencoder"),
        epochs=epochs_of(config, config.pretrain_epochs, n),
        batch_size=config.batch_size,
    )

    def codes(rows: np.ndarray) -> np.ndarray:
        return loop.in_batches(partial(jax.jit(method.embed), state), take(images, rows), together=False)

    inputs = partial(inputs_of, preprocess, images)
    return first_clusters(config, n, codes, key, phases, inputs=inputs, features=preprocess.kind == "features")


def epochs_of(config: Config, epochs: float, n: int) -> float:
    """Epochs of a training for which the config states `epochs`: more where n examples are few (`min_steps`)."""
    return epochs * max(1.0, config.min_steps / (config.epochs * per_epoch(config, n)))


def per_epoch(config: Config, n: int) -> int:
    """Batches that visit n examples once."""
    return -(-n // min(config.batch_size, n))


def plan_of(config: Config, n: int, size: int | None) -> Plan:
    """The schedules of both weights, in steps. size: numbers in an image, None for features."""
    scale = config.reconstruction_size / size if config.reconstruction_size and size else 1.0

    def begins(epochs: tuple[float, ...]) -> tuple[int, ...]:
        return tuple(round(epochs_of(config, epoch, n) * per_epoch(config, n)) for epoch in epochs)

    return Plan(
        (tuple(scale * weight for weight in config.reconstruction_weights), begins(config.reconstruction_epochs)),
        (config.consistency_weights, begins(config.consistency_epochs)),
    )


def answers(
    config: Config, n_clusters: int, nets: Networks, arrays: PyTree, key: Key, images: Array
) -> dict[str, Array]:
    """Of each example: log q(k|x) (n, K), its 'elbo' (n,) at one z, whether a transformed one has the same cluster."""
    x, stats = nets.target(images), arrays["stats"]
    seen, _ = nets.infer(arrays["params"], stats, x, None)
    moved, _ = nets.infer(arrays["params"], stats, nets.moved(fold_name(key, "augment"), x), None)
    at = active(fold_name(key, "clusters"), seen.log_q, min(2, n_clusters))
    parts, _, _ = evidence(nets, arrays["params"], stats, fold_name(key, "posterior"), x, seen, at, None)
    same = moved.log_q.argmax(-1) == seen.log_q.argmax(-1)
    return {"log_q": seen.log_q, "elbo": parts.elbo(), "agreement": same.astype(jnp.float32)}


def chosen(
    config: Config,
    n_clusters: int,
    nets: Networks,
    runs: Restarts,
    stacked: PyTree,
    images: Images,
    preprocess: Preprocess,
    first: np.ndarray | None,
) -> Result:
    """The restart that `choice` says, and what is known of all. With n_clusters 'auto' empty clusters are dropped."""
    over, key = over_members(runs.size, runs.convolutional), fold_name(runs.key, "choice")

    def each(arrays: PyTree, images: Array) -> dict[str, Array]:
        found = over(lambda arrays: answers(config, n_clusters, nets, arrays, key, images), arrays)
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), found)

    found = loop.in_batches(partial(jax.jit(each), jax.device_put(stacked)), images)
    score = found[config.choice].mean(0, dtype=np.float64)
    best = int(score.argmax())
    labels = found["log_q"].argmax(2)
    shares = np.bincount(labels[:, best], minlength=n_clusters) / len(images)
    least = min(config.least_share, shares.max()) if config.n_clusters == "auto" else 0.0
    kept = np.flatnonzero(shares >= least)
    meta = {
        "config": asdict(config),
        "frame": frame(preprocess)._asdict(),
        "n_clusters": n_clusters,
        "likelihood": preprocess.likelihood,
    }
    arrays = {**pick(stacked, best), "kept": kept.astype(np.int32)}
    opinions = {} if first is None else {"first": first}
    if config.restarts > 1:
        opinions |= {f"restart_{r}": labels[:, r].astype(np.int32) for r in range(config.restarts)}
    return outcome(
        Model(meta, arrays, functions(nets)),
        images,
        opinions,
        latent_dim=config.latent_dim,
        effective_clusters=int((shares >= config.least_share).sum()),
        restart=best,
        **{f"restarts_{config.choice}": [float(value) for value in score]},
    )


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return functions(
        Networks(Config(**known_fields(Config, meta["config"])), meta["n_clusters"], frame_of(meta), meta["likelihood"])
    )


SYSTEM = System(
    name="vc",
    title="variational clustering: a VAE with a Gaussian mixture as prior, and a loss for augmented images",
    source="Prasad et al., Variational clustering: leveraging VAEs for image clustering, IJCNN 2020",
    Config=Config,
    presets={"quick": QUICK, "paper": Config()},
    fit=fit,
    restore=restore,
)
