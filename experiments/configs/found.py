"""Whole fits with the number of clusters found, never given, on sets of 2 to 100 classes; umap-density beside them.

    python -m experiments.run found
    python -m experiments.table found

Hardware: 2 CPU cores; the results page has the seconds of each row.
Settings of the search (jaxclust/host/clusters.py) were chosen on digits, fmnist10k, palm_16 and isolet; the other sets
only confirm. digits, USPS, mnist10k and fmnist10k by moe-vae are rows of their own (moe_vae_digits, ...).
"""

from experiments.configs import Row

THREE = (0, 1, 2)
IMAGES = ("digits", "usps", "mnist10k", "fmnist10k", "palm_16", "orl_32", "cifar10k")
DRAWN = ("mnist_2", "mnist_3", "mnist_5", "mnist_thin", "digits_300", "objects_20")  # cluster_sets.py
NOISE = ("normal_64", "uniform_10")
FEATURES = ("isolet", "segment", "pendigits")
CLASSES = ("digits", "usps", "fmnist10k", "palm_16", "orl_32")  # on which the other methods stand beside umap-density


def row(method: str, data: str) -> Row:
    """A method's preset quick on a set, K found."""
    file = data if data == "digits" else f"{data}.npz"
    return Row(f"{method.replace('-', '_')}_{data}_found", method, file, "quick", {}, THREE, {})


ROWS = (
    *(row("moe-vae", data) for data in ("palm_16", "orl_32", "cifar10k", *DRAWN, *NOISE)),
    *(row("ae-cm", data) for data in FEATURES),
    *(row("umap-density", data) for data in (*IMAGES, *FEATURES, "objects_20")),
    *(row(method, data) for method in ("hrwae-gan", "ae-cm", "vc", "n2d") for data in CLASSES),
)
