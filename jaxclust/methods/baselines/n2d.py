"""Not too deep clustering (n2d): a Gaussian mixture on the manifold of an autoencoder's codes (McConville et al. 2021).

    x_i, z_i   an example, its code               u_i     UMAP coordinates of z_i, as many as clusters
    g_ik       responsibility of cluster k        h(z)    a classifier of codes, softmax over K clusters

    1 train the autoencoder                       L = mean_i |x_i - xhat_i|^2
    2 UMAP of the codes                           20 neighbours, min_dist 0
    3 a mixture of full covariances on u          g_ik, by EM
    4 train the classifier on the codes           mean_i KL(g_i || h(z_i))          (shared/classifier.py)

With n_clusters 'auto', as in the preset 'quick', the persistent leaves of host/clusters.py take the place of 2 and 3:
they find K, and their memberships are g.

Deviations: the text ends with step 3 and labels new data by UMAP's transform, which depends on what else is in the
batch; here the classifier labels new data and that of the fit. 2 and 3 see at most `max_samples` examples. The text's
ReLU is leaky here, as in the other baselines.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.host import manifold, mixtures, sampling
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Functions, Method, Model, Result, presets
from jaxclust.methods.baselines.centroids import CodeConfig, deviations, functions, pretrained
from jaxclust.methods.shared import classifier
from jaxclust.methods.shared.coders import Coders, coders
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.first_clusters import first_clusters, whole
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.lengths import per_epoch
from jaxclust.methods.shared.outcome import outcome, with_clusters
from jaxclust.numerics import squared_distances
from jaxclust.typing import Array, PyTree


@dataclass(frozen=True)
class Config(CodeConfig):
    """Settings of n2d."""

    n_clusters: int | Literal["auto"] = 10  # type: ignore[assignment]  # wider: the others are given K
    """Number of clusters K; 'auto' finds it."""
    granularity: Literal["coarse", "auto", "fine"] = "auto"
    """Which of the numbers of clusters that the data hold 'auto' finds."""
    draws: int = 4
    """Draws of UMAP whose clusters 'auto' compares."""
    pretrain_epochs: float = 1000
    neighbors: int = 20
    """Neighbours that UMAP looks at."""
    min_dist: float = 0.0
    """Least distance between UMAP's coordinates."""
    max_samples: int = 70_000
    """Examples that UMAP and the mixture see at most."""
    classifier_epochs: float = 50
    """Epochs of the classifier."""
    min_steps: int = 0
    """Fewest steps of it: small data are visited more often."""


def clusters(job: Job[Config], codes: np.ndarray) -> dict[str, np.ndarray]:
    """UMAP and the mixture on a sample of the codes (n, p): 'rows' (m,), 'map' (m, K), 'responsibilities' (m, K)."""
    config = job.config
    assert config.n_clusters != "auto"
    rows = sampling.sample(len(codes), config.max_samples, job.seed("sample"))
    u = manifold.umap(
        codes[rows], config.n_clusters, job.seed("umap"), neighbors=config.neighbors, min_dist=config.min_dist
    )
    g = mixtures.gaussian_mixture(u, config.n_clusters, job.seed("gmm"))
    return {"rows": rows, "map": u, "responsibilities": g}


def fit(job: Job[Config]) -> Result:
    """Phases: 'autoencoder', 'clusters' on the host, 'classifier'."""
    config, pair = job.config, coders(job.config, job.extent)
    before, found = pretrained(job, pair), None
    if config.n_clusters == "auto":
        found = first_clusters(job, before.codes.__getitem__, inputs=job.vectors)
        rows = np.flatnonzero(found.labels >= 0)
        g, opinions = found.memberships[rows], {"first": found.labels}
    else:
        mixed = job.compute("clusters", lambda: clusters(job, before.codes))
        rows, g = mixed["rows"], mixed["responsibilities"]
        mixture = Found(g.argmax(1).astype(np.int32), g, np.zeros((0, len(g)), np.int32), {})
        opinions = {"mixture": whole(mixture, rows, job.n, before.codes[rows], before.codes.__getitem__).labels}
    training = classifier.classifier(_spec(config, g.shape[1]), g)
    epochs = max(config.classifier_epochs, config.min_steps / per_epoch(config, len(rows)))
    state = job.train("classifier", training, epochs, images=before.codes[rows])
    head = classifier.arrays_of(state)
    arrays = jax.device_get({"params": before.params, "stats": before.stats, "classifier": head})
    arrays.update(_means(before.codes[rows], g.argmax(1), g.shape[1]))
    meta = {"config": asdict(config), **job.extent.to_meta(), "n_clusters": g.shape[1]}
    result = outcome(Model(meta, arrays, restore(meta)), job.images, opinions, latent_dim=config.latent_dim)
    return with_clusters(result, found)


def _means(codes: np.ndarray, labels: np.ndarray, n_clusters: int) -> dict[str, np.ndarray]:
    """'centroids' (K, p), the mean of each cluster's codes, and their 'deviation' (K,)."""
    sums = np.stack([codes[labels == k].sum(0) for k in range(n_clusters)])
    counts = np.bincount(labels, minlength=n_clusters)
    centroids = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return {"centroids": centroids, "deviation": deviations(codes, centroids, labels)[0]}


def _spec(config: Config, n_clusters: int) -> classifier.ClassifierSpec:
    return classifier.ClassifierSpec(n_clusters, learning_rate=config.learning_rate)


def functions_of(config: Config, n_clusters: int, pair: Coders) -> Functions:
    """What a fitted one can do; a cluster's centroid is the mean of its codes."""
    network = classifier.module(_spec(config, n_clusters))

    def assign(arrays: PyTree, codes: Array) -> Array:
        return classifier.log_posterior_of(network, arrays["classifier"], codes)

    can = functions(pair, assign)

    def second_opinion(arrays: PyTree, images: Array) -> Array:
        return squared_distances(can.embed(arrays, images), arrays["centroids"]).argmin(-1).astype(jnp.int32)

    return replace(can, second_opinion=second_opinion)


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    config = Config(**meta["config"])
    return functions_of(config, meta.get("n_clusters", config.n_clusters), coders(config, Extent.from_meta(meta)))


QUICK = Config(n_clusters="auto", pretrain_epochs=50, classifier_epochs=20, min_steps=700, max_samples=20_000)

METHOD = Method(
    name="n2d",
    title="Gaussian mixture on the UMAP of an autoencoder's codes, and a classifier that learns it",
    source="McConville et al., N2D: (not too) deep clustering via clustering the local manifold, ICPR 2021",
    Config=Config,
    presets=presets(QUICK),
    fit=fit,
    restore=restore,
)
