"""Clusters that are centroids among the codes of an autoencoder: settings, starts, the joint fit, and its functions.

Starts: 'pretrained' trains the autoencoder alone and takes the centroids of k-means of its codes, the best of 20 runs
(Xie et al. 2016); 'random' leaves network and centroids as they are drawn.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxclust.assignments import log_distance_softmax
from jaxclust.data.rows import Images
from jaxclust.methods.base import Functions, Method, Model, Result, presets
from jaxclust.methods.shared.coders import CoderConfig, Coders, coders, pretraining
from jaxclust.methods.shared.config import ScalingConfig
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.outcome import outcome
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.inference import apply_in_batches
from jaxclust.train.optimisers import damped_adam
from jaxclust.train.phases import initial
from jaxclust.train.training import Training, TrainState
from jaxclust.typing import Array, Key, PyTree

KMEANS_RUNS = 20


@dataclass(frozen=True)
class CodeConfig(ScalingConfig, CoderConfig):
    """Settings of an autoencoder whose codes are clustered."""

    n_clusters: int = 10
    """Number of clusters K."""
    pretrain_epochs: float = 100
    """Epochs of the autoencoder alone."""
    batch_size: int = 256
    """Most examples a batch; all batches of an epoch are of one size."""
    learning_rate: float = 1e-3
    """Learning rate (Adam)."""


@dataclass(frozen=True)
class JointConfig(CodeConfig):
    """Settings of a network and centroids that are trained together."""

    start: Literal["random", "pretrained"] = "pretrained"
    """Random parameters and centroids; or an autoencoder trained alone, and k-means of its codes."""
    epochs: float = 1000
    """Epochs of network and centroids together."""


# Starts


class Pretrained(NamedTuple):
    """An autoencoder trained alone, the codes (n, p) that it gives all examples."""

    params: PyTree
    stats: PyTree
    codes: np.ndarray


def pretrained(job: Job[CodeConfig], pair: Coders) -> Pretrained:
    """The phase 'autoencoder': the pair alone."""
    training = pretraining(pair, damped_adam(job.config.learning_rate))
    state = job.train("autoencoder", training, job.config.pretrain_epochs)
    return Pretrained(state.params, state.extra, codes_of(pair, state.params, state.extra, job.images))


def codes_of(pair: Coders, params: PyTree, stats: PyTree, images: Images) -> np.ndarray:
    """Codes (n, p) of all images."""
    return loop.in_batches(partial(jax.jit(pair.embed), params, stats), images)


def kmeans(job: Job[CodeConfig], codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The phase 'centroids': the best of 20 runs of k-means of codes (n, p): centroids (K, p), labels (n,)."""

    def solve() -> dict[str, np.ndarray]:
        from sklearn.cluster import KMeans

        found = KMeans(job.config.n_clusters, n_init=KMEANS_RUNS, random_state=job.seed("centroids")).fit(codes)
        return {"centroids": found.cluster_centers_.astype(np.float32), "labels": found.labels_.astype(np.int32)}

    found = job.compute("centroids", solve)
    return found["centroids"], found["labels"]


def started(job: Job[JointConfig], pair: Coders, training: Training) -> tuple[TrainState, dict[str, np.ndarray]]:
    """The state that `training` starts from, and k-means' labels as an opinion if there was a k-means.

    Its params are those of the pair, or some of them, and 'centroids' (K, p); extra has the pair's 'stats'.
    """
    key, shape = fold_name(job.key, "joint"), (1, *job.shape)
    if job.config.start == "random":
        return job.phases.begun("joint", training, key, shape), {}
    state = initial(training, key, shape)
    before = pretrained(job, pair)
    centroids, labels = kmeans(job, before.codes)
    params = {**before.params, "centroids": centroids}
    state = state._replace(
        params={name: params[name] for name in state.params}, extra={**state.extra, "stats": before.stats}
    )
    return state, {"k-means": labels}


# Network and centroids together


class Joint(NamedTuple):
    """What a method is whose network and centroids are trained together.

    training:  (config, pair, n) -> its training on n examples, as `started` wants it.
    assign:    (arrays, codes (n, p)) -> log posterior (n, K).
    begin:     (state, codes (n, p) of all examples) -> the state before the first step.
    constants: (config, n) -> arrays that `assign` reads beside the trained ones.
    decodes:   whether there is a decoder.
    """

    training: Callable[[Any, Coders, int], Training]
    assign: Callable[[PyTree, Array], Array]
    begin: Callable[[TrainState, Array], TrainState] | None = None
    constants: Callable[[Any, int], dict[str, Any]] = lambda config, n: {}
    decodes: bool = True


