"""Where the examples of a run lie on a plane: kept beside it as map.npz, for the figures and for the page.

map.npz: index (m,) the rows that were mapped; points (m, 2) float32. The other rows lie among their nearest mapped
neighbours.
"""

from pathlib import Path

import numpy as np

from jaxclust.host import manifold
from jaxclust.methods.base import Result
from jaxclust.system import atomic

NAME = "map.npz"
FEWEST, MAPPED = 15, 3000  # examples that UMAP takes
NEIGHBOURS = 3  # mapped ones, by which another example is placed
NEAR = 0.05  # of the map's width: a neighbour that lies further from the nearest one does not count
BLOCK = 1024


def of_result(directory: Path, result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m,) and points (m, 2) of the method's own map, or else of the UMAP of MAPPED random rows; both are kept."""
    if "map" in result.plots:
        points = np.asarray(result.plots["map"], np.float32)
        rows = np.asarray(result.plots.get("map_index", np.arange(len(points))))
    else:
        rows, points = _drawn(result.embedding)
    atomic.write_arrays(directory / NAME, {"index": np.asarray(rows, np.int64), "points": points})
    return rows, points


def of_run(directory: Path, embedding: np.ndarray) -> np.ndarray:
    """Points (n, 2) float32 of all examples of a run, whose embedding (n, d) is known."""
    path = directory / NAME
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            rows, points = kept["index"], kept["points"]
    else:
        rows, points = _drawn(embedding)
    return placed(embedding, rows, points)


def placed(embedding: np.ndarray, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 2) of all rows: those of `rows` (m,) as given, the others between their nearest of these."""
    out = np.empty((len(embedding), 2), np.float32)
    out[rows] = points
    others = np.setdiff1d(np.arange(len(embedding)), rows)
    known = np.asarray(embedding[rows], np.float32)
    norms = np.square(known).sum(1)
    k, reach = min(NEIGHBOURS, len(rows)), NEAR * float(np.ptp(points, 0).max())
    for start in range(0, len(others), BLOCK):
        here = others[start : start + BLOCK]
        x = np.asarray(embedding[here], np.float32)
        squared = np.maximum(norms - 2 * x @ known.T + np.square(x).sum(1, keepdims=True), 0)
        near = np.argpartition(squared, k - 1, axis=1)[:, :k]
        squared = np.take_along_axis(squared, near, 1)
        order = np.argsort(squared, axis=1)
        near, squared = np.take_along_axis(near, order, 1), np.take_along_axis(squared, order, 1)
        apart = np.linalg.norm(points[near] - points[near[:, :1]], axis=2)
        weight = (apart <= reach) / (squared + 1e-6 * squared.mean() + 1e-12)
        out[here] = (weight[..., None] * points[near]).sum(1) / weight.sum(1)[:, None]
    return out


def _drawn(embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and points: two columns are their own map, few rows lie by principal components, others by UMAP."""
    n, width = embedding.shape
    if width == 2:
        return np.arange(n), np.asarray(embedding, np.float32)
    if n < FEWEST or width == 1:
        centred = np.asarray(embedding, np.float64) - embedding.mean(0)
        left, size, _ = np.linalg.svd(centred, full_matrices=False)
        points = np.zeros((n, 2), np.float32)
        points[:, : min(2, len(size))] = (left * size)[:, :2]
        return np.arange(n), points
    rows = np.sort(np.random.default_rng(0).choice(n, min(n, MAPPED), replace=False))
    return rows, manifold.umap(embedding[rows], 2, 0, n_epochs=200)
