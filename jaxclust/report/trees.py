"""Figures of a clustering tree: the tree with examples and masses, and its dendrogram."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jaxclust import trees as tree
from jaxclust.report.colours import DPI, FAINT, INK, colour, plain, shorten
from jaxclust.report.grids import grid_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 25  # of each node, a square
NAMED = 4  # classes under a node
LEAST = 0.05  # share of a class below which it is not named
CELL = 1.05  # inches of a node's square, its margin included
LEVEL = 1.55  # inches from one level to the next


def drawn_tree(
    splits: Sequence[int],
    memberships: NDArray[np.float64],
    images: NDArray,
    classes: NDArray[np.integer] | None = None,
    class_names: Sequence[str] | None = None,
) -> "Figure | None":
    """The tree with 25 examples of each node, drawn by membership, and its mass (figure 3.2 of `hc-mgan`'s source).

    memberships (2 S + 1, n); images (n, h, w, c). Leaves have a frame of their cluster's colour and its number.
    classes (n,), -1 unknown: the classes with the most mass are named, each as large as its share in the node.
    """
    from matplotlib.figure import Figure

    if images.ndim != 4:
        return None
    places, depth = places_of(splits)
    ends = tree.leaves(splits)
    width, height = CELL * len(ends) + 0.3, LEVEL * (depth + 1) + 0.45
    figure = Figure(figsize=(width, height), dpi=DPI)
    rng, total = np.random.default_rng(0), memberships.shape[1]
    canvas = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    canvas.set_axis_off()
    canvas.text(0.15, height - 0.2, "Clustering tree", fontsize=10, fontweight="bold", color=INK, va="center")
    where = {node: (CELL * (x + 0.5) + 0.15, height - 0.45 - LEVEL * y) for node, (x, y) in places.items()}
    for node, below in tree.children(splits).items():
        for child in below:
            ((x0, y0), (x1, y1)), middle = (where[node], where[child]), where[child][1] + 0.12
            canvas.plot([x0, x0, x1, x1], [y0 - 1.3, middle, middle, y1], color="#BBBBBB", linewidth=1, zorder=0)
    for node, (x, y) in where.items():
        mass = memberships[node].sum()
        rows = rng.choice(total, EXAMPLES, p=memberships[node] / mass)
        axes = figure.add_axes(((x - 0.45) / width, (y - 0.9) / height, 0.9 / width, 0.9 / height))
        picture = grid_image(images[rows], 5, gap=1)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        leaf = ends.index(node) if node in ends else None
        axes.spines[:].set(color="#BBBBBB" if leaf is None else colour(leaf), linewidth=1 if leaf is None else 2.5)
        name = f"s{node}  {mass:,.0f}" if leaf is None else f"cluster {leaf}  {mass:,.0f}"
        canvas.text(
            x, y - 0.99, name, ha="center", va="center", fontsize=7, color=INK if leaf is None else colour(leaf)
        )
        if classes is not None:
            _name_classes(canvas, x, y - 1.13, memberships[node], classes, class_names)
    return figure


def _name_classes(
    canvas: "Axes",
    x: float,
    y: float,
    member: NDArray[np.float64],
    classes: NDArray[np.integer],
    names: Sequence[str] | None,
) -> None:
    """The classes of the most mass in a node, with what share of each is there."""
    known = classes >= 0
    masses = np.bincount(classes[known], member[known])
    shares = masses / np.maximum(np.bincount(classes[known]), 1)
    largest = [int(c) for c in np.argsort(-masses)[:NAMED] if shares[c] >= LEAST]
    words = [f"{shorten(str(c) if names is None else names[c], 8)} {100 * shares[c]:.0f}%" for c in largest]
    for i in range(0, len(words), 2):
        canvas.text(x, y - 0.06 * i, ", ".join(words[i : i + 2]), ha="center", va="center", fontsize=5, color=FAINT)


def places_of(splits: Sequence[int]) -> tuple[dict[int, tuple[float, int]], int]:
    """Where nodes are drawn: x, leaves at 0, 1, .. from left to right and others between their children, and depth."""
    x = {leaf: float(i) for i, leaf in enumerate(tree.leaves(splits))}
    below, depth = tree.children(splits), {0: 0}
    for node, kids in below.items():
        depth |= dict.fromkeys(kids, depth[node] + 1)
    for node, (left, right) in reversed(below.items()):
        x[node] = (x[left] + x[right]) / 2
    return {node: (x[node], depth[node]) for node in depth}, max(depth.values())


def dendrogram(splits: Sequence[int], masses: Sequence[float]) -> "Figure":
    """The tree as a dendrogram of its clusters; two merge at the height of the mass that they have together."""
    from matplotlib.figure import Figure
    from scipy.cluster import hierarchy

    linkage = tree.linkage(splits, masses)
    figure = Figure(figsize=(max(4.0, 0.45 * len(linkage) + 2), 3.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    hierarchy.dendrogram(linkage, ax=axes, color_threshold=0, above_threshold_color=FAINT)
    for label in axes.get_xticklabels():
        label.set(color=colour(int(label.get_text())), fontweight="bold")
    plain(axes, "Dendrogram of the clusters", "cluster", "mass, in examples")
    axes.tick_params(axis="x", labelsize=9)
    for label in axes.get_xticklabels():
        label.set_color(colour(int(label.get_text())))
    return figure
