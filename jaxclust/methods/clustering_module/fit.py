"""The phases of cm and ae-cm, in order; its equations are in __init__.py."""

from dataclasses import asdict, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.host import sampling
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Model, Result
from jaxclust.methods.clustering_module.config import AEConfig, Config
from jaxclust.methods.clustering_module.model import answers, functions
from jaxclust.methods.clustering_module.starts import centroids, corners, number_and_labels, start_at
from jaxclust.methods.clustering_module.training import Length, ae_clustering_module, clustering_module
from jaxclust.methods.shared.coders import Coders, coders, convolutional, pretraining
from jaxclust.methods.shared.extent import vectors
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.lengths import epochs_of, per_epoch
from jaxclust.methods.shared.outcome import with_clusters
from jaxclust.methods.shared.population import Restarts, over_members, pick
from jaxclust.numerics import squared_distances
from jaxclust.train import loop
from jaxclust.train.inference import apply_in_batches
from jaxclust.train.optimisers import damped_adam
from jaxclust.train.training import TrainState
from jaxclust.typing import Array, PyTree


def fit_cm(job: Job[Config]) -> Result:
    """Phases: 'clusters' if their number is to be found, 'centroids' if they are not random, 'module'; the choice of a
    restart."""
    config, extent = job.config, job.extent
    n_clusters, _, clusters = number_and_labels(job, [job.vectors])
    epochs, length = length_of(config, config.epochs, job.n)
    runs = Restarts(job, 2 * n_clusters * extent.size)
    training = clustering_module(config, n_clusters, extent.size, length, extent)
    state, first = None, None
    if config.start != "random":
        rows = sampling.sample(job.n, config.max_samples, job.seed("sample"))
        found = job.compute("centroids", lambda: centroids(config, [job.vectors(rows)], n_clusters, job.key))
        state = start_at(config, runs.begun("module", training, job.images), found)
        first = found["labels"] if len(rows) == job.n else nearest(job, found["centroids"])
    state = runs.train("module", training, job.images, epochs, state)
    arrays = {"module": state.extra["mean"]["module"]}
    return chosen(job, None, n_clusters, arrays, first, clusters)


def fit_ae_cm(job: Job[AEConfig]) -> Result:
    """Phases: unless the start is random 'autoencoder', wider codes where they are asked for, and 'clusters', 'guided'
    or 'centroids', 'module'; then 'joint'; the choice of a restart."""
    config, pair = job.config, coders(job.config, job.extent)
    runs = Restarts(job, pair.size, convolutional(config, job.extent))
    before, state, first = None, None, None
    codes = np.zeros((0, config.restarts, 0), np.float32)
    if config.start != "random":
        epochs = epochs_of(config, config.pretrain_epochs, job.n)
        n_steps = loop.total_steps(epochs, per_epoch(config, job.n))
        alone = pretraining(pair, damped_adam(config.learning_rate, n_steps, config.schedule))
        before = runs.train("autoencoder", alone, job.images, epochs)
        codes = codes_of(runs, pair, before)
    by_restart = [codes[:, r].__getitem__ for r in range(config.restarts)] if before is not None else [job.vectors]
    n_clusters, labels, clusters = number_and_labels(job, by_restart)
    if before is not None and config.widen and n_clusters > config.latent_dim:
        runs, pair, before = wider(runs, before, n_clusters)
        job, config = runs.job, runs.job.config
        if config.start == "pretrained":  # the manifold's clusters are known already
            codes = codes_of(runs, pair, before)
    epochs, length = length_of(config, config.epochs, job.n)
    joint = ae_clustering_module(config, n_clusters, length, pair)
    if before is not None:
        start = Start(runs, pair, before, codes, n_clusters, runs.begun("joint", joint, job.images))
        if config.start == "manifold" and labels is not None:
            state, first = guided(start, labels), labels
        else:
            state, first = pretrained(start)
    state = runs.train("joint", joint, job.images, epochs, state)
    params = {**state.params, **state.extra["mean"]}
    arrays = {"module": params.pop("module"), "params": params, "stats": state.extra["stats"]}
    return chosen(job, pair, n_clusters, arrays, first, clusters)


def nearest(job: Job[Config], centroids: np.ndarray) -> np.ndarray:
    """Of each restart's centroids (restarts, K, d) the nearest of every image: (restarts, n)."""

    def labels(centroids: Array, images: Array) -> Array:
        x = vectors(job.extent, images)
        return jnp.stack([squared_distances(x, each).argmin(-1) for each in centroids], 1)

    return apply_in_batches(labels, centroids, job.images).T.astype(np.int32)


def codes_of(runs: Restarts, pair: Coders, before: TrainState) -> np.ndarray:
    """Codes of all images by each restart's autoencoder: (n, restarts, p)."""
    over = over_members(pair.size, runs.convolutional)

    def encode(images: Array) -> Array:
        codes = over(lambda params, stats: pair.embed(params, stats, images), before.params, before.extra)
        return jnp.moveaxis(codes, 0, 1)

    return loop.in_batches(jax.jit(encode), runs.job.images)


