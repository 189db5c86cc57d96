"""jaxclust: deep clustering in JAX.

    from jaxclust import MoEVAE
    model = MoEVAE(n_clusters="auto", seed=0).fit(images)

Names are imported when they are first used, so `import jaxclust` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxclust.errors import InputError, RunExists

if TYPE_CHECKING:
    from jaxclust.data.sources import load as load_data
    from jaxclust.estimators import (
        DCN,
        DEC,
        DKM,
        IDEC,
        N2D,
        AEKMeans,
        DeepClusterer,
        GaussianMixture,
        IsotropicMixture,
        KMeans,
        MoEVAE,
        load,
    )
    from jaxclust.methods import find as find_method

__version__ = "0.1.0"

_LAZY = {
    "AEKMeans": ("jaxclust.estimators", "AEKMeans"),
    "DCN": ("jaxclust.estimators", "DCN"),
    "DEC": ("jaxclust.estimators", "DEC"),
    "DKM": ("jaxclust.estimators", "DKM"),
    "DeepClusterer": ("jaxclust.estimators", "DeepClusterer"),
    "GaussianMixture": ("jaxclust.estimators", "GaussianMixture"),
    "IDEC": ("jaxclust.estimators", "IDEC"),
    "IsotropicMixture": ("jaxclust.estimators", "IsotropicMixture"),
    "KMeans": ("jaxclust.estimators", "KMeans"),
    "MoEVAE": ("jaxclust.estimators", "MoEVAE"),
    "N2D": ("jaxclust.estimators", "N2D"),
    "find_method": ("jaxclust.methods", "find"),
    "load": ("jaxclust.estimators", "load"),
    "load_data": ("jaxclust.data.sources", "load"),
}

__all__ = [
    "DCN",
    "DEC",
    "DKM",
    "IDEC",
    "N2D",
    "AEKMeans",
    "DeepClusterer",
    "GaussianMixture",
    "InputError",
    "IsotropicMixture",
    "KMeans",
    "MoEVAE",
    "RunExists",
    "__version__",
    "find_method",
    "load",
    "load_data",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'jaxclust' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
