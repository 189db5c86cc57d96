"""Activations that the networks share."""

import jax
import jax.numpy as jnp

from jaxclust.typing import Array

__all__ = ["mish"]


@jax.custom_jvp
def mish(x: Array) -> Array:
    """Mish, x tanh(softplus(x)) (Misra 2019), of any shape and float type, with one exponential.

    With e = exp(-|x|): tanh(softplus(x)) = (1 + 2e) / (1 + 2e + 2e^2) for x >= 0 and
    (e^2 + 2e) / (e^2 + 2e + 2) for x < 0, so nothing overflows.
    """
    return x * _gate(x)[0]


def _gate(x: Array) -> tuple[Array, Array]:
    """Return t = tanh(softplus(x)) and its derivative by x."""
    e = jnp.exp(-jnp.abs(x))
    positive = x >= 0
    numerator = jnp.where(positive, 1 + 2 * e, e * (e + 2))
    rest = jnp.where(positive, 2 * e * e, 2.0)
    denominator = numerator + rest
    t = numerator / denominator
    # 1 - t^2 = (rest / denominator) (1 + t); d softplus = sigmoid
    sigmoid = jnp.where(positive, 1.0, e) / (1 + e)
    return t, rest / denominator * (1 + t) * sigmoid


@mish.defjvp
def _mish_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    t, dt = _gate(x)
    return x * t, (t + x * dt) * dx
