"""Unequal classes from a data set: Table IV of Prasad et al. 2020, after Xie et al. 2016.

Class k of K is kept with probability r_min + (1 - r_min) k / (K - 1): the largest is 1 / r_min times the smallest.
Labels are used to make the data and by nothing that is fitted to them.
"""

import re
from pathlib import Path

import numpy as np

from jaxclust.data import sources
from jaxclust.system import atomic

NAME = re.compile(r"(?P<source>\w+)_imbalanced_(?P<percent>\d+)\.npz")


def kept(labels: np.ndarray, r_min: float, seed: int = 0) -> np.ndarray:
    """Rows (m,) that are kept of labels (n,) in [0, K), in order."""
    shares = np.linspace(r_min, 1.0, int(labels.max()) + 1)[labels]
    return np.flatnonzero(np.random.default_rng(seed).random(len(labels)) < shares)


def file(name: str, sources_in: Path, out: Path) -> Path:
    """The file called NAME, 'mnist10k_imbalanced_10.npz' for r_min 0.1 of mnist10k.npz in `sources_in`; written to
    `out` unless it is there."""
    found = NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name}: give SOURCE_imbalanced_PERCENT.npz")
    path = out / name
    if not path.is_file():
        data = sources.load(str(sources_in / f"{found['source']}.npz"))
        assert data.labels is not None
        rows = kept(data.labels, int(found["percent"]) / 100)
        out.mkdir(parents=True, exist_ok=True)
        atomic.write_arrays(path, {"images": np.asarray(data.images)[rows], "labels": data.labels[rows]})
    return path
