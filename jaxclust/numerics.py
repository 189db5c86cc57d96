"""Log-space helpers, products and distances in full float32, and named random keys."""

import zlib

import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.typing import Array, Key


def fold_name(key: Key, name: str) -> Key:
    """The key of the stream called `name` ('init', 'order', 'augment', ...): independent streams of one base key."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def weighted_mean(values: Array, weight: Array) -> Array:
    """sum_i w_i v_i / sum_i w_i over the first axis: (b, ...) and (b,) give (...); 0 where all weights are 0."""
    shape = weight.shape + (1,) * (values.ndim - weight.ndim)
    return (values * weight.reshape(shape)).sum(0) / jnp.maximum(weight.sum(), 1e-12)


EXACT = "exact"  # the scope of products that decide about clusters: experiments.bench.aot looks for it


def product(x: Array, y: Array) -> Array:
    """x @ y, in float32 also where the device multiplies in fewer bits by default (bfloat16 on TPUs, TF32 on GPUs).

    For what decides about clusters. Networks are as exact as the device's default.
    """
    with jax.named_scope(EXACT):
        return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def contraction(subscripts: str, *arrays: Array) -> Array:
    """jnp.einsum, in float32 as `product`."""
    with jax.named_scope(EXACT):
        return jnp.einsum(subscripts, *arrays, precision=lax.Precision.HIGHEST)


def squared_distances(x: Array, y: Array) -> Array:
    """|x_i - y_j|^2 for x (n, d) and y (m, d): (n, m), never negative."""
    return jnp.maximum((x**2).sum(-1)[:, None] - 2 * product(x, y.T) + (y**2).sum(-1)[None], 0.0)


def entropy(probabilities: Array) -> Array:
    """-sum_k p_k log p_k over the last axis, in nats, with 0 log 0 = 0 and a finite gradient there."""
    safe = jnp.where(probabilities > 0, probabilities, 1.0)
    return -(probabilities * jnp.log(safe)).sum(-1)


def fold_range(key: Key, first: int, count: int) -> Key:
    """The keys (count,) that fold_in makes of `first`, `first` + 1, ..."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(count))
