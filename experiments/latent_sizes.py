"""Does the latent size that is found depend on the large one it is sought with? `python -m experiments.latent_sizes`

For each data set and each size to start from, trains the search autoencoder of preset quick and counts the principal
components that its codes need (Santos 2020, section 3.3.1). Prints a Markdown table and draws
experiments/figures/latent_sizes.png: the cumulative explained variance by size.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from experiments import configs
from jaxclust.data import prepare, sources
from jaxclust.errors import InputError
from jaxclust.host import latent_dim
from jaxclust.methods.moe_vae import fit as moe_vae
from jaxclust.methods.moe_vae.config import QUICK
from jaxclust.methods.shared.job import Job
from jaxclust.numerics import fold_name
from jaxclust.train.phases import Phases

DATA = ("digits", "usps", "mnist10k", "fmnist10k")
SIZES = (40, 50, 100, 300)
FIGURE = configs.ROOT / "experiments" / "figures" / "latent_sizes.png"
THRESHOLDS = (0.90, 0.95)


def explained(name: str, size: int, epochs: float, seed: int) -> np.ndarray:
    """Share of the variance of the codes by principal component: (size,), of an autoencoder of latent size `size`."""
    config = dataclasses.replace(QUICK, search_epochs=epochs)
    row = configs.find(f"moe_vae_{name}")
    dataset = sources.load(configs.data_of(row))
    preprocess = prepare.plan(dataset.images)
    images = prepare.apply(preprocess, dataset.images)
    key = fold_name(jax.random.key(seed), "latent-sizes")
    _, encode = moe_vae.autoencode(Job(config, images, preprocess, key, Phases()), size, "search-autoencoder")
    return latent_dim.explained_variance(encode(images))


def draw(shares: dict[str, dict[int, np.ndarray]], path: Path) -> None:
    """Cumulative explained variance, one panel for each data set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(shares), 3), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for panel, (name, by_size) in zip(panels, shares.items(), strict=True):
        for size, share in by_size.items():
            drawn = np.cumsum(share)[:40]
            panel.plot(np.arange(1, len(drawn) + 1), drawn, label=f"from {size}", linewidth=1.5)
        panel.axhline(QUICK.explained_variance, color="0.6", linewidth=0.8, linestyle="--")
        panel.set(title=name, xlabel="principal components", ylim=(0, 1.02))
    panels[0].set_ylabel("explained variance")
    panels[-1].legend(title="latent size", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.latent_sizes", description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--epochs", type=float, default=QUICK.search_epochs, help="epochs of each autoencoder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    try:
        if min(options.sizes) < 2:
            raise InputError(f"--sizes has {min(options.sizes)}: give sizes of at least 2")
        for name in options.data:  # before the first training: nothing is lost to a missing file
            configs.data_of(configs.find(f"moe_vae_{name}"))
        compare(options)
    except InputError as error:
        print(f"experiments.latent_sizes: error: {error}", file=sys.stderr)
        return 2
    return 0


def compare(options: argparse.Namespace) -> None:
    """Trains, prints and draws."""
    print(f"| data | explained | {' | '.join(f'from {size}' for size in options.sizes)} |")
    print("| --- | --- |" + " --- |" * len(options.sizes))
    shares: dict[str, dict[int, np.ndarray]] = {}
    for name in options.data:
        shares[name] = {size: explained(name, size, options.epochs, options.seed) for size in options.sizes}
        for threshold in THRESHOLDS:
            found = " | ".join(str(latent_dim.fewest(share, threshold)) for share in shares[name].values())
            print(f"| {name} | {threshold:.0%} | {found} |", flush=True)
    draw(shares, FIGURE)


if __name__ == "__main__":
    sys.exit(main())
