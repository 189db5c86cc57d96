"""The library's training steps that are measured, and the arithmetic of their networks, counted from shapes."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxclust import losses
from jaxclust.methods.clustering_module.config import AEConfig
from jaxclust.methods.clustering_module.training import Length, ae_clustering_module, clustering_module
from jaxclust.methods.hc_mgan.config import Config as HCMGANConfig
from jaxclust.methods.hc_mgan.fit import training
from jaxclust.methods.hrwae_gan.config import QUICK as HRWAE
from jaxclust.methods.hrwae_gan.training import hrwae_gan
from jaxclust.methods.moe_vae import mixture
from jaxclust.methods.shared import autoencoder
from jaxclust.methods.shared.classifier import ClassifierSpec, module
from jaxclust.methods.shared.coders import coders
from jaxclust.methods.shared.experts import ExpertsSpec, experts
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.population import population
from jaxclust.methods.vc.config import QUICK
from jaxclust.methods.vc.model import Networks
from jaxclust.methods.vc.training import Schedules, variational_clustering
from jaxclust.nn.apply import init, train_mode
from jaxclust.nn.conv import Conv, ConvTranspose
from jaxclust.nn.mlp import Hidden
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.augment import NONE
from jaxclust.train.optimisers import adam
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state
from jaxclust.typing import Array, Key, PyTree

BATCH, FIRST, LATENT = 100, 32, 32  # of the convolutional networks; FIRST: filters of the first block
WIDTHS, MLP_BATCH = (784, 500, 500, 2000, 10), 256  # widths and batch of Xie et al. 2016
CLUSTERS = 10  # of a clustering module


class Case(NamedTuple):
    """A training step to measure: `flops` of a step, on `batch` examples of `shape`, uint8 images or float32."""

    training: Training
    shape: tuple[int, ...]
    batch: int
    flops: float

    def data(self, n: int) -> np.ndarray:
        """n random examples (n, *shape)."""
        rng = np.random.default_rng(0)
        if len(self.shape) == 1:
            return rng.random((n, *self.shape), np.float32)
        return rng.integers(0, 256, (n, *self.shape), np.uint8)


def conv_vae(side: int, batch: int = BATCH, first: int = FIRST, dtype: Any = jnp.float32) -> Case:
    """A convolutional VAE of grey images (side, side, 1), without augmentation."""
    shape = (side, side, 1)
    spec = autoencoder.AutoencoderSpec(
        latent_dim=LATENT, width=0.0, min_filters=first, l1_means=0.0, augmentation=NONE, dtype=dtype
    )
    encoder, decoder = autoencoder.modules(spec, shape)
    flops = step_flops(forward_flops(encoder, (batch, *shape)) + forward_flops(decoder, (batch, LATENT)))
    return Case(autoencoder.autoencoder(spec, shape), shape, batch, flops)


def stage_one(
    k: int, top_experts: int, side: int, batch: int = BATCH, first: int = FIRST, dtype: Any = jnp.float32
) -> Case:
    """Stage 1 of the mixture: k experts, each a conv_vae, and the manager; dense where top_experts is k."""
    shape = (side, side, 1)
    manager = ClassifierSpec(k, width=0.0, min_filters=first, augmentation=NONE, dtype=dtype)
    of_experts = ExpertsSpec((LATENT,) * k, "bernoulli", width=0.0, min_filters=first, dtype=dtype)
    spec = mixture.MixtureSpec(of_experts, manager, top_experts=top_experts, augmentation=NONE)
    rows = mixture.route(jnp.full((batch, k), 1 / k), top_experts, jnp.ones(batch), jax.random.key(0)).index.shape[1]
    networks = experts(of_experts, shape)
    expert = forward_flops(networks.encoder, (rows, *shape)) + forward_flops(networks.decoder, (rows, LATENT))
    flops = step_flops(forward_flops(module(manager), (batch, *shape))) + k * step_flops(expert)
    return Case(mixture.stage_one(spec, shape), shape, batch, flops)


class MLP(nn.Module):
    """Autoencoder of features (b, widths[0]): the library's hidden layers, and linear ones at the code and the end."""

    widths: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = False) -> Array:
        """Return the reconstruction, float32 (b, widths[0])."""
        for widths in (self.widths, self.widths[::-1]):
            x = Hidden(widths[1:-1], self.dtype)(x, weight, train)
            x = nn.Dense(widths[-1], dtype=self.dtype)(x)
        return x.astype(jnp.float32)


def mlp(widths: tuple[int, ...] = WIDTHS, batch: int = MLP_BATCH, dtype: Any = jnp.float32) -> Case:
    """An autoencoder of features with squared error. No config of the library has these widths, its modules do."""
    network, optimiser = MLP(widths, dtype), adam(1e-3, 1)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = init(network, fold_name(key, "init"), jnp.zeros(batch_shape))
        return new_state(params, optimiser, stats, key)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, PyTree]:
        output, stats = train_mode(network, params, state.extra, batch.image, batch.weight)
        return weighted_mean(losses.gaussian_reconstruction(output, batch.image), batch.weight), stats

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(state.params, state, batch)
        return advance(state, grads, optimiser, stats), {"loss": value}

    flops = step_flops(forward_flops(network, (batch, widths[0])))
    return Case(Training(start, step), widths[:1], batch, flops)


