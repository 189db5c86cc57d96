"""The phases of moe-vae, in order; its equations are in __init__.py."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

import jax
import numpy as np

from jaxclust.data.rows import Images, take
from jaxclust.errors import InputError
from jaxclust.host import latent_dim, sampling
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Model, Result
from jaxclust.methods.moe_vae import mixture
from jaxclust.methods.moe_vae.config import Config, autoencoder_spec, classifier_spec, mixture_spec
from jaxclust.methods.moe_vae.model import expert_kl, pictures, posterior, restore, specs_of
from jaxclust.methods.shared import autoencoder, classifier
from jaxclust.methods.shared.first_clusters import first_clusters
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.lengths import length, per_epoch
from jaxclust.methods.shared.outcome import with_clusters
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.batches import grouped
from jaxclust.train.inference import apply_in_batches
from jaxclust.train.programs import options
from jaxclust.train.training import TrainState
from jaxclust.typing import PyTree


def fit(job: Job[Config]) -> Result:
    """Phases: 'search-autoencoder' unless the latent size is given, 'autoencoder', 'clusters', 'manager', 'mixture',
    'experts', 'pictures'.

    The networks see all examples; latent sizes and first clusters follow from a sample of at most `max_samples`. Raises
    InputError for fewer examples than clusters, and where no clusters are found.
    """
    job = job.looked_at()
    config, n = job.config, job.n
    if config.n_clusters != "auto" and config.n_clusters > n:
        raise InputError(f"n_clusters is {config.n_clusters} but there are {n} examples: ask for fewer clusters")

    # 1-3: an autoencoder whose latent size follows from the data
    sample = sampling.sample(n, config.max_samples, job.seed("sample"))
    plots: dict[str, np.ndarray] = {}
    if config.latent_dim == "auto":
        _, search = autoencode(job, config.search_latent_dim, "search-autoencoder")
        plots["explained_variance"] = latent_dim.explained_variance(search(take(job.images, sample)))
        latent = latent_dim.fewest(plots["explained_variance"], config.explained_variance)
    else:
        latent = config.latent_dim
    job.note(f"latent size {latent}")
    state, encode = autoencode(job, latent, "autoencoder")
    encoder, means = autoencoder.encoder_of(state), encode(job.images)

    # 4-6: first clusters, and the manager that learns them
    clusters = first_clusters(job, means.__getitem__, inputs=job.vectors)
    n_clusters = clusters.memberships.shape[1]
    manager, managed = manage(job, clusters, encoder)

    # 7-8: the experts' latent sizes, and the mixture
    dims = latent_dim.cluster_latent_dims(
        means[sample], clusters.labels[sample], n_clusters, config.expert_explained_variance
    )
    if config.expert_sizes == "equal":
        dims = np.full(n_clusters, round(float(dims.mean())))
    experts, log_posterior = mix(job, dims, manager)

    meta = {
        "config": asdict(config),
        "shape": list(job.shape),
        "likelihood": job.preprocess.likelihood,
        "latent_dim": int(latent),
        "expert_latent_dims": [int(d) for d in dims],
    }
    model = Model(meta, jax.device_get({"encoder": encoder, **experts}), restore(meta))
    plots["expert_latent_dims"] = dims
    result = _result(model, job.images, means, np.exp(log_posterior), clusters, managed, plots)
    spec = specs_of(meta)[1]
    result.summary["expert_kl"] = expert_kl(spec, result, job.images)
    if job.phases.kept:
        seed = job.seed("pictures")
        result.plots.update(job.compute("pictures", lambda: pictures(spec, result, job.images, seed)))
    return result


def autoencode(job: Job[Config], latent: int, name: str) -> tuple[TrainState, Callable[[Images], np.ndarray]]:
    """Phases 1 and 3: the trained autoencoder, and what gives the posterior means (m, latent) of images (m, ...).

    name: 'autoencoder', trained for `epochs`, or another, trained for `search_epochs`.
    """
    config = job.config
    asked = config.epochs if name == "autoencoder" else config.search_epochs
    epochs, n_steps = length(config, asked, per_epoch(config, job.n))
    spec = autoencoder_spec(config, job.preprocess.likelihood, latent, n_steps)
    training = autoencoder.autoencoder(spec, job.shape)
    state = job.train(name, training, epochs)
    return state, partial(loop.in_batches, partial(jax.jit(training.embed, compiler_options=options()), state))


def manage(job: Job[Config], clusters: Found, encoder: Mapping[str, PyTree]) -> tuple[TrainState, np.ndarray]:
    """Phase 6: the manager, trained on the images without the noise, and its labels (n,) of all of them.

    encoder: whose convolutions, or hidden layers, it begins with where the config asks for that.
    """
    config, kept = job.config, np.flatnonzero(clusters.labels >= 0)
    epochs, n_steps = length(config, config.manager_epochs, per_epoch(config, len(kept)))
    spec = classifier_spec(config, clusters.memberships.shape[1], n_steps)
    training, start = classifier.classifier(spec, clusters.memberships[kept]), None
    if config.warm_start:
        key, size = fold_name(fold_name(job.key, "manager"), "init"), min(config.batch_size, len(kept))
        start = classifier.with_trunk(job.phases.begun("manager", training, key, (size, *job.shape)), encoder)
    state = job.train("manager", training, epochs, images=take(job.images, kept), state=start)
    arrays = {"manager": classifier.arrays_of(state)}
    return state, _log_posterior(spec, arrays, job.images).argmax(1)


def mix(job: Job[Config], dims: np.ndarray, manager: TrainState) -> tuple[dict[str, PyTree], np.ndarray]:
    """Phase 8: stages 1 and 2 of the mixture; params and statistics of the manager and of the experts, and what the
    manager says about all images (n, K)."""
    config, n = job.config, job.n
    epochs, n_steps = length(config, config.mixture_epochs, per_epoch(config, n))
    spec = mixture_spec(config, job.preprocess.likelihood, dims, n_steps)
    one = mixture.stage_one(spec, job.shape)
    shape = (min(config.batch_size, n), *job.shape)
    state = job.phases.begun("mixture", one, fold_name(job.key, "mixture"), shape)
    put_in = jax.jit(partial(mixture.with_manager, spec), compiler_options=options(once=True))
    state = put_in(state, manager.params, manager.extra["stats"])
    state = job.train("mixture", one, epochs, state=state)
    arrays = {name: {"params": state.params[name], "stats": state.extra[name]} for name in ("manager", "experts")}
    log_posterior = _log_posterior(spec.manager, arrays, job.images)
    batches = grouped(log_posterior.argmax(1), len(dims), config.expert_batch_size, job.seed("experts"))
    epochs, n_steps = length(config, config.expert_epochs, batches.per_epoch)
    spec = spec._replace(n_steps=n_steps)
    two = mixture.stage_two(spec, job.shape)
    start = jax.jit(partial(mixture.stage_two_state, spec), compiler_options=options(once=True))
    state = start(arrays["experts"], fold_name(job.key, "experts"))
    state = job.train("experts", two, epochs, batches=batches, state=state)
    return {"manager": arrays["manager"], "experts": {"params": state.params, "stats": state.extra}}, log_posterior


def _log_posterior(spec: classifier.ClassifierSpec, arrays: PyTree, images: Images) -> np.ndarray:
    """What the manager says about all images: (n, K)."""
    of_manager = posterior(classifier.module(spec))
    return apply_in_batches(of_manager, {"manager": arrays["manager"]}, images)


def _result(
    model: Model,
    images: Images,
    means: np.ndarray,
    probabilities: np.ndarray,
    clusters: Found,
    managed: np.ndarray,
    plots: dict[str, np.ndarray],
) -> Result:
    """Everything that the phases found out about the images that they saw."""
    labels = probabilities.argmax(1).astype(np.int32)
    assert model.functions.second_opinion is not None
    opinions = {
        "reconstruction": apply_in_batches(model.functions.second_opinion, model.arrays, images),
        "manager": managed.astype(np.int32),
        "first": clusters.labels,
    }
    summary = {
        "latent_threshold": model.meta["config"]["explained_variance"],
        "n_clusters": probabilities.shape[1],
        "latent_dim": model.meta["latent_dim"],
        "expert_latent_dims": model.meta["expert_latent_dims"],
    }
    return with_clusters(
        Result(model, labels, probabilities, clusters.labels < 0, means, opinions, summary, plots), clusters
    )
