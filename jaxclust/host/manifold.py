"""UMAP between two device phases: from posterior means to a space where clusters are dense (McInnes et al. 2018).

With a seed UMAP runs on one core. Of several draws of many rows a child process, `python -m jaxclust.host.manifold`,
therefore does every second one, where there are two cores; what comes out is the same.
"""

import importlib
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxclust.errors import InputError
from jaxclust.host import numba_cache
from jaxclust.host.neighbours import Nearest, nearest

MIN_NEIGHBORS = 10  # the floor of the text's N // 300
MAX_NEIGHBORS = 100  # its cap
MANY = 4000  # rows from which a child process is worth its imports


def n_neighbors(n: int) -> int:
    """min(n // 300, 100), at least 10 and less than n (Santos 2020, eq. 3.6; its `max` is read as a cap)."""
    return int(min(max(n // 300, MIN_NEIGHBORS), MAX_NEIGHBORS, n - 1))


def l1_normalise(x: np.ndarray) -> np.ndarray:
    """Rows divided by the sum of their absolute values: (n, d) -> (n, d); rows of zeros stay."""
    return x / np.maximum(np.abs(x).sum(1, keepdims=True), np.finfo(np.float32).tiny)


def umap(
    x: np.ndarray,
    n_components: int,
    seed: int,
    metric: str = "euclidean",
    neighbors: int | None = None,
    min_dist: float = 0.1,
    n_epochs: int | None = None,
) -> np.ndarray:
    """UMAP coordinates of x (n, d): (n, n_components) float32, the same for the same seed (single-threaded).

    metric: 'euclidean', or 'manhattan', which goes with L1-normalised rows in the text. Raises InputError for fewer
    than 3 rows.
    """
    if len(x) < 3:
        raise InputError(f"{len(x)} examples are too few for UMAP: give at least 3")
    k = min(neighbors or n_neighbors(len(x)), len(x) - 1)
    near = nearest(np.asarray(x, np.float32), k - 1, seed) if metric == "euclidean" and k > 1 else None
    return _mapped(x, near, n_components, seed, n_neighbors=k, metric=metric, min_dist=min_dist, n_epochs=n_epochs)


def of_neighbours(x: np.ndarray, near: Nearest, n_components: int, seed: int, n_epochs: int) -> np.ndarray:
    """UMAP coordinates (n, n_components) float32 of x (n, d) whose neighbours are known, with min_dist 0.

    near: of each row the k nearest others; UMAP counts a row among its own neighbours. The same for the same seed.
    """
    k = near.index.shape[1] + 1
    return np.nan_to_num(
        _mapped(x, near, min(n_components, x.shape[1]), seed, n_neighbors=k, min_dist=0.0, n_epochs=n_epochs)
    )


def _mapped(x: np.ndarray, near: Nearest | None, n_components: int, seed: int, **options: Any) -> np.ndarray:
    if near is not None:
        own = np.arange(len(x), dtype=np.int32)[:, None]
        index = np.concatenate([own, near.index], 1)
        distance = np.concatenate([np.zeros(own.shape, np.float32), near.distance], 1)
        options["precomputed_knn"] = (index, distance, None)
    # of new rows that cannot be mapped, disconnected graphs, few rows for a spectrum
    with numba_cache.ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size, kind = min(n_components, len(x) - 2), _umap()
        return numba_cache.healed(
            lambda: np.asarray(
                kind(n_components=size, random_state=seed, n_jobs=1, **options).fit_transform(x), np.float32
            )
        )


@cache
def _umap() -> Any:
    """The class, imported where it is first used: that takes seconds.

    What it compiles anew for every process is kept beside it for the next one.
    """
    numba_cache.place()
    umap = numba_cache.healed(lambda: importlib.import_module("umap"))
    for function in (umap.umap_.smooth_knn_dist, umap.umap_.compute_membership_strengths):
        with suppress(RuntimeError, OSError):  # no place to keep it
            function.enable_caching()
    return umap.UMAP


def draws(
    x: np.ndarray,
    near: Nearest,
    asked: Sequence[tuple[int, int]],
    n_components: int,
    n_epochs: int,
    note: Callable[[str], None],
) -> list[np.ndarray]:
    """`of_neighbours` for several numbers of neighbours, a row itself among them, and seeds: asked (k, seed)."""

    def one(i: int) -> np.ndarray:
        k, seed = asked[i]
        return of_neighbours(x, near.first(k - 1), n_components, seed, n_epochs)

    if len(x) < MANY or len(asked) < 2 or cores() < 2:
        maps = []
        for i in range(len(asked)):
            maps.append(one(i))
            note(f"draw {i + 1} of {len(asked)}")
        return maps
    with tempfile.TemporaryDirectory() as folder:
        child = _start(Path(folder), x, near, asked[1::2], n_components, n_epochs)
        own = [one(i) for i in range(0, len(asked), 2)]
        note(f"draws {', '.join(str(i + 1) for i in range(0, len(asked), 2))} of {len(asked)}")
        others = _finish(Path(folder), child)
    if others is None:  # no child process could be had
        others = [one(i) for i in range(1, len(asked), 2)]
    note(f"draws {', '.join(str(i + 1) for i in range(1, len(asked), 2))} of {len(asked)}")
    return [(others if i % 2 else own)[i // 2] for i in range(len(asked))]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(
    folder: Path, x: np.ndarray, near: Nearest, asked: Sequence[tuple[int, int]], n_components: int, n_epochs: int
) -> subprocess.Popen[bytes] | None:
    np.savez(folder / "asked.npz", x=x, asked=np.array(asked), sizes=[n_components, n_epochs], **near._asdict())
    try:
        command = [sys.executable, "-m", "jaxclust.host.manifold", str(folder)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, TypeError):
        return None


def _finish(folder: Path, child: subprocess.Popen[bytes] | None) -> list[np.ndarray] | None:
    if child is None:
        return None
    try:
        code = child.wait()
    finally:
        child.kill()  # on Ctrl-C
    if code != 0 or not (folder / "maps.npy").is_file():
        return None
    return list(np.load(folder / "maps.npy", allow_pickle=False))


def _child(folder: Path) -> None:
    with np.load(folder / "asked.npz", allow_pickle=False) as given:
        near, sizes = Nearest(given["index"], given["distance"]), given["sizes"]
        x, asked = given["x"], given["asked"]
    maps = [of_neighbours(x, near.first(int(k) - 1), int(sizes[0]), int(seed), int(sizes[1])) for k, seed in asked]
    np.save(folder / "maps.npy", np.stack(maps))


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
