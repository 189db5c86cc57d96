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

from jaxclust.methods.base import Functions, Method, Result, presets
from jaxclust.methods.baselines.centroids import CodeConfig, by_distance, finished, functions, kmeans, pretrained
from jaxclust.methods.shared.coders import coders
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.job import Job


def fit(job: Job[CodeConfig]) -> Result:
    """Phases: 'autoencoder', then 'centroids' on the host."""
    pair = coders(job.config, job.extent)
    before = pretrained(job, pair)
    centroids, _ = kmeans(job, before.codes)
    arrays = {"params": before.params, "stats": before.stats, "centroids": centroids}
    return finished(job, functions(pair, by_distance), arrays, {})


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return functions(coders(CodeConfig(**meta["config"]), Extent.from_meta(meta)), by_distance)


METHOD = Method(
    name="ae-kmeans",
    title="autoencoder, then k-means of its codes",
    source="Boubekki et al., Joint optimization of an autoencoder for clustering and embedding, 2021, section 5.1.3",
    Config=CodeConfig,
    presets=presets(CodeConfig(pretrain_epochs=50)),
    fit=fit,
    restore=restore,
)
