"""Batch normalisation, weighted by example."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.typing import Array

__all__ = ["BatchNorm"]


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015), weighted by example.

    Statistics and parameters are float32 whatever the compute dtype. Parameters: scale and bias (c,);
    collection 'batch_stats': mean and var (c,), updated as momentum * old + (1 - momentum) * batch
    (make it mutable in training). The batch's variance is the biased one, also in the running average.
    With a batch sharded over devices under jit the statistics are those of the whole batch.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = True) -> Array:
        """Return x (b, ..., c) normalised, in `dtype` or by default its own.

        weight: (b,), at least 0: an example of weight 0 (padding) has no part in the statistics. Where all are 0, as of
        an expert that no image is routed to, values stay of their size.
        train: normalise by the batch and update the running statistics; otherwise by the running ones.
        """
        channels = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        if not train:
            factor = scale * lax.rsqrt(running_var.value + self.epsilon)
            y = x.astype(jnp.float32) * factor + (bias - running_mean.value * factor)
            return y.astype(self.dtype or x.dtype)
        weight = jnp.ones(x.shape[0]) if weight is None else weight.astype(jnp.float32)
        y, mean, var = _normalise(x.astype(jnp.float32), weight, scale, bias, self.epsilon)
        if not self.is_initializing():
            keep = jnp.where(weight.sum() > 0, self.momentum, 1.0)
            running_mean.value = keep * running_mean.value + (1 - keep) * mean
            running_var.value = keep * running_var.value + (1 - keep) * var
        return y.astype(self.dtype or x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _normalise(x: Array, weight: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Return x (b, ..., c) normalised by its weighted moments, and these: mean (c,) and biased variance (c,).

    The moments are for the running statistics: no gradient flows through them alone, nor to the weight (b,).
    """
    return _normalise_forward(x, weight, scale, bias, epsilon)[0]


def _normalise_forward(x: Array, weight: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Any, Any]:
    axes = tuple(range(x.ndim - 1))
    share = weight / jnp.maximum(weight.sum() * (x.size // (x.shape[0] * x.shape[-1])), jnp.finfo(jnp.float32).tiny)
    weighted = share.reshape(-1, *(1,) * (x.ndim - 1)) * x
    mean = weighted.sum(axes)
    var = jnp.maximum((weighted * x).sum(axes) - mean * mean, 0.0)
    # of no examples the variance is 0, and each layer would make their values 1 / sqrt(epsilon) times as large
    deviation = lax.rsqrt(jnp.where(weight.sum() > 0, var, 1.0) + epsilon)
    factor = scale * deviation
    return (x * factor + (bias - mean * factor), mean, var), (x, share, scale, mean, deviation)


def _normalise_backward(epsilon: float, kept: Any, cotangents: Any) -> tuple[Array, None, Array, Array]:
    """By hand two passes over x do: the sums of g and g x, then dx = g factor + share (slope x + offset)."""
    (x, share, scale, mean, deviation), g = kept, cotangents[0]
    axes = tuple(range(x.ndim - 1))
    dbias = g.sum(axes)
    dscale = ((g * x).sum(axes) - mean * dbias) * deviation
    factor = scale * deviation
    slope = -factor * deviation * dscale
    offset = -factor * dbias - slope * mean
    dx = g * factor + share.reshape(-1, *(1,) * (x.ndim - 1)) * (x * slope + offset)
    return dx, None, dscale, dbias


_normalise.defvjp(_normalise_forward, _normalise_backward)
