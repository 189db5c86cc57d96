"""Encoders, decoders and classifiers whose size follows the data (Santos 2020, section 3.4)."""

from math import ceil, log2

import flax.linen as nn
import jax.numpy as jnp

from jaxclust.nn.activations import mish
from jaxclust.nn.conv import Conv, ConvTranspose
from jaxclust.nn.mlp import Hidden
from jaxclust.nn.norm import BatchNorm
from jaxclust.typing import Array

LOG_VAR_LIMIT = 10.0  # log-variances are clipped to +-10, far outside what a trained encoder gives


def block_filters(side: int, width: float, min_filters: int = 1) -> tuple[int, ...]:
    """Filters of each encoder block, max(width * side, min_filters) * 2^i for i = 0 .. log2(side) - 2.

    `side` is a power of two, at least 4. `min_filters` is a deviation, for small images at small widths.
    """
    first = max(1, min_filters, round(width * side))
    return tuple(first * 2**i for i in range(int(log2(side)) - 1))


def hidden_widths(width: float) -> tuple[int, ...]:
    """Widths of the encoder of feature vectors: 512 and 256 at width 1, at least 16 and 8."""
    return max(16, round(512 * width)), max(8, round(256 * width))


class Trunk(nn.Module):
    """From images (b, D, D, c) to flattened 2 x 2 maps, or from features (b, d) to a hidden layer: (b, m).

    log2(D) - 1 blocks, each halving the side. The first half (rounded up) are general: two 3x3 convolutions,
    the receptive field of one 5x5; the rest are specific: one. Every convolution is followed by batch norm and Mish.
    With `stem` 'single' the first block has one too, so that nothing but the image has the image's size: most of the
    time goes into what has.
    """

    width: float = 1.0
    min_filters: int = 1
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32
    stem: str = "pair"

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = False) -> Array:
        if x.ndim == 2:
            return Hidden(hidden_widths(self.width), self.dtype)(x, weight, train)
        filters = block_filters(x.shape[1], self.width, self.min_filters)
        for i, count in enumerate(filters):
            pair = i < ceil(len(filters) / 2) and (i > 0 or self.stem == "pair")
            for stride in (1, 2) if pair else (2,):
                x = Conv(count, stride, form=self.form, dtype=self.dtype)(x)
                x = mish(BatchNorm()(x, weight, train))
        return x.reshape(x.shape[0], -1)


class Encoder(nn.Module):
    """Gaussian posterior of each example: (b, ...) -> mean (b, latent_dim), log_var (b, latent_dim), float32."""

    latent_dim: int
    width: float = 1.0
    min_filters: int = 1
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32
    stem: str = "pair"

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = False) -> tuple[Array, Array]:
        h = Trunk(self.width, self.min_filters, self.form, self.dtype, self.stem)(x, weight, train)
        mean = nn.Dense(self.latent_dim, name="mean")(h)
        log_var = nn.Dense(self.latent_dim, name="log_var", kernel_init=nn.initializers.zeros)(h)
        return mean.astype(jnp.float32), jnp.clip(log_var.astype(jnp.float32), -LOG_VAR_LIMIT, LOG_VAR_LIMIT)


class Coder(nn.Module):
    """The trunk and a linear layer: (b, ...) -> codes (b, latent_dim) float32, for autoencoders without a posterior."""

    latent_dim: int
    width: float = 1.0
    min_filters: int = 1
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = False) -> Array:
        h = Trunk(self.width, self.min_filters, self.form, self.dtype)(x, weight, train)
        return nn.Dense(self.latent_dim, name="code")(h).astype(jnp.float32)


class Decoder(nn.Module):
    """The trunk mirrored: (b, latent_dim) -> (b, *shape) float32, logits or means; shape (D, D, c) or (d,).

    With `stem` 'single' the last transposed convolution gives the image.
    """

    shape: tuple[int, ...]
    width: float = 1.0
    min_filters: int = 1
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32
    stem: str = "pair"

    @nn.compact
    def __call__(self, z: Array, weight: Array | None = None, train: bool = False) -> Array:
        if len(self.shape) == 1:
            widths = hidden_widths(self.width)[::-1]
            h = Hidden(widths, self.dtype)(z, weight, train)
            return nn.Dense(self.shape[0], name="output")(h).astype(jnp.float32)
        side, _, channels = self.shape
        filters = block_filters(side, self.width, self.min_filters)

        def activate(x: Array) -> Array:
            return mish(BatchNorm()(x, weight, train))

        x = nn.Dense(4 * filters[-1], use_bias=False, dtype=self.dtype)(z)
        x = activate(x.reshape(-1, 2, 2, filters[-1]))
        how = {"form": self.form, "dtype": self.dtype}
        for i in range(len(filters) - 1, 0, -1):
            below = filters[i - 1]
            if i < ceil(len(filters) / 2):
                x = activate(ConvTranspose(filters[i], **how)(x))
                x = activate(Conv(below, **how)(x))
            else:
                x = activate(ConvTranspose(below, **how)(x))
        if self.stem == "single":
            x = ConvTranspose(channels, use_bias=True, **how, name="output")(x)
        else:
            x = activate(ConvTranspose(filters[0], **how)(x))
            x = Conv(channels, use_bias=True, **how, name="output")(x)
        return x.astype(jnp.float32)


class Classifier(nn.Module):
    """The trunk and a linear layer: (b, ...) -> (b, n_classes) float32 logits."""

    n_classes: int
    width: float = 1.0
    min_filters: int = 1
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32
    stem: str = "pair"

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None, train: bool = False) -> Array:
        h = Trunk(self.width, self.min_filters, self.form, self.dtype, self.stem)(x, weight, train)
        return nn.Dense(self.n_classes, name="logits")(h).astype(jnp.float32)


class Critic(nn.Module):
    """The latent discriminator of a WAE-GAN: codes (b, d) -> logits (b,), positive for the prior."""

    @nn.compact
    def __call__(self, z: Array) -> Array:
        for _ in range(2):
            z = nn.leaky_relu(nn.Dense(256)(z), 0.2)
        return nn.Dense(1)(z)[:, 0]
