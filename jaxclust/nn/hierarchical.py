"""An autoencoder whose code is a hierarchy of latent groups, and the critics of these (`hrwae-gan`, figure 2).

    x = e_0 -> e_1 -> ... -> e_N     encoder cells, each halves the side; e_N is 2 x 2, N = log2(side) - 1
    z_0      ~ q(z_0|x)              Gaussian by e_N; its prior is N(0, I)
    d_0 = seed(z_0), d_l = up(h_l-1) decoder cells, each doubles the side; d_l is as large as e_N-l
    z_l      ~ q(z_l|z_<l, x)        encoder combiner of e_N-l and d_l, which carries z_<l
    p(z_l|z_<l)                      prior cells, Gaussian by d_l
    h_l      = combined(d_l, z_l)    decoder combiner, for l in 1 .. L - 1; h_l = d_l elsewhere

Feature vectors take the same way through two dense cells, 512 and 256 wide at width 1.
"""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxclust.nn.activations import mish
from jaxclust.nn.autoencoders import LOG_VAR_LIMIT, block_filters, hidden_widths
from jaxclust.nn.conv import Conv, ConvTranspose
from jaxclust.nn.norm import BatchNorm
from jaxclust.typing import Array


class Gaussian(NamedTuple):
    """Means and log-variances of Gaussians with diagonal covariances, (b, d) float32 each."""

    mean: Array
    log_var: Array

    def at(self, noise: Array | float) -> Array:
        """m + s e: a draw where e (b, d) is standard normal noise, the mean where it is 0."""
        return self.mean + jnp.exp(0.5 * self.log_var) * noise


class Walk(NamedTuple):
    """One way through the decoder; tuples have an entry for each group.

    codes: z_l (b, d_l).  posteriors: q(z_l|z_<l, x), none where nothing was encoded.
    priors: p(z_l|z_<l), that of z_0 standard normal.  maps: d_l (b, ...), as they are before z_l is put in.
    output: (b, *shape) float32, logits or means.
    """

    codes: tuple[Array, ...]
    posteriors: tuple[Gaussian, ...]
    priors: tuple[Gaussian, ...]
    maps: tuple[Array, ...]
    output: Array


class Instead(NamedTuple):
    """Examples, `which` (b,) bool, whose lower groups are drawn from their priors with standard normal noise (b, d_l),
    an entry for each group, of which the first is not looked at."""

    which: Array
    noise: tuple[Array, ...]


class Cell(nn.Module):
    """A layer that keeps, halves ('down') or doubles ('up') the side, and `extra` that keep it; norm and Mish follow.

    (b, side, side, c) -> (b, side', side', features); vectors (b, c) -> (b, features), dense.
    """

    features: int
    way: str = "keep"
    extra: int = 0
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, weight: Array | None, train: bool) -> Array:
        for way in (self.way, *("keep",) * self.extra):
            x = mish(BatchNorm()(self._layer(way, x.ndim)(x), weight, train))
        return x

    def _layer(self, way: str, ndim: int) -> nn.Module:
        if ndim == 2:
            return nn.Dense(self.features, use_bias=False, dtype=self.dtype)
        if way == "up":
            return ConvTranspose(self.features, form=self.form, dtype=self.dtype)
        return Conv(self.features, 2 if way == "down" else 1, form=self.form, dtype=self.dtype)


class Moments(nn.Module):
    """A cell, then the Gaussian of a group: maps (b, side, side, c) or vectors (b, c) -> (b, size) each, flattened.

    channels: of the latent maps, as many numbers for each pixel; of vectors their length.
    """

    channels: int
    features: int
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, weight: Array | None, train: bool) -> Gaussian:
        x = Cell(self.features, form=self.form, dtype=self.dtype)(x, weight, train)
        return _gaussian(x, self.channels)


def _gaussian(x: Array, channels: int) -> Gaussian:
    """Linear heads 'mean' and 'log_var' of the module in whose `__call__` this is.

    Variances are at most one, since the mixture of all codes is to be standard normal, and begin near e^-2.
    """
    flat = []
    for name, kernel, bias in (("mean", nn.initializers.lecun_normal(), 0.0), ("log_var", nn.initializers.zeros, 2.0)):
        start = {"kernel_init": kernel, "bias_init": nn.initializers.constant(bias), "name": name}
        if x.ndim == 2:
            head: Callable[[Array], Array] = nn.Dense(channels, **start)
        else:
            head = nn.Conv(channels, (1, 1), **start)
        flat.append(head(x).reshape(len(x), -1).astype(jnp.float32))
    return Gaussian(flat[0], jnp.maximum(-nn.softplus(flat[1]), -LOG_VAR_LIMIT))


class Top(nn.Module):
    """q(z_0|x): e_N (b, ...) -> (b, latent_dim) each."""

    latent_dim: int

    @nn.compact
    def __call__(self, x: Array) -> Gaussian:
        return _gaussian(x.reshape(len(x), -1), self.latent_dim)


def filters_of(shape: tuple[int, ...], width: float, min_filters: int) -> tuple[int, ...]:
    """Filters of e_1 .. e_N for images (side, side, c); widths of the two dense cells for features (d,)."""
    return hidden_widths(width) if len(shape) == 1 else block_filters(shape[0], width, min_filters)


