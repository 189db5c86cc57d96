"""Networks for feature vectors, with the interface of the convolutional ones."""

import flax.linen as nn
import jax.numpy as jnp

from jaxclust.nn.activations import mish
from jaxclust.nn.norm import BatchNorm
from jaxclust.typing import Array


class Hidden(nn.Module):
    """Dense layers without bias, each followed by batch norm and Mish: (b, d) -> (b, widths[-1])."""

    widths: tuple[int, ...]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, weight: Array | None, train: bool) -> Array:
        for width in self.widths:
            x = nn.Dense(width, use_bias=False, dtype=self.dtype)(x)
            x = mish(BatchNorm()(x, weight, train))
        return x
