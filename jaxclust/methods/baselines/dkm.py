"""Deep k-means (dkm): an autoencoder and centroids trained together by gradients (Fard et al. 2020).

    x_i, z_i   an example, its code              r_k      centroid of cluster k, a parameter
    xhat_i     reconstruction                    a        sharpness: the larger, the harder the assignments
    lambda     weight of the clustering term     g_ik     softmax_k(-a |z_i - r_k|^2), which the gradient sees

    L = mean_i |x_i - xhat_i|^2 + lambda sum_k |z_i - r_k|^2 g_ik                       (eq. 4 and 5)

In the limit of a it is k-means. Starts (section 3.2):
  'random'      a rises: a_0 = 0.1, a_i = 2^(1 / ln(i + 1)^2) a_{i-1}, a step every `annealing_epochs`; centroids are
                drawn from U(-1, 1), as in the authors' code (DKM^r of Boubekki et al. 2021, tables 5 and 9)
  'pretrained'  the autoencoder alone, k-means of its codes, then a fixed a (DKM^p)

lambda is that of USPS in table 14 of Boubekki et al. for 'pretrained'; for 'random' it is 0.01 there.
Deviations: leaky ReLU as in the other baselines; the authors have ReLU. a rises until the end, as in the code of
Boubekki et al.; Fard et al. stop after 40 values. Adam with its usual epsilon in the joint training, as both.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxclust import losses
from jaxclust.assignments import log_distance_softmax
from jaxclust.methods.baselines.centroids import Joint, JointConfig, by_distance, method
from jaxclust.methods.shared.coders import Coders
from jaxclust.methods.shared.lengths import per_epoch
from jaxclust.numerics import fold_name, squared_distances, weighted_mean
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state
from jaxclust.typing import Array, Key, PyTree


@dataclass(frozen=True)
class Config(JointConfig):
    """Settings of dkm."""

    clustering_weight: float = 0.1
    """Weight lambda of the clustering term."""
    sharpness: float = 1000.0
    """start 'pretrained': a."""
    annealing_epochs: float = 5
    """start 'random': epochs between two values of a."""


def sharpnesses(config: Config, batches: int) -> tuple[np.ndarray, int]:
    """The values of a, and for how many steps each holds; the last for all that follow."""
    if config.start == "pretrained":
        return np.array([config.sharpness], np.float32), 1
    count = int(np.ceil(config.epochs / config.annealing_epochs))
    exponents = [1 / np.log(i + 1) ** 2 for i in range(1, count)]
    return (0.1 * 2.0 ** np.cumsum([0.0, *exponents])).astype(np.float32), max(
        1, round(config.annealing_epochs * batches)
    )


def clustering(z: Array, centroids: Array, sharpness: Array | float) -> Array:
    """sum_k |z - r_k|^2 softmax_k(-a |z - r_k|^2): codes (b, p), centroids (K, p) -> (b,) (eq. 4 and 5)."""
    shares = jnp.exp(log_distance_softmax(z, centroids, sharpness))
    return (shares * squared_distances(z, centroids)).sum(-1)


def training(config: Config, pair: Coders, n: int) -> Training:
    """The training of network and centroids. extra: 'stats' of the networks."""
    adam = optax.adam(config.learning_rate)
    values, steps = sharpnesses(config, per_epoch(config, n))

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = pair.init(fold_name(key, "coders"), batch_shape[0])
        shape = (config.n_clusters, config.latent_dim)
        params["centroids"] = jax.random.uniform(fold_name(key, "centroids"), shape, minval=-1.0)
        return new_state(params, adam, {"stats": stats}, key)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, PyTree]:
        x, weight = pair.target(batch.image), batch.weight
        z, stats = pair.encode(params, state.extra["stats"], pair.random(state, batch.image), weight)
        output, stats = pair.decode(params, stats, z, weight)
        sharpness = jnp.asarray(values)[jnp.minimum(state.step // steps, len(values) - 1)]
        terms = {
            "reconstruction": weighted_mean(losses.gaussian_reconstruction(output, x), weight),
            "clustering": config.clustering_weight
            * weighted_mean(clustering(z, params["centroids"], sharpness), weight),
        }
        return sum(terms.values(), jnp.zeros(())), (stats, terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        terms["loss"] = sum(terms.values(), jnp.zeros(()))
        return advance(state, grads, adam, {"stats": stats}), terms

    return Training(init, step)


def last_sharpness(config: Config, n: int) -> dict[str, np.ndarray]:
    """a at the end of a training on n examples."""
    return {"sharpness": sharpnesses(config, per_epoch(config, n))[0][-1]}


METHOD = method(
    "dkm",
    "deep k-means: an autoencoder and centroids trained together, assignments made harder step by step",
    "Fard et al., Deep k-means: jointly clustering with k-means and learning representations, 2020",
    Config,
    Joint(training, by_distance, constants=last_sharpness),
)
