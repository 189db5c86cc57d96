"""Settings that several methods have: how networks compute, how images are augmented, how features are scaled."""

from dataclasses import dataclass
from typing import Literal

from jaxclust.methods.shared.settings import Settings
from jaxclust.train.augment import Augmentation


@dataclass(frozen=True)
class ComputeConfig(Settings):
    """How networks compute."""

    form: Literal["auto", "patches", "native"] = "auto"
    """Form of the convolutions: what the platform does best, or one of the two."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type that networks compute in; 'auto' is bfloat16 on a TPU or GPU. Parameters and losses stay float32."""


@dataclass(frozen=True)
class AugmentationConfig(Settings):
    """How the images of a batch are transformed at random."""

    rotation: float = 0.0
    """Augmentation of images: rotation within so many degrees."""
    zoom: float = 0.0
    """Augmentation of images: zoom within this share."""
    shift: float = 0.0
    """Augmentation of images: shift within this share of each side."""

    def ranges(self, flip: bool = False, shear: float = 0.0, flip_vertical: bool = False) -> Augmentation:
        """The ranges of all transformations."""
        return Augmentation(self.rotation, self.zoom, self.shift, flip, shear, flip_vertical)


@dataclass(frozen=True)
class FlipConfig(AugmentationConfig):
    """The same, and mirrored images."""

    flip: bool | Literal["auto"] = False
    """Augmentation of images: mirror left to right; 'auto' does where mirrored images look like the others
    (host/mirror.py)."""

    def mirrored(self) -> Augmentation:
        """The ranges, mirroring included where the data were looked at and allow it (`Job.looked_at`)."""
        return self.ranges(self.flip is True)


@dataclass(frozen=True)
class ScalingConfig(Settings):
    """How features are scaled."""

    scaling: Literal["standard", "minmax", "maxabs", "unit", "none"] = "standard"
    """How features are scaled; images always lie in [0, 1]."""
