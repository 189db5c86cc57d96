"""Deep clustering network (dcn): an autoencoder whose codes are kept close to their centroids (Yang et al. 2017).

    x_i, z_i   an example, its code              s_i      the cluster of the nearest centroid
    xhat_i     reconstruction                    mu_k     centroid of cluster k
    lambda     weight of the clustering term     c_k      how many examples cluster k was given so far

Network and centroids take turns, batch by batch (section 4.3):

    L = sum_i |x_i - xhat_i|^2 + lambda / 2 |z_i - mu_{s_i}|^2        a step of the network, s and mu fixed (eq. 6)
    s_i = argmin_k |z_i - mu_k|                                       (eq. 7)
    c_k <- c_k + 1,  mu_k <- mu_k - (mu_k - z_i) / c_k                for each example of cluster k in turn (eq. 8)

For the examples of a batch eq. 8 is a mean weighted by counts, mu_k <- (c_k mu_k + sum z_i) / (c_k + m_k), m_k of them,
whatever their order. Counts begin at 100, as in the authors' code.

Starts: 'pretrained', the autoencoder alone and k-means of its codes; or 'random', DCN^r of Boubekki et al. 2021.

Deviations: s_i is that of this step's code and not of the last epoch's, and eq. 8 uses the codes from before the
network's step, which saves a second pass. Boubekki et al. begin each epoch's counts at zero, which makes a centroid the
mean of its cluster. lambda 1 is that of their appendix 1; their table 14 has 0.1.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from jaxclust import losses
from jaxclust.methods.baselines.centroids import Joint, JointConfig, by_distance, method
from jaxclust.methods.shared.coders import Coders
from jaxclust.numerics import fold_name, product, squared_distances
from jaxclust.train.optimisers import damped_adam
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state
from jaxclust.typing import Array, Key, PyTree

FIRST_COUNT = 100.0


@dataclass(frozen=True)
class Config(JointConfig):
    """Settings of dcn."""

    clustering_weight: float = 1.0
    """Weight lambda of the clustering term."""


def moved_centroids(centroids: Array, counts: Array, z: Array, members: Array) -> tuple[Array, Array]:
    """Eq. 8 for a batch: centroids (K, p), counts (K,), codes z (b, p), members (b, K), one-hot or zero for padding."""
    more = members.sum(0)
    sums = product(members.T, z)
    return (counts[:, None] * centroids + sums) / (counts + more)[:, None], counts + more


def training(config: Config, pair: Coders, n: int) -> Training:
    """The training. params: the pair's and 'centroids', which eq. 8 moves; extra: 'stats', 'counts' (K,)."""
    adam = damped_adam(config.learning_rate)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = pair.init(fold_name(key, "coders"), batch_shape[0])
        shape = (config.n_clusters, config.latent_dim)
        params["centroids"] = jax.nn.initializers.glorot_uniform()(fold_name(key, "centroids"), shape)
        counts = jnp.full(config.n_clusters, FIRST_COUNT, jnp.float32)
        return new_state(params, adam, {"stats": stats, "counts": counts}, key)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, PyTree]:
        x, weight = pair.target(batch.image), batch.weight
        z, stats = pair.encode(params, state.extra["stats"], pair.random(state, batch.image), weight)
        output, stats = pair.decode(params, stats, z, weight)
        mu = lax.stop_gradient(params["centroids"])
        members = jax.nn.one_hot(squared_distances(z, mu).argmin(-1), len(mu)) * weight[:, None]
        own = product(members, mu)
        terms = {
            "reconstruction": (weight * losses.gaussian_reconstruction(output, x)).sum(),
            "clustering": 0.5 * config.clustering_weight * (weight * ((z - own) ** 2).sum(-1)).sum(),
        }
        return sum(terms.values(), jnp.zeros(())), (stats, z, members, terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, z, members, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        centroids, counts = moved_centroids(state.params["centroids"], state.extra["counts"], z, members)
        new = advance(state, grads, adam, {"stats": stats, "counts": counts})
        terms["loss"] = sum(terms.values(), jnp.zeros(()))
        terms = {name: term / batch.weight.sum() for name, term in terms.items()}
        return new._replace(params={**new.params, "centroids": centroids}), terms

    return Training(init, step)


METHOD = method(
    "dcn",
    "deep clustering network: autoencoder and k-means in turns",
    "Yang et al., Towards k-means-friendly spaces, ICML 2017",
    Config,
    Joint(training, by_distance),
)
