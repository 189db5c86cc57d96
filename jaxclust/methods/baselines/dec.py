"""Deep embedded clustering (dec; Xie et al. 2016) and its variant with a decoder (idec; Guo et al. 2017).

    x_i, z_i   an example, its code                q_ik   soft assignment to cluster k
    mu_k       centroid, a parameter (K, p)        p_ik   target, q sharpened
    xhat_i     reconstruction (idec)               f_k    soft size of cluster k, sum_i q_ik over the data set
    gamma      weight of the clustering term       d      numbers in an example

    q_ik ~ (1 + |z_i - mu_k|^2)^-1,   p_ik ~ q_ik^2 / f_k           (Xie, eq. 1 and 3; both normalised over k)
    dec    L = mean_i sum_k p_ik log(p_ik / q_ik)                    (Xie, eq. 2)
    idec   L = gamma mean_i KL(p_i || q_i) + mean_i |x_i - xhat_i|^2 / d      (Guo, eq. 4; the authors' mean over d)

p is constant in the gradient. Starts: 'pretrained', the autoencoder alone and k-means of its codes; or 'random', which
is DEC^r and IDEC^r of Boubekki et al. 2021, tables 5 and 9. dec keeps no decoder, and draws no samples.

Deviations: the texts compute p of all data anew every u steps (20 to 140 of them, table 14) and keep it meanwhile.
Here a table holds each example's q of when it was last seen, which gives its p, and f is the sum of the table: p is one
epoch old, which is 36 steps on USPS, and no pass over the data is needed. Training goes on for `epochs` and does not
stop where labels no longer change. Adam as in Boubekki et al., at a constant rate; Xie et al. use SGD.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxclust import losses
from jaxclust.assignments import log_student_t, target_distribution
from jaxclust.methods.baselines.centroids import Joint, JointConfig, method
from jaxclust.methods.shared.coders import Coders
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.optimisers import damped_adam
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state
from jaxclust.typing import Array, Key, PyTree


@dataclass(frozen=True)
class Config(JointConfig):
    """Settings of dec."""


@dataclass(frozen=True)
class IDECConfig(JointConfig):
    """Settings of idec."""

    clustering_weight: float = 0.1
    """Weight gamma of the clustering term."""


def training(config: Config | IDECConfig, pair: Coders, n: int) -> Training:
    """The training of network and centroids on n examples.

    extra: 'stats' of the networks; 'soft' (n, K), each example's q of when it was last seen; 'frequency' (K,), f.
    """
    adam, decodes = damped_adam(config.learning_rate), isinstance(config, IDECConfig)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = pair.init(fold_name(key, "coders"), batch_shape[0])
        if not decodes:
            params = {"encoder": params["encoder"]}
        shape = (config.n_clusters, config.latent_dim)
        params["centroids"] = jax.nn.initializers.glorot_uniform()(fold_name(key, "centroids"), shape)
        soft = jnp.full((n, config.n_clusters), 1 / config.n_clusters, jnp.float32)
        return new_state(params, adam, {"stats": stats, "soft": soft, "frequency": soft.sum(0)}, key)

    def loss(params: PyTree, state: TrainState, batch: Batch, target: Array) -> tuple[Array, PyTree]:
        x = pair.target(batch.image)
        z, stats = pair.encode(params, state.extra["stats"], pair.random(state, batch.image), batch.weight)
        log_q = log_student_t(z, params["centroids"])
        terms = {"clustering": weighted_mean(losses.soft_label_kl(log_q, target), batch.weight)}
        if isinstance(config, IDECConfig):
            output, stats = pair.decode(params, stats, z, batch.weight)
            error = losses.gaussian_reconstruction(output, x) / (x.size / len(x))
            terms["clustering"] *= config.clustering_weight
            terms["reconstruction"] = weighted_mean(error, batch.weight)
        return sum(terms.values(), jnp.zeros(())), (stats, jnp.exp(log_q), terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        before = state.extra["soft"][batch.index]
        target = target_distribution(before, state.extra["frequency"])
        grads, (stats, q, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch, target)
        change = batch.weight[:, None] * (q - before)
        extra = {
            "stats": stats,
            "soft": state.extra["soft"].at[batch.index].add(change),
            "frequency": state.extra["frequency"] + change.sum(0),
        }
        terms["loss"] = sum(terms.values(), jnp.zeros(()))
        return advance(state, grads, adam, extra), terms

    return Training(init, step)


def with_table(state: TrainState, codes: Array) -> TrainState:
    """The state whose table is filled with q of all codes (n, p)."""
    soft = jnp.exp(log_student_t(codes, state.params["centroids"]))
    return state._replace(extra={**state.extra, "soft": soft, "frequency": soft.sum(0)})


def by_student_t(arrays: PyTree, codes: Array) -> Array:
    """log q of codes (n, p): (n, K)."""
    return log_student_t(codes, arrays["centroids"])


DEC = method(
    "dec",
    "deep embedded clustering: codes drawn to sharpened soft assignments",
    "Xie et al., Unsupervised deep embedding for clustering analysis, ICML 2016",
    Config,
    Joint(training, by_student_t, with_table, decodes=False),
)
IDEC = method(
    "idec",
    "deep embedded clustering that keeps the decoder",
    "Guo et al., Improved deep embedded clustering with local structure preservation, IJCAI 2017",
    IDECConfig,
    Joint(training, by_student_t, with_table),
)
