"""Figures made of the images themselves: galleries, samples, walks, reconstructions. They need no labels.

Images are (n, h, w, c) with c 1 or 3, uint8 or float in [0, 1] (clipped). Figures are drawn pixel for pixel at 120 dpi
and at most 960 pixels wide; those of feature data, (n, d), are None.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxclust.data.readers import memory
from jaxclust.data.rows import LazyArray
from jaxclust.report.colours import DPI, FAINT, INK, WIDTH, colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]

_GAP = 2  # pixels between tiles
_BLOCK = 18  # pixels between groups of tiles
_LARGEST_TILE = 64  # pixels a side
_MARGIN = 96  # pixels left of the tiles, for the names of rows
_TITLE, _HEADS = 40, 18  # pixels above the tiles, for the title and for the names of columns


def grid_image(images: ArrayLike, columns: int | None = None, gap: int = 2, scale: int = 1) -> Pixels:
    """Tiles images into one, row by row: (H, W) uint8 for one channel, (H, W, 3) for three.

    images: (n, h, w, c). columns: near the square root of n by default. gap: white pixels between tiles. scale: a whole
    factor that enlarges each pixel. Raises ValueError for other shapes or values that are not finite.
    """
    tiles = to_uint8(images)
    n, height, width, channels = tiles.shape
    columns = min(n, columns or int(np.ceil(np.sqrt(n))))
    if columns < 1 or scale < 1:
        raise ValueError(f"columns and scale must be at least 1, found {columns} and {scale}")
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    rows = -(-n // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas[..., 0] if channels == 1 else canvas


def save_grid(path: str | os.PathLike[str], images: ArrayLike, columns: int | None = None) -> None:
    """Writes `grid_image` as a picture, small images enlarged by a whole factor to some 64 pixels a side.

    The suffix of `path` chooses the format (.png).
    """
    from PIL import Image

    tiles = to_uint8(images)
    scale = max(1, round(_LARGEST_TILE / max(tiles.shape[1:3])))
    Image.fromarray(grid_image(tiles, columns, scale=scale)).save(path)


def to_uint8(images: ArrayLike) -> Pixels:
    """(n, h, w, c) uint8 as it is, or floats in [0, 1], clipped and rounded to 0..255."""
    array = np.asarray(images)
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or not array.size:
        raise ValueError(f"images must have shape (n, h, w, 1 or 3) with n at least 1, found {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.isfinite(array).all():
        raise ValueError(f"images of shape {array.shape} hold NaN or infinite values")
    return np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)


def gallery(
    images: ArrayLike | LazyArray,
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    clusters: Sequence[int] | None = None,
    n_each: int = 8,
) -> "Figure | None":
    """One row a cluster: its most certain members at the left, its least certain at the right.

    labels (n,) int (-1, noise, is in no row); probabilities (n, K). clusters: which rows to draw, by default all that
    hold points. A cluster of fewer than 2 n_each members shows each of them once.
    """
    pictures, groups = memory.read(images), np.asarray(labels)
    if pictures.ndim != 4:
        return None
    certainty = np.asarray(probabilities)[np.arange(len(groups)), np.maximum(groups, 0)]
    shown = [int(k) for k in (np.unique(groups[groups >= 0]) if clusters is None else clusters)]
    rows, names = [], []
    for k in shown:
        members = np.flatnonzero(groups == k)
        members = members[np.argsort(-certainty[members], kind="stable")]
        best = min(n_each, -(-len(members) // 2))
        worst = min(n_each, len(members) - best)
        rows.append([pictures[members[:best]], pictures[members[len(members) - worst :]]])
        names.append((k, f"{len(members):,}"))
    if not rows:
        return None
    heads = [(0, "most certain"), (n_each, "least certain")]
    return _rows(rows, names, "Members of each cluster", heads, "size", n_each)


def samples(images: ArrayLike, clusters: Sequence[int] | None = None) -> "Figure | None":
    """One row an expert: images (K, n, h, w, c) drawn from its decoder. clusters: (K,) their ids, default 0..K-1."""
    drawn = np.asarray(images)
    if drawn.ndim != 5:
        return None
    ids = range(len(drawn)) if clusters is None else clusters
    return _rows([[row] for row in drawn], [(int(k), "") for k in ids], "Samples of each cluster")


def top(images: ArrayLike | LazyArray, probabilities: ArrayLike, n_each: int = 10) -> "Figure | None":
    """One row a cluster: the examples with the largest probabilities (n, K), the largest first."""
    pictures, shares = memory.read(images), np.asarray(probabilities)
    if pictures.ndim != 4:
        return None
    order = np.argsort(-shares, axis=0, kind="stable")[:n_each].T
    rows = [[pictures[rows]] for rows in order]
    names: list[tuple[int | None, str]] = [(k, f"{shares[row, k].mean():.2f}") for k, row in enumerate(order)]
    return _rows(rows, names, "The surest members of each cluster")


def node_samples(images: ArrayLike, names: Sequence[str]) -> "Figure | None":
    """One row a node of a tree: images (m, n, h, w, c) drawn from its generator, and its name."""
    drawn = np.asarray(images)
    if drawn.ndim != 5:
        return None
    return _rows([[row] for row in drawn], [(None, name) for name in names], "Samples of each node")


def latent_walk(images: ArrayLike, values: ArrayLike, cluster: int | None = None) -> "Figure | None":
    """One row a latent dimension: images (d, steps, h, w, c) decoded with that dimension set to values (steps,), the
    others to 0. cluster: the id of the expert, for the title."""
    walks, steps = np.asarray(images), np.asarray(values)
    if walks.ndim != 5:
        return None
    heads = [(i, f"{value:+.2g}".replace("-", "\N{MINUS SIGN}") if value else "0") for i, value in enumerate(steps)]
    title = "Latent walk" if cluster is None else f"Latent walk of expert {cluster}"
    names = [(None, str(i + 1)) for i in range(len(walks))]
    shown = heads if len(heads) <= 11 else []
    return _rows([[row] for row in walks], names, title, shown, "dimension" if shown else "", centred=True)


def reconstructions(images: ArrayLike, outputs: ArrayLike, columns: int = 14) -> "Figure | None":
    """Pairs of rows: images (n, h, w, c) over what the model makes of each, outputs (n, h, w, c)."""
    inputs, made = np.asarray(images), np.asarray(outputs)
    if inputs.ndim != 4:
        return None
    if inputs.shape != made.shape:
        raise ValueError(f"images {inputs.shape} and outputs {made.shape} must have one shape (n, h, w, c)")
    rows: list[list[NDArray]] = []
    names: list[tuple[int | None, str]] = []
    for start in range(0, len(inputs), columns):
        rows += [[inputs[start : start + columns]], [made[start : start + columns]]]
        names += [(None, "input"), (None, "output")]
    return _rows(rows, names, "Reconstructions", pairs=True)


def answers_to_ones(images: ArrayLike, clusters: Sequence[int] | None = None) -> "Figure | None":
    """What each expert makes of an all-ones image: images (K, h, w, c). clusters: (K,) their ids, default 0..K-1."""
    return _tiled(images, clusters, "Each expert's answer to an all-ones image")


def centroids(images: ArrayLike, clusters: Sequence[int] | None = None) -> "Figure | None":
    """Each cluster's centroid as an image: images (K, h, w, c). clusters: (K,) their ids, default 0..K-1."""
    return _tiled(images, clusters, "Centroids of the clusters")


