"""hc-mgan: table 4.1 of Mello 2021 on the data at hand, and what its refinements and settings do.

    python -m experiments.run hc_mgan

Hardware: 2 CPU cores; the results page has the seconds of each row.
Preset quick with ten leaves: a quarter of the text's maps, splits that begin with a normalised cut, and at most two
refinements of them, the first of 320 steps. Rows 'raw' begin with a raw split of 800 to 1,216 steps (the text: 80
epochs, 56,000 steps at the root of MNIST), equal priors, classifiers that see generated examples alone and learn
slower, more noise, and refine it at most eight times for a short while, with the networks before (the text: 12 times
with new ones). The text's numbers are for all 70,000 images, one run each.
"""

from typing import Any

from experiments.configs import Row

RAW = {
    "start": "raw", "prior": "equal", "real_weight": 0.0, "last_noise_variance": 0.3, "refinements": 8,
    "epochs": 10, "more_epochs": 0, "min_steps": 800, "max_steps": 1200, "classifier_learning_rate": 1e-3,
}  # fmt: skip
MOVED = {"rotation": 10.0, "zoom": 0.1, "shift": 0.1}
THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)


def row(data: str, name: str = "", seeds: tuple[int, ...] = THREE, *, acc: float = 0, **changes: Any) -> Row:
    """hc-mgan in preset quick; acc: the text's, in percent."""
    title = f"hc_mgan_{data}" + (f"_{name}" if name else "")
    source = data if data == "digits" else f"{data}.npz"
    return Row(
        title, "hc-mgan", source, "quick", {"n_clusters": 10, **changes}, seeds, {"acc": acc / 100} if acc else {}
    )


ROWS = (
    row("digits", seeds=FIVE),
    row("usps"),
    row("mnist10k", acc=93.0),
    row("fmnist10k", acc=72.1),
    row("fmnist10k", "first", n_clusters=2),
    row("digits", "equal", prior="equal"),
    row("digits", "once", refinements=1),
    row("digits", "longer", min_steps=800, max_steps=800),
    *(row(data, "auto", n_clusters="auto") for data in ("digits", "usps")),
    row("digits", "raw", FIVE, **RAW),
    row("usps", "raw", **RAW),
    row("fmnist10k", "first_raw", n_clusters=2, **RAW),
    row("fmnist10k", "first_augmented", n_clusters=2, **RAW, **MOVED),
    row("usps", "augmented", **RAW, **MOVED),
    row("digits", "augmented", **RAW, **MOVED),
    *(row("digits", f"refined_{count}", **{**RAW, "refinements": count}) for count in (0, 1, 3, 16)),
    row("digits", "new_networks", warm_start=False, **RAW),
)
