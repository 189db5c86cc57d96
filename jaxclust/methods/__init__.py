"""Published systems, one file each, found by name. A system's module is imported when it is asked for."""

import importlib

from jaxclust.errors import InputError
from jaxclust.methods.base import System

SYSTEMS = {  # name -> module, or module:NAME where it is not called SYSTEM
    "moe-vae": "jaxclust.methods.moe_vae",
    "hrwae-gan": "jaxclust.methods.hrwae_gan",
    "hc-mgan": "jaxclust.methods.hc_mgan",
    "cm": "jaxclust.methods.clustering_module:CM",
    "ae-cm": "jaxclust.methods.clustering_module:AE_CM",
    "vc": "jaxclust.methods.variational",
    "umap-density": "jaxclust.methods.baselines.umap_density",
    "kmeans": "jaxclust.methods.baselines.mixtures:KMEANS",
    "gmm": "jaxclust.methods.baselines.mixtures:GMM",
    "igmm": "jaxclust.methods.baselines.mixtures:IGMM",
    "ae-kmeans": "jaxclust.methods.baselines.ae_kmeans",
    "dec": "jaxclust.methods.baselines.dec:DEC",
    "idec": "jaxclust.methods.baselines.dec:IDEC",
    "dcn": "jaxclust.methods.baselines.dcn",
    "dkm": "jaxclust.methods.baselines.dkm",
    "n2d": "jaxclust.methods.baselines.n2d",
    "vade": "jaxclust.methods.baselines.vade",
    "gmvae": "jaxclust.methods.baselines.gmvae",
}


def find(name: str) -> System:
    """The system called `name`, for instance 'moe-vae'. Raises InputError for an unknown name."""
    if name not in SYSTEMS:
        raise InputError(f"method {name!r} is unknown: choose one of {', '.join(SYSTEMS)}")
    module, _, attribute = SYSTEMS[name].partition(":")
    return getattr(importlib.import_module(module), attribute or "SYSTEM")
