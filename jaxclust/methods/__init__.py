"""Methods, found by name. The module of a method is imported when it is asked for."""

import importlib
from typing import Any

from jaxclust.errors import InputError, nearest
from jaxclust.methods.base import PRESETS, Method
from jaxclust.system import environment

METHODS = {  # name -> module, or module:NAME where it is not called METHOD
    "moe-vae": "jaxclust.methods.moe_vae",
    "hrwae-gan": "jaxclust.methods.hrwae_gan",
    "hc-mgan": "jaxclust.methods.hc_mgan",
    "cm": "jaxclust.methods.clustering_module:CM",
    "ae-cm": "jaxclust.methods.clustering_module:AE_CM",
    "vc": "jaxclust.methods.vc",
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
    "damic": "jaxclust.methods.baselines.damic",
    "mixae": "jaxclust.methods.baselines.mixae",
}


def find(name: str) -> Method:
    """The method called `name`, for instance 'moe-vae'. Raises InputError for an unknown name."""
    if name not in METHODS:
        raise InputError(f"method {name!r} is unknown: choose one of {', '.join(METHODS)}{nearest(str(name), METHODS)}")
    module, _, attribute = METHODS[name].partition(":")
    return getattr(importlib.import_module(module), attribute or "METHOD")


def choose_preset(method: Method, preset: str) -> tuple[str, Any]:
    """The preset's name and config. 'auto' is 'full' with a TPU or GPU and 'quick' without.

    Raises InputError for a name that the method does not have.
    """
    if preset == "auto":
        preset = "full" if environment.has_accelerator() else "quick"
    if not isinstance(preset, str) or preset not in method.presets:
        known = ("auto", *method.presets)
        raise InputError(f"preset {preset!r} is unknown: choose one of {', '.join(known)}{nearest(str(preset), known)}")
    return preset, method.presets[preset]
