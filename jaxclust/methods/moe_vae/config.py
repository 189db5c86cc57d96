"""Settings of moe-vae: the text's values (preset 'paper'), those for a small CPU ('quick'), and what they mean for
each network."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxclust.methods.moe_vae import mixture
from jaxclust.methods.shared import autoencoder, classifier
from jaxclust.methods.shared.config import ComputeConfig, FlipConfig
from jaxclust.methods.shared.experts import ExpertsSpec
from jaxclust.methods.shared.first_clusters import MapConfig
from jaxclust.nn.apply import compute_type


@dataclass(frozen=True)
class Config(ComputeConfig, FlipConfig, MapConfig):
    """Settings of moe-vae; the defaults are the text's (preset 'paper')."""

    autoencoder: Literal["vae", "ae", "beta-vae", "wae"] = "vae"
    """Kind of the autoencoder whose codes are clustered."""
    umap_metric: Literal["manhattan", "euclidean", "cosine"] = "manhattan"
    width: float = 1.0
    """Filters of the first block, as a share of the image's side (features: of 512 hidden units)."""
    min_filters: int = 1
    """Fewest filters of the first block, for small images at small widths."""
    stem: Literal["pair", "single"] = "pair"
    """First block of autoencoder and manager: two convolutions, the text's, or one that halves the side at once."""
    epochs: float = 1000
    """Epochs of the autoencoder."""
    search_epochs: float = 1000
    """Epochs of the first autoencoder, whose codes give the latent size."""
    warm_start: bool = False
    """Let the manager begin with the layers of the autoencoder's encoder."""
    latent_dim: int | Literal["auto"] = "auto"
    """Size of the latent space; 'auto' finds it."""
    search_latent_dim: int = 100
    """Latent size of the first autoencoder."""
    explained_variance: float = 0.90
    """Share of the variance of the codes that the latent size keeps."""
    expert_explained_variance: float = 0.95
    """The same for each expert's own cluster."""
    expert_sizes: Literal["equal", "unequal"] = "equal"
    """One latent size for all experts (the rounded mean of the clusters'), or each its own."""
    batch_size: int = 100
    """Most examples a batch; all batches of an epoch are of one size."""
    min_steps: int = 0
    """Fewest steps of the autoencoder, and of the other trainings in proportion: small data are visited more often."""
    learning_rate: float = 5e-4
    """Learning rate of the autoencoder (Adam)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rates: constant, or a warm-up and a cosine towards zero."""
    kl_weight: float = 1.0
    """Weight W of a 'vae's KL at the end of its ramp."""
    kl_ramp: float = 0.2
    """Share of the steps over which W rises from 0."""
    beta: float | None = None
    """Free beta of 'beta-vae'; unset, latent_dim / input_dim."""
    l1_means: float = 1e-4
    """Weight of the L1 norm of the posterior means."""
    wae_encoder: Literal["deterministic", "random"] = "random"
    """Whether a 'wae' draws its codes."""
    wae_penalty: Literal["mmd", "gan"] = "mmd"
    """Divergence of a 'wae' from its prior."""
    wae_weight: float = 10.0
    """Weight of that divergence."""
    rotation: float = 10.0
    zoom: float = 0.1
    shift: float = 0.1
    flip: bool | Literal["auto"] = "auto"
    clean_target: bool = False
    """Ask decoders for the image before augmentation instead of after."""
    manager_epochs: float = 1000
    """Epochs of the manager."""
    manager_learning_rate: float = 1e-3
    """Learning rate of the manager."""
    alpha: float = 100.0
    """Weight of the sample entropy S."""
    batch_entropy_weight: float = 1.0
    """Weight beta of the negative batch entropy B."""
    top_experts: int | Literal["all"] = "all"
    """Experts that each image is routed to in stage 1."""
    expert_width: float = 1.0
    """Width of the experts."""
    expert_min_filters: int = 1
    """Fewest filters of an expert's first block."""
    expert_kl_weight: float = 1.0
    """Weight of the experts' KL; 1 is the ELBO."""
    mixture_epochs: float = 100
    """Epochs of stage 1."""
    mixture_learning_rate: float = 1e-4
    """Learning rate of the manager in stage 1."""
    expert_learning_rate: float = 1e-4
    """Learning rate of the experts in both stages."""
    expert_epochs: float = 100
    """Epochs of stage 2."""
    expert_batch_size: int = 100
    """Examples of each expert in a batch of stage 2."""


