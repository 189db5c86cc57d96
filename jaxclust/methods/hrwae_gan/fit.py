"""The phases of hrwae-gan, in order; its equations are in __init__.py."""

from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.data.rows import Images, take
from jaxclust.errors import Diverged, InputError
from jaxclust.host import sampling, seeds
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Model, Result
from jaxclust.methods.hrwae_gan.config import Config
from jaxclust.methods.hrwae_gan.model import (
    broken,
    far,
    gaussians,
    head_spec,
    health,
    hierarchy,
    restore,
    saturated,
)
from jaxclust.methods.hrwae_gan.training import hrwae_gan
from jaxclust.methods.shared import classifier
from jaxclust.methods.shared.first_clusters import first_clusters, found_of, whole
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.lengths import epochs_of, length, per_epoch
from jaxclust.methods.shared.outcome import outcome, with_clusters
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.training import TrainState, to_unit
from jaxclust.typing import Array, Key, PyTree

AGREED, ROUNDS = 0.97, 3  # the share of the labels that the head shall give, and how often it is trained for that


def fit(job: Job[Config]) -> Result:
    """Phases: 'training-1', 'health-1', 'noise-1', 'training-2', ..; 'clusters-l' of each group on the host; 'head'.

    Raises InputError for more groups than the networks have levels, too few examples, and where no clusters are found;
    Diverged where the training is broken before any look found it sound.
    """
    job = job.looked_at()
    config = job.config
    hierarchy(config, job.shape)  # refuses a number of groups
    looked, rows = held_out(config, job.n, job.key)
    enough(config, len(rows))
    state, told = train(replace(job, images=take(job.images, rows)), job.images[looked])
    last = told["health"][told["look"] - 1]
    for level in far(last):
        mmd = last["mmd"][level]
        job.note(f"group {level}: codes are far from their prior (MMD^2 {mmd:.2f}): draws may look wrong")

    arrays = {"params": state.params["autoencoder"], "stats": state.extra["stats"]}
    codes = moments(config, arrays, job.images)
    found = [clusters(job, level, codes[level][0]) for level in range(config.groups)]
    first = found[config.cluster_group]
    assert first is not None
    n_clusters = first.memberships.shape[1]
    head, agreement = distilled(job, first.labels, n_clusters)

    meta: dict[str, Any] = {
        "config": asdict(config),
        "shape": list(job.shape),
        "likelihood": job.preprocess.likelihood,
        "n_clusters": n_clusters,
    }
    fitted = {"autoencoder": arrays, "head": head, **gaussians(*codes[0], first.labels, n_clusters)}
    sizes = [means.shape[1] for means, _ in codes]
    summary = {
        "latent_dim": sizes[config.cluster_group],
        "latent_dims": sizes,
        "clusters_by_group": [None if one is None else one.memberships.shape[1] for one in found],
        "head_agreement": agreement,
        **told,
    }
    model = Model(meta, jax.device_get(fitted), restore(meta))
    opinions = {f"group_{level}": one.labels for level, one in enumerate(found) if one is not None}
    result = outcome(model, job.images, opinions, **summary)._replace(noise=first.labels < 0)
    return with_clusters(result, first)


