"""Figures drawn from numbers: maps, explained variance, training curves, the table of clusters against classes.

Each takes arrays and returns a matplotlib Figure at 120 dpi and some 960 pixels wide, without touching pyplot.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxclust.metrics.clustering import class_map, contingency
from jaxclust.report.colours import DPI, FAINT, INK, NOISE, WIDTH, colour, colours, plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGEND_AT_MOST = 20  # entries
_NOT_TERMS = {"phase", "step", "epoch", "seconds", "examples_per_second"}
_SPELLED = {"kl": "KL", "l1": "L1", "elbo": "ELBO", "mmd": "MMD", "gan": "GAN", "umap": "UMAP", "gmm": "GMM"}


def cluster_map(
    points: ArrayLike,
    labels: ArrayLike,
    noise: ArrayLike | None = None,
    classes: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
) -> "Figure":
    """A 2-D map coloured by cluster and, if classes are known, a second one coloured by class.

    points (m, 2) float; labels (m,) int, -1 is noise; noise (m,) bool, drawn in light grey. classes (m,) int, -1 is
    unknown (grey). A class has the colour of the cluster that `class_map` gives it, so that errors stand out.
    """
    from matplotlib.figure import Figure

    xy, groups = np.asarray(points), np.asarray(labels)
    known = classes is not None and bool((np.asarray(classes) >= 0).any())
    figure = Figure(figsize=(WIDTH, 4.4) if known else (6.2, 5.4), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2 if known else 1, squeeze=False)[0]
    grey = groups < 0 if noise is None else (groups < 0) | np.asarray(noise, bool)
    _scatter(panels[0], xy, np.where(grey, -1, groups))
    _name_clusters(panels[0], xy, groups, grey)
    count = len(np.unique(groups[groups >= 0]))
    plain(panels[0], f"{count} cluster{'s' * (count != 1)}")
    if grey.any():
        _legend(panels[0], [(NOISE, f"left out as noise: {100 * grey.mean():.2g}%")], longest=40)
    if known:
        true = np.asarray(classes)
        shade = _class_colours(groups, true)
        _scatter(panels[1], xy, np.array([shade.get(int(c), -1) for c in true]))
        plain(panels[1], f"{len(shade)} class{'es' * (len(shade) != 1)}")
        if len(shade) <= LEGEND_AT_MOST:
            _legend(panels[1], [(colour(i), _class_name(c, class_names)) for c, i in sorted(shade.items())])
    for axes in panels:
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(False)
    return figure


def explained_variance(ratios: ArrayLike, threshold: float = 0.9, chosen: int | None = None) -> "Figure":
    """Cumulative explained variance over principal components, the threshold and the chosen number.

    ratios (d,): each component's share of the variance, largest first, sum at most 1.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    total = np.cumsum(np.asarray(ratios, np.float64))
    components = np.arange(1, len(total) + 1)
    figure = Figure(figsize=(6.2, 3.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.axhline(threshold, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    few = len(total) <= 60
    axes.plot(components, total, color=colour(0), linewidth=1.6, marker="o" if few else "", markersize=3)
    if chosen is not None and 1 <= chosen <= len(total):
        y = total[chosen - 1]
        axes.plot([chosen, chosen], [0, y], color=colour(5), linewidth=1)
        axes.plot([chosen], [y], "o", color=colour(5), markersize=6)
        right = chosen > 0.6 * len(total)
        axes.annotate(f"{chosen} dimension{'s' * (chosen != 1)}", (chosen, y / 2), (-7 if right else 7, 0),
                      textcoords="offset points", ha="right" if right else "left", va="center", fontsize=9,
                      fontweight="bold", color=colour(5))  # fmt: skip
    axes.set_ylim(0, 1.03)
    axes.set_xlim(0.5 if len(total) < 20 else 0, len(total) + 0.5)
    axes.text(1.0, threshold - 0.015, f"{threshold:.0%} ", transform=axes.get_yaxis_transform(), ha="right", va="top",
              fontsize=8, color=FAINT)  # fmt: skip
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain(axes, "Variance that the first components explain", "principal components", "cumulative")
    return figure


def training_curves(rows: Iterable[Mapping[str, Any]]) -> "Figure | None":
    """One panel a phase, one curve a term of the loss, from the rows of history.jsonl; None without rows.

    A row: {"phase", "step", "epoch", "seconds", <term>: float, ...}. Of rows that repeat a step (a resumed run), the
    last counts. The vertical axis is logarithmic where positive terms lie more than a factor of 30 apart.
    """
    from matplotlib.figure import Figure

    phases: dict[str, dict[Any, Mapping[str, Any]]] = defaultdict(dict)
    for row in rows:
        phases[str(row["phase"])][row["step"]] = row
    if not phases:
        return None
    columns = min(len(phases), 3 if len(phases) > 4 else 2)
    lines = -(-len(phases) // columns)
    width = WIDTH if columns > 1 else 5.4
    figure = Figure(figsize=(width, 0.3 + 2.5 * lines), dpi=DPI, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    names = sorted({key for steps in phases.values() for row in steps.values() for key in row} - _NOT_TERMS - {"loss"})
    shade = {name: colour(i) for i, name in enumerate(names)} | {"loss": INK}
    for axes, (phase, steps) in zip(panels, phases.items(), strict=False):
        _curves(axes, [steps[step] for step in sorted(steps)], shade)
        plain(axes, readable(phase), "epoch")
    for axes in panels[len(phases) :]:
        axes.set_axis_off()
    return figure


def confusion(
    labels: ArrayLike, classes: ArrayLike, class_names: Sequence[str] | None = None, largest: int = 60
) -> "Figure | None":
    """How many points of each class each cluster holds, matched pairs in falling order.

    labels (n,) int, -1 is noise and in no row; classes (n,) int, -1 is unknown. A row's shade is its share of the
    cluster. Above `largest` rows or columns the surplus ones are left out. None if all points are noise.
    """
    from matplotlib.figure import Figure

    counts, clusters, ids = contingency(labels, classes)
    if not len(clusters):
        return None
    rows, columns = (
        _matched_rows(counts, clusters, ids, class_map(labels, classes))[:largest],
        range(len(ids))[:largest],
    )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    counts, share = counts[np.ix_(rows, columns)], share[np.ix_(rows, columns)]
    most = max(len(rows), len(columns))
    cell = 0.42 if most <= 12 else 0.34 if most <= 20 else 0.22
    names = [shorten(_class_name(int(c), class_names), 18) for c in ids[: len(columns)]]
    longest = max(map(len, names))
    size = max(3.6, 1.2 + cell * len(columns)), 1.1 + 0.045 * longest + cell * len(rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), names, rotation=40 if longest > 3 else 0,
                    ha="right" if longest > 3 else "center", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(range(len(rows)), [str(k) for k in clusters[rows]])
    if most <= 20:
        for i, j in np.argwhere(counts > 0):
            axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=7,
                      color="white" if share[i, j] > 0.55 else INK)  # fmt: skip
    plain(axes, "Clusters against classes", "class", "cluster")
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    return figure


def expert_maps(
    points: Sequence[ArrayLike],
    clusters: Sequence[int] | None = None,
    classes: Sequence[ArrayLike] | None = None,
    class_names: Sequence[str] | None = None,
) -> "Figure | None":
    """The latent space of each expert: one small 2-D map a cluster.

    points: K arrays (m_k, 2). clusters: (K,) their ids, default 0..K-1. classes: K arrays (m_k,) int, -1 unknown, which
    colour the points as in `cluster_map`; without them each map has its cluster's colour.
    """
    from matplotlib.figure import Figure

    if not len(points):
        return None
    ids = list(range(len(points)) if clusters is None else clusters)
    columns = min(len(points), 5)
    lines = -(-len(points) // columns)
    figure = Figure(
        figsize=(max(4.0, WIDTH * columns / 5), 0.6 + 1.7 * lines + 0.6 * (lines == 1)), dpi=DPI, layout="constrained"
    )
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    sizes = [len(np.asarray(xy)) for xy in points]
    shade = {} if classes is None else _class_colours(np.repeat(ids, sizes), np.concatenate(classes).astype(int))
    for i, axes in enumerate(panels):
        axes.set_axis_off()
        if i >= len(points):
            continue
        xy = np.asarray(points[i])
        true = np.full(len(xy), ids[i]) if classes is None else np.asarray(classes[i])
        groups = np.array([shade.get(int(c), -1) for c in true], int) if shade else true
        _scatter(axes, xy, groups, 4 * max(sizes))
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(f"expert {ids[i]}", fontsize=8, color=INK)
    figure.suptitle("Latent space of each expert", x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    if 0 < len(shade) <= LEGEND_AT_MOST:
        _legend(figure, [(colour(i), _class_name(c, class_names)) for c, i in sorted(shade.items())],
                int(12 * figure.get_figwidth()), "outside lower center")  # fmt: skip
    return figure


def readable(name: str) -> str:
    """'kl_weight' -> 'KL weight', for titles and legends."""
    words = [_SPELLED.get(word, word) for word in name.replace("_", " ").replace("-", " ").split()]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _scatter(axes: "Axes", points: NDArray, groups: NDArray, crowd: int | None = None) -> None:
    """Grey points first, then the others in a random, fixed order, so that no group hides another.

    crowd: how many points the dots are sized for, by default those given.
    """
    order = np.random.default_rng(0).permutation(len(groups))
    order = order[np.argsort(groups[order] >= 0, kind="stable")]
    size = float(np.clip(9000 / max(crowd or len(groups), 1), 1.2, 24))
    axes.scatter(points[order, 0], points[order, 1], s=size, c=colours(groups[order]), linewidths=0)


def _name_clusters(axes: "Axes", points: NDArray, groups: NDArray, grey: NDArray) -> None:
    """Each cluster's id at its member nearest to the median."""
    from matplotlib.patheffects import withStroke

    clusters = np.unique(groups[groups >= 0])
    for k in clusters:
        members = points[(groups == k) & ~grey]
        members = members if len(members) else points[groups == k]
        x, y = members[np.square(members - np.median(members, axis=0)).sum(axis=1).argmin()]
        axes.text(x, y, str(k), ha="center", va="center", fontsize=10 if len(clusters) <= 20 else 8, color=INK,
                  fontweight="bold", path_effects=[withStroke(linewidth=2.5, foreground="white")])  # fmt: skip


def _class_colours(labels: NDArray, classes: NDArray) -> dict[int, int]:
    """{class: colour index}: that of its cluster under the one-to-one map, or the next one that is free."""
    if not (classes >= 0).any():
        return {}
    matched = {c: k for k, c in class_map(labels, classes).items()}
    shade = {}
    free = max([*matched.values(), *labels.tolist(), -1]) + 1
    for c in np.unique(classes[classes >= 0]).tolist():
        if c in matched:
            shade[c] = matched[c]
        else:
            shade[c], free = free, free + 1
    return shade


def _class_name(c: int, class_names: Sequence[str] | None) -> str:
    return str(class_names[c]) if class_names is not None and c < len(class_names) else str(c)


def _legend(
    target: "Axes | Figure",
    entries: Sequence[tuple[str, str]],
    room: int = 50,
    place: str | None = None,
    longest: int = 20,
) -> None:
    """Dots with names, below the axes (or at `place` of a figure), in as many columns as fit into `room` characters."""
    from matplotlib.lines import Line2D

    names = [shorten(name, longest) for _, name in entries]
    dots = [Line2D([], [], marker="o", linestyle="", color=shade, markersize=5) for shade, _ in entries]
    columns = max(1, min(len(entries), room // (max(map(len, names)) + 4)))
    where: dict[str, Any] = {"loc": place} if place else {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
    target.legend(dots, names, ncols=columns, fontsize=8, frameon=False, handletextpad=0.1, columnspacing=1.0,
                  labelcolor=INK, **where)  # fmt: skip


def _curves(axes: "Axes", rows: list[Mapping[str, Any]], shade: Mapping[str, str]) -> None:
    terms = sorted({key for row in rows for key in row} & set(shade), key=lambda name: (name != "loss", name))
    seen = {}
    for name in terms:
        xy = np.array([(row.get("epoch", row["step"]), row[name]) for row in rows if row.get(name) is not None], float)
        axes.plot(*xy.T, color=shade[name], linewidth=1.8 if name == "loss" else 1.2, label=readable(name),
                  marker="o" if len(xy) == 1 else "", markersize=3, zorder=3 if name == "loss" else 2)  # fmt: skip
        seen[name] = xy[:, 1]
    if _wants_log(seen):
        axes.set_yscale("log")
    axes.margins(x=0.02)
    if terms:
        axes.legend(fontsize=7, frameon=False, labelcolor=INK, handlelength=1.2, labelspacing=0.25)


def _wants_log(curves: Mapping[str, NDArray]) -> bool:
    """Whether positive curves, or the loss alone, span more than a factor of 30; ramps from zero do not count."""
    if not curves or min(values.min() for values in curves.values()) <= 0:
        return False
    levels = [np.median(values) for values in curves.values()]
    loss = curves.get("loss", np.ones(1))
    return bool(max(levels) > 30 * min(levels) or loss.max() > 30 * loss.min())


def _matched_rows(counts: NDArray, clusters: NDArray, ids: NDArray, matched: Mapping[int, int]) -> list[int]:
    """Rows of clusters in the order of the classes that they map to, then the surplus by their largest class."""
    column_of = {int(c): j for j, c in enumerate(ids)}

    def place(row: int) -> tuple[bool, int]:
        k = int(clusters[row])
        return (k not in matched, column_of[matched[k]] if k in matched else int(counts[row].argmax()))

    return sorted(range(len(clusters)), key=place)