QUICK = Config(
    width=0.5,
    min_filters=32,
    stem="single",
    epochs=10,
    search_epochs=3,
    min_steps=800,
    learning_rate=2e-3,
    schedule="cosine",
    search_latent_dim=50,
    explained_variance=0.95,
    kl_weight=0.1,
    clean_target=True,
    shift=0.05,
    umap_metric="euclidean",
    clusterer="leaves",
    warm_start=True,
    manager_epochs=3,
    top_experts=2,
    expert_width=0.25,
    expert_min_filters=8,
    expert_learning_rate=1e-3,
    expert_kl_weight=0.5,
    mixture_epochs=4,
    expert_epochs=3,
    expert_batch_size=16,
)


def _shared(config: Config) -> dict[str, Any]:
    """What all networks of a run have in common."""
    return {
        "schedule": config.schedule,
        "augmentation": config.mirrored(),
        "form": config.form,
        "dtype": compute_type(config.precision),
    }


def autoencoder_spec(config: Config, likelihood: str, latent: int, n_steps: int) -> autoencoder.AutoencoderSpec:
    """The autoencoder of phases 1 and 3."""
    return autoencoder.AutoencoderSpec(
        kind=config.autoencoder,
        latent_dim=latent,
        likelihood=likelihood,
        width=config.width,
        min_filters=config.min_filters,
        stem=config.stem,
        learning_rate=config.learning_rate,
        n_steps=n_steps,
        ramp_steps=round(config.kl_ramp * n_steps),
        kl_weight=config.kl_weight,
        beta=config.beta,
        l1_means=config.l1_means,
        wae_encoder=config.wae_encoder,
        wae_penalty=config.wae_penalty,
        wae_weight=config.wae_weight,
        clean_target=config.clean_target,
        **_shared(config),
    )


def classifier_spec(config: Config, n_clusters: int, n_steps: int) -> classifier.ClassifierSpec:
    """The manager of phase 6."""
    return classifier.ClassifierSpec(
        n_classes=n_clusters,
        width=config.width,
        min_filters=config.min_filters,
        stem=config.stem,
        learning_rate=config.manager_learning_rate,
        n_steps=n_steps,
        **_shared(config),
    )


def mixture_spec(config: Config, likelihood: str, expert_dims: np.ndarray, n_steps: int) -> mixture.MixtureSpec:
    """The mixture of phase 8; expert_dims (K,): the latent size of each expert."""
    n_clusters = len(expert_dims)
    shared = _shared(config)
    experts = ExpertsSpec(
        latent_dims=tuple(int(d) for d in expert_dims),
        likelihood=likelihood,
        width=config.expert_width,
        min_filters=config.expert_min_filters,
        form=shared["form"],
        dtype=shared["dtype"],
    )
    return mixture.MixtureSpec(
        experts=experts,
        manager=classifier_spec(config, n_clusters, n_steps),
        alpha=config.alpha,
        beta=config.batch_entropy_weight,
        kl_weight=config.expert_kl_weight,
        ramp_steps=round(config.kl_ramp * n_steps),
        top_experts=n_clusters if config.top_experts == "all" else min(config.top_experts, n_clusters),
        manager_learning_rate=config.mixture_learning_rate,
        learning_rate=config.expert_learning_rate,
        schedule=shared["schedule"],
        n_steps=n_steps,
        augmentation=shared["augmentation"],
        clean_target=config.clean_target,
    )
