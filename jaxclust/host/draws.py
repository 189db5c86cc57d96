"""Many draws of UMAP at once, on as many cores as there are.

With a seed UMAP runs on one core. So child processes, `python -m jaxclust.host.draws`, take their shares of the draws;
what comes out is the same. Neighbours are given: no child looks for a device.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxclust.host.manifold import of_neighbours
from jaxclust.host.neighbours import Nearest

COMPONENTS, EPOCHS = 10, 100  # of UMAP: for clusters, not for pictures
SHARE = 10_000  # rows of all its draws together from which a process is worth its imports, which take some 5 s


class Draw(NamedTuple):
    """One UMAP that is asked for: rows x (n, d) with their nearest others `near`, of which it looks at `neighbors`, a
    row itself among them, and the seed."""

    x: np.ndarray
    near: Nearest
    neighbors: int
    seed: int

    def map(self) -> np.ndarray:
        """The coordinates (n, c) float32."""
        return of_neighbours(self.x, self.near.first(self.neighbors - 1), COMPONENTS, self.seed, EPOCHS)


def maps(draws: Sequence[Draw], note: Callable[[str], None]) -> list[np.ndarray]:
    """The map of each draw, in order."""
    processes = min(cores(), len(draws), sum(len(draw.x) for draw in draws) // SHARE)
    if processes < 2:
        found = []
        for i, draw in enumerate(draws):
            found.append(draw.map())
            note(f"draw {i + 1} of {len(draws)}")
        return found
    shares = [list(range(first, len(draws), processes)) for first in range(processes)]
    done: dict[int, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(i) for i in range(1, processes)]
        children: list[subprocess.Popen[bytes] | None] = []
        try:
            for place, share in zip(places, shares[1:], strict=True):
                children.append(_start(place, [draws[i] for i in share]))
            done |= {i: draws[i].map() for i in shares[0]}
            note(f"{len(shares[0])} draws of {len(draws)}")
            for place, share, child in zip(places, shares[1:], children, strict=True):
                theirs = _finish(place, child)
                if theirs is None:
                    theirs = [draws[i].map() for i in share]
                done |= dict(zip(share, theirs, strict=True))
                note(f"{len(done)} draws of {len(draws)}")
        finally:
            for child in children:  # on Ctrl-C; waited for, lest it writes into the folder while that goes
                if child is not None:
                    child.kill()
                    child.wait()
    return [done[i] for i in range(len(draws))]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(place: Path, draws: Sequence[Draw]) -> subprocess.Popen[bytes] | None:
    """A child that does these draws in the folder `place`; None where none can be had."""
    try:
        place.mkdir()
        for i, draw in enumerate(draws):
            asked = np.array([draw.neighbors, draw.seed])
            np.savez(place / f"{i}.npz", x=draw.x, asked=asked, **draw.near._asdict())
        command = [sys.executable, "-m", "jaxclust.host.draws", str(place)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, TypeError):
        return None


def _finish(place: Path, child: subprocess.Popen[bytes] | None) -> list[np.ndarray] | None:
    """What the child has found; None where it failed."""
    if child is None or child.wait() != 0:
        return None
    return [np.load(place / f"{i}.npy", allow_pickle=False) for i in range(len(list(place.glob("*.npz"))))]


def _child(place: Path) -> None:
    for file in place.glob("*.npz"):
        with np.load(file, allow_pickle=False) as given:
            neighbors, seed = map(int, given["asked"])
            draw = Draw(given["x"], Nearest(given["index"], given["distance"]), neighbors, seed)
        np.save(file.with_suffix(".npy"), draw.map())


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
