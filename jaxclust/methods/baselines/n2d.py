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
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images
from jaxclust.host import manifold, mixtures, seeds
from jaxclust.methods.base import Functions, Method, Model, Result
from jaxclust.methods.baselines.centroids import CodeConfig, deviations, functions, pretrained
from jaxclust.methods.shared import classifier
from jaxclust.methods.shared.coders import Coders, coders, frame, inputs_of
from jaxclust.methods.shared.first_clusters import first_clusters
from jaxclust.methods.shared.outcome import frame_of, outcome, with_clusters
from jaxclust.nn.apply import eval_mode
from jaxclust.numerics import fold_name, squared_distances
from jaxclust.train.phases import Phases
from jaxclust.typing import Array, Key, PyTree


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


def clusters(config: Config, codes: np.ndarray, key: Key) -> dict[str, np.ndarray]:
    """UMAP and the mixture on a sample of the codes (n, p): 'rows' (m,), 'map' (m, K), 'responsibilities' (m, K)."""
    assert config.n_clusters != "auto"
    rows = np.arange(len(codes))
    if len(codes) > config.max_samples:
        draw = np.random.default_rng(seeds.seed(key, "sample"))
        rows = np.sort(draw.choice(len(codes), config.max_samples, replace=False))
    u = manifold.umap(
        codes[rows],
        config.n_clusters,
        seeds.seed(key, "umap"),
        neighbors=config.neighbors,
        min_dist=config.min_dist,
    )
    g = mixtures.gaussian_mixture(u, config.n_clusters, seeds.seed(key, "gmm"))
    return {"rows": rows, "map": u, "responsibilities": g}


def fit(config: Config, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """Phases: 'autoencoder', 'clusters' on the host, 'classifier'."""
    view = frame(preprocess)
    pair = coders(config, view)
    before = pretrained(config, pair, images, key, phases)
    found = None
    if config.n_clusters == "auto":
        inputs, features = partial(inputs_of, preprocess, images), preprocess.kind == "features"
        found = first_clusters(
            config, len(images), before.codes.__getitem__, key, phases, inputs=inputs, features=features
        )
        rows = np.flatnonzero(found.labels >= 0)
        g, opinions = found.memberships[rows], {"first": found.labels}
    else:
        mixed = phases.compute("clusters", lambda: clusters(config, before.codes, key))
        rows, g = mixed["rows"], mixed["responsibilities"]
        opinions = {"mixture": np.full(len(images), -1, np.int32)}
        opinions["mixture"][rows] = g.argmax(1)
    state = phases.train(
        "classifier",
        classifier.classifier(_spec(config, g.shape[1]), g),
        before.codes[rows],
        key=fold_name(key, "classifier"),
        epochs=config.classifier_epochs,
        batch_size=config.batch_size,
    )
    head = {"params": state.params, "stats": state.extra["stats"]}
    arrays = jax.device_get({"params": before.params, "stats": before.stats, "classifier": head})
    arrays.update(_means(before.codes[rows], g.argmax(1), g.shape[1]))
    meta = {"config": asdict(config), "frame": view._asdict(), "n_clusters": g.shape[1]}
    model = Model(meta, arrays, restore(meta))
    return with_clusters(outcome(model, images, opinions, latent_dim=config.latent_dim), found)


def _means(codes: np.ndarray, labels: np.ndarray, n_clusters: int) -> dict[str, np.ndarray]:
    """'centroids' (K, p), the mean of each cluster's codes, and their 'deviation' (K,)."""
    sums = np.stack([codes[labels == k].sum(0) for k in range(n_clusters)])
    counts = np.bincount(labels, minlength=n_clusters)
    centroids = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return {"centroids": centroids, "deviation": deviations(codes, centroids, labels)[0]}


def _spec(config: Config, n_clusters: int) -> classifier.ClassifierSpec:
    return classifier.ClassifierSpec(n_clusters, learning_rate=config.learning_rate)


def able(config: Config, n_clusters: int, pair: Coders) -> Functions:
    """What a fitted one can do; a cluster's centroid is the mean of its codes."""
    network = classifier.module(_spec(config, n_clusters))

    def assign(arrays: PyTree, codes: Array) -> Array:
        head = arrays["classifier"]
        return jax.nn.log_softmax(eval_mode(network, head["params"], head["stats"], codes))

    can = functions(pair, assign)

    def second_opinion(arrays: PyTree, images: Array) -> Array:
        return squared_distances(can.embed(arrays, images), arrays["centroids"]).argmin(-1).astype(jnp.int32)

    return replace(can, second_opinion=second_opinion)


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    config = Config(**meta["config"])
    return able(config, meta.get("n_clusters", config.n_clusters), coders(config, frame_of(meta)))


METHOD = Method(
    name="n2d",
    title="Gaussian mixture on the UMAP of an autoencoder's codes, and a classifier that learns it",
    source="McConville et al., N2D: (not too) deep clustering via clustering the local manifold, ICPR 2021",
    Config=Config,
    presets={
        "quick": Config(n_clusters="auto", pretrain_epochs=50, classifier_epochs=20, max_samples=20_000),
        "paper": Config(),
    },
    fit=fit,
    restore=restore,
)
