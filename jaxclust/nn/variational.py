"""Networks of a VAE whose prior is a Gaussian mixture (Prasad et al. 2020, table II), but for the library's own trunks.

Image sizes of the text, with all convolutions 3 x 3 and without batch norm:
    28 x 28   ReLU         64 64 64 128/2 128 128 256/2; back from 3 x 3 x 256
    32 x 32   leaky ReLU   96 96 96/2 192 192 192/2;     back from 4 x 4 x 192, 33 x 33, of which 32 x 32 are kept
    vectors   ReLU         dense layers
Its captions (a) and (b) are swapped: prior and decoder are those of (a). Variances are its softplus and 1e-4 more.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxclust.errors import InputError
from jaxclust.typing import Array

LEAST_VARIANCE = 1e-4  # added to what softplus gives


class Plan(NamedTuple):
    """Networks for images of one side: (filters, stride, padding) of the convolutions in order.

    seed: side and filters that the decoder's begin with; dense: widths of its layers before them.
    codes, prior: widths of the hidden layers of q(z|x, k) and p(z|k).
    """

    down: tuple[tuple[int, int, str], ...]
    up: tuple[tuple[int, int, str], ...]
    seed: tuple[int, int]
    dense: tuple[int, ...]
    codes: tuple[int, ...]
    prior: tuple[int, ...]
    activation: Callable[[Array], Array]


def _valid(*layers: tuple[int, int]) -> tuple[tuple[int, int, str], ...]:
    return tuple((filters, stride, "VALID") for filters, stride in layers)


PLANS = {
    28: Plan(
        _valid((64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2)),
        ((128, 2, "SAME"), *_valid((128, 1), (128, 1), (64, 1)), (64, 2, "SAME"), *_valid((64, 1))),
        seed=(3, 256),
        dense=(512,),
        codes=(256, 512),
        prior=(),
        activation=nn.relu,
    ),
    32: Plan(
        _valid((96, 1), (96, 1), (96, 2), (192, 1), (192, 1), (192, 2)),
        _valid((192, 2), (192, 1), (96, 1), (96, 2), (96, 1), (96, 1)),
        seed=(4, 192),
        dense=(),
        codes=(512, 512),
        prior=(64, 64),
        activation=partial(nn.leaky_relu, negative_slope=0.2),
    ),
}
VECTORS = Plan((), (), seed=(0, 0), dense=(120, 120), codes=(10,), prior=(120,), activation=nn.relu)


def plan_of(shape: tuple[int, ...]) -> Plan:
    """The text's networks for images (D, D, c) or vectors (d,). Raises InputError where it has none."""
    if len(shape) == 1:
        return VECTORS
    if shape[0] != shape[1] or shape[0] not in PLANS:
        raise InputError(
            f"network is 'text' but images are {shape[0]} x {shape[1]}: the text has networks for vectors and "
            f"images of {' or '.join(f'{side} x {side}' for side in PLANS)}: choose network 'size'"
        )
    return PLANS[shape[0]]


def scaled(units: tuple[int, ...], width: float) -> tuple[int, ...]:
    """A share of the text's filters or hidden units, at least one."""
    return tuple(max(1, round(width * count)) for count in units)


def variance(raw: Array) -> Array:
    """softplus, as the text has it, and a little: above 0."""
    return jax.nn.softplus(raw.astype(jnp.float32)) + LEAST_VARIANCE


class TextTrunk(nn.Module):
    """The text's features of x: images (b, D, D, c), D 28 or 32, flattened maps; of vectors, a hidden layer: (b, m)."""

    hidden: int
    width: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = False) -> Array:
        if x.ndim == 2:
            return nn.relu(nn.Dense(*scaled((self.hidden,), self.width), dtype=self.dtype)(x))
        plan = plan_of(x.shape[1:])
        for filters, stride, padding in plan.down:
            layer = nn.Conv(*scaled((filters,), self.width), (3, 3), stride, padding=padding, dtype=self.dtype)
            x = plan.activation(layer(x))
        return x.reshape(len(x), -1)