def ae_cm(side: int, batch: int = MLP_BATCH, count: int = 1) -> Case:
    """The joint training of ae-cm with the text's network on grey images (side, side, 1), for `count` restarts."""
    shape = (side, side, 1)
    config = AEConfig(n_clusters=CLUSTERS, batch_size=batch)
    pair = coders(config, Extent(shape, side, side))
    one = ae_clustering_module(config, CLUSTERS, Length(1_000_000, 1), pair)
    widths = (side * side, *config.hidden, config.latent_dim)
    layers = [2.0 * batch * a * b for a, b in pairwise(widths)]
    return Case(population(one, count, pair.size), shape, batch, count * step_flops(layers + layers[::-1]))


def restarts(count: int = 20) -> list[tuple[str, int, Case, Case]]:
    """(name, count, one restart, `count` of them together): ae-cm with the text's network on 16 x 16 images, and with
    d - 2K - d on 13 features (wine, 3 clusters, batch 20); cm on these features."""
    paper = [ae_cm(16, MLP_BATCH, n) for n in (1, count)]
    small = AEConfig(n_clusters=3, hidden=(), latent_dim=6, batch_size=20)
    pair, dim = coders(small, Extent((13,), 0, 0)), 13
    length = Length(1_000_000, 1)
    uci = ae_clustering_module(small, 3, length, pair)
    alone = clustering_module(small, 3, dim, length, None)

    def case(training: Training, size: int, n: int) -> Case:
        return Case(population(training, n, size), (dim,), 20, 0.0)

    return [
        ("ae-cm 256-500-500-2000-10", count, *paper),
        ("ae-cm 13-6-13", count, *(case(uci, pair.size, n) for n in (1, count))),
        ("cm 13", count, *(case(alone, 6 * dim, n) for n in (1, count))),
    ]


def vc(n_clusters: int, active: int | str, side: int, batch: int = BATCH) -> Case:
    """The training of vc in preset quick on grey images (side, side, 1), augmentation included."""
    shape = (side, side, 1)
    config = replace(QUICK, active_clusters=active, batch_size=batch)
    nets = Networks(config, n_clusters, Extent(shape, side, side), "bernoulli")
    schedules = Schedules((config.reconstruction_weights, ()), (config.consistency_weights, ()))
    return Case(variational_clustering(config, n_clusters, nets, schedules), shape, batch, 0.0)


def hrwae(groups: int, side: int, batch: int = BATCH, augmented: bool = True) -> Case:
    """The training of hrwae-gan in preset quick on grey images (side, side, 1)."""
    shape, config = (side, side, 1), replace(HRWAE, groups=groups, batch_size=batch)
    if not augmented:
        config = replace(config, rotation=0.0, zoom=0.0, shift=0.0, flip=False)
    return Case(hrwae_gan(config, shape, "bernoulli", 1000), shape, batch, 0.0)


def hc_mgan(refine: bool, side: int, width: float, batch: int = BATCH, slots: int = 1) -> Case:
    """Raw splits, or refinements, of hc-mgan on grey images (side, side, 1): so many leaves at a time, `batch` real
    examples of each group."""
    shape, config = (side, side, 1), HCMGANConfig(width=width, batch_size=batch, concurrent=slots)
    return Case(training(config, shape, slots, refine).training, shape, batch * slots * (1 + refine), 0.0)


def forward_flops(network: nn.Module, shape: tuple[int, ...]) -> list[float]:
    """Operations (2 a multiply and add) of each linear layer of `network`, in order, for an input of `shape`.

    A 3x3 convolution counts nine taps for each of its output pixels, a transposed one for each of its input pixels:
    padding counts, and so it does in PyTorch. Bias, batch norm and activations do not.
    """
    counts: list[float] = []

    def count(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        y = call(*args, **kwargs)
        layer = context.module
        if context.method_name == "__call__" and isinstance(layer, Conv | ConvTranspose | nn.Dense):
            x = args[0]
            taps = 1 if isinstance(layer, nn.Dense) else prod(layer.kernel_size)
            places = x if isinstance(layer, ConvTranspose) else y
            counts.append(2.0 * taps * prod(places.shape[:-1]) * x.shape[-1] * y.shape[-1])
        return y

    with nn.intercept_methods(count):
        jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32))
    return counts


def step_flops(layers: list[float]) -> float:
    """Operations of a training step: each layer forward, and twice that for its gradients.

    The first layer has none for its input, since nobody asks for the gradient of the images.
    """
    return 3 * sum(layers) - layers[0]
