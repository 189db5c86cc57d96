"""What a run keeps of its phases on disk. What is damaged is done again, and so is all that came after it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxclust.system import atomic
from jaxclust.train import checkpoint
from jaxclust.train.checkpoint import Checkpoints

SECONDS = "seconds.json"


class Kept:
    """The directory `phases` of a run.

    note: told of damage, a line a phase.
    """

    def __init__(self, run: Path, note: Callable[[str], None]):
        self.directory, self.note = run / "phases", note
        self.directory.mkdir(parents=True, exist_ok=True)
        self._anew = False  # a phase was damaged: what later ones found hangs on it

    def arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """What a phase on the host found; None where it is to be done."""
        path = self.directory / f"{name}.npz"
        if self._anew:
            self._remove(path)
        if not path.exists():
            return None
        try:
            return atomic.read_arrays(path)
        except (ValueError, IsADirectoryError):
            self._damaged(name, path)
            return None

    def write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep what a phase on the host found."""
        atomic.write_arrays(self.directory / f"{name}.npz", arrays)

    def checkpoints(self, name: str) -> Checkpoints:
        """The checkpoints of a training, without damaged ones."""
        path = self.directory / name
        if self._anew:
            self._remove(path)
        if path.exists() and checkpoint.damage(path):
            self._damaged(name, path)
        return Checkpoints(path)

    def forget(self, name: str) -> None:
        """Delete the checkpoints of a training."""
        shutil.rmtree(self.directory / name, ignore_errors=True)

    def seconds(self) -> dict[str, float]:
        """How long each phase took so far."""
        path = self.directory / SECONDS
        if not path.exists():
            return {}
        try:
            return {str(name): float(value) for name, value in json.loads(path.read_bytes()).items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            self.note(f"{path} is damaged: how long earlier phases took is not known")
            return {}

    def write_seconds(self, seconds: dict[str, float]) -> None:
        """Keep how long each phase took."""
        atomic.write_json(self.directory / SECONDS, seconds)

    def _damaged(self, name: str, path: Path) -> None:
        self.note(f"{name}: what was kept of it is damaged: it is done again, and what came after it")
        self._remove(path)
        self._anew = True

    def _remove(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