class TextDecoder(nn.Module):
    """The text's decoder: (b, d) -> (b, *shape) float32; shape (D, D, c), D 28 or 32, or (d,)."""

    shape: tuple[int, ...]
    width: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Array, weight: Array | None = None, train: bool = False) -> Array:
        plan = plan_of(self.shape)
        for units in scaled(plan.dense, self.width):
            z = plan.activation(nn.Dense(units, dtype=self.dtype)(z))
        if len(self.shape) == 1:
            return nn.Dense(self.shape[0], name="output")(z).astype(jnp.float32)
        side, _, channels = self.shape
        first, (filters,) = plan.seed[0], scaled(plan.seed[1:], self.width)
        x = plan.activation(nn.Dense(first * first * filters, dtype=self.dtype)(z)).reshape(-1, first, first, filters)
        for count, stride, padding in plan.up:
            strides, (filters,) = (stride, stride), scaled((count,), self.width)
            layer = nn.ConvTranspose(filters, (3, 3), strides, padding=padding, dtype=self.dtype)
            x = plan.activation(layer(x))
        x = nn.ConvTranspose(channels, (3, 3), padding="VALID", dtype=self.dtype, name="output")(x)
        return x[:, :side, :side].astype(jnp.float32)


class GaussianOfCode(nn.Module):
    """q(z|x, k): features (b, m) and clusters (b, j) -> mean and variance (b, j, latent_dim), float32.

    Dense layers on the features beside the one-hot e_k; the features' part of the first one is computed once for all
    clusters.
    """

    n_clusters: int
    latent_dim: int
    hidden: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: Array, clusters: Array) -> tuple[Array, Array]:
        of_cluster = nn.Embed(self.n_clusters, self.hidden[0], dtype=self.dtype)(clusters)
        h = self.activation(nn.Dense(self.hidden[0], dtype=self.dtype)(features)[:, None] + of_cluster)
        for units in self.hidden[1:]:
            h = self.activation(nn.Dense(units, dtype=self.dtype)(h))
        return _gaussian(self.latent_dim, h)


class GaussianOfCluster(nn.Module):
    """p(z|k): one-hot rows, or convex combinations of them, (..., K) -> mean and variance (..., latent_dim)."""

    latent_dim: int
    hidden: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, shares: Array) -> tuple[Array, Array]:
        for units in self.hidden:
            shares = nn.relu(nn.Dense(units)(shares))
        return _gaussian(self.latent_dim, shares)


def _gaussian(latent_dim: int, h: Array) -> tuple[Array, Array]:
    mean = nn.Dense(latent_dim, name="mean")(h).astype(jnp.float32)
    return mean, variance(nn.Dense(latent_dim, name="variance")(h))


class Clusters(nn.Module):
    """q(k|x): features (b, m) -> log probabilities (b, K), float32."""

    n_clusters: int

    @nn.compact
    def __call__(self, features: Array) -> Array:
        return jax.nn.log_softmax(nn.Dense(self.n_clusters, name="logits")(features).astype(jnp.float32))


class Gaussians(nn.Module):
    """p(z|w, k) for all k: w (b, q) -> mean and variance (b, K, p)."""

    n_clusters: int
    latent_dim: int
    hidden: int

    @nn.compact
    def __call__(self, w: Array) -> tuple[Array, Array]:
        h = jnp.tanh(nn.Dense(self.hidden)(w))
        shape = (len(w), self.n_clusters, self.latent_dim)
        mean = nn.Dense(self.n_clusters * self.latent_dim, name="mean", bias_init=nn.initializers.normal(1.0))(h)
        raw = nn.Dense(self.n_clusters * self.latent_dim, name="variance")(h)
        return mean.reshape(shape), jax.nn.softplus(raw.reshape(shape)) + LEAST_VARIANCE