def wider(runs: Restarts, before: TrainState, latent_dim: int) -> tuple[Restarts, Coders, TrainState]:
    """The same with more numbers in a code: fresh ones, which the decoder does not look at yet."""
    job = replace(runs.job, config=replace(runs.job.config, latent_dim=latent_dim))
    pair = coders(job.config, job.extent)
    runs = runs._replace(job=job, size=pair.size)
    fresh = runs.begun("wider", pretraining(pair, damped_adam(job.config.learning_rate)), job.images).params
    fresh = {"encoder": fresh["encoder"], "decoder": jax.tree.map(np.zeros_like, fresh["decoder"])}

    def put_in(new: Array, old: Array) -> np.ndarray:
        leaf = np.array(new)
        leaf[tuple(map(slice, old.shape))] = old
        return leaf

    return runs, pair, before._replace(params=jax.tree.map(put_in, fresh, before.params))


class Start(NamedTuple):
    """What the joint training begins with: each restart's autoencoder `before`, its codes (n, restarts, p) of the
    images, and a fresh joint state."""

    runs: Restarts
    pair: Coders
    before: TrainState
    codes: np.ndarray
    n_clusters: int
    state: TrainState


def pretrained(start: Start) -> tuple[TrainState, np.ndarray]:
    """The joint state after k-means of each restart's codes (n, restarts, p), and the module alone on them; k-means'
    labels (restarts, n)."""
    runs, _, before, codes, n_clusters, state = start
    job, config = runs.job, runs.job.config
    each = list(np.moveaxis(codes, 1, 0))
    first = job.compute("centroids", lambda: centroids(config, each, n_clusters, job.key))
    epochs, length = length_of(config, config.module_epochs, job.n)
    training = clustering_module(config, n_clusters, config.latent_dim, length, None)
    small = runs._replace(size=2 * n_clusters * config.latent_dim, convolutional=False, own_images=True)
    alone = start_at(config, small.begun("module", training, codes), first)
    alone = small.train("module", training, codes, epochs, alone)
    params = {**before.params, "module": alone.extra["mean"]["module"]}
    return state._replace(params=params, extra={**state.extra, "stats": before.extra}), first["labels"]


def guided(start: Start, labels: np.ndarray) -> TrainState:
    """The joint state after some epochs in which labels (restarts, n) give the responsibilities, -1 none."""
    runs, pair, before, _, n_clusters, state = start
    config, images = runs.job.config, runs.job.images
    epochs, length = length_of(config, config.module_epochs, len(images))
    training = ae_clustering_module(config, n_clusters, length, pair, guided=True)
    fresh = runs.begun("guided", ae_clustering_module(config, n_clusters, length, pair), images)
    params = {**before.params, "module": corners(fresh.params["module"], config.latent_dim)}
    fresh = fresh._replace(params=params, extra={**fresh.extra, "stats": before.extra, "labels": labels})
    last = runs.train("guided", training, images, epochs, fresh)
    params = {**last.params, **last.extra["mean"]}
    return state._replace(params=params, extra={**state.extra, "stats": last.extra["stats"]})


def length_of(config: Config, epochs: float, n: int) -> tuple[float, Length]:
    """Epochs of a training for which the config states `epochs`, the averaging one included, and their steps."""
    epochs, each = epochs_of(config, epochs, n) + 1, per_epoch(config, n)
    return epochs, Length(loop.total_steps(epochs, each), each)


def chosen(
    job: Job[Config],
    pair: Coders | None,
    n_clusters: int,
    members: PyTree,
    first: np.ndarray | None,
    clusters: Found | None,
) -> Result:
    """The restart with the least L_sp, and what is known of all. first: labels (restarts, n) of their starts.
    clusters: those that were found on the host, of the first restart."""
    config, images, extent = job.config, job.images, job.extent
    over = over_members(pair.size if pair else 0, isinstance(config, AEConfig) and convolutional(config, extent))
    members = {**members, "module": members["module"]._asdict()}

    def each(arrays: PyTree, images: Array) -> dict[str, Array]:
        found = over(lambda arrays: answers(pair, extent, arrays, images), arrays)
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), found)

    found = loop.in_batches(partial(jax.jit(each), jax.device_put(members)), images)
    l_sp = found["ambiguity"].mean(0, dtype=np.float64)
    best = int(l_sp.argmin())
    g = found["responsibilities"][:, best]
    variance = found["spread"][:, best].sum(0) / np.maximum(g.sum(0), 1e-9)
    meta = {"config": asdict(config), **extent.to_meta()}
    arrays = {**pick(members, best), "deviation": np.sqrt(variance).astype(np.float32)}
    can = functions(pair, extent)
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
    noise = np.zeros(job.n, bool)
    result = Result(Model(meta, arrays, can), labels, g, noise, embedding, opinions, summary, {})
    return with_clusters(result, clusters)
