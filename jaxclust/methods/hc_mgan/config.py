"""Settings of hc-mgan: the text's values (preset 'paper'), and those for a small CPU ('quick')."""

from dataclasses import dataclass
from typing import Literal

from jaxclust.errors import InputError
from jaxclust.methods.shared.config import AugmentationConfig, ComputeConfig
from jaxclust.methods.shared.settings import Bound


@dataclass(frozen=True)
class Config(ComputeConfig, AugmentationConfig):
    """Settings of hc-mgan; the defaults are the text's for MNIST and Fashion-MNIST (preset 'paper')."""

    n_clusters: int | Literal["auto"] = "auto"
    """Leaves of the tree, fewer where no other can be split; 'auto' splits until no split is within the bounds."""
    start: Literal["raw", "manifold"] = "raw"
    """Where a split's first shares come from: a raw split, as in the text, or the normalised cut of the graph of
    nearest neighbours (host/cuts.py). Then the first refinement has new networks and is not shortened by
    `refinement_steps`."""
    neighbors: int = 10
    """start 'manifold': nearest neighbours of each example in the graph; of few examples, fewer than half of them."""
    max_samples: int = 70_000
    """start 'manifold': most examples that are in the graph; the others follow their nearest ones there."""
    refinements: int = 12
    """Refinements T of each split; 0 leaves the raw split as it is."""
    settled: float = 0.0
    """A split is refined no further once a refinement moves less than this share of its mass."""
    epochs: float = 80
    """Epochs of a raw split; one visits as many examples as the node's mass."""
    more_epochs: float = 10
    """Refinement t = 1, 2, .. is trained for `epochs` and t times as many more."""
    min_steps: int = 0
    """Fewest steps of a training: small nodes are visited more often. Steps are rounded up to whole chunks of 32."""
    max_steps: int | None = None
    """Most steps of a training, before they are rounded up; unset, as many as the epochs hold."""
    batch_size: int = 100
    """Real examples a batch, and examples of each generator."""
    width: float = 1.0
    """Maps of all layers, as a share of the text's."""
    generator_width: float | None = None
    """The same of the generators alone; unset, as wide as the others."""
    refinement_steps: float = 1.0
    """Steps of a refinement, as a share of those that its epochs, or the bounds, ask for."""
    warm_start: bool = False
    """A refinement begins with the networks of what it refines, the raw split's or its own, instead of new ones."""
    prior: Literal["equal", "mass"] = "equal"
    """How likely a refinement's classifiers hold either group before they look: equally, as in the text, or by its
    mass. Of groups of unequal size 'equal' gives the smaller one what is not its own."""
    classifier_weight: float = 1.0
    """Weight gamma of the classifiers' loss in the generators'."""
    real_weight: float = 0.0
    """Weight w of real examples in the loss of a refinement's classifiers, each as of the group for which it was drawn.
    0 in the text, whose classifiers see generated examples alone."""
    noise_variance: float = 1.5
    """Variance of the noise on real and generated examples at first; it falls linearly to `last_noise_variance`. Not
    used in refinements with `warm_start`, so not at all if `start` is 'manifold' too."""
    last_noise_variance: float = 0.0
    """Variance of the noise at the end, and throughout refinements with `warm_start`."""
    generator_learning_rate: float = 2e-4
    """Learning rate of the generators (Adam with beta_1 0.5)."""
    discriminator_learning_rate: float = 1e-4
    """Learning rate of the discriminators and of the features."""
    classifier_learning_rate: float = 2e-5
    """Learning rate of the classifiers."""
    flip: bool = False
    """Augmentation: mirror left to right."""
    order: Literal["turn", "together"] = "turn"
    """The two groups of a refinement are updated one after the other, as in the text, or both from the same state."""
    concurrent: int | Literal["auto"] = "auto"
    """Leaves that are split at a time, in one program; 'auto' is 1 on a CPU and 4 elsewhere. The tree is the same to
    rounding."""
    restarts: int = 3
    """How often a training that collapses is begun anew."""
    min_share: float = 0.01
    """n_clusters 'auto': the smallest share of all examples that a cluster may hold."""
    max_ncut: float = 0.05
    """n_clusters 'auto' with start 'manifold': the most that the normalised cut of a split may be, in [0, 2]."""
    max_doubt: float = 0.1
    """n_clusters 'auto': the most by which a split's two classifiers may differ, on average over its mass."""
    max_clusters: int = 50
    """n_clusters 'auto': most leaves."""

    OWN_BOUNDS = {"max_samples": Bound(4), "restarts": Bound(0)}  # noqa: RUF012

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start == "manifold" and not self.refinements:
            raise InputError("start is manifold with refinements 0: then no network is trained, so ask for one")


QUICK = Config(
    start="manifold",
    width=0.25,
    refinements=2,
    settled=0.015,
    prior="mass",
    real_weight=1.0,
    min_steps=320,
    max_steps=320,
    refinement_steps=0.16,
    warm_start=True,
    last_noise_variance=0.02,
    generator_learning_rate=1e-3,
    discriminator_learning_rate=5e-4,
    classifier_learning_rate=1e-2,
)
PAPERS = {
    "mnist": Config(),
    "fmnist": Config(),
    "cifar10": Config(epochs=150, discriminator_learning_rate=2e-4),
}
