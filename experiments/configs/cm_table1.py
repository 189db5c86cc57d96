"""cm and its shallow baselines from both starts: Table 1 of Boubekki et al. 2021, and its Table 4 for L_sp.

    python -m experiments.run cm_table1

Hardware: 2 CPU cores; the results page has the seconds of each row.
cm has Table 12's alpha and batch, and ten restarts that are trained together, each of which counts as a run.
The text's numbers are means of 20 runs; for MNIST and Fashion-MNIST they are of all 70,000 images.
"""

from experiments.configs import Row, shares

ALPHA_AND_BATCH = {"pendigits": (13.0, 80), "usps": (40.0, 150), "mnist10k": (177.0, 111), "fmnist10k": (80.0, 35)}


def row(method: str, data: str, start: str, *text: float) -> Row:
    """text: ARI, NMI and ACC of Table 1, and for cm the ARI of Table 4."""
    overrides: dict[str, object] = {"n_clusters": 10, "start": start}
    if method == "cm":
        alpha, batch = ALPHA_AND_BATCH[data]
        overrides |= {"alpha": alpha, "batch_size": batch, "restarts": 10}
    if data == "pendigits":
        overrides["scaling"] = "minmax"
    name = f"{method}_{data}" + ("" if start == "random" else "_kmeanspp")
    seeds = (0,) if method == "cm" else (0, 1, 2)
    return Row(name, method, f"{data}.npz", "paper", overrides, seeds, shares(*text))


ROWS = (
    row("kmeans", "mnist10k", "random", 37.8, 49.9, 54.5),
    row("kmeans", "mnist10k", "k-means++", 36.9, 49.2, 54.0),
    row("gmm", "mnist10k", "random", 23.2, 37.8, 40.3),
    row("gmm", "mnist10k", "k-means++", 24.8, 37.5, 42.3),
    row("igmm", "mnist10k", "random", 31.3, 42.7, 48.5),
    row("igmm", "mnist10k", "k-means++", 31.1, 42.7, 47.5),
    row("cm", "mnist10k", "random", 39.7, 50.0, 56.8, 42.7),
    row("cm", "mnist10k", "k-means++", 39.1, 49.5, 55.9, 43.3),
    row("kmeans", "fmnist10k", "random", 36.6, 51.6, 53.2),
    row("kmeans", "fmnist10k", "k-means++", 35.2, 51.0, 50.8),
    row("gmm", "fmnist10k", "random", 34.3, 49.3, 51.8),
    row("gmm", "fmnist10k", "k-means++", 34.3, 49.3, 52.4),
    row("igmm", "fmnist10k", "random", 35.7, 50.7, 51.4),
    row("igmm", "fmnist10k", "k-means++", 35.4, 50.8, 51.6),
    row("cm", "fmnist10k", "random", 42.3, 54.0, 62.0, 44.2),
    row("cm", "fmnist10k", "k-means++", 41.4, 53.4, 60.7, 44.0),
    row("kmeans", "usps", "random", 52.6, 61.8, 63.0),
    row("kmeans", "usps", "k-means++", 50.2, 60.8, 61.1),
    row("gmm", "usps", "random", 35.1, 52.5, 48.2),
    row("gmm", "usps", "k-means++", 33.0, 52.0, 45.1),
    row("igmm", "usps", "random", 44.2, 55.3, 56.2),
    row("igmm", "usps", "k-means++", 44.4, 56.1, 55.6),
    row("cm", "usps", "random", 54.3, 62.8, 67.0, 54.8),
    row("cm", "usps", "k-means++", 53.4, 62.8, 63.7, 55.8),
    row("kmeans", "pendigits", "random", 56.5, 67.8, 71.1),
    row("kmeans", "pendigits", "k-means++", 58.1, 68.9, 72.7),
    row("gmm", "pendigits", "random", 51.3, 68.4, 65.7),
    row("gmm", "pendigits", "k-means++", 54.3, 69.7, 71.1),
    row("igmm", "pendigits", "random", 58.1, 69.0, 72.7),
    row("igmm", "pendigits", "k-means++", 56.9, 68.9, 72.0),
    row("cm", "pendigits", "random", 57.3, 67.0, 72.0, 57.0),
    row("cm", "pendigits", "k-means++", 57.3, 66.9, 72.3, 56.4),
)
