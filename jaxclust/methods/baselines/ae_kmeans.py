"""An autoencoder, and k-means of its codes (ae-kmeans): AE+KM of Boubekki et al. 2021, section 5.1.3.

    x_i, z_i   an example, its code           xhat_i   its reconstruction
    mu_k       centroid of cluster k          s        root mean square of z_i - mu_nearest, per dimension

    1 train the autoencoder   L = mean_i |x_i - xhat_i|^2
    2 k-means of its codes    min_mu sum_i min_k |z_i - mu_k|^2, the best of 20 runs

What methods that train both together are compared with. Prediction: softmax_k(-|z - mu_k|^2 / (2 s^2)), whose largest
is the nearest centroid's.

Deviations: none known; the text gives 1000 epochs to what is trained together and does not say how long the autoencoder
is trained alone, for which the default is that of ae-cm.
"""

from collections.abc import Mapping
from typing import Any

from jaxclust.assignments import log_distance_softmax
from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images
from jaxclust.methods.base import Functions, Method, Result
from jaxclust.methods.baselines.centroids import CodeConfig, finished, functions, kmeans, pretrained
from jaxclust.methods.shared.coders import Coders, coders, frame
from jaxclust.methods.shared.outcome import frame_of
from jaxclust.train.phases import Phases
from jaxclust.typing import Array, Key, PyTree


def fit(config: CodeConfig, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """Phases: 'autoencoder', then 'centroids' on the host."""
    view = frame(preprocess)
    pair = coders(config, view)
    before = pretrained(config, pair, images, key, phases)
    centroids, _ = kmeans(before.codes, config.n_clusters, key, phases)
    arrays = {"params": before.params, "stats": before.stats, "centroids": centroids}
    return finished(config, view, able(pair), arrays, images, {})


def able(pair: Coders) -> Functions:
    """What a fitted one can do."""

    def assign(arrays: PyTree, codes: Array) -> Array:
        return log_distance_softmax(codes, arrays["centroids"], arrays["sharpness"])

    return functions(pair, assign)


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return able(coders(CodeConfig(**meta["config"]), frame_of(meta)))


METHOD = Method(
    name="ae-kmeans",
    title="autoencoder, then k-means of its codes",
    source="Boubekki et al., Joint optimization of an autoencoder for clustering and embedding, 2021, section 5.1.3",
    Config=CodeConfig,
    presets={"quick": CodeConfig(pretrain_epochs=50), "paper": CodeConfig()},
    fit=fit,
    restore=restore,
)
