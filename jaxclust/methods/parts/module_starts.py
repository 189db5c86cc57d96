"""What a training of the clustering module begins with: how many clusters, first centroids, first modules."""

import jax
import numpy as np

from jaxclust.host import kmeans, seeds
from jaxclust.methods.parts.clustering_module_config import AEConfig, Config
from jaxclust.methods.parts.module_model import Module, module_of, posterior_of
from jaxclust.train.phases import Phases
from jaxclust.typing import Key, TrainState

CORNER_VARIANCE = 0.1  # of codes around an orthonormal centroid, the squared distance of two being 2


def first_clusters(config: Config, codes: np.ndarray, key: Key, phases: Phases) -> tuple[int, np.ndarray | None]:
    """How many clusters there are, and their labels (restarts, n) where the density of UMAPs of codes (n, restarts, d)
    is asked for them: to find the number, by the first restart, and for the start 'manifold'."""
    by_manifold = isinstance(config, AEConfig) and config.start == "manifold"
    if config.n_clusters != "auto" and not by_manifold:
        return int(config.n_clusters), None

    def solve() -> dict[str, np.ndarray]:
        found: list[np.ndarray] = []
        for r in range(config.restarts if by_manifold else 1):
            seed = seeds.seed(jax.random.fold_in(key, r), "manifold")
            asked = int(found[0].max()) + 1 if found else config.n_clusters
            found.append(
                kmeans.manifold_labels(codes[:, r], asked, config.draws, seed, config.max_samples, phases.note)
            )
        return {"labels": np.stack(found)}

    labels = phases.compute("clusters", solve)["labels"]
    n_clusters = int(labels[0].max()) + 1 if config.n_clusters == "auto" else int(config.n_clusters)
    phases.note(f"{n_clusters} clusters")
    return n_clusters, labels


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
