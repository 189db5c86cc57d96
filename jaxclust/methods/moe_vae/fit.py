"""The phases of moe-vae, in order; its equations are in __init__.py."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images, take
from jaxclust.errors import InputError
from jaxclust.host import latent_dim, sampling, seeds
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Functions, Model, Result
from jaxclust.methods.moe_vae import mixture
from jaxclust.methods.moe_vae.config import Config, autoencoder_spec, classifier_spec, mixture_spec
from jaxclust.methods.moe_vae.model import functions, pictures, posterior
from jaxclust.methods.shared import autoencoder, classifier
from jaxclust.methods.shared.coders import inputs_of
from jaxclust.methods.shared.first_clusters import first_clusters
from jaxclust.methods.shared.lengths import longer, per_epoch
from jaxclust.methods.shared.outcome import with_clusters
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.batches import grouped
from jaxclust.train.inference import apply_in_batches
from jaxclust.train.phases import Phases, initial
from jaxclust.train.programs import options
from jaxclust.train.training import TrainState
from jaxclust.typing import Key, PyTree


def fit(config: Config, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """All phases in order.

    images: (n, side, side, c) uint8 or (n, d) float32, as data.prepare gives them. The networks see all of
    them; latent sizes and first clusters follow from a sample of at most `max_samples`. Raises InputError for fewer
    examples than clusters, and where no clusters are found.
    """
    n, shape, likelihood = len(images), images.shape[1:], preprocess.likelihood
    if config.n_clusters != "auto" and config.n_clusters > n:
        raise InputError(f"n_clusters is {config.n_clusters} but there are {n} examples: ask for fewer clusters")

    # 1-3: an autoencoder whose latent size follows from the data
    sample = sampling.sample(n, config.max_samples, seeds.seed(key, "sample"))
    _, search = autoencode(config, images, likelihood, config.search_latent_dim, "search-autoencoder", key, phases)
    codes = search(take(images, sample))
    latent = latent_dim.latent_dim(codes, config.explained_variance)
    if config.latent_dim != "auto":
        latent = config.latent_dim
    phases.note(f"latent size {latent}")
    encoder, encode = autoencode(config, images, likelihood, latent, "autoencoder", key, phases)
    means = encode(images)

    # 4-6: first clusters, and the manager that learns them
    if config.pretrain:
        inputs, features = partial(inputs_of, preprocess, images), preprocess.kind == "features"
        clusters = first_clusters(config, n, means.__getitem__, key, phases, inputs=inputs, features=features)
        n_clusters = clusters.memberships.shape[1]
        manager, first = _manage(
            config, images, likelihood, clusters, encoder if config.warm_start else None, key, phases
        )
    else:
        clusters, manager = None, None
        n_clusters = int(config.n_clusters)
        first = np.arange(n, dtype=np.int32) % n_clusters  # only for equal latent sizes: no clusters are known yet

    # 7-8: the experts' latent sizes, and the mixture
    dims = latent_dim.cluster_latent_dims(means[sample], first[sample], n_clusters, config.expert_explained_variance)
    if config.expert_sizes == "equal":
        dims = np.full(n_clusters, round(float(dims.mean())))
    experts, log_posterior = _mix(config, images, likelihood, dims, manager, key, phases)

    meta = {
        "config": asdict(config),
        "shape": list(shape),
        "likelihood": likelihood,
        "latent_dim": int(latent),
        "expert_latent_dims": [int(d) for d in dims],
    }
    encoder_arrays = {"params": encoder.params[0]["encoder"], "stats": encoder.extra["encoder"]}
    model = Model(meta, jax.device_get({"encoder": encoder_arrays, **experts}), restore(meta))
    plots = {"explained_variance": latent_dim.explained_variance(codes), "expert_latent_dims": dims}
    result = _result(model, images, means, np.exp(log_posterior), clusters, first, plots)
    if phases.kept:
        spec, seed = _specs(meta)[1], seeds.seed(key, "pictures")
        result.plots.update(phases.compute("pictures", lambda: pictures(spec, result, images, seed)))
    return result


def _length(config: Config, batches: int, epochs: float) -> tuple[float, int]:
    """Epochs of a training of that many batches each, and its steps."""
    epochs = longer(config, epochs, batches)
    return epochs, loop.total_steps(epochs, batches)


def autoencode(
    config: Config, images: Images, likelihood: str, latent: int, name: str, key: Key, phases: Phases
) -> tuple[TrainState, Callable[[Images], np.ndarray]]:
    """Phases 1 and 3: the trained autoencoder, and what gives the posterior means (m, latent) of images (m, ...).

    name: 'autoencoder', trained for `epochs`, or another, trained for `search_epochs`.
    """
    asked = config.epochs if name == "autoencoder" else config.search_epochs
    epochs, n_steps = _length(config, per_epoch(config, len(images)), asked)
    spec = autoencoder_spec(config, likelihood, latent, n_steps)
    training = autoencoder.autoencoder(spec, images.shape[1:])
    state = phases.train(name, training, images, key=fold_name(key, name), epochs=epochs, batch_size=config.batch_size)
    return state, partial(loop.in_batches, partial(jax.jit(training.embed, compiler_options=options()), state))


def _manage(
    config: Config,
    images: Images,
    likelihood: str,
    clusters: Found,
    encoder: TrainState | None,
    key: Key,
    phases: Phases,
) -> tuple[TrainState, np.ndarray]:
    """Phase 6: the manager, trained on the images without the noise, and its labels (n,) of all of them.

    encoder: the autoencoder whose convolutions, or hidden layers, it begins with.
    """
    kept = clusters.labels >= 0
    epochs, n_steps = _length(config, per_epoch(config, int(kept.sum())), config.manager_epochs)
    spec = classifier_spec(config, likelihood, clusters.memberships.shape[1], n_steps)
    training = classifier.classifier(spec, clusters.memberships[kept])
    of_phase, size = fold_name(key, "manager"), min(config.batch_size, int(kept.sum()))
    start = None
    if encoder is not None:
        start = initial(training, fold_name(of_phase, "init"), (size, *images.shape[1:]))
        trunk, stats = (jax.device_get(part["encoder"]["Trunk_0"]) for part in (encoder.params[0], encoder.extra))
        start = start._replace(
            params={**start.params, "Trunk_0": trunk}, extra={**start.extra, "stats": {"Trunk_0": stats}}
        )
    seen = take(images, np.flatnonzero(kept))
    state = phases.train("manager", training, seen, key=of_phase, epochs=epochs, batch_size=size, state=start)
    arrays = {"manager": {"params": state.params, "stats": state.extra["stats"]}}
    return state, _log_posterior(spec, arrays, images).argmax(1)


def _mix(
    config: Config,
    images: Images,
    likelihood: str,
    dims: np.ndarray,
    manager: TrainState | None,
    key: Key,
    phases: Phases,
) -> tuple[dict[str, PyTree], np.ndarray]:
    """Phase 8: stages 1 and 2 of the mixture; params and statistics of the manager and of the experts, and what the
    manager says about all images (n, K)."""
    shape, n = images.shape[1:], len(images)
    epochs, n_steps = _length(config, per_epoch(config, n), config.mixture_epochs)
    spec = mixture_spec(config, likelihood, dims, n_steps)
    one = mixture.stage_one(spec, shape)
    state = initial(one, fold_name(key, "mixture"), (min(config.batch_size, n), *shape))
    if manager is not None:
        state = jax.jit(partial(mixture.with_manager, spec), compiler_options=options(once=True))(
            state, manager.params, manager.extra["stats"]
        )
    state = phases.train(
        "mixture",
        one,
        images,
        key=fold_name(key, "mixture"),
        epochs=epochs,
        batch_size=config.batch_size,
        state=state,
    )
    arrays = {name: {"params": state.params[name], "stats": state.extra[name]} for name in ("manager", "experts")}
    log_posterior = _log_posterior(spec.manager, arrays, images)
    labels, seed = log_posterior.argmax(1), seeds.seed(key, "experts")
    batches = grouped(labels, len(dims), config.expert_batch_size, seed)
    epochs, n_steps = _length(config, batches.per_epoch, config.expert_epochs)
    spec = spec._replace(n_steps=n_steps)
    two = mixture.stage_two(spec, shape)
    state = jax.jit(partial(mixture.stage_two_state, spec), compiler_options=options(once=True))(
        arrays["experts"], fold_name(key, "experts")
    )
    state = phases.train(
        "experts",
        two,
        images,
        key=fold_name(key, "experts"),
        epochs=epochs,
        batches=batches,
        state=state,
    )
    return {"manager": arrays["manager"], "experts": {"params": state.params, "stats": state.extra}}, log_posterior


def _log_posterior(spec: classifier.ClassifierSpec, arrays: PyTree, images: Images) -> np.ndarray:
    """What the manager says about all images: (n, K)."""
    of_manager = posterior(classifier.module(spec))
    return apply_in_batches(of_manager, {"manager": arrays["manager"]}, images)


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted mixture: arrays hold params and statistics of 'encoder', 'manager' and 'experts'."""
    return functions(*_specs(meta), tuple(meta["shape"]))


