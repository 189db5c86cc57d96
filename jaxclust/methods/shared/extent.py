"""Where the data of prepared examples lie, and examples as vectors of these data alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
from jax import lax

from jaxclust.data.prepare import Preprocess, margins
from jaxclust.train.augment import border
from jaxclust.train.training import to_unit
from jaxclust.typing import Array


class Extent(NamedTuple):
    """Images (side, side, c) hold `height` x `width` pixels, the rest is padding; features (d,) have height and width
    0."""

    shape: tuple[int, ...]
    height: int
    width: int

    @classmethod
    def of(cls, preprocess: Preprocess) -> Self:
        """That of the data that `preprocess` prepares."""
        return cls(preprocess.shape, preprocess.height, preprocess.width)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Self:
        """That which a model's meta keeps as plain JSON under 'frame'."""
        kept = meta["frame"]
        return cls(tuple(kept["shape"]), kept["height"], kept["width"])

    def to_meta(self) -> dict[str, Any]:
        """The inverse."""
        return {"frame": self._asdict()}

    @property
    def size(self) -> int:
        """Numbers in one example, padding left out."""
        return self.shape[0] if len(self.shape) == 1 else self.height * self.width * self.shape[2]


def vectors(extent: Extent, images: Array) -> Array:
    """Prepared examples without padding, in [0, 1] where they are images: (n, ...) -> (n, extent.size) float32."""
    unit = to_unit(lax.optimization_barrier(images))  # else a CPU rounds otherwise where images are streamed
    if len(extent.shape) > 1:
        top, left = margins(extent.height, extent.width, extent.shape[0])
        unit = unit[:, top : top + extent.height, left : left + extent.width]
    return unit.reshape(len(unit), -1)


def pictures(extent: Extent, values: Array) -> Array:
    """The inverse of `vectors`: (n, extent.size) -> prepared examples (n, *extent.shape), images clipped to [0, 1] and
    padded with the median of their border, as data.prepare does."""
    if len(extent.shape) == 1:
        return values
    side, _, channels = extent.shape
    top, left = margins(extent.height, extent.width, side)
    images = jnp.clip(values, 0.0, 1.0).reshape(-1, extent.height, extent.width, channels)
    if side == extent.height == extent.width:
        return images
    whole = jnp.broadcast_to(border(images)[:, None, None], (len(images), side, side, channels))
    return whole.at[:, top : top + extent.height, left : left + extent.width].set(images)
