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


class Layers(nn.Module):
    """Dense layers with leaky ReLU (slope 0.2) between them, none after the last: (b, d) -> (b, widths[-1]) float32.

    Half of the autoencoder of Boubekki et al. 2021, appendix 3.
    quadratic: the first layer sees (1, x, all products x_i x_j), a feature map of the quadratic kernel (figure 8).
    dtype, last: what layers, and the last one, compute in.
    """

    widths: tuple[int, ...]
    quadratic: bool = False
    dtype: jnp.dtype = jnp.float32
    last: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = False) -> Array:
        if self.quadratic:
            products = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
            x = jnp.concatenate([jnp.ones((len(x), 1), x.dtype), x, products], -1)
        for i, width in enumerate(self.widths):
            dtype = self.dtype if self.last is None or i < len(self.widths) - 1 else self.last
            x = nn.Dense(width, dtype=dtype, kernel_init=nn.initializers.glorot_uniform())(x)
            if i < len(self.widths) - 1:
                x = nn.leaky_relu(x, 0.2)
        return x.astype(jnp.float32)
