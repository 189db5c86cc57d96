"""Which level of the trees is taken, rules beside each other on the same draws: `python -m experiments.levels`.

    any      the level of the highest score: a single draw decides
    usual    that of those which have about as many clusters as the draws like (jaxclust/host/election.py)
    divided  the same, its clusters divided that have clear clusters of their own (jaxclust/host/nested.py)
    doubted  the same where draws would take other numbers, else `usual`: what a fit does
    given    the number of classes is given, if `--rules` asks for it: what `--n-clusters K` does

Views are the data as they are and whitened; `--codes` adds files .npz of `features` and `labels`. Prints Markdown: the
sets on which settings were chosen apart from those that confirm; K by seed, and the mean and the lowest ACC (of the
most likely cluster of every row; labels are for this alone). An hour on one core; fewer `--seeds` or `--sets` take
less.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from experiments import cluster_sets
from experiments.cluster_sets import SETS
from experiments.table import spread
from jaxclust.errors import InputError
from jaxclust.host import clusters, election, nested, scores
from jaxclust.host.memberships import filled
from jaxclust.host.whitening import whitened
from jaxclust.methods.shared.first_clusters import FEW, ClustersConfig
from jaxclust.metrics.clustering import accuracy

RULES = ("any", "usual", "divided", "doubted", "given")
OTHERS = ("usps", "mnist10k", "mnist_thin", "orl_32", "segment", "pendigits", "digits_300", "objects_20")


def taken(x: np.ndarray, labels: np.ndarray, seed: int, options: argparse.Namespace) -> dict[str, tuple[int, float]]:
    """K and ACC by each rule that is asked for, of rows (n, d) with classes (n,)."""
    clusters.check(x, "auto")
    view = scores.look(x, "euclidean", options.draws, seed, lambda text: None)
    scored = scores.scores("view", view)
    if not scored:
        raise InputError("no draw has two clusters: there are no levels to compare")
    usual = max(election.usual(scored), key=lambda one: one.score)
    doubted = not clusters.unanimous(scored, "view", len(view.maps))
    dividing = {"divided", "doubted"} if doubted else {"divided"}
    parts = nested.divisions(usual, view, "euclidean", seed) if dividing & set(options.rules) else []
    found = {}
    for rule in options.rules:
        if rule == "any":
            chosen, divided = max(scored, key=lambda one: one.score), []
        elif rule == "given":
            chosen, divided = clusters.with_number(scored, {"view": view}, len(np.unique(labels)), "euclidean", seed)
        else:
            chosen, divided = usual, parts if rule in dividing else []
        parted = nested.divided_labels(chosen.level.labels, divided)
        found[rule] = int(parted.max()) + 1, accuracy(filled(view.maps[chosen.draw], parted), labels)
    return found


def line(name: str, view: str, x: np.ndarray, labels: np.ndarray, options: argparse.Namespace) -> list[str]:
    """One line of a table, in the order of `header`."""
    runs = [taken(x, labels, seed, options) for seed in options.seeds]
    cells = [name, view, str(len(np.unique(labels)))]
    for rule in options.rules:
        numbers, accs = zip(*(run[rule] for run in runs), strict=True)
        cells += [" ".join(map(str, numbers)), spread(accs, lambda acc: f"{100 * acc:.1f}"), f"{100 * min(accs):.1f}"]
    return cells


def header(rules: Sequence[str]) -> list[str]:
    """The first line of a table."""
    return ["data", "view", "true K", *(f"{rule}: {what}" for rule in rules for what in ("K", "ACC %", "lowest"))]


def views(name: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """What is looked at of a set: more than FEW rows are not whitened in fits either."""
    return {"as they are": x} | ({"whitened": whitened(x)} if name in SETS and len(x) <= FEW else {})


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; raises InputError for sets that there are not."""
    parser = argparse.ArgumentParser(prog="python -m experiments.levels", description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=[*cluster_sets.CHOSEN_ON, *OTHERS], metavar="NAME")
    parser.add_argument("--codes", nargs="+", metavar="FILE", default=[], help=".npz with `features` and `labels`")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--draws", type=int, default=ClustersConfig().draws, help="of UMAP, for each seed")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES[:4])
    options = parser.parse_args(argv)
    if unknown := [name for name in options.sets if name not in SETS]:
        raise InputError(f"set {unknown[0]!r} is unknown: choose of {', '.join(SETS)}")
    if min(options.seeds) < 0 or options.draws < 1:
        raise InputError("give seeds of at least 0 and at least one draw")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 where a set is unknown or a file is missing."""
    tables: dict[str, list[list[str]]] = {}
    try:
        options = parsed(argv)
        named = {name: SETS[name]() for name in options.sets}
        named |= {path: cluster_sets.saved_codes(path) for path in options.codes}
        for name, data in named.items():
            if data.labels is None or len(data.labels) != len(data.x):
                raise InputError(f"{name}: has no class for each row: give `labels` beside `features`")
            for view, x in views(name, data.x).items():
                cells = line(name, view, x, data.labels, options)
                tables.setdefault(cluster_sets.group(name), []).append(cells)
                print(" ".join(cells), file=sys.stderr, flush=True)
    except InputError as error:
        print(f"experiments.levels: error: {error}", file=sys.stderr)
        return 2
    for group, lines in tables.items():
        print(f"\nSettings {group}:\n" if group != "saved codes" else f"\n{group}:\n")
        top = header(options.rules)
        print("\n".join(f"| {' | '.join(cells)} |" for cells in (top, ["---"] * len(top), *lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
