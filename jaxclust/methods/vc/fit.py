"""The phases of vc, in order; its equations are in __init__.py."""

from dataclasses import asdict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.data.rows import take
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Model, Result
from jaxclust.methods.shared.autoencoder import AutoencoderSpec, autoencoder
from jaxclust.methods.shared.first_clusters import first_clusters
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.lengths import epochs_of, length, per_epoch
from jaxclust.methods.shared.outcome import outcome, with_clusters
from jaxclust.methods.shared.population import Restarts, over_members, pick
from jaxclust.methods.vc.config import Config, augmentation
from jaxclust.methods.vc.model import Networks, functions
from jaxclust.methods.vc.training import active, evidence, guided, schedules_of, variational_clustering
from jaxclust.nn.apply import compute_type
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.augment import NONE
from jaxclust.typing import Array, Key, PyTree


def fit(job: Job[Config]) -> Result:
    """Phases: for the start 'manifold' a VAE ('autoencoder'), 'clusters' of its codes on the host and 'guided'; then
    'joint'; the choice of a restart."""
    config, extent, likelihood = job.config, job.extent, job.preprocess.likelihood
    Networks(config, config.max_clusters, extent, likelihood).check()
    found = manifold(job) if config.start == "manifold" else None
    first = None if found is None else found.labels
    n_clusters = config.max_clusters if found is None else found.memberships.shape[1]
    n_clusters = int(n_clusters if config.n_clusters == "auto" else config.n_clusters)
    nets = Networks(config, n_clusters, extent, likelihood)
    schedules = schedules_of(config, job.n, nets.size)
    size = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(nets.init, job.key)[0]))
    runs = Restarts(job, size, convolutional=not job.are_features)
    joint = variational_clustering(config, n_clusters, nets, schedules)
    state = None
    if first is not None:
        state = runs.begun("joint", joint, job.images)
        fresh = runs.begun("guided", joint, job.images, warm=True)
        fresh = fresh._replace(extra={**fresh.extra, "labels": np.broadcast_to(first, (config.restarts, job.n))})
        training = guided(config, nets, schedules)
        last = runs.train("guided", training, job.images, epochs_of(config, config.guided_epochs, job.n), fresh)
        state = state._replace(params=last.params, extra={"stats": last.extra["stats"]})
    state = runs.train("joint", joint, job.images, epochs_of(config, config.epochs, job.n), state)
    members = {"params": state.params, "stats": state.extra["stats"]}
    return with_clusters(chosen(runs, nets, members, first), found)


def manifold(job: Job[Config]) -> Found:
    """Clusters by the density of UMAPs of a VAE's codes."""
    config = job.config
    epochs, n_steps = length(config, config.pretrain_epochs, per_epoch(config, job.n))
    spec = AutoencoderSpec(
        latent_dim=config.latent_dim,
        likelihood=job.preprocess.likelihood,
        width=0.5,
        min_filters=32,
        learning_rate=2e-3,
        schedule="cosine",
        n_steps=n_steps,
        kl_weight=0.1,
        augmentation=augmentation(config) if config.augmentation == "images" else NONE,
        clean_target=True,
        form=config.form,
        dtype=compute_type(config.precision),
    )
    training = autoencoder(spec, job.shape)
    state = job.train("autoencoder", training, epochs)

    def codes(rows: np.ndarray) -> np.ndarray:
        return loop.in_batches(partial(jax.jit(training.embed), state), take(job.images, rows), together=False)

    return first_clusters(job, codes, inputs=job.vectors)


def answers(nets: Networks, arrays: PyTree, key: Key, images: Array) -> dict[str, Array]:
    """Of each example: log q(k|x) (n, K), its 'elbo' (n,) at one z, whether a transformed one has the same cluster."""
    x, stats = nets.target(images), arrays["stats"]
    seen, _ = nets.infer(arrays["params"], stats, x, None)
    augmented, _ = nets.infer(arrays["params"], stats, nets.augment(fold_name(key, "augment"), x), None)
    at = active(fold_name(key, "clusters"), seen.log_q, min(2, nets.n_clusters))
    parts, _, _ = evidence(nets, arrays["params"], stats, fold_name(key, "posterior"), x, seen, at, None)
    same = augmented.log_q.argmax(-1) == seen.log_q.argmax(-1)
    return {"log_q": seen.log_q, "elbo": parts.elbo(), "agreement": same.astype(jnp.float32)}


def chosen(runs: Restarts, nets: Networks, members: PyTree, first: np.ndarray | None) -> Result:
    """The restart that `choice` says, and what is known of all. With n_clusters 'auto' clusters of less than
    `least_share` are dropped.

    members: params and statistics of all restarts.  first: (n,) labels of the start.
    """
    job, config, n_clusters = runs.job, runs.job.config, nets.n_clusters
    over, key = over_members(runs.size, runs.convolutional), fold_name(job.key, "choice")

    def each(arrays: PyTree, images: Array) -> dict[str, Array]:
        found = over(lambda arrays: answers(nets, arrays, key, images), arrays)
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), found)

    found = loop.in_batches(partial(jax.jit(each), jax.device_put(members)), job.images)
    score = found[config.choice].mean(0, dtype=np.float64)
    best = int(score.argmax())
    labels = found["log_q"].argmax(2)
    shares = np.bincount(labels[:, best], minlength=n_clusters) / job.n
    least = min(config.least_share, shares.max()) if config.n_clusters == "auto" else 0.0
    kept = np.flatnonzero(shares >= least)
    meta = {
        "config": asdict(config),
        **job.extent.to_meta(),
        "n_clusters": n_clusters,
        "likelihood": job.preprocess.likelihood,
    }
    arrays = {**pick(members, best), "kept": kept.astype(np.int32)}
    opinions = {} if first is None else {"first": first}
    if config.restarts > 1:
        opinions |= {f"restart_{r}": labels[:, r].astype(np.int32) for r in range(config.restarts)}
    return outcome(
        Model(meta, arrays, functions(nets)),
        job.images,
        opinions,
        latent_dim=config.latent_dim,
        effective_clusters=int((shares >= config.least_share).sum()),
        restart=best,
        **{f"restarts_{config.choice}": [float(value) for value in score]},
    )
