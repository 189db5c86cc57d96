"""Pairs of encoder and decoder that a clustering method plugs in, as pure functions, and their training alone.

    mlp    d-500-500-2000-p-2000-500-500-d, leaky ReLU, on vectors (Xie et al. 2016, Boubekki et al. 2021)
    conv   nn.autoencoders' blocks, batch norm and Mish, on images whose side is a power of two

Both decode to what `target` makes of an example, and are compared with it by the squared error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxclust import losses
from jaxclust.errors import InputError
from jaxclust.methods.shared.config import AugmentationConfig, ComputeConfig
from jaxclust.methods.shared.extent import Extent, pictures, vectors
from jaxclust.nn.apply import Module, compute_type, eval_mode, init, train_mode
from jaxclust.nn.autoencoders import Coder, Decoder
from jaxclust.nn.mlp import Layers
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.augment import augment_step
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state, to_unit
from jaxclust.typing import Array, Key, PyTree


@dataclass(frozen=True)
class CoderConfig(ComputeConfig, AugmentationConfig):
    """Settings of the networks around a code."""

    network: Literal["mlp", "conv", "auto"] = "mlp"
    """Dense layers on vectors, or convolutions on images; 'auto': convolutions where the data are images."""
    hidden: tuple[int, ...] = (500, 500, 2000)
    """mlp: widths of the encoder's hidden layers; the decoder mirrors them."""
    quadratic: bool = False
    """mlp: let the first layer see all products of two inputs."""
    width: float = 0.5
    """conv: filters of the first block, as a share of the image's side."""
    min_filters: int = 32
    """conv: fewest filters of the first block."""
    latent_dim: int = 10
    """Size of the code."""
    likelihood: Literal["auto", "gaussian"] = "auto"
    """Only the squared error is known here."""


class Coders(NamedTuple):
    """An encoder and a decoder. params: 'encoder' and 'decoder'; stats: running statistics, the same keys.

    init:    (key, batch size) -> params, stats.
    encode:  (params, stats, target (b, ...), weight (b,)) -> code (b, p), stats, by the batch's statistics.
    decode:  (params, stats, code (b, p), weight (b,)) -> output (b, ...), stats.
    embed:   (params, stats, images) -> codes (n, p), each independent of the others.
    picture: (params, stats, codes (n, p)) -> prepared examples (n, *extent.shape).
    target:  images -> (b, ...), what is encoded and what outputs are compared with.
    random:  (state, images) -> targets of the images, each transformed at random if that is asked for.
    size:    numbers in all parameters.
    """

    init: Callable[[Key, int], tuple[PyTree, PyTree]]
    encode: Callable[[PyTree, PyTree, Array, Array], tuple[Array, PyTree]]
    decode: Callable[[PyTree, PyTree, Array, Array], tuple[Array, PyTree]]
    embed: Callable[[PyTree, PyTree, Array], Array]
    picture: Callable[[PyTree, PyTree, Array], Array]
    target: Callable[[Array], Array]
    random: Callable[[TrainState, Array], Array]
    size: int


def convolutional(config: CoderConfig, extent: Extent) -> bool:
    """Whether the networks convolve. Raises InputError for convolutions of features."""
    images = len(extent.shape) > 1
    if config.network == "conv" and not images:
        raise InputError("network is 'conv' but the data are features: give images, or network 'mlp'")
    return images and config.network != "mlp"