def interpolations(images: ArrayLike, pairs: Sequence[tuple[int, int]]) -> "Figure | None":
    """One row a pair of clusters: images (m, steps, h, w, c) on the line between their centroids. pairs: (m,) ids."""
    paths = np.asarray(images)
    if paths.ndim != 5:
        return None
    names = [(None, f"{start} to {end}") for start, end in pairs]
    return _rows([[row] for row in paths], names, "From centroid to centroid", centred=True)


def _tiled(images: ArrayLike, clusters: Sequence[int] | None, title: str) -> "Figure | None":
    """One tile a cluster, images (K, h, w, c), each under its id."""
    from matplotlib.figure import Figure

    made = np.asarray(images)
    if made.ndim != 4:
        return None
    ids = list(range(len(made)) if clusters is None else clusters)
    columns = min(len(made), 10)
    tiles = _fit(made, _LARGEST_TILE)
    height, width = tiles.shape[1:3]
    cell_height, cell_width = height + 24, width + 16
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * cell_height, columns * cell_width, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * cell_height, i % columns * cell_width
        canvas[top : top + height, left : left + width] = tile
    figure = Figure(figsize=(max(canvas.shape[1] + 32, 480) / DPI, (canvas.shape[0] + _TITLE) / DPI), dpi=DPI)
    axes = _place(figure, canvas, 16, 0, title)
    for i, k in enumerate(ids):
        x, y = i % columns * cell_width + width / 2, i // columns * cell_height + height + 3
        axes.text(x, y, str(k), ha="center", va="top", fontsize=8, fontweight="bold", color=colour(int(k)))
    return figure


