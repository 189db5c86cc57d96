"""Density clusters of the UMAP of raw data, and a head that learns them (umap-density): the floor of all methods.

    x_i    an example as a vector (d,), with metric 'cosine' divided by its root mean square
    u_i    its UMAP coordinates in one of several draws          t_ik   its membership of cluster k
    h(x)   the head, a classifier of examples, softmax over K clusters

    1 clusters  UMAP draws of x, their density trees, the level that lasts over draws: K and t    (host/clusters.py)
    2 head      train h on the examples that are no noise      mean_i KL(t_i || h(x_i))           (shared/classifier.py)

What a network of codes is worth is how far it comes above this: it has none. The parts are UMAP (McInnes et al. 2018)
and the tree of HDBSCAN (Campello et al. 2013); nobody published them together as a method, so there are no paper's
values, and all presets are the same.

The head labels everything, the noise and what was fitted included: convolutions where examples are images, dense layers
where they are features. It sees no augmentation. The embedding is x itself, so that figures and metrics of it are those
of the data.

Deviations: UMAP sees at most `max_samples` examples; the others follow their nearest ones before the head learns them.
UMAP's own transform of new data is not used: it depends on what else is in the batch.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.data.rows import take
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Functions, Method, Model, Result, presets
from jaxclust.methods.shared import classifier
from jaxclust.methods.shared.config import ComputeConfig, ScalingConfig
from jaxclust.methods.shared.extent import Extent, vectors
from jaxclust.methods.shared.first_clusters import ClustersConfig, first_clusters
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.lengths import per_epoch
from jaxclust.methods.shared.outcome import outcome, with_clusters
from jaxclust.nn.apply import compute_type
from jaxclust.train import loop
from jaxclust.train.training import Batch, Training, TrainState, to_unit
from jaxclust.typing import Array, PyTree


@dataclass(frozen=True)
class Config(ComputeConfig, ScalingConfig, ClustersConfig):
    """Settings of umap-density."""

    metric: Literal["euclidean", "cosine"] = "euclidean"
    """How the raw data are compared: by distance, or by direction, whatever their length."""
    head_epochs: float = 5
    """Epochs of the head."""
    min_steps: int = 800
    """Fewest steps of the head: small data are visited more often."""
    batch_size: int = 256
    """Most examples a batch; all batches of an epoch are of one size."""
    learning_rate: float = 2e-3
    """Highest learning rate (Adam, after a warm-up, then a cosine)."""
    width: float = 0.5
    """Head: filters of the first block, as a share of the image's side; features: share of 512 and 256 units."""
    min_filters: int = 16
    """Head: fewest filters of the first block."""


def compared(config: Config, images: Array) -> Array:
    """Prepared examples (n, ...) as they are compared: as they are, or with a root mean square of one for 'cosine'."""
    if config.metric == "euclidean":
        return images
    unit = to_unit(images)
    mean = jnp.square(unit).mean(tuple(range(1, unit.ndim)), keepdims=True)
    return unit / jnp.sqrt(jnp.maximum(mean, jnp.finfo(unit.dtype).tiny))


# The phases


def fit(job: Job[Config]) -> Result:
    """Phases: 'clusters' on the host, 'head'."""
    config = job.config
    look = jax.jit(partial(inputs, config, job.extent))

    def values(rows: np.ndarray) -> np.ndarray:
        return loop.in_batches(look, take(job.images, rows), together=False)

    found = first_clusters(job, values, metric=config.metric)
    state = distilled(job, found)
    arrays = jax.device_get(classifier.arrays_of(state))
    meta = {"config": asdict(config), **job.extent.to_meta(), "n_clusters": found.memberships.shape[1]}
    result = with_clusters(outcome(Model(meta, arrays, restore(meta)), job.images, {"first": found.labels}), found)
    noise = found.labels < 0
    agreement = float((result.labels == found.labels)[~noise].mean())
    job.note(f"the head agrees with {agreement:.1%} of the labels that it learned")
    return result._replace(noise=noise, summary={**result.summary, "head_agreement": round(agreement, 5)})


def distilled(job: Job[Config], found: Found) -> TrainState:
    """The head that learns the memberships of the examples that are no noise."""
    config, rows = job.config, np.flatnonzero(found.labels >= 0)
    batches = per_epoch(config, len(rows))
    epochs = max(config.head_epochs, config.min_steps / batches)
    targets = found.memberships[rows]
    training = classifier.classifier(head_spec(config, targets.shape[1], loop.total_steps(epochs, batches)), targets)
    return job.train("head", _on_compared(config, training), epochs, images=take(job.images, rows))


def _on_compared(config: Config, training: Training) -> Training:
    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        return training.step(state, batch._replace(image=compared(config, batch.image)))

    return training._replace(step=step)


def head_spec(config: Config, n_clusters: int, n_steps: int) -> classifier.ClassifierSpec:
    """The training of the head."""
    return classifier.ClassifierSpec(
        n_clusters,
        config.width,
        config.min_filters,
        config.learning_rate,
        "cosine",
        n_steps,
        form=config.form,
        dtype=compute_type(config.precision),
    )


# What a fitted one can do


def inputs(config: Config, extent: Extent, images: Array) -> Array:
    """x, the examples (n, ...) as vectors (n, d) float32."""
    return vectors(extent, compared(config, images))


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model; arrays: the head's 'params' and 'stats'."""
    config, extent = Config(**meta["config"]), Extent.from_meta(meta)
    head = classifier.module(head_spec(config, meta["n_clusters"], 1))

    def embed(arrays: PyTree, images: Array) -> Array:
        return inputs(config, extent, images)

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return classifier.log_posterior_of(head, arrays, compared(config, images))

    return Functions(embed=embed, log_posterior=log_posterior)


METHOD = Method(
    name="umap-density",
    title="density clusters of the UMAP of raw data, and a classifier that learns them",
    source="no paper; of McInnes et al., UMAP, 2018, and Campello et al., Density-based clustering (HDBSCAN), 2013",
    Config=Config,
    presets=presets(Config()),
    fit=fit,
    restore=restore,
)
