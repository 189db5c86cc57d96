"""What a training of the clustering module begins with: how many clusters, first centroids, first modules."""

from collections.abc import Sequence

import jax
import numpy as np

from jaxclust.host import kmeans, seeds
from jaxclust.host.clusters import Found
from jaxclust.methods.clustering_module.config import AEConfig, Config
from jaxclust.methods.clustering_module.model import Module, module_of, posterior_of
from jaxclust.methods.shared.first_clusters import Values, first_clusters
from jaxclust.methods.shared.job import Job
from jaxclust.train.training import TrainState
from jaxclust.typing import Key

CORNER_VARIANCE = 0.1  # of codes around an orthonormal centroid, the squared distance of two being 2


def number_and_labels(job: Job[Config], codes: Sequence[Values]) -> tuple[int, np.ndarray | None, Found | None]:
    """How many clusters there are; their labels (restarts, n), -1 none, and the first restart's clusters, where these
    are asked for: to find the number, and for the start 'manifold'.

    codes: of each restart, rows -> (m, d).
    """
    config = job.config
    by_manifold = isinstance(config, AEConfig) and config.start == "manifold"
    if config.n_clusters != "auto" and not by_manifold:
        return int(config.n_clusters), None, None
    found: list[Found] = []
    for r in range(config.restarts if by_manifold else 1):
        asked = found[0].memberships.shape[1] if found else config.n_clusters
        name, key = "clusters" if r == 0 else f"clusters-{r}", jax.random.fold_in(job.key, r)
        found.append(first_clusters(job, codes[r], inputs=job.vectors, key=key, name=name, n_clusters=asked))
    return found[0].memberships.shape[1], np.stack([one.labels for one in found]), found[0]


def centroids(config: Config, codes: list[np.ndarray], n_clusters: int, key: Key) -> dict[str, np.ndarray]:
    """Of each restart's codes (n, d), or of one for all: 'centroids' (restarts, K, d), 'labels' and 'variance'."""
    seeding_only = config.start == "k-means++"
    found = [
        kmeans.first_centroids(
            codes[r % len(codes)],
            n_clusters,
            seeds.seed(jax.random.fold_in(key, r), "centroids"),
            seeding_only=seeding_only,
        )
        for r in range(config.restarts)
    ]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def start_at(config: Config, state: TrainState, first: dict[str, np.ndarray]) -> TrainState:
    """The stacked state with the modules of `centroids`."""
    by_posterior = config.encoder_start == "posterior"
    arguments = (first["centroids"], first["variance"]) if by_posterior else (first["centroids"],)
    modules = jax.jit(jax.vmap(posterior_of if by_posterior else module_of))(*arguments)
    return state._replace(params={**state.params, "module": modules})


def corners(modules: Module, latent_dim: int) -> Module:
    """Stacked modules with orthonormal centroids, as the loss wants them, and their Gaussian posterior; where K is
    above p, with the random directions that they have."""
    n_clusters = modules.decoder.shape[1]
    directions = modules.decoder / np.linalg.norm(modules.decoder, axis=2, keepdims=True)
    if n_clusters <= latent_dim:
        directions = np.broadcast_to(np.eye(n_clusters, latent_dim, dtype=np.float32), directions.shape)
    variance = np.full(len(directions), CORNER_VARIANCE, np.float32)
    return jax.jit(jax.vmap(posterior_of))(directions, variance)
