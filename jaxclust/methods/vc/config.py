"""Settings of vc: the text's values for MNIST (preset 'paper'), and those for a small CPU ('quick')."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jaxclust.errors import InputError
from jaxclust.methods.shared.config import AugmentationConfig, ComputeConfig
from jaxclust.methods.shared.first_clusters import ClustersConfig
from jaxclust.train.augment import Augmentation


def _named(function: str | Callable[..., Any]) -> str:
    """A function by its name, 'module:function', so that runs can be kept. Raises InputError where it has none."""
    if isinstance(function, str):
        if function not in ("images", "none") and ":" not in function:
            raise InputError(f"augmentation is {function!r}: give 'images', 'none' or 'module:function'")
        return function  # looked up when it is needed: a fitted model is used without it
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not callable(function) or getattr(sys.modules.get(str(module)), str(name), None) is not function:
        raise InputError(f"augmentation is {function!r}: give a function of a module, which its name finds again")
    return f"{module}:{name}"


def user_function(name: str) -> Callable[..., Any]:
    """The function called 'module:function'. Raises InputError where there is none."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"augmentation is {name!r}: {error}: give 'images', 'none' or 'module:function'") from error
    if not callable(function):
        raise InputError(f"augmentation is {name!r}: is no function: give 'images', 'none' or 'module:function'")
    return function


@dataclass(frozen=True)
class Config(ComputeConfig, AugmentationConfig, ClustersConfig):
    """Settings of vc; the defaults are the text's for MNIST (preset 'paper')."""

    n_clusters: int | Literal["auto"] = "auto"
    """Number of clusters K; 'auto' finds it: by the start 'manifold', else by what is left of `max_clusters`."""
    max_clusters: int = 20
    """K of n_clusters 'auto' at the start; clusters of less than `least_share` are dropped at the end."""
    least_share: float = 0.01
    """Share of the examples from which a cluster counts."""
    network: Literal["text", "size"] = "text"
    """Networks of the text (28 x 28 or 32 x 32 images, features), or those whose size follows the images'."""
    width: float = 1.0
    """Filters and hidden units, as a share of the text's; network 'size': of the image's side."""
    min_filters: int = 1
    """network 'size': fewest filters of the first block."""
    shared_trunk: bool = False
    """Let q(k|x) and q(z|x, k) share their convolutions."""
    latent_dim: int = 32
    """Size of z."""
    likelihood: Literal["auto", "bernoulli", "gaussian"] = "auto"
    """p(x|z); 'gaussian' has a variance for every pixel. 'auto' looks at the data."""
    epochs: float = 200
    """Epochs of the training."""
    min_steps: int = 0
    """Fewest steps of it, and of the others in proportion: small data are visited more often."""
    batch_size: int = 100
    """Most examples a batch; each comes with its augmented image."""
    learning_rate: float = 1e-3
    """Learning rate (Adam)."""
    reconstruction_weights: tuple[float, ...] = (1.0,)
    """lambda_recons, one number for each stretch of `reconstruction_epochs`."""
    reconstruction_epochs: tuple[float, ...] = ()
    """Epochs at which the next of them begins."""
    reconstruction_size: int | None = None
    """Numbers of an image to which its log p(x|z) is scaled: with 256, 28 x 28 pixels, padded to 32 x 32, weigh as
    much as 16 x 16; unset, it is not scaled."""
    consistency_weights: tuple[float, ...] = (0.01, 0.5, 1.0)
    """lambda_aug, one number for each stretch of `consistency_epochs`."""
    consistency_epochs: tuple[float, ...] = (40.0, 80.0)
    """Epochs at which the next of them begins."""
    consistency: Literal["both", "clusters", "codes", "none"] = "both"
    """Terms of the augmentation loss: squared distance of q(k|x), 2-Wasserstein of q(z|x, k), or neither."""
    augmentation: str = "images"
    """'images' (the ranges below), 'none', or 'module:function', or in Python the function itself, of
    (key, image in [0, 1]) -> image."""
    rotation: float = 3.0
    shear: float = 0.0
    """Shear within this factor."""
    flip: bool = False
    """Mirror left to right."""
    flip_vertical: bool = False
    """Mirror upside down."""
    brightness: float = 0.0
    """Add a number within this range to all pixels."""
    binarise: bool = False
    """Set pixels to 1 with their own value as probability, else to 0."""
    active_clusters: int | Literal["all"] = "all"
    """Clusters whose decoding is evaluated for an example: the likeliest, and one drawn from the rest for them all."""
    start: Literal["random", "manifold"] = "random"
    """Random parameters; or density clusters of the UMAP of a VAE's codes, which guide the training at first."""
    pretrain_epochs: float = 20
    """start 'manifold': epochs of that VAE."""
    guided_epochs: float = 10
    """start 'manifold': epochs that its clusters guide."""
    restarts: int = 1
    """Runs with other first parameters."""
    choice: Literal["elbo", "agreement"] = "elbo"
    """Which restart is kept: that of the largest ELBO, or whose clusters change least under augmentation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "augmentation", _named(self.augmentation))
        for name in ("reconstruction", "consistency"):
            weights, epochs = getattr(self, f"{name}_weights"), getattr(self, f"{name}_epochs")
            if len(weights) != len(epochs) + 1:
                raise InputError(f"{name}_weights has {len(weights)} numbers: give one more than {name}_epochs")
            if list(epochs) != sorted(epochs):
                raise InputError(f"{name}_epochs is {epochs}: give rising numbers")


QUICK = Config(
    network="size",
    width=0.5,
    min_filters=16,
    shared_trunk=True,
    active_clusters=2,
    epochs=10,
    pretrain_epochs=10,
    guided_epochs=5,
    min_steps=800,
    rotation=10.0,
    zoom=0.1,
    shift=0.05,
    start="manifold",
    reconstruction_size=256,
    consistency_weights=(10.0,),
    consistency_epochs=(),
)
COLOUR = Config(
    learning_rate=1e-4,
    batch_size=30,
    shared_trunk=True,
    likelihood="gaussian",
    reconstruction_weights=(0.5, 0.1),
    reconstruction_epochs=(40.0,),
    shift=0.2,
    shear=0.2,
    flip=True,
    flip_vertical=True,
)
PAPERS = {
    "mnist": Config(),
    "fmnist": Config(rotation=0.0, brightness=0.2, binarise=True),
    "cifar10": COLOUR,
    "stl10": COLOUR,
}


def augmentation(config: Config) -> Augmentation:
    """The ranges of the random transformations of images."""
    return config.ranges(config.flip, config.shear, config.flip_vertical)
