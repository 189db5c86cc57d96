"""Whole fits on all 70,000 images of MNIST and Fashion-MNIST, K found where the method finds it.

    python -m experiments.run whole
    python -m experiments.table whole

Hardware: 2 CPU cores; the results page has the seconds of each row.
Fashion-MNIST is that of the Debian package dataset-fashion-mnist.
The texts' numbers: moe-vae's by HDBSCAN (Santos 2020); hrwae-gan's best run of two groups, by HDBSCAN on MNIST and by
the mixture on Fashion-MNIST (Morais 2021).
"""

from experiments.configs import Row

THREE = (0, 1, 2)


def row(method: str, data: str, acc: float = 0) -> Row:
    """A method's preset quick on a whole set; acc: the text's."""
    name = f"{method.replace('-', '_')}_{data}_whole"
    return Row(name, method, f"{data}.npz", "quick", {}, THREE, {"acc": acc} if acc else {})


ROWS = (
    row("moe-vae", "mnist", 0.974),
    row("moe-vae", "fmnist", 0.68),
    *(row(method, data) for method in ("umap-density", "ae-cm", "vc") for data in ("mnist", "fmnist")),
    row("hrwae-gan", "mnist", 0.788),
    row("hrwae-gan", "fmnist", 0.639),
)
