"""The latent space of vc while it learns: `python -m experiments.vc_epochs`, figures 4 and 5 of Prasad et al. 2020.

Trains preset quick from a random start on one data set, and draws experiments/figures/vc_epochs.png: UMAPs of the means
of q(z|x, k) of some images, by true class, and of draws from p(z|k), by cluster, after a few epochs each. One UMAP is
fitted to both of an epoch. (The text has t-SNE.) Minutes on 2 CPU cores.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import configs
from jaxclust import models
from jaxclust.data import sources
from jaxclust.data.rows import Images
from jaxclust.errors import InputError
from jaxclust.host import manifold
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.vc import training as vc_training
from jaxclust.methods.vc.config import QUICK
from jaxclust.methods.vc.model import Networks, functions
from jaxclust.report import colours
from jaxclust.train import loop
from jaxclust.train.batches import shuffled
from jaxclust.train.training import TrainState

SHOWN, DRAWN = 2000, 100  # images, and draws of each cluster
FIGURE = configs.ROOT / "experiments" / "figures" / "vc_epochs.png"


class Moment(NamedTuple):
    """After some epochs: maps of means (m, 2) and of draws (K * DRAWN, 2), and how many clusters are used."""

    epoch: float
    means: np.ndarray
    draws: np.ndarray
    used: int


def look(nets: Networks, state: TrainState, images: Images, epoch: float) -> Moment:
    """The two maps of a state."""
    can = functions(nets)
    arrays = {"params": state.params, "stats": state.extra["stats"], "kept": jnp.arange(nets.n_clusters)}
    means, log_q = jax.jit(lambda images: (can.embed(arrays, images), can.log_posterior(arrays, images)))(images)
    mean, var = nets.prior(state.params, jnp.eye(nets.n_clusters))
    noise = jax.random.normal(jax.random.key(0), (DRAWN, *mean.shape))
    draws = np.asarray(jnp.moveaxis(mean + jnp.sqrt(var) * noise, 0, 1)).reshape(-1, mean.shape[1])
    points = manifold.umap(np.concatenate([means, draws]), 2, 0, neighbors=15, min_dist=0.1, n_epochs=200)
    shares = np.bincount(np.asarray(log_q).argmax(1), minlength=nets.n_clusters) / len(images)
    return Moment(epoch, points[: len(means)], points[len(means) :], int((shares >= 0.01).sum()))


def train(data: str, epochs: Sequence[float], seed: int) -> tuple[list[Moment], np.ndarray]:
    """Moments after these epochs, and the true classes (m,) of the images that are shown."""
    dataset = sources.load(data)
    if dataset.labels is None:
        raise InputError(f"{data}: has no classes to colour by: give data with labels")
    config = dataclasses.replace(QUICK, n_clusters=int(dataset.labels.max()) + 1, start="random")
    preprocess, images = models.prepared(config, dataset.images)
    nets = Networks(config, int(config.n_clusters), Extent.of(preprocess), preprocess.likelihood)
    nets.check()
    schedules = vc_training.schedules_of(config, len(images), int(np.prod(images.shape[1:])))
    training = vc_training.variational_clustering(config, nets.n_clusters, nets, schedules)
    batches, rows = shuffled(len(images), config.batch_size, seed), np.arange(0, len(images), -(-len(images) // SHOWN))
    state = training.init(jax.random.key(seed), (config.batch_size, *images.shape[1:]))
    moments = []
    for epoch in epochs:
        state = loop.run(training.step, state, images, batches, loop.total_steps(epoch, batches.per_epoch))
        moments.append(look(nets, state, images[rows], epoch))
        print(f"after {epoch:g} epochs {moments[-1].used} of {nets.n_clusters} clusters have 1 % or more", flush=True)
    return moments, dataset.labels[rows]


def draw(moments: Sequence[Moment], classes: np.ndarray, path: Path) -> None:
    """A column for each moment: means above, draws below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * len(moments), 5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(moments), squeeze=False)
    for (above, below), moment in zip(panels.T, moments, strict=True):
        clusters = np.arange(len(moment.draws)) // DRAWN
        for panel, points, indices in ((above, moment.means, classes), (below, moment.draws, clusters)):
            panel.scatter(*points.T, c=colours.colours(indices), s=2, linewidths=0)
            panel.set(xticks=[], yticks=[])
        above.set_title(f"{moment.epoch:g} epochs", fontsize=10)
        below.set_xlabel(f"{moment.used} clusters used", fontsize=9)
    panels[0, 0].set_ylabel("means of q(z|x, k), by class")
    panels[1, 0].set_ylabel("draws from p(z|k), by cluster")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.vc_epochs", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="what `jaxclust fit` takes, with labels")
    parser.add_argument("--epochs", nargs="+", type=float, default=[4, 20, 80], help="rising numbers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FIGURE)
    options = parser.parse_args(argv)
    try:
        if min(options.epochs) <= 0 or options.epochs != sorted(options.epochs):
            raise InputError(f"--epochs is {options.epochs}: give rising numbers above 0")
        draw(*train(options.data, options.epochs, options.seed), options.out)
    except InputError as error:
        print(f"experiments.vc_epochs: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
