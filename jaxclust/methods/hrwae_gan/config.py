"""Settings of hrwae-gan: the text's values where it states them (preset 'paper'), and those for a small CPU ('quick').

The text states no latent size, weights, epochs or learning rates: 'paper' has those of its sources (Tolstikhin et al.
2018 for the weight of the latent GAN, Radford et al. 2016 for Adam) and of moe-vae, whose clustering it shares.
"""

from dataclasses import dataclass
from typing import Literal

from jaxclust.errors import InputError
from jaxclust.methods.shared.config import ComputeConfig, FlipConfig
from jaxclust.methods.shared.first_clusters import MapConfig


@dataclass(frozen=True)
class Config(ComputeConfig, FlipConfig, MapConfig):
    """Settings of hrwae-gan; the defaults are the text's (preset 'paper')."""

    groups: int = 2
    """Latent groups L, from 1 to as many as the images have blocks (features: 2)."""
    cluster_group: int = 0
    """The group whose clusters are the labels; 0 is the top."""
    latent_dim: int = 16
    """Size of the top code z_0."""
    channels: int = 2
    """Channels of the latent maps below the top."""
    width: float = 1.0
    """Filters of the first block, as a share of the image's side (features: of 512 hidden units)."""
    min_filters: int = 1
    """Fewest filters of the first block, for small images at small widths."""
    encoder_extra: int = 0
    """Layers in each encoder cell that keep the side (the text's n)."""
    decoder_extra: int = 0
    """The same in each decoder cell (the text's m)."""
    critic_widths: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of each critic."""
    adversarial: Literal["relativistic", "standard"] = "relativistic"
    """Loss of critics and encoder: of pairs (eq. 3 and 4), or of each code alone (eq. 2)."""
    adversarial_weight: float = 10.0
    """Weight alpha of the latent GAN against the reconstruction, a sum over pixels."""
    group_decay: float = 0.5
    """a_l, the weight of group l in the critics' and the encoder's loss, is this to the power l."""
    matching_weight: float = 10.0
    """Weight kappa of the layer matching; 0 leaves it out."""
    prior_share: float = 0.0
    """Share of the examples of a batch that are decoded with lower groups from their priors, so that the top group
    has to tell what there is in them."""
    noise_weight: float = 2.0
    """Weight of examples that HDBSCAN calls noise, others weigh 1; 1 leaves the noise attention out."""
    attention_epochs: float = 50
    """About so many epochs lie between two looks: at the training's health, and for new noise."""
    epochs: float = 500
    """Epochs of the training."""
    min_steps: int = 0
    """Fewest steps of it, and of the head in proportion: small data are visited more often."""
    batch_size: int = 100
    """Most examples a batch; all batches of an epoch are of one size."""
    learning_rate: float = 2e-4
    """Learning rate of encoder and decoder (Adam)."""
    critic_learning_rate: float = 2e-4
    """Learning rate of the critics (Adam with beta_1 0.5)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rates: constant, or a warm-up and a cosine towards zero."""
    held_out: float = 0.05
    """Share of the examples, at most 1000, that are not trained on and tell how well codes fit their priors."""
    clean_target: bool = False
    """Ask the decoder for the image before augmentation instead of after."""
    head_epochs: float = 100
    """Epochs of the head that learns the clusters."""
    head_learning_rate: float = 1e-3
    """Learning rate of the head (Adam)."""
    likelihood: Literal["auto", "bernoulli", "gaussian"] = "auto"
    """Loss of the reconstruction: cross-entropy or squared error; 'auto': the first where pixels are nearly black or
    white (the text: for all images without colours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.cluster_group < self.groups:
            raise InputError(f"cluster_group is {self.cluster_group}: with {self.groups} groups choose one below that")


QUICK = Config(
    width=0.5,
    min_filters=32,
    epochs=12,
    attention_epochs=4,
    min_steps=900,
    channels=1,
    adversarial_weight=1.0,
    matching_weight=50.0,
    prior_share=0.5,
    learning_rate=2e-3,
    critic_learning_rate=2e-3,
    schedule="cosine",
    rotation=10.0,
    zoom=0.1,
    shift=0.05,
    flip="auto",
    clean_target=True,
    clusterer="leaves",
    mixture_runs=10,
    head_epochs=10,
)