def fit(joint: Joint, job: Job[JointConfig]) -> Result:
    """Phases: 'autoencoder' and 'centroids' if pre-trained, then 'joint'."""
    pair = coders(job.config, job.extent)
    training = joint.training(job.config, pair, job.n)
    state, opinions = started(job, pair, training)
    if joint.begin is not None:
        state = jax.jit(joint.begin)(state, codes_of(pair, state.params, state.extra["stats"], job.images))
    state = job.train("joint", training, job.config.epochs, state=state)
    params = dict(state.params)
    arrays = {"centroids": params.pop("centroids"), "params": params, "stats": state.extra["stats"]}
    can = functions(pair, joint.assign, decodes=joint.decodes)
    return finished(job, can, {**arrays, **joint.constants(job.config, job.n)}, opinions)


def restore(joint: Joint, config: type[JointConfig], meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    pair = coders(config(**meta["config"]), Extent.from_meta(meta))
    return functions(pair, joint.assign, decodes=joint.decodes)


def method(name: str, title: str, source: str, config: type[JointConfig], joint: Joint) -> Method:
    """The method of that name."""
    quick = config(pretrain_epochs=50, epochs=50)
    return Method(name, title, source, config, presets(quick), partial(fit, joint), partial(restore, joint, config))


# What a fitted one can do


def by_distance(arrays: PyTree, codes: Array) -> Array:
    """The posterior of a mixture of equal weights and covariances I / (2 sharpness): codes (n, p) -> (n, K), log."""
    return log_distance_softmax(codes, arrays["centroids"], arrays["sharpness"])


def functions(pair: Coders, assign: Callable[[PyTree, Array], Array], *, decodes: bool = True) -> Functions:
    """Pure functions of arrays 'params', 'stats', 'centroids' (K, p), 'deviation' (K,) and what `assign` reads.

    assign: (arrays, codes (n, p)) -> log posterior (n, K).  decodes: whether there is a decoder.
    """

    def embed(arrays: PyTree, images: Array) -> Array:
        return pair.embed(arrays["params"], arrays["stats"], images)

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return assign(arrays, embed(arrays, images))

    def decode(arrays: PyTree, latent: Array, cluster: Array | None = None) -> Array:
        return pair.picture(arrays["params"], arrays["stats"], latent)

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        noise = jax.random.normal(key, (n, arrays["centroids"].shape[1]))
        return decode(arrays, arrays["centroids"][cluster] + arrays["deviation"][cluster] * noise)

    def reconstruct(arrays: PyTree, images: Array) -> Array:
        return decode(arrays, embed(arrays, images))

    def centroids(arrays: PyTree) -> Array:
        return arrays["centroids"]

    if not decodes:
        return Functions(embed=embed, log_posterior=log_posterior, centroids=centroids)
    return Functions(
        embed=embed,
        log_posterior=log_posterior,
        sample=sample,
        reconstruct=reconstruct,
        decode=decode,
        centroids=centroids,
    )


def nearest(codes: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Labels (n,) of the nearest of centroids (K, p), codes (n, p)."""
    return np.stack([((codes - centroid) ** 2).sum(1) for centroid in centroids], 1).argmin(1)


def deviations(codes: np.ndarray, centroids: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Root mean squares, per dimension, of z - mu_label: of each cluster (K,), and of all examples.

    An empty cluster has that of all.
    """
    squares = ((codes - centroids[labels]) ** 2).mean(1, dtype=np.float64)
    pooled = max(float(np.sqrt(squares.mean())), 1e-6)
    counts = np.bincount(labels, minlength=len(centroids))
    sums = np.bincount(labels, squares, len(centroids))
    each = np.where(counts > 0, np.sqrt(sums / np.maximum(counts, 1)), pooled)
    return each.astype(np.float32), pooled


def finished(
    job: Job[CodeConfig], can: Functions, arrays: Mapping[str, PyTree], opinions: Mapping[str, np.ndarray]
) -> Result:
    """The result of networks and 'centroids' in `arrays`, to which follow each cluster's 'deviation', and 'sharpness',
    1 / (2 s^2) of the deviation s of all, unless it is there."""
    arrays = jax.device_get(dict(arrays))
    codes = apply_in_batches(can.embed, arrays, job.images)
    each, pooled = deviations(codes, arrays["centroids"], nearest(codes, arrays["centroids"]))
    arrays = {"sharpness": np.float32(0.5 / pooled**2), **arrays, "deviation": each}
    meta = {"config": asdict(job.config), **job.extent.to_meta()}
    return outcome(Model(meta, arrays, can), job.images, opinions, latent_dim=job.config.latent_dim)
