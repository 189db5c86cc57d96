"""One estimator a method."""

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from jaxclust import models
from jaxclust.errors import InputError
from jaxclust.estimators.base import DeepClusterer, WithCentroids
from jaxclust.methods.shared.edited import n_edits
from jaxclust.runs import lifecycle
from jaxclust.system import paths
from jaxclust.trees import Tree


class MoEVAE(DeepClusterer, method="moe-vae"):
    """Mixture of VAE experts, with automatic latent size and number of clusters (Santos 2020)."""


class ClusteringModule(WithCentroids, method="cm"):
    """Clustering module: a Gaussian mixture trained as an autoencoder with one hidden layer (Boubekki et al. 2021)."""


class AECM(WithCentroids, method="ae-cm"):
    """Autoencoder with a clustering module on its code, trained together (Boubekki et al. 2021)."""


class VariationalClustering(WithCentroids, method="vc"):
    """VAE whose prior is a Gaussian mixture, with a loss for augmented images (Prasad et al. 2020)."""

    def interpolate(
        self, start: int, end: int, n: int = 9, space: Literal["latent", "clusters"] = "latent"
    ) -> np.ndarray:
        """n examples between two clusters, both included: (n, ...).

        space: 'latent', on the straight line between the means of p(z|k); or 'clusters', the means of p(z|k) for convex
        combinations of the two one-hot vectors (section VI E).
        """
        return models.interpolate(self._fitted(), start, end, n, space)


class KMeans(WithCentroids, method="kmeans"):
    """k-means, by scikit-learn, as one of these methods."""


class GaussianMixture(WithCentroids, method="gmm"):
    """Gaussian mixture with full covariances, by scikit-learn, as one of these methods."""


class IsotropicMixture(WithCentroids, method="igmm"):
    """Isotropic Gaussian mixture with uniform weights (Boubekki et al. 2021)."""


class AEKMeans(WithCentroids, method="ae-kmeans"):
    """Autoencoder, then k-means of its codes."""


class DEC(DeepClusterer, method="dec"):
    """Deep embedded clustering (Xie et al. 2016)."""


class IDEC(WithCentroids, method="idec"):
    """Deep embedded clustering that keeps the decoder (Guo et al. 2017)."""


class DCN(WithCentroids, method="dcn"):
    """Deep clustering network (Yang et al. 2017)."""


class DKM(WithCentroids, method="dkm"):
    """Deep k-means (Fard et al. 2020)."""


class UMAPDensity(DeepClusterer, method="umap-density"):
    """Density clusters of the UMAP of raw data: the floor of all methods."""


class N2D(DeepClusterer, method="n2d"):
    """Gaussian mixture on the UMAP of an autoencoder's codes (McConville et al. 2021)."""


class HRWAEGAN(WithCentroids, method="hrwae-gan"):
    """Hierarchical Wasserstein autoencoder with relativistic latent critics (Morais 2021)."""

    def transform(self, X: Any, group: int | None = None) -> np.ndarray:  # noqa: N803
        """Codes of new data, posterior means (n, d) float32, of the latent group `group`, 0 the top; by default of the
        one that is clustered."""
        return models.embed(self._fitted(), self._raw(X), group)

    def sample(self, n: int = 1, *, cluster: int | None = None, seed: int = 0) -> np.ndarray:
        """n new examples of a cluster, or without one drawn from the prior: as `DeepClusterer.sample` gives them."""
        return models.sample(self._fitted(), n, cluster, seed)


class HCMGAN(DeepClusterer, method="hc-mgan"):
    """Clustering tree grown from the top by multi-generator GANs (Mello 2021)."""

    @property
    def tree_(self) -> Tree:
        """The tree: its splits, the masses of its nodes, and its forms for other tools."""
        meta = self._fitted().model.meta
        return Tree(tuple(meta["splits"]), tuple(meta["masses"]))

    def predict(self, X: Any, n_leaves: int | None = None) -> np.ndarray:  # noqa: N803
        """Labels of new data, (n,) int32, by the tree as it was with `n_leaves` leaves; all of them by default."""
        return self.predict_proba(X, n_leaves).argmax(1).astype(np.int32)

    def predict_proba(self, X: Any, n_leaves: int | None = None) -> np.ndarray:  # noqa: N803
        """Memberships in the leaves, (n, n_leaves) float32, of the tree as it was with so many; all by default."""
        return self._cut(models.predict_proba(self._fitted(), self._raw(X)), n_leaves)

    def labels_at(self, n_leaves: int) -> np.ndarray:
        """Labels (n,) int32 of what was fitted, by the tree as it was with so many leaves."""
        return self._cut(self.probabilities_, n_leaves).argmax(1).astype(np.int32)

    def _cut(self, memberships: np.ndarray, n_leaves: int | None) -> np.ndarray:
        if n_leaves is not None and n_edits(self._fitted().model.meta):
            raise InputError(f"n_leaves is {n_leaves}: clusters that were edited are no leaves: ask the parent_")
        return self.tree_.cut(memberships, n_leaves)


class VaDE(WithCentroids, method="vade"):
    """Variational deep embedding: a VAE with a Gaussian mixture as prior (Jiang et al. 2017)."""


class GMVAE(WithCentroids, method="gmvae"):
    """Gaussian mixture VAE, whose Gaussians a network makes from noise (Dilokthanakul et al. 2016)."""


class DAMIC(DeepClusterer, method="damic"):
    """Mixture of autoencoders and a clustering network, started by k-means (Chazan et al. 2019)."""


class MIXAE(DeepClusterer, method="mixae"):
    """Mixture of autoencoders, and a network that assigns by all their codes (Zhang et al. 2017)."""


BASELINES: Sequence[type[DeepClusterer]] = (
    UMAPDensity,
    KMeans,
    GaussianMixture,
    IsotropicMixture,
    AEKMeans,
    DEC,
    IDEC,
    DCN,
    DKM,
    N2D,
    VaDE,
    GMVAE,
    DAMIC,
    MIXAE,
)
ESTIMATORS: Sequence[type[DeepClusterer]] = (
    MoEVAE,
    HRWAEGAN,
    HCMGAN,
    ClusteringModule,
    AECM,
    VariationalClustering,
    *BASELINES,
)


def load(directory: str | os.PathLike[str]) -> DeepClusterer:
    """The fitted estimator from a directory that `save` or `jaxclust fit` wrote, of whatever method it is."""
    name = lifecycle.read_config(paths.local(directory))["method"]
    for estimator in ESTIMATORS:
        if estimator.method == name:
            return estimator.load(directory)
    raise InputError(f"{directory}: method {name!r} is unknown to this version of jaxclust")
