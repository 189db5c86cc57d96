"""Activations that the networks share."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.typing import Array

__all__ = ["mish"]

_SATURATED = 20.0  # from here on tanh(softplus(x)) is 1 in float32 and in float64 to the last bit or so


@jax.custom_vjp
def mish(x: Array) -> Array:
    """Mish, x tanh(softplus(x)) (Misra 2019), of any shape and float type.

    With u = exp(x) and n = u (u + 2): tanh(softplus(x)) = n / (n + 2), one exponential, and
    x is cut at 20 in it, so nothing overflows. Computed in float32 at least. The gradient is
    recomputed from x (reverse mode only, of any order), so that x alone is kept.
    """
    wide, u = _wide(x)
    n = u * (u + 2)
    return (wide * n / (n + 2)).astype(x.dtype)


def _wide(x: Array) -> tuple[Array, Array]:
    """Return x and u = exp(x), x cut at _SATURATED, in float32 at least."""
    wide = x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x
    return wide, jnp.exp(jnp.minimum(wide, _SATURATED))


def _forward(x: Array) -> tuple[Array, Array]:
    return mish(x), x


def _slope(x: Array) -> Array:
    """The derivative of Mish at x, of any shape and float type.

    With u = exp(x), v = u + 1 and q = 1 / (v^2 + 1) it is u q (v + 1 + 4 x v q). Of all forms, this one names u
    seldom enough for XLA to compute everything in one loop on a CPU.
    """
    wide, u = _wide(x)
    v = u + 1
    q = 1 / (v * v + 1)
    return (u * q * (v + 1 + 4 * wide * v * q)).astype(x.dtype)


def _recomputed(x: Array) -> Array:
    """Return x, in a form from which XLA computes everything again: on a CPU it would store what both passes share."""
    return lax.platform_dependent(x, cpu=lax.optimization_barrier, default=lambda x: x)


def _backward(x: Array, g: Array) -> tuple[Array]:
    return (g * _slope(_recomputed(x)),)


mish.defvjp(_forward, _backward)
