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
        AECM,
        DAMIC,
        DCN,
        DEC,
        DKM,
        GMVAE,
        HCMGAN,
        HRWAEGAN,
        IDEC,
        MIXAE,
        N2D,
        AEKMeans,
        ClusteringModule,
        DeepClusterer,
        GaussianMixture,
        IsotropicMixture,
        KMeans,
        MoEVAE,
        UMAPDensity,
        VaDE,
        VariationalClustering,
        load,
    )
    from jaxclust.methods import find as find_method
    from jaxclust.report.notebook import show
    from jaxclust.train.loggers import Log

__version__ = "0.1.0"

__all__ = [
    "AECM",
    "DAMIC",
    "DCN",
    "DEC",
    "DKM",
    "GMVAE",
    "HCMGAN",
    "HRWAEGAN",
    "IDEC",
    "MIXAE",
    "N2D",
    "AEKMeans",
    "ClusteringModule",
    "DeepClusterer",
    "GaussianMixture",
    "InputError",
    "IsotropicMixture",
    "KMeans",
    "Log",
    "MoEVAE",
    "RunExists",
    "UMAPDensity",
    "VaDE",
    "VariationalClustering",
    "__version__",
    "find_method",
    "load",
    "load_data",
    "show",
]

_LAZY = {
    **{name: ("jaxclust.estimators", name) for name in __all__ if name not in globals()},
    "load_data": ("jaxclust.data.sources", "load"),
    "find_method": ("jaxclust.methods", "find"),
    "Log": ("jaxclust.train.loggers", "Log"),
    "show": ("jaxclust.report.notebook", "show"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'jaxclust' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
