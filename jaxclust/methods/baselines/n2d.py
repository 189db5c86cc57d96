"""Not too deep clustering (n2d): a Gaussian mixture on the manifold of an autoencoder's codes (McConville et al. 2021).

    x_i, z_i   an example, its code               u_i     UMAP coordinates of z_i, as many as clusters
    g_ik       responsibility of cluster k        h(z)    a classifier of codes, softmax over K clusters

    1 train the autoencoder                       L = mean_i |x_i - xhat_i|^2
    2 UMAP of the codes                           20 neighbours, min_dist 0
    3 a mixture of full covariances on u          g_ik, by EM
    4 train the classifier on the codes           mean_i KL(g_i || h(z_i))          (parts/classifier.py)

Deviations: the text ends with step 3 and labels new data by UMAP's transform, which depends on what else is in the
batch; here the classifier labels new data and that of the fit. 2 and 3 see at most `max_samples` examples. The text's
ReLU is leaky here, as in the other baselines.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images
from jaxclust.host import manifold, mixtures, seeds
from jaxclust.methods.base import Functions, Model, Result, System, known_fields
from jaxclust.methods.parts import classifier
from jaxclust.methods.parts.centroid_model import CodeConfig, deviations, functions, positive, pretrained
from jaxclust.methods.parts.coders import Coders, coders, frame
from jaxclust.methods.parts.networks import eval_mode
from jaxclust.methods.parts.outcome import frame_of, outcome
from jaxclust.numerics import fold_name, squared_distances
from jaxclust.train.phases import Phases
from jaxclust.typing import Array, Key, PyTree


@dataclass(frozen=True)
class Config(CodeConfig):
    """Settings of n2d."""

    pretrain_epochs: float = 1000
    neighbors: int = 20
    """Neighbours that UMAP looks at."""
    min_dist: float = 0.0
    """Least distance between UMAP's coordinates."""
    max_samples: int = 70_000
    """Examples that UMAP and the mixture see at most."""
    classifier_epochs: float = 50
    """Epochs of the classifier."""

    def __post_init__(self) -> None:
        CodeConfig.__post_init__(self)
        positive(self, "neighbors", "max_samples", "classifier_epochs")


def clusters(config: Config, codes: np.ndarray, key: Key) -> dict[str, np.ndarray]:
    """UMAP and the mixture on a sample of the codes (n, p): 'rows' (m,), 'map' (m, K), 'responsibilities' (m, K)."""
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
    found = phases.compute("clusters", lambda: clusters(config, before.codes, key))
    rows, g = found["rows"], found["responsibilities"]
    state = phases.train(
        "classifier",
        classifier.classifier(_spec(config), g),
        before.codes[rows],
        key=fold_name(key, "classifier"),
        epochs=config.classifier_epochs,
        batch_size=config.batch_size,
    )
    labels = g.argmax(1)
    sums = np.stack([before.codes[rows][labels == k].sum(0) for k in range(config.n_clusters)])
    counts = np.bincount(labels, minlength=config.n_clusters)
    centroids = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    arrays = jax.device_get(
        {
            "params": before.params,
            "stats": before.stats,
            "classifier": {"params": state.params, "stats": state.extra["stats"]},
            "centroids": centroids,
            "deviation": deviations(before.codes[rows], centroids, labels)[0],
        }
    )
    meta = {"config": asdict(config), "frame": view._asdict()}
    opinion = np.full(len(images), -1, np.int32)
    opinion[rows] = labels
    model = Model(meta, arrays, able(config, pair))
    return outcome(model, images, {"mixture": opinion}, latent_dim=config.latent_dim)


def _spec(config: Config) -> classifier.ClassifierSpec:
    return classifier.ClassifierSpec(config.n_clusters, learning_rate=config.learning_rate)


def able(config: Config, pair: Coders) -> Functions:
    """What a fitted one can do; a cluster's centroid is the mean of its codes."""
    network = classifier.module(_spec(config))

    def assign(arrays: PyTree, codes: Array) -> Array:
        head = arrays["classifier"]
        return jax.nn.log_softmax(eval_mode(network, head["params"], head["stats"], codes))

    can = functions(pair, assign)

    def second_opinion(arrays: PyTree, images: Array) -> Array:
        return squared_distances(can.embed(arrays, images), arrays["centroids"]).argmin(-1).astype(jnp.int32)

    return can._replace(second_opinion=second_opinion)


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    config = Config(**known_fields(Config, meta["config"]))
    return able(config, coders(config, frame_of(meta)))


SYSTEM = System(
    name="n2d",
    title="Gaussian mixture on the UMAP of an autoencoder's codes, and a classifier that learns it",
    source="McConville et al., N2D: (not too) deep clustering via clustering the local manifold, ICPR 2021",
    Config=Config,
    presets={"quick": Config(pretrain_epochs=50, classifier_epochs=20, max_samples=10_000), "paper": Config()},
    fit=fit,
    restore=restore,
)
