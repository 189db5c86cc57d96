"""Log-space helpers, products and distances in full float32, and named random keys."""

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.system import environment
from jaxclust.typing import Array, Key


@contextmanager
def usual_settings() -> Iterator[None]:
    """Within it, JAX's settings are those that this library is written for, whatever a user set for other code.

    Types are promoted as usual, ranks too, and arrays are float32: labels are the same under each setting. Raises
    InputError where JAX cannot be used at all (`environment.start_jax`).
    """
    environment.start_jax()
    with ExitStack() as settings:
        if jax.config.jax_numpy_dtype_promotion != "standard":  # type: ignore[attr-defined]
            settings.enter_context(jax.numpy_dtype_promotion("standard"))
        if jax.config.jax_numpy_rank_promotion != "allow":  # type: ignore[attr-defined]
            settings.enter_context(jax.numpy_rank_promotion("allow"))
        if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            settings.enter_context(_enable_x64(False))
        yield


def _enable_x64(on: bool) -> AbstractContextManager[None]:
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(on)
    from jax.experimental import enable_x64  # type: ignore[attr-defined]  # before 0.8

    return enable_x64(on)


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