class Hierarchy(nn.Module):
    """Encoder, decoder, combiners and priors of `groups` latent groups, for examples of `shape`, (D, D, c) or (d,).

    latent_dim: d_0, and of features every d_l.  channels: of the latent maps of images below the top.
    encoder_extra, decoder_extra: layers in each cell that keep the side (the text's n and m).
    """

    shape: tuple[int, ...]
    groups: int
    latent_dim: int
    channels: int = 2
    width: float = 1.0
    min_filters: int = 1
    encoder_extra: int = 0
    decoder_extra: int = 0
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        filters, how = filters_of(self.shape, self.width, self.min_filters), {"form": self.form, "dtype": self.dtype}
        below = range(1, self.groups)  # group l works on maps of filters[-1 - l]
        channels = self.latent_dim if len(self.shape) == 1 else self.channels
        self.down = [Cell(count, "down", self.encoder_extra, **how) for count in filters]
        self.top = Top(self.latent_dim)
        self.first = nn.Dense(prod(self._first), use_bias=False, dtype=self.dtype)
        self.first_norm = BatchNorm()
        self.up = [Cell(count, "up", self.decoder_extra, **how) for count in (*filters[-2::-1], filters[0])]
        self.encoder_combiners = [Moments(channels, filters[-1 - level], **how) for level in below]
        self.priors = [Moments(channels, filters[-1 - level], **how) for level in below]
        self.decoder_combiners = [Cell(filters[-1 - level], **how) for level in below]
        if len(self.shape) == 1:
            self.last = nn.Dense(self.shape[0])
        else:
            self.last = Conv(self.shape[-1], use_bias=True, form=self.form, dtype=self.dtype)

    @property
    def _first(self) -> tuple[int, ...]:
        """The shape of d_0."""
        top = filters_of(self.shape, self.width, self.min_filters)[-1]
        return (top,) if len(self.shape) == 1 else (2, 2, top)

    def encode(self, x: Array, weight: Array | None = None, train: bool = False) -> tuple[Array, ...]:
        """Maps of x (b, *shape) from the top: e_N, e_N-1, .. e_1."""
        maps = []
        for cell in self.down:
            x = cell(x, weight, train)
            maps.append(x)
        return tuple(maps[::-1])

    def __call__(
        self,
        x: Array,
        noise: tuple[Array, ...] | None = None,
        weight: Array | None = None,
        train: bool = False,
        instead: Instead | None = None,
    ) -> tuple[Walk, tuple[Array, ...]]:
        """x (b, *shape) encoded and decoded, and its maps as `encode` gives them.

        noise: standard normal (b, d_l) for each group; without it codes are posterior means.
        weight: (b,) for batch statistics, see BatchNorm.
        instead: examples whose lower groups the decoder gets from their priors.
        """
        seen = self.encode(x, weight, train)
        posterior = self.top(seen[0])
        code = posterior.at(0.0 if noise is None else noise[0])
        walk = self._decode(code, noise, seen, weight, train, instead)
        return walk._replace(posteriors=(posterior, *walk.posteriors)), seen

    def decode(self, z: Array, noise: tuple[Array, ...] | None = None) -> Walk:
        """z_0 (b, latent_dim) decoded with lower groups by their priors: drawn with noise (b, d_l), or their means.

        noise: an entry for each group, of which the first is not looked at.
        """
        return self._decode(z, noise, None, None, False)

    def _decode(
        self,
        z: Array,
        noise: tuple[Array, ...] | None,
        seen: tuple[Array, ...] | None,
        weight: Array | None,
        train: bool,
        instead: Instead | None = None,
    ) -> Walk:
        codes, posteriors, priors = [z], [], [Gaussian(jnp.zeros_like(z), jnp.zeros_like(z))]
        h = mish(self.first_norm(self.first(z).reshape(-1, *self._first), weight, train))
        maps = [h]
        for level, cell in enumerate(self.up, 1):
            h = cell(h, weight, train)
            if level >= self.groups:
                continue
            maps.append(h)
            prior = source = self.priors[level - 1](h, weight, train)
            if seen is not None:
                both = jnp.concatenate([seen[level], h], -1)
                source = self.encoder_combiners[level - 1](both, weight, train)
                posteriors.append(source)
            code = used = source.at(0.0 if noise is None else noise[level])
            if instead is not None:
                used = jnp.where(instead.which[:, None], prior.at(instead.noise[level]), code)
            latent = used.reshape(*h.shape[:-1], -1).astype(h.dtype)
            h = self.decoder_combiners[level - 1](jnp.concatenate([h, latent], -1), weight, train)
            codes.append(code)
            priors.append(prior)
        output = self.last(h).astype(jnp.float32)
        return Walk(tuple(codes), tuple(posteriors), tuple(priors), tuple(maps), output)


class Critic(nn.Module):
    """A latent discriminator before its sigmoid: codes (b, d) -> (b,), large for what looks like the prior.

    Codes of prior and posterior go through it in one batch, whose statistics are the prior's (the others weigh 0):
    normalised apart, they would hide from it that their means and scales differ; normalised together, two clumps look
    the same however far apart they are, and the encoder's gradient vanishes.
    """

    widths: tuple[int, ...] = (256, 256)

    @nn.compact
    def __call__(self, z: Array, weight: Array | None = None, train: bool = False) -> Array:
        for width in self.widths:
            z = nn.leaky_relu(BatchNorm()(nn.Dense(width, use_bias=False)(z), weight, train), 0.2)
        return nn.Dense(1)(z)[:, 0]
