"""Mixture of autoencoders (mixae): one a cluster, and a network that reads all their codes (Zhang et al. 2017).

    x_i      an example                       p_ik     the mixture assignment network: softmax over K of all K codes
    x_ik     its image by autoencoder k                of x_i, side by side
    alpha    weight of the sample entropy     gamma    weight of the batch entropy

    R = mean_i sum_k p_ik |x_i - x_ik|^2              the reconstruction, summed over pixels
    S = mean_i -sum_k p_ik log p_ik                   sample entropy, small where an example is one cluster's
    B = -sum_k q_k log q_k,  q_k = mean_i p_ik        batch entropy, log K where clusters are of one size

    L = R + u (alpha S - gamma B),   u = R / log K, a constant in the gradient

Nothing is pre-trained. The label is the largest p; the autoencoder of the smallest error is the opinion
'reconstruction', and the embedding all codes, side by side.

The text's weights were not to be had. Ours count in units u, in which an entropy of weight 1 can be as large as the
reconstruction, whatever the number of pixels (an implementation that others published keeps the terms at one magnitude
too): alpha 1, gamma 5. With gamma as small as alpha an early lead of one autoencoder is never made good: S keeps all
images there. That was seen on made blobs, and nothing else was looked at. Ours as well: dense autoencoders as of the
other baselines, one hidden layer in the assignment network, Adam at a constant rate, and the number of epochs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import log
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxclust import losses
from jaxclust.methods.base import Functions, Method, Model, Result, presets
from jaxclust.methods.shared import experts
from jaxclust.methods.shared.coders import CoderConfig, coders
from jaxclust.methods.shared.config import ScalingConfig
from jaxclust.methods.shared.experts import ExpertBatch, Passed
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.outcome import outcome
from jaxclust.nn.apply import compute_type, eval_mode, init
from jaxclust.nn.mlp import Layers
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state
from jaxclust.typing import Array, Key, PyTree


@dataclass(frozen=True)
class Config(ScalingConfig, CoderConfig):
    """Settings of mixae."""

    n_clusters: int = 10
    """Number of clusters K."""
    assigner_hidden: tuple[int, ...] = (64,)
    """Widths of the hidden layers of the mixture assignment network."""
    sample_entropy_weight: float = 1.0
    """Weight alpha of the sample entropy; at 1 it can weigh as much as the reconstruction."""
    batch_entropy_weight: float = 5.0
    """Weight gamma of the batch entropy, in the same unit."""
    epochs: float = 300
    """Epochs of the training."""
    batch_size: int = 256
    """Most examples a batch; all batches of an epoch are of one size."""
    learning_rate: float = 1e-3
    """Learning rate (Adam)."""


def mixture_loss(config: Config, log_p: Array, errors: Array, weight: Array) -> tuple[Array, dict[str, Array]]:
    """L and its terms: log p (b, K), errors (b, K) summed over pixels, weight (b,), 0 for padding."""
    p = jnp.exp(log_p)
    terms = {
        "reconstruction": weighted_mean((p * errors).sum(-1), weight),
        "sample_entropy": losses.sample_entropy(p, weight),
        "negative_batch_entropy": losses.negative_batch_entropy(p, weight),
    }
    unit = lax.stop_gradient(terms["reconstruction"]) / log(log_p.shape[-1])
    entropies = (
        config.sample_entropy_weight * terms["sample_entropy"]
        + config.batch_entropy_weight * terms["negative_batch_entropy"]
    )
    return terms["reconstruction"] + unit * entropies, terms


def assigner(config: Config) -> Layers:
    """The mixture assignment network: all codes (b, K p) -> logits (b, K)."""
    widths = (*config.assigner_hidden, config.n_clusters)
    return Layers(widths, False, compute_type(config.precision), jnp.dtype("float32"))


def training(config: Config, extent: Extent) -> Training:
    """The training. params, extra: 'assigner', and 'experts' with a leading axis K."""
    spec, shape = experts.plain(config, extent, config.hidden, config.n_clusters)
    network, pair, adam = assigner(config), coders(config, extent), optax.adam(config.learning_rate)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = {}, {}
        codes = jnp.zeros((1, config.n_clusters * config.latent_dim))
        params["assigner"], stats["assigner"] = init(network, fold_name(key, "assigner"), codes)
        params["experts"], stats["experts"] = experts.init_experts(spec, shape, fold_name(key, "experts"))
        return new_state(params, adam, stats, key)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        rows = ExpertBatch(pair.random(state, batch.image), pair.target(batch.image), batch.weight)
        stats = state.extra["assigner"]

        def loss(params: PyTree, passed: Passed) -> tuple[Array, dict[str, Array]]:
            logits = eval_mode(network, params, stats, experts.side_by_side(passed.code))
            return mixture_loss(config, jax.nn.log_softmax(logits), passed.reconstruction.T, batch.weight)

        def weigh(passed: Passed) -> tuple[Passed, Any]:
            told, (of_assigner, wanted) = jax.value_and_grad(loss, (0, 1), True)(state.params["assigner"], passed)
            return wanted, (told, of_assigner)

        ((value, terms), of_assigner), of_experts, expert_stats = experts.pass_all(
            spec, shape, state.params["experts"], state.extra["experts"], rows, weigh
        )
        grads, extra = {"assigner": of_assigner, "experts": of_experts}, {"assigner": stats, "experts": expert_stats}
        return advance(state, grads, adam, extra), {"loss": value, **terms}

    return Training(start, step, stacked=experts.stacked)


def fit(job: Job[Config]) -> Result:
    """One phase, 'training'."""
    config = job.config
    state = job.train("training", training(config, job.extent), config.epochs)
    arrays = {name: {"params": state.params[name], "stats": state.extra[name]} for name in state.params}
    meta = {"config": asdict(config), **job.extent.to_meta()}
    model = Model(meta, jax.device_get(arrays), restore(meta))
    sizes = {"latent_dim": config.latent_dim, "expert_latent_dims": [config.latent_dim] * config.n_clusters}
    return outcome(model, job.images, {}, "reconstruction", **sizes)


def functions(config: Config, extent: Extent) -> Functions:
    """What a fitted one can do; arrays: 'params' and 'stats' of 'assigner' and (stacked) 'experts'."""
    spec, shape = experts.plain(config, extent, config.hidden, config.n_clusters)
    network, pair = assigner(config), coders(config, extent)

    def embed(arrays: PyTree, images: Array) -> Array:
        return experts.all_codes(spec, shape, arrays["experts"], pair.target(images))

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        of_network = arrays["assigner"]
        return jax.nn.log_softmax(eval_mode(network, of_network["params"], of_network["stats"], embed(arrays, images)))

    can = Functions(embed=embed, log_posterior=log_posterior)
    return experts.reconstructing(can, spec, shape, extent, pair.target)


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return functions(Config(**meta["config"]), Extent.from_meta(meta))


METHOD = Method(
    name="mixae",
    title="mixture of autoencoders, one a cluster, and a network that assigns by all their codes",
    source="Zhang et al., Deep unsupervised clustering using mixture of autoencoders, 2017",
    Config=Config,
    presets=presets(Config(hidden=(256, 64), epochs=100)),
    fit=fit,
    restore=restore,
)
