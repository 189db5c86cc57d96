"""The clustering module, alone (cm) and inside an autoencoder (ae-cm) (Boubekki et al., Machine Learning 110, 2021).

    x_i, z_i   an example, its code                  g_ik    responsibility of cluster k: softmax(z_i W_enc + b_enc)
    mu_k       centroid, W_dec[k] + b_dec            alpha   concentration of the Dirichlet prior (K,)
    zbar_i     sum_k g_ik mu_k, the reconstruction   q_k     batch mean of g_ik

The expected log-likelihood of an isotropic Gaussian mixture is the loss of an autoencoder with one hidden layer, whose
code is the responsibilities (theorem 1). Alone, on x (eq. 7; sums over the batch):

    L_CM = E0 + E1 - E2 + E3
    E0 = sum_i |x_i - xbar_i|^2                          reconstruction
    E1 = sum_i sum_k g_ik (1 - g_ik) |mu_k|^2            sparsity
    E2 = sum_i sum_{k != l} g_ik g_il mu_k . mu_l        overlap
    E3 = sum_k (1 - alpha_k) log q_k                     balance

Inside an autoencoder, on its code z, with orthonormal centroids, for which E1 simplifies and E2 is zero (eq. 10):

    L = beta sum_i |x_i - xhat_i|^2 + sum_i |z_i - zbar_i|^2 + sum_i sum_k g_ik (1 - g_ik) + E3
        + lambda |mu mu^T - I|_1

Starts: random; or for cm centroids of k-means(++), with W_enc their pseudo-inverse; or for ae-cm 'pretrained': the
autoencoder alone, k-means of its codes, then cm on these codes. In an 'averaging epoch' after the last one the
parameters are averaged over its steps, since small batches scatter them.

Several restarts are trained as one program, and the one with the least L_sp = (E1 - E2) / n is kept (section 5.2.4):
no label is needed.

Beyond the text: the start 'manifold' of ae-cm. Density clusters of UMAPs of the codes (host/clusters.py) take the
place of the responsibilities for some epochs, in which the network learns to map them to the corners of a simplex;
then it goes on by the loss above. With n_clusters 'auto' such clusters also say how many there are.

Deviations: the text's double sum of E2 includes k = l, its eq. 10 prints mu^T mu (losses.py); biases start at zero.
Adam's epsilon is 1e-3 as in the authors' code, which also averages all parameters and not the centroids alone.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust import losses
from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images
from jaxclust.host import sampling, seeds
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Functions, Method, Model, Result, System, known_fields
from jaxclust.methods.parts.clustering_module_config import AE_QUICK, QUICK, AEConfig, Config
from jaxclust.methods.parts.coders import Coders, Frame, autoencoder, coders, frame, inputs_of, vectors
from jaxclust.methods.parts.module_model import (
    Module,
    answers,
    centroids_of,
    functions,
    log_responsibilities,
    random_module,
)
from jaxclust.methods.parts.module_starts import centroids, corners, number_and_labels, start_at
from jaxclust.methods.parts.networks import damped_adam
from jaxclust.methods.parts.outcome import frame_of, with_clusters
from jaxclust.methods.parts.population import Restarts, over_members, pick
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.apply import apply_in_batches
from jaxclust.train.phases import Phases
from jaxclust.train.state import advance, new_state
from jaxclust.typing import Array, Batch, Key, PyTree, TrainState

# Losses


def cm_terms(module: Module, x: Array, weight: Array, alpha: Array) -> dict[str, Array]:
    """The four terms of L_CM (eq. 7), which is their sum: x (b, d), weight (b,), alpha (K,)."""
    g, mu = jnp.exp(log_responsibilities(module, x)), centroids_of(module)
    return {
        "reconstruction": (weight * losses.gaussian_reconstruction(g @ mu, x)).sum(),
        "sparsity": (weight * losses.responsibility_sparsity(g, (mu**2).sum(-1))).sum(),
        "overlap": -(weight * losses.responsibility_overlap(g, mu)).sum(),
        "balance": losses.dirichlet_balance(g, weight, alpha),
    }


def ae_cm_terms(module: Module, z: Array, weight: Array, alpha: Array, orthonormality: float) -> dict[str, Array]:
    """The terms of eq. 10 but for the autoencoder's: z (b, p), weight (b,), alpha (K,)."""
    g, mu = jnp.exp(log_responsibilities(module, z)), centroids_of(module)
    return {
        "module_reconstruction": (weight * losses.gaussian_reconstruction(g @ mu, z)).sum(),
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
def clustering_module(config: Config, n_clusters: int, dim: int, length: Length, view: Frame | None) -> Method:
    """The training of the module alone, on images of that frame or on codes (b, dim). extra: 'mean', the averaged
    parameters."""
    adam, alpha = damped_adam(config.learning_rate), concentrations(config, n_clusters)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params = {"module": random_module(fold_name(key, "module"), n_clusters, dim)}
        return new_state(params, adam, {"mean": jax.tree.map(jnp.zeros_like, params)}, key)

    def loss(params: PyTree, batch: Batch) -> tuple[Array, PyTree]:
        x = batch.image if view is None else vectors(view, batch.image)
        terms = cm_terms(params["module"], x, batch.weight, jnp.asarray(alpha))
        return sum(terms.values(), jnp.zeros(())), terms

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, terms = jax.grad(loss, has_aux=True)(state.params, batch)
        new = advance(state, grads, adam, {})
        mean = averaged(state.extra["mean"], new.params, state.step, length)
        return new._replace(extra={"mean": mean}), per_example(terms, batch)

    return Method(init, step)


@lru_cache(32)
def ae_clustering_module(
    config: AEConfig, n_clusters: int, length: Length, pair: Coders, guided: bool = False
) -> Method:
    """The joint training of autoencoder and module. extra: 'mean' as above, the coders' 'stats', and 'labels' (n,)
    if it is guided by these."""
    adam, alpha = damped_adam(config.learning_rate), concentrations(config, n_clusters)

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
            terms = ae_cm_terms(params["module"], z, weight, jnp.asarray(alpha), config.orthonormality)
        terms["reconstruction"] = config.beta * (weight * losses.gaussian_reconstruction(output, x)).sum()
        return sum(terms.values(), jnp.zeros(())), (stats, terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        new = advance(state, grads, adam, {})
        mean = averaged(state.extra["mean"], settled(new.params, stats), state.step, length)
        return new._replace(extra={**state.extra, "mean": mean, "stats": stats}), per_example(terms, batch)

    return Method(init, step)


def settled(params: PyTree, stats: PyTree) -> PyTree:
    """What is averaged: all parameters; the module's alone where running statistics belong to the last ones."""
    return {"module": params["module"]} if jax.tree.leaves(stats) else params


def concentrations(config: Config, n_clusters: int) -> np.ndarray:
    """alpha as (K,)."""
    return np.broadcast_to(np.asarray(config.alpha, np.float32), (n_clusters,))


def per_example(terms: dict[str, Array], batch: Batch) -> dict[str, Array]:
    """Sums over the batch as means, with their sum as 'loss'."""
    return {name: term / batch.weight.sum() for name, term in {**terms, "loss": sum(terms.values())}.items()}


# The phases


def fit_cm(config: Config, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """The module alone, on vectors: first centroids if they are not random, training, choice of the restart."""
    view = frame(preprocess)
    n, inputs, features = len(images), partial(inputs_of, preprocess, images), preprocess.kind == "features"
    n_clusters, _, clusters = number_and_labels(config, n, [inputs], key, phases, inputs, features)
    epochs = epochs_of(config, config.epochs, len(images))
    length = length_of(config, epochs, len(images))
    runs = Restarts(phases, key, config.restarts, config.batch_size, 2 * n_clusters * view.size)
    method = clustering_module(config, n_clusters, view.size, length, view)
    state, first = None, None
    if config.start != "random":
        rows = sampling.sample(n, config.max_samples, seeds.seed(key, "sample"))
        found = phases.compute("centroids", lambda: centroids(config, [inputs(rows)], n_clusters, key))
        state = start_at(config, runs.begun("module", method, images), found)
        first = np.full((config.restarts, len(images)), -1, np.int32)
        first[:, rows] = found["labels"]
    state = runs.train("module", method, images, epochs + 1, state)
    arrays = {"module": state.extra["mean"]["module"]}
    return chosen(config, None, view, n_clusters, arrays, images, first, clusters)


def fit_ae_cm(config: AEConfig, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """Autoencoder, first clusters of its codes and the module's start, unless it is random; all together; choice."""
    view = frame(preprocess)
    pair = coders(config, view)
    convolutional = config.network == "conv"
    runs = Restarts(phases, key, config.restarts, config.batch_size, pair.size, convolutional)
    before, state, first = None, None, None
    codes = np.zeros((0, config.restarts, 0), np.float32)
    if config.start != "random":
        alone = autoencoder(pair, damped_adam(config.learning_rate))
        before = runs.train("autoencoder", alone, images, epochs_of(config, config.pretrain_epochs, len(images)))
        codes = codes_of(pair, convolutional, before, images)
    inputs, features = partial(inputs_of, preprocess, images), preprocess.kind == "features"
    by_restart = [codes[:, r].__getitem__ for r in range(config.restarts)] if before is not None else [inputs]
    n_clusters, labels, clusters = number_and_labels(config, len(images), by_restart, key, phases, inputs, features)
    epochs = epochs_of(config, config.epochs, len(images))
    length = length_of(config, epochs, len(images))
    joint = ae_clustering_module(config, n_clusters, length, pair)
    if before is not None:
        fresh = runs.begun("joint", joint, images)
        start = Start(runs, config, pair, before, codes, images, n_clusters, fresh)
        if config.start == "manifold" and labels is not None:
            state, first = guided(start, labels), labels
        else:
            state, first = pretrained(start)
    state = runs.train("joint", joint, images, epochs + 1, state)
    params = {**state.params, **state.extra["mean"]}
    arrays = {"module": params.pop("module"), "params": params, "stats": state.extra["stats"]}
    return chosen(config, pair, view, n_clusters, arrays, images, first, clusters)


def codes_of(pair: Coders, convolutional: bool, before: TrainState, images: Images) -> np.ndarray:
    """Codes of all images by each restart's autoencoder: (n, restarts, p)."""
    over = over_members(pair.size, convolutional)

    def encode(images: Array) -> Array:
        codes = over(lambda params, stats: pair.embed(params, stats, images), before.params, before.extra)
        return jnp.moveaxis(codes, 0, 1)

    return loop.in_batches(jax.jit(encode), images)


class Start(NamedTuple):
    """What the joint training begins with: each restart's autoencoder `before`, its codes (n, restarts, p) of the
    images, and a fresh joint state."""

    runs: Restarts
    config: AEConfig
    pair: Coders
    before: TrainState
    codes: np.ndarray
    images: Images
    n_clusters: int
    state: TrainState


def pretrained(start: Start) -> tuple[TrainState, np.ndarray]:
    """The joint state after k-means of each restart's codes (n, restarts, p), and the module alone on them; k-means'
    labels (restarts, n)."""
    runs, config, _, before, codes, images, n_clusters, state = start
    each = list(np.moveaxis(codes, 1, 0))
    first = runs.phases.compute("centroids", lambda: centroids(config, each, n_clusters, runs.key))
    epochs = epochs_of(config, config.module_epochs, len(images))
    length = length_of(config, epochs, len(images))
    method = clustering_module(config, n_clusters, config.latent_dim, length, None)
    small = runs._replace(size=2 * n_clusters * config.latent_dim, convolutional=False, own_images=True)
    alone = start_at(config, small.begun("module", method, codes), first)
    alone = small.train("module", method, codes, epochs + 1, alone)
    params = {**before.params, "module": alone.extra["mean"]["module"]}
    return state._replace(params=params, extra={**state.extra, "stats": before.extra}), first["labels"]


def guided(start: Start, labels: np.ndarray) -> TrainState:
    """The joint state after some epochs in which labels (restarts, n) give the responsibilities, -1 none."""
    runs, config, pair, before, _, images, n_clusters, state = start
    epochs = epochs_of(config, config.module_epochs, len(images))
    length = length_of(config, epochs, len(images))
    method = ae_clustering_module(config, n_clusters, length, pair, guided=True)
    fresh = runs.begun("guided", ae_clustering_module(config, n_clusters, length, pair), images)
    params = {**before.params, "module": corners(fresh.params["module"], config.latent_dim)}
    fresh = fresh._replace(params=params, extra={**fresh.extra, "stats": before.extra, "labels": labels})
    last = runs.train("guided", method, images, epochs + 1, fresh)
    params = {**last.params, **last.extra["mean"]}
    return state._replace(params=params, extra={**state.extra, "stats": last.extra["stats"]})


def epochs_of(config: Config, epochs: float, n: int) -> float:
    """Epochs of a training for which the config states `epochs`: more where n examples are few (`min_steps`)."""
    return epochs * max(1.0, config.min_steps / (config.epochs * per_epoch(config, n)))


def length_of(config: Config, epochs: float, n: int) -> Length:
    """The steps of a training of that many epochs and the averaging epoch."""
    each = per_epoch(config, n)
    return Length(loop.total_steps(epochs + 1, each), each)


def per_epoch(config: Config, n: int) -> int:
    """Batches that visit n examples once."""
    return -(-n // min(config.batch_size, n))


def chosen(
    config: Config,
    pair: Coders | None,
    view: Frame,
    n_clusters: int,
    stacked: PyTree,
    images: Images,
    first: np.ndarray | None,
    clusters: Found | None,
) -> Result:
    """The restart with the least L_sp, and what is known of all. first: labels (restarts, n) of their starts.
    clusters: those that were found on the host, of the first restart."""
    convolutional = isinstance(config, AEConfig) and config.network == "conv"
    over = over_members(pair.size if pair else 0, convolutional)
    stacked = {**stacked, "module": stacked["module"]._asdict()}

    def each(arrays: PyTree, images: Array) -> dict[str, Array]:
        found = over(lambda arrays: answers(pair, view, arrays, images), arrays)
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), found)

    found = loop.in_batches(partial(jax.jit(each), jax.device_put(stacked)), images)
    l_sp = found["sparsity"].mean(0, dtype=np.float64)
    best = int(l_sp.argmin())
    g = found["responsibilities"][:, best]
    variance = found["spread"][:, best].sum(0) / np.maximum(g.sum(0), 1e-9)
    meta = {"config": asdict(config), "frame": view._asdict()}
    arrays = {**pick(stacked, best), "deviation": np.sqrt(variance).astype(np.float32)}
    can = functions(pair, view)
    assert can.second_opinion is not None
    labels = g.argmax(1).astype(np.int32)
    opinions = {"nearest_centroid": apply_in_batches(can.second_opinion, arrays, images)}
    if first is not None:
        opinions["first"] = first[best]
    if config.restarts > 1:
        opinions |= {f"restart_{r}": found["responsibilities"][:, r].argmax(1) for r in range(config.restarts)}
    summary = {
        "n_clusters": n_clusters,
        "latent_dim": config.latent_dim if isinstance(config, AEConfig) else None,
        "expert_latent_dims": None,
        "restart": best,
        "l_sp": [float(value) for value in l_sp],
    }
    embedding = apply_in_batches(can.embed, arrays, images)
    noise = np.zeros(len(images), bool)
    result = Result(Model(meta, arrays, can), labels, g, noise, embedding, opinions, summary, {})
    return with_clusters(result, clusters)


def restore_cm(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted cm."""
    return functions(None, frame_of(meta))


def restore_ae_cm(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted ae-cm."""
    return functions(coders(AEConfig(**known_fields(AEConfig, meta["config"])), frame_of(meta)), frame_of(meta))


SOURCE = "Boubekki et al., Joint optimization of an autoencoder for clustering and embedding, Machine Learning 2021"
CM = System(
    name="cm",
    title="clustering module: a Gaussian mixture trained as an autoencoder with one hidden layer",
    source=SOURCE,
    Config=Config,
    presets={"quick": QUICK, "paper": Config()},
    fit=fit_cm,
    restore=restore_cm,
)
AE_CM = System(
    name="ae-cm",
    title="autoencoder with a clustering module on its code, trained together",
    source=SOURCE,
    Config=AEConfig,
    presets={"quick": AE_QUICK, "paper": AEConfig()},
    fit=fit_ae_cm,
    restore=restore_ae_cm,
)
