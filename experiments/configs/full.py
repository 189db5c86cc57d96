"""What preset full is chosen by: moe-vae trained longer and in wider networks, ae-cm with convolutions; K found,
one seed.

    python -m experiments.run full
    python -m experiments.full

Hardware: 2 CPU cores, some hundred to some thousand seconds a run.
USPS is fitted by its training split, so that loss and accuracy are also those of images that no training saw. What was
measured: experiments/results/full.md.
"""

from experiments.configs import Row

THREE = (0, 1, 2)
EPOCHS = ("epochs", "search_epochs", "manager_epochs", "mixture_epochs", "expert_epochs")
TIMES, WIDTHS = (1, 2, 4), (1, 2)  # of preset quick
SPLITS = {"usps": "train", "mnist10k": "all", "fmnist10k": "all"}


def point(data: str, times: int, width: int) -> Row:
    """moe-vae's preset quick with `times` its epochs and `width` times the filters of its networks."""
    quick = {"epochs": 10, "search_epochs": 3, "manager_epochs": 3, "mixture_epochs": 4, "expert_epochs": 3}
    overrides = {name: times * quick[name] for name in EPOCHS} | {"width": 0.5 * width, "expert_width": 0.25 * width}
    name = f"moe_vae_{data}_{times}x_epochs_{width}x_width"
    return Row(name, "moe-vae", f"{data}.npz", "quick", overrides, THREE, {}, split=SPLITS[data])


def convolutional(data: str) -> Row:
    """ae-cm's preset full, whose networks are convolutions where the data are images."""
    file = data if data == "digits" else f"{data}.npz"
    return Row(f"ae_cm_{data}_full", "ae-cm", file, "full", {}, THREE, {})


ROWS = (
    *(convolutional(data) for data in ("digits", "palm_16", "usps", "mnist10k", "orl_32")),
    *(point(data, times, width) for data in SPLITS for width in WIDTHS for times in TIMES),
)