def _rows(
    rows: Sequence[Sequence[NDArray]],
    names: Sequence[tuple[int | None, str]],
    title: str,
    heads: Sequence[tuple[int, str]] = (),
    corner: str = "",
    block: int = 0,
    *,
    centred: bool = False,
    pairs: bool = False,
) -> "Figure":
    """Rows of tiles with their names.

    rows: a list of lists of image groups; the groups of a row start every `block` tiles with a wider gap between.
    names: (cluster id or None, text) a row. heads: (column, text), and corner is above the names of the rows.
    centred: heads above their tile's middle.
    pairs: rows come in twos that stand close together.
    """
    from matplotlib.figure import Figure

    groups = len(rows[0])
    columns = groups * block if groups > 1 else max(len(row[0]) for row in rows)
    room = int(WIDTH * DPI) - _MARGIN - 12 - (groups - 1) * _BLOCK
    tiled = [[_fit(group, min(_LARGEST_TILE, room // columns - _GAP)) for group in row] for row in rows]
    height, width = next(group.shape[1:3] for row in tiled for group in row if len(group))
    tops = [i * (height + _GAP) + (i // 2 * 8 if pairs else 0) for i in range(len(rows))]
    lefts = [j * (width + _GAP) + (j // block * _BLOCK if block else 0) for j in range(columns)]
    canvas = np.full((tops[-1] + height, lefts[-1] + width, 3), 255, np.uint8)
    for top, row in zip(tops, tiled, strict=True):
        for i, group in enumerate(row):
            for j, tile in enumerate(group):
                left = lefts[i * block + j]
                canvas[top : top + height, left : left + width] = tile
    size = max(canvas.shape[1] + _MARGIN + 12, 400), canvas.shape[0] + _TITLE + (_HEADS if heads else 0) + 12
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    axes = _place(figure, canvas, _MARGIN, 12, title)
    axes.text(-10, -6, corner, ha="right", va="bottom", fontsize=8, color=FAINT)
    for top, (k, text) in zip(tops, names, strict=True):
        middle = top + height / 2
        if k is not None:
            axes.text(-56 if text else -12, middle, str(k), ha="right", va="center_baseline", fontsize=11,
                      fontweight="bold", color=colour(k))  # fmt: skip
        axes.text(-10, middle, text, ha="right", va="center_baseline", fontsize=8, color=FAINT)
    for column, text in heads:
        x = lefts[column] + (width / 2 if centred else 0)
        axes.text(x, -6, text, ha="center" if centred else "left", va="bottom", fontsize=8, color=FAINT)
    return figure


def _place(figure: "Figure", canvas: Pixels, left: int, bottom: int, title: str) -> "Axes":
    """Axes that hold `canvas` pixel for pixel, that far from the left and the bottom, in pixel coordinates."""
    width, height = figure.get_size_inches() * figure.dpi
    box = (left / width, bottom / height, canvas.shape[1] / width, canvas.shape[0] / height)
    axes = figure.add_axes(box)
    axes.imshow(canvas, interpolation="nearest", aspect="auto", extent=(0, canvas.shape[1], canvas.shape[0], 0))
    axes.set_axis_off()
    figure.text(12 / width, 1 - 12 / height, title, ha="left", va="top", fontsize=11, fontweight="bold", color=INK)
    return axes


def _fit(images: NDArray, side: int) -> Pixels:
    """Images of some `side` pixels, (n, h', w', 3) uint8: enlarged by a whole factor, then reduced with a filter."""
    from PIL import Image

    if not len(images):
        return np.zeros((0, side, side, 3), np.uint8)
    tiles = to_uint8(images)
    tiles = np.broadcast_to(tiles, (*tiles.shape[:3], 3))
    largest = max(tiles.shape[1:3])
    factor = max(1, side // largest)
    if largest < side and factor * largest < 0.9 * side:
        factor += 1
    tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    if largest * factor <= side:
        return tiles
    height, width = (max(1, round(extent * side / largest / factor)) for extent in tiles.shape[1:3])
    resized = [Image.fromarray(tile).resize((width, height), Image.Resampling.LANCZOS) for tile in tiles]
    return np.stack([np.asarray(tile) for tile in resized])
