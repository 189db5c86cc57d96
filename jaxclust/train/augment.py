"""Random maps (rotation, zoom, shift, shear, flips) and brightness of image batches, keyed, compiled with the step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxclust.nn.conv import resolve_form
from jaxclust.numerics import contraction, fold_name
from jaxclust.train.training import TrainState, step_key
from jaxclust.typing import Array, Key


class Augmentation(NamedTuple):
    """Ranges of the random transformations; zeros leave images as they are.

    rotation: degrees either way.  zoom: share of the size either way.  shift: share of each side either way.
    flip:     mirror left to right with probability 1/2 (not for digits).
    shear:    a row slides by up to this factor of its distance from the centre.
    flip_vertical: mirror upside down with probability 1/2.
    """

    rotation: float = 10.0
    zoom: float = 0.1
    shift: float = 0.1
    flip: bool = False
    shear: float = 0.0
    flip_vertical: bool = False


NONE = Augmentation(0.0, 0.0, 0.0, False)


def affine_maps(key: Key, n: int, ranges: Augmentation) -> tuple[Array, Array]:
    """Random maps from output to input coordinates, in units of half a side: (n, 2, 2) matrices, (n, 2) shifts."""
    k_rotation, k_zoom, k_shift, k_flip = jax.random.split(key, 4)
    angle = jnp.deg2rad(ranges.rotation) * jax.random.uniform(k_rotation, (n,), minval=-1.0, maxval=1.0)
    zoom = 1.0 + ranges.zoom * jax.random.uniform(k_zoom, (n,), minval=-1.0, maxval=1.0)
    shift = 2.0 * ranges.shift * jax.random.uniform(k_shift, (n, 2), minval=-1.0, maxval=1.0)
    mirror = jnp.where(ranges.flip & jax.random.bernoulli(k_flip, 0.5, (n,)), -1.0, 1.0)
    cos, sin = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
    rows = jnp.stack([cos, -sin * mirror, sin, cos * mirror], -1).reshape(n, 2, 2)
    if ranges.shear:
        slide = ranges.shear * jax.random.uniform(fold_name(key, "shear"), (n,), minval=-1.0, maxval=1.0)
        rows = rows.at[:, 1].add(slide[:, None] * rows[:, 0])
    if ranges.flip_vertical:
        upside_down = jax.random.bernoulli(fold_name(key, "flip_vertical"), 0.5, (n,))
        rows = rows.at[:, :, 0].multiply(jnp.where(upside_down, -1.0, 1.0)[:, None])
    return rows, shift


def warp(images: Array, matrices: Array, shifts: Array, form: str = "gather") -> Array:
    """Each image sampled bilinearly at matrix @ (y, x) + shift, zero outside: (n, h, w, c) float -> the same shape.

    form: 'gather' takes the four neighbours of every pixel; 'products' multiplies by their weights, rows and columns
    apart: more arithmetic, but on a TPU gathering single pixels moves hundreds of times the images' bytes.
    """
    _, h, w, _ = images.shape
    y, x = jnp.meshgrid(jnp.linspace(-1, 1, h), jnp.linspace(-1, 1, w), indexing="ij")
    grid = jnp.stack([y.ravel(), x.ravel()])  # (2, h w)
    source = contraction("nij,jp->nip", matrices, grid) + shifts[:, :, None]
    row, col = (source[:, 0] + 1) * (h - 1) / 2, (source[:, 1] + 1) * (w - 1) / 2
    sample = _by_products if form == "products" else _by_gather
    return sample(images, row, col).reshape(images.shape)


def _by_gather(images: Array, row: Array, col: Array) -> Array:
    """Images (n, h, w, c) at places row, col (n, p), in pixels: (n, p, c)."""
    n, h, w, _ = images.shape
    row, col = jnp.clip(row + 1, 0, h + 1), jnp.clip(col + 1, 0, w + 1)  # + 1: the border of zeros added below
    top, left = jnp.floor(row).astype(jnp.int32).clip(0, h), jnp.floor(col).astype(jnp.int32).clip(0, w)
    down, right = (row - top)[..., None], (col - left)[..., None]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(n, (h + 2) * (w + 2), -1)
    corner = top * (w + 2) + left

    def take(offset: int) -> Array:
        return jnp.take_along_axis(padded, (corner + offset)[..., None], axis=1, mode="clip")

    upper = take(0) * (1 - right) + take(1) * right
    lower = take(w + 2) * (1 - right) + take(w + 3) * right
    return upper * (1 - down) + lower * down


def _by_products(images: Array, row: Array, col: Array) -> Array:
    """The same: every pixel's weight in a place is max(0, 1 - distance) along rows times that along columns."""
    _, h, w, _ = images.shape

    def weights(place: Array, size: int) -> Array:
        return jnp.maximum(0.0, 1.0 - jnp.abs(place[..., None] - jnp.arange(size))).astype(images.dtype)

    of_rows = jnp.einsum("npw,nhwc->nphc", weights(col, w), images)
    return (of_rows * weights(row, h)[..., None]).sum(2)


def augment(key: Key, images: Array, ranges: Augmentation, form: str = "gather") -> Array:
    """One random transformation for each image, drawn from `ranges`: (n, h, w, c) in [0, 1] -> the same.

    What was outside gets the median of the image's border: white paper stays white. Feature vectors (n, d) and empty
    ranges come back unchanged. form: of `warp`.
    """
    if images.ndim == 2 or ranges == NONE:
        return images
    background = border(images)[:, None, None]
    return warp(images - background, *affine_maps(key, images.shape[0], ranges), form) + background


def border(images: Array) -> Array:
    """The lower median of the outermost pixels of each image (n, h, w, c): (n, c), as data.prepare has it."""
    upright, lying = images[:, 1:-1, jnp.array([0, -1])], images[:, jnp.array([0, -1])]
    outermost = jnp.concatenate([part.reshape(len(images), -1, images.shape[3]) for part in (upright, lying)], 1)
    return jnp.sort(outermost, 1)[:, (outermost.shape[1] - 1) // 2]


def brighten(key: Key, images: Array, delta: float, binarise: bool) -> Array:
    """Each image (n, h, w, c) plus a number within +-delta, in [0, 1]; then pixels are 1 with their value as
    probability, else 0, if it is asked for."""
    k_delta, k_pixels = jax.random.split(key)
    change = jax.random.uniform(k_delta, (len(images), *(1,) * (images.ndim - 1)), minval=-delta, maxval=delta)
    brighter = jnp.clip(images + change, 0.0, 1.0) if delta else images
    if not binarise:
        return brighter
    return (brighter > jax.random.uniform(k_pixels, images.shape)).astype(images.dtype)


def augment_step(state: TrainState, images: Array, ranges: Augmentation, form: str) -> Array:
    """Images of a step, each transformed at random."""
    return augment_in_form(step_key(state, "augment"), images, ranges, form)


def augment_in_form(key: Key, images: Array, ranges: Augmentation, form: str) -> Array:
    """`augment` in what suits the form of the convolutions: gathering pixels, or products."""
    return augment(key, images, ranges, "products" if resolve_form(form) == "native" else "gather")
