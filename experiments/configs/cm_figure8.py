"""scikit-learn's toy sets: figure 8 of Boubekki et al. 2021, with its Table 10's settings.

    python -m experiments.run cm_figure8

Hardware: 2 CPU cores; the results page has the seconds of each row.
Up to 100 epochs of 20 points a batch, ten restarts, as the text's ten runs. It trains cm by SGD, here it is Adam, and
stops early, here it does not. It gives pictures and no numbers.
"""

from typing import Any

from experiments.configs import Row

LINEAR: dict[str, Any] = {"hidden": (), "latent_dim": 3}
SETS: dict[str, tuple[int, float, float, dict[str, Any]]] = {  # Table 10: K, alpha, beta, networks; lambda is 0.001
    "moons": (2, 11.0, 100.0, {"hidden": (20, 20, 20), "latent_dim": 1}),
    "circles": (2, 11.0, 0.001, {"quadratic": True, **LINEAR}),
    "varied": (3, 11.0, 100.0, LINEAR),
    "anisotropic": (3, 11.0, 1.0, LINEAR),
    "blobs": (3, 11.0, 1.0, LINEAR),
    "no_structure": (3, 0.1, 1.0, LINEAR),
}


def row(method: str, data: str) -> Row:
    """The method on one set."""
    n_clusters, alpha, beta, networks = SETS[data]
    overrides: dict[str, Any] = {"n_clusters": n_clusters, "start": "random"}
    if method != "igmm":
        overrides |= {"alpha": alpha, "batch_size": 20, "epochs": 100, "restarts": 10}
    if method == "ae-cm":
        overrides |= {"beta": beta, "orthonormality": 0.001, **networks}
    seeds = (0, 1, 2) if method == "igmm" else (0,)
    return Row(f"{method.replace('-', '_')}_{data}", method, data, "paper", overrides, seeds, {})


ROWS = tuple(row(method, data) for data in SETS for method in ("igmm", "cm", "ae-cm"))