def held_out(config: Config, n: int, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """Sorted rows of n examples: those that are looked at, a share but 32 of few and 1000 of many, and the others."""
    order = np.random.default_rng(seeds.seed(key, "held-out")).permutation(n)
    count = max(round(config.held_out * n), min(32, n // 5))
    count = int(np.clip(count, 2, min(1000, n // 2)))
    return np.sort(order[:count]), np.sort(order[count:])


def enough(config: Config, n_trained: int) -> None:
    """Raises InputError for fewer examples than the clusters need."""
    if n_trained < 3:
        raise InputError(f"{n_trained} examples are too few to train on: give more data")
    if config.n_clusters != "auto" and config.max_samples < 2 * config.n_clusters:
        raise InputError(f"max_samples is {config.max_samples}: give at least twice n_clusters, {config.n_clusters}")


def train(job: Job[Config], looked: np.ndarray) -> tuple[TrainState, dict[str, Any]]:
    """The trained state, and what is known of the training: 'ended', why before its time or None; 'health', by look;
    and 'look', which of these is that of the state.

    It is trained in equal stretches of about `attention_epochs`; after each, its health on the examples `looked` (m,
    ...) and the noise attention are found anew. What is broken is undone, back to the last look without a saturated
    critic, where there is one.
    """
    config, n, likelihood = job.config, job.n, job.preprocess.likelihood
    stretches = max(1, round(config.epochs / config.attention_epochs))
    epochs = epochs_of(config, config.epochs, n) / stretches
    n_steps = stretches * loop.total_steps(epochs, per_epoch(config, n))
    training = hrwae_gan(config, job.shape, likelihood, n_steps)
    key, size = fold_name(job.key, "init"), min(config.batch_size, n)
    state = job.phases.begun("training", training, key, (size, *job.shape))
    attention, ended, kept, good = np.ones(n, np.float32), None, 0, state
    looks: list[dict[str, np.ndarray]] = []
    jitted = jax.jit(partial(health, config, likelihood))
    for i in range(1, stretches + 1):
        name = f"training-{i}"
        before = jax.device_get(state._replace(key=fold_name(job.key, name)))
        extra = {**before.extra, "attention": attention}
        try:
            state = job.train(name, training, epochs, state=before._replace(step=np.zeros((), np.int32), extra=extra))
        except Diverged as error:
            if i == 1:
                raise
            ended = str(error).partition(";")[0]
        else:
            look = partial(jitted, state.params, state.extra, fold_name(job.key, f"health-{i}"), looked)
            looks.append(job.compute(f"health-{i}", lambda look=look: look()._asdict()))  # type: ignore[misc]
            ended = broken(looks, last=i == stretches)
        if ended is not None:
            if not kept:
                raise Diverged(f"training is broken after {i * epochs:g} epochs: {ended}; lower --learning-rate")
            job.note(f"{name}: {ended}: goes on with the state after training-{kept}")
            return good, {"ended": ended, "look": kept, "health": plain(looks)}
        if not saturated(looks[-1]):
            kept, good = i, jax.device_get(state)
        if config.noise_weight > 1 and i < stretches:
            solve = partial(noise_of, config, state, job.images, fold_name(job.key, f"noise-{i}"))
            left_out = job.compute(f"noise-{i}", solve)["noise"]
            attention = np.where(left_out, config.noise_weight, 1.0).astype(np.float32)
            job.note(f"{left_out.mean():.1%} of the examples are noise")
    return state, {"ended": None, "look": stretches, "health": plain(looks)}


def plain(looks: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """What each look found as plain numbers."""
    return [{name: np.asarray(value, float).round(5).tolist() for name, value in look.items()} for look in looks]


def moments(config: Config, arrays: PyTree, images: Images) -> list[tuple[np.ndarray, np.ndarray]]:
    """Means and variances (n, d_l) of every group's posterior, z_<l being their means."""
    net = hierarchy(config, images.shape[1:])

    def infer(images: Array) -> list[tuple[Array, Array]]:
        walk, _ = net.apply({"params": arrays["params"], "batch_stats": arrays["stats"]}, to_unit(images))
        return [(q.mean, jnp.exp(q.log_var)) for q in walk.posteriors]

    return loop.in_batches(jax.jit(infer), images)


def noise_of(config: Config, state: TrainState, images: Images, key: Key) -> dict[str, np.ndarray]:
    """'noise' (n,) bool: whose top codes the density tree leaves out of all clusters, in one draw of UMAP of a sample.

    Of more than `max_samples` examples the others are noise where most of their nearest ones in the sample are.
    """
    rows = sampling.sample(len(images), config.max_samples, seeds.seed(key, "sample"))
    arrays = {"params": state.params["autoencoder"], "stats": state.extra["stats"]}

    def codes(rows: np.ndarray) -> np.ndarray:
        return moments(config, arrays, take(images, rows))[0][0]

    known, one = codes(rows), replace(config, n_clusters="auto", draws=1)
    if one.clusterer == "gmm":  # which leaves nothing out
        one = replace(one, clusterer="hdbscan")
    with suppress(InputError):  # too few examples, or no clusters yet
        found = found_of(one, {"codes": known}, "auto", key)
        return {"noise": whole(found, rows, len(images), known, codes).labels < 0}
    return {"noise": np.zeros(len(images), bool)}


def clusters(job: Job[Config], level: int, codes: np.ndarray) -> Found | None:
    """Clusters of the codes (n, d) of group `level`, in the phase 'clusters-level'. None, with a note, where a group
    has none that does not give the labels."""
    gives_labels = level == job.config.cluster_group
    inputs, key = job.vectors if gives_labels else None, fold_name(job.key, f"group{level}")
    try:
        return first_clusters(job, codes.__getitem__, inputs=inputs, key=key, name=f"clusters-{level}")
    except InputError as error:
        if gives_labels:
            raise
        job.note(f"group {level}: {str(error).partition(':')[0]}")
        return None


def distilled(job: Job[Config], first: np.ndarray, n_clusters: int) -> tuple[PyTree, float]:
    """The head that learns the labels `first` (n,), -1 unknown: its arrays, and the share of them that it gives.

    It is trained again, up to ROUNDS times in all, while that is less than AGREED.
    """
    config, kept = job.config, np.flatnonzero(first >= 0)
    seen, labels = take(job.images, kept), first[kept]
    epochs, n_steps = length(config, config.head_epochs, per_epoch(config, len(kept)))
    spec = head_spec(config, n_clusters, n_steps)
    training = classifier.classifier(spec, np.eye(n_clusters, dtype=np.float32)[labels])
    state, agreement = None, 0.0
    for i in range(1, ROUNDS + 1):
        name = "head" if i == 1 else f"head-{i}"
        key = fold_name(fold_name(job.key, name), "init")
        fresh = job.phases.begun(name, training, key, (min(config.batch_size, len(kept)), *job.shape))
        if state is not None:
            fresh = fresh._replace(params=state.params, extra=state.extra)
        state = job.train(name, training, epochs, images=seen, state=fresh)
        said = loop.in_batches(partial(jax.jit(training.log_posterior), state), seen).argmax(1)
        agreement = float((said == labels).mean())
        job.note(f"the head agrees with {agreement:.1%} of the labels that it learned")
        if agreement >= AGREED:
            break
    assert state is not None
    return classifier.arrays_of(state), round(agreement, 5)
