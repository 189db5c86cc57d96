"""What the normalised cuts of hc-mgan's preset quick find by themselves: `python -m experiments.cuts`, 3 minutes.

Grows the tree of each data set by cuts alone (host/cuts.py), the leaf with the most mass first, and prints three
Markdown tables: ten leaves by the number of neighbours, the leaves that each bound `max_ncut` leaves, and the cut of
normal noise, which has no clusters. ACC and NMI are percent; the labels are used for them alone. Nothing is drawn at
random but the noise and where the search for an eigenvector begins.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import cache

import jax
import numpy as np

from experiments import configs
from jaxclust import models
from jaxclust.data import prepare, sources
from jaxclust.errors import InputError
from jaxclust.methods.hc_mgan.config import QUICK
from jaxclust.methods.hc_mgan.split import Place, Split, by_cuts, key_of
from jaxclust.methods.shared.job import Job
from jaxclust.metrics.clustering import accuracy, nmi
from jaxclust.train.phases import Phases

DATA = ("digits", "usps", "mnist10k", "fmnist10k")
NEIGHBORS = (7, 10, 15, 20)
BOUNDS = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08)
NOISE = ((300, 5), (1000, 5), (300, 2), (1000, 2))  # examples and dimensions
MOST = 60  # leaves

Cut = Callable[[Place, np.ndarray], Split]  # of a node and its memberships (n,)


def cutter(images: np.ndarray, neighbors: int, seed: int = 0) -> Cut:
    """The cut of any node of the tree of prepared images (n, ...); each node is cut once."""
    key, known = jax.random.key(seed), dict[Place, Split]()
    config = dataclasses.replace(QUICK, neighbors=neighbors)
    cut = by_cuts(Job(config, images, prepare.plan(images), key, Phases()))

    def of(place: Place, member: np.ndarray) -> Split:
        if place not in known:
            known[place] = cut(member, key_of(key, place))
        return known[place]

    return of


def clusters(cut: Cut, n: int, most: int, max_ncut: float = np.inf) -> np.ndarray:
    """Labels (n,) of the tree's leaves: `most` of them, or fewer where no other cut is within `max_ncut` and leaves
    both children `min_share` of the examples."""
    member: dict[Place, np.ndarray] = {(): np.ones(n)}
    left = {()}
    while left and len(member) < most:
        place = min(left, key=lambda leaf: (-member[leaf].sum(), leaf))
        left.remove(place)
        split, fewest = cut(place, member[place]), QUICK.min_share * n if np.isfinite(max_ncut) else 0.0
        children = {(*place, side): share * member[place] for side, share in enumerate((split.share, 1 - split.share))}
        if split.ncut <= max_ncut and min(map(np.sum, children.values())) >= fewest:
            del member[place]
            member |= children
            left |= {leaf for leaf in children if children[leaf].sum() >= max(2.0, 2 * fewest)}
    return np.stack([member[place] for place in sorted(member)]).argmax(0)


@cache
def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Prepared images, or features, and labels of all examples."""
    dataset = sources.load(configs.data_of(configs.find(f"hc_mgan_{name}")))
    if dataset.labels is None:
        raise InputError(f"{name} has no labels, and cuts are scored by them: give the file with its labels")
    return np.asarray(models.prepared(QUICK, dataset.images)[1]), dataset.labels


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.cuts", description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    options = parser.parse_args(argv)
    try:
        print_table(("neighbours: ACC, NMI", *options.data), by_neighbors(options.data))
    except InputError as error:
        print(f"experiments.cuts: error: {error}", file=sys.stderr)
        return 2
    print_table(("max_ncut: K, ACC, NMI", *options.data), by_bound(options.data))
    print_table(("noise: examples, dimensions", "least and largest cut of 5 seeds"), of_noise())
    return 0


def by_neighbors(names: Sequence[str]) -> list[list[str]]:
    """ACC and NMI of ten leaves, a row for each number of neighbours."""
    rows = []
    for count in NEIGHBORS:
        found = [scores(clusters(cutter(data(name)[0], count), len(data(name)[0]), 10), name) for name in names]
        rows.append([str(count), *found])
    return rows


def by_bound(names: Sequence[str]) -> list[list[str]]:
    """K, ACC and NMI, a row for each bound."""
    cuts = {name: cutter(data(name)[0], QUICK.neighbors) for name in names}
    rows = []
    for bound in BOUNDS:
        labels = {name: clusters(cut, len(data(name)[0]), MOST, bound) for name, cut in cuts.items()}
        rows.append([f"{bound:g}", *(f"{len(np.unique(one))}, {scores(one, name)}" for name, one in labels.items())])
    return rows


def of_noise() -> list[list[str]]:
    """The first cut of independent normal numbers."""
    rows = []
    for n, d in NOISE:
        noise = [np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32) for seed in range(5)]
        found = [cutter(one, QUICK.neighbors, seed)((), np.ones(n)).ncut for seed, one in enumerate(noise)]
        rows.append([f"{n}, {d}", f"{min(found):.3f} {max(found):.3f}"])
    return rows


def scores(labels: np.ndarray, name: str) -> str:
    """ACC and NMI of labels (n,) of a data set, in percent."""
    truth = data(name)[1]
    return f"{100 * accuracy(labels, truth):.1f}, {100 * nmi(labels, truth):.1f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in lines), end="\n\n")


if __name__ == "__main__":
    sys.exit(main())