@lru_cache(32)
def coders(config: CoderConfig, extent: Extent, outputs: int | None = None) -> Coders:
    """The pair that `config` asks for. Raises InputError for convolutions of features.

    outputs: how many numbers the encoder gives where it is not the code that the decoder takes (see `of_gaussians`).
    """
    encoder, decoder = _modules(config, extent, outputs or config.latent_dim)
    on_vectors = not convolutional(config, extent)
    ranges = config.ranges()

    def target(images: Array) -> Array:
        return vectors(extent, images) if on_vectors else to_unit(images)

    def start(key: Key, size: int) -> tuple[PyTree, PyTree]:
        shape = (size, extent.size) if on_vectors else (size, *extent.shape)
        params, stats = {}, {}
        params["encoder"], stats["encoder"] = init(encoder, fold_name(key, "encoder"), jnp.zeros(shape))
        code = jnp.zeros((size, config.latent_dim))
        params["decoder"], stats["decoder"] = init(decoder, fold_name(key, "decoder"), code)
        return params, stats

    def encode(params: PyTree, stats: PyTree, x: Array, weight: Array) -> tuple[Array, PyTree]:
        code, seen = train_mode(encoder, params["encoder"], stats["encoder"], x, weight)
        return code, {**stats, "encoder": seen}

    def decode(params: PyTree, stats: PyTree, code: Array, weight: Array) -> tuple[Array, PyTree]:
        output, seen = train_mode(decoder, params["decoder"], stats["decoder"], code, weight)
        return output, {**stats, "decoder": seen}

    def embed(params: PyTree, stats: PyTree, images: Array) -> Array:
        return eval_mode(encoder, params["encoder"], stats["encoder"], target(images))

    def picture(params: PyTree, stats: PyTree, codes: Array) -> Array:
        output = eval_mode(decoder, params["decoder"], stats["decoder"], codes)
        return pictures(extent, output) if on_vectors else jnp.clip(output, 0.0, 1.0)

    def random(state: TrainState, images: Array) -> Array:
        if len(extent.shape) == 1 or not any(ranges):
            return target(images)
        moved = augment_step(state, to_unit(images), ranges, config.form)
        return vectors(extent, moved) if on_vectors else moved

    drawn = jax.eval_shape(lambda key: start(key, 1)[0], jax.random.key(0))
    size = sum(prod(leaf.shape) for leaf in jax.tree.leaves(drawn))
    return Coders(start, encode, decode, embed, picture, target, random, size)


def of_gaussians(*sizes: int) -> Callable[[Array, float], tuple[tuple[Array, Array], ...]]:
    """Reads an encoder's output (b, 2 sum sizes) as means and log-variances of Gaussians of these sizes: means first,
    all of them. Log-variances count from a number, by which posteriors begin narrow, and are clipped to +-10."""
    ends = np.cumsum(sizes)

    def heads(seen: Array, log_variance: float) -> tuple[tuple[Array, Array], ...]:
        means, log_vars = jnp.split(seen, 2, -1)
        log_vars = jnp.clip(log_vars + log_variance, -10.0, 10.0)
        return tuple(
            (means[:, end - size : end], log_vars[:, end - size : end])
            for size, end in zip(sizes, map(int, ends), strict=True)
        )

    return heads


def _modules(config: CoderConfig, extent: Extent, outputs: int) -> tuple[Module, Module]:
    dtype = compute_type(config.precision)
    if not convolutional(config, extent):
        encoder = Layers((*config.hidden, outputs), config.quadratic, dtype, jnp.dtype("float32"))  # codes are exact
        return encoder, Layers((*config.hidden[::-1], extent.size), False, dtype)
    shared = (config.width, config.min_filters, config.form, dtype)
    return Coder(outputs, *shared), Decoder(extent.shape, *shared)


@lru_cache(32)
def pretraining(coders: Coders, optimiser: optax.GradientTransformation) -> Training:
    """The training of a pair alone, on the squared error, averaged over the batch; extra: the running statistics."""

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = coders.init(fold_name(key, "coders"), batch_shape[0])
        return new_state(params, optimiser, stats, key)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, PyTree]:
        x = coders.target(batch.image)
        code, stats = coders.encode(params, state.extra, coders.random(state, batch.image), batch.weight)
        output, stats = coders.decode(params, stats, code, batch.weight)
        return weighted_mean(losses.gaussian_reconstruction(output, x), batch.weight), stats

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(state.params, state, batch)
        return advance(state, grads, optimiser, stats), {"reconstruction": value}

    def embed(state: TrainState, images: Array) -> Array:
        return coders.embed(state.params, state.extra, images)

    return Training(start, step, embed)