def _specs(meta: Mapping[str, Any]) -> tuple[autoencoder.AutoencoderSpec, mixture.MixtureSpec]:
    config, likelihood = Config(**meta["config"]), meta["likelihood"]
    experts = mixture_spec(config, likelihood, np.array(meta["expert_latent_dims"]), 1)
    return autoencoder_spec(config, likelihood, meta["latent_dim"], 1), experts


def _result(
    model: Model,
    images: Images,
    means: np.ndarray,
    probabilities: np.ndarray,
    clusters: Found | None,
    first: np.ndarray,
    plots: dict[str, np.ndarray],
) -> Result:
    """Everything that the phases found out about the images that they saw."""
    labels = probabilities.argmax(1).astype(np.int32)
    assert model.functions.second_opinion is not None
    opinions = {"reconstruction": apply_in_batches(model.functions.second_opinion, model.arrays, images)}
    noise = np.zeros(len(images), bool)
    if clusters is not None:
        opinions["manager"] = first.astype(np.int32)
        opinions["first"] = clusters.labels
        noise = clusters.labels < 0
    summary = {
        "latent_threshold": model.meta["config"]["explained_variance"],
        "n_clusters": probabilities.shape[1],
        "latent_dim": model.meta["latent_dim"],
        "expert_latent_dims": model.meta["expert_latent_dims"],
    }
    return with_clusters(Result(model, labels, probabilities, noise, means, opinions, summary, plots), clusters)
