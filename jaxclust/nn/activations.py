"""Activations that the networks share."""

import jax
import jax.numpy as jnp

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
    return _value_and_slope(x)[0]


def _value_and_slope(x: Array) -> tuple[Array, Array]:
    """Return mish(x) and its derivative t + x dt, where dt = 4 u (u + 1) / (n + 2)^2."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    u = jnp.exp(jnp.minimum(wide, _SATURATED))
    n = u * (u + 2)
    r = 1 / (n + 2)
    t = n * r
    slope = t + wide * (4 * u * (u + 1) * r * r)
    return (wide * t).astype(x.dtype), slope.astype(x.dtype)


def _forward(x: Array) -> tuple[Array, Array]:
    return mish(x), x


def _backward(x: Array, g: Array) -> tuple[Array]:
    return (g * _value_and_slope(x)[1],)


mish.defvjp(_forward, _backward)
