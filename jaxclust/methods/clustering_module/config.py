"""Settings of cm and ae-cm: the text's values (preset 'paper' has those for USPS), and those for a small CPU ('quick')
and an accelerator ('full')."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from jaxclust.errors import InputError
from jaxclust.methods.shared.coders import CoderConfig
from jaxclust.methods.shared.config import ScalingConfig
from jaxclust.methods.shared.first_clusters import ClustersConfig


@dataclass(frozen=True)
class Config(ScalingConfig, ClustersConfig):
    """Settings of cm; the defaults are the text's for USPS (preset 'paper')."""

    alpha: float | Literal["auto"] | tuple[float, ...] = 40.0
    """Concentration of the Dirichlet prior: one for all clusters, or K of them in any order; 'auto' is 1 + 3/4 of the
    examples that a batch has for a cluster."""
    start: Literal["random", "k-means++", "k-means"] = "random"
    """First centroids."""
    encoder_start: Literal["pseudo-inverse", "posterior"] = "pseudo-inverse"
    """Encoder that goes with first centroids: their pseudo-inverse, or the posterior of k-means' clusters."""
    restarts: int = 1
    """Runs with other first parameters, trained together; that of the least L_sp is kept."""
    epochs: float = 150
    """Epochs before the averaging epoch."""
    min_steps: int = 0
    """Fewest steps of the last training, and of the others in proportion: small data are visited more often."""
    batch_size: int = 150
    """Most examples a batch; all batches of an epoch are of one size."""
    learning_rate: float = 1e-3
    """Learning rate (Adam)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha != "auto" and min(np.atleast_1d(self.alpha)) <= 0:
            raise InputError(f"alpha is {self.alpha}: give numbers above 0")
        if isinstance(self.alpha, tuple) and len(self.alpha) != self.n_clusters:
            raise InputError(f"alpha has {len(self.alpha)} numbers for {self.n_clusters} clusters: give one, or K")


@dataclass(frozen=True)
class AEConfig(CoderConfig, Config):
    """Settings of ae-cm; the defaults are the text's for USPS (preset 'paper')."""

    alpha: float | Literal["auto"] | tuple[float, ...] = 20.0
    beta: float = 0.5
    """Weight of the autoencoder's squared error."""
    orthonormality: float = 1.0
    """Weight lambda of |mu mu^T - I|_1."""
    widen: bool = False
    """Give the trained autoencoder's code a dimension for each cluster where it has fewer: centroids of more clusters
    than dimensions are not orthonormal."""
    start: Literal["random", "pretrained", "manifold"] = "pretrained"  # type: ignore[assignment]
    """Random parameters; or an autoencoder trained alone, then k-means of its codes and cm on them, or ('manifold')
    density clusters of their UMAP, which guide the joint training at first."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rates of the autoencoder, alone and with the module: constant, or a warm-up, then a cosine to zero."""
    pretrain_epochs: float = 100
    """Epochs of the autoencoder alone."""
    module_epochs: float = 100
    """Epochs of cm on its codes; or those that the manifold's clusters guide."""
    epochs: float = 1000
    batch_size: int = 256


QUICK = Config(start="k-means++", encoder_start="posterior", restarts=10, epochs=50, min_steps=5000)
AE_QUICK = AEConfig(
    start="manifold", alpha="auto", beta=0.05, widen=True, schedule="cosine", pretrain_epochs=60, module_epochs=20,
    epochs=40, min_steps=1500,
)  # fmt: skip
AE_FULL = replace(
    AE_QUICK, network="auto", rotation=10.0, zoom=0.1, shift=0.05, pretrain_epochs=15, module_epochs=8, epochs=8
)

PAPERS = {  # alpha and batch of the text's Table 12
    name: Config(alpha=alpha, batch_size=batch)
    for name, (alpha, batch) in {
        "mnist": (177.0, 111), "fmnist": (80.0, 35), "usps": (40.0, 150), "cifar10": (164.0, 350), "r10k": (10.0, 400),
        "20news": (11.0, 85), "10x73k": (1000.0, 500), "pendigits": (13.0, 80),
    }.items()
}  # fmt: skip
AE_PAPERS = {  # alpha, beta, batch and latent size of its Table 13 (1000 epochs: 5.1.4; appendix 3 says 150)
    name: AEConfig(alpha=alpha, beta=beta, batch_size=batch, latent_dim=latent)
    for name, (alpha, beta, batch, latent) in {
        "mnist": (230.0, 5.0, 500, 10), "fmnist": (13.0, 47.0, 175, 10), "usps": (20.0, 0.5, 256, 10),
        "cifar10": (64.0, 1.0, 256, 10), "r10k": (2.0, 1.0, 256, 100), "20news": (10.0, 232.0, 300, 100),
        "10x73k": (7.0, 15.0, 7, 10), "pendigits": (13.0, 0.5, 100, 10),
    }.items()
}  # fmt: skip
