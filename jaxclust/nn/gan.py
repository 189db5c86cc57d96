"""Networks of a split: a generator of examples, and the features that a discriminator and a classifier share.

    z -> generator -> example        z uniform on [0, 1]^Z, scaled to mean 0 and variance 1 by the generator
    example -> features -> D: one logit, real or generated        dense layers on the same features
                        -> C: two logits, which generator

(`hc-mgan`, table 4.2.) Feature vectors have dense layers in place of the convolutions, 512 and 256 wide at width 1.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.nn.conv import Conv, ConvTranspose
from jaxclust.typing import Array

__all__ = ["Features", "Generator", "LayerNorm", "maps"]

NOISE = 100  # numbers in z
SLOPE = 0.2  # of the leaky ReLU
SEED, GENERATOR, FEATURES = 128, 64, (128, 256, 512)  # maps at width 1
DENSE = (512, 256)  # units of the layers for feature vectors at width 1


def maps(count: int, width: float) -> int:
    """Maps or units of a layer that has `count` at width 1; at least 1."""
    return max(1, round(count * width))


class LayerNorm(nn.Module):
    """Layer normalisation over all axes but the first (Ba et al. 2016), a scale and a bias for each channel.

    Statistics and parameters are float32 whatever the compute dtype. The source does not say over which axes it
    normalises; over all of an image, each map keeps its strength beside the others'.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return x (b, ..., c) normalised, in its own type."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        return _normalise(x.astype(jnp.float32), scale, bias, self.epsilon).astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalise(x: Array, scale: Array, bias: Array, epsilon: float) -> Array:
    return _forward(x, scale, bias, epsilon)[0]


def _forward(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Any]:
    axes = tuple(range(1, x.ndim))
    mean = x.mean(axes, keepdims=True)
    variance = jnp.maximum((x * x).mean(axes, keepdims=True) - mean * mean, 0.0)
    deviation = lax.rsqrt(variance + epsilon)
    return (x - mean) * deviation * scale + bias, (x, scale, mean, deviation)


def _backward(epsilon: float, kept: Any, g: Array) -> tuple[Array, Array, Array]:
    """By hand two passes over x do: first the sums, then dx = g scale / s + slope x + offset, s the deviation."""
    x, scale, mean, deviation = kept
    axes, places = tuple(range(1, x.ndim - 1)), x[0].size
    of_g, of_gx = g.sum(axes), (g * x).sum(axes)  # (b, c)
    flat_mean, flat_deviation = mean.reshape(-1, 1), deviation.reshape(-1, 1)
    along = (of_gx - flat_mean * of_g) * flat_deviation  # sums of g and the normalised x
    straight, turned = ((part @ scale)[:, None] / places for part in (of_g, along))
    slope = -turned * flat_deviation**2
    offset = -straight * flat_deviation - slope * flat_mean
    wide = (-1, *(1,) * (x.ndim - 1))
    dx = g * (scale * deviation) + x * slope.reshape(wide) + offset.reshape(wide)
    return dx, along.sum(0), of_g.sum(0)


_normalise.defvjp(_forward, _backward)


class Generator(nn.Module):
    """z (b, Z) in [0, 1] -> examples (b, *shape) float32: images in [-1, 1] (tanh), or features without bound.

    shape: (side, side, c), side a multiple of 4, or (d,).
    """

    shape: tuple[int, ...]
    width: float = 1.0
    form: str = "auto"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array) -> Array:
        z = ((z - 0.5) * 12**0.5).astype(self.dtype)  # mean 0 and variance 1
        if len(self.shape) == 1:
            for units in reversed(DENSE):
                z = nn.relu(nn.Dense(maps(units, self.width), dtype=self.dtype)(z))
            return nn.Dense(self.shape[0], dtype=self.dtype)(z).astype(jnp.float32)
        side, _, channels = self.shape
        seed = maps(SEED, self.width)
        x = nn.relu(nn.Dense((side // 4) ** 2 * seed, dtype=self.dtype)(z))
        x = x.reshape(-1, side // 4, side // 4, seed)
        shared = {"kernel_size": (4, 4), "use_bias": True, "form": self.form, "dtype": self.dtype}
        x = nn.relu(ConvTranspose(maps(GENERATOR, self.width), **shared)(x))
        return jnp.tanh(ConvTranspose(channels, **shared)(x).astype(jnp.float32))


def head(size: int) -> nn.Dense:
    """D or C: features (b, d) -> logits (b, size)."""
    return nn.Dense(size)


class Features(nn.Module):
    """Examples (b, ...) -> features (b, d) float32: what D and C see. Images (b, side, side, c) lie in [-1, 1]."""

    width: float = 1.0
    form: str = "auto"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.astype(self.dtype)
        for units in FEATURES if x.ndim == 4 else DENSE:
            count = maps(units, self.width)
            if x.ndim == 4:
                x = Conv(count, 2, (5, 5), True, self.form, self.dtype)(x)
            else:
                x = nn.Dense(count, dtype=self.dtype)(x)
            x = jax.nn.leaky_relu(LayerNorm()(x), SLOPE)
        return x.reshape(len(x), -1).astype(jnp.float32)
