"""history.jsonl: one row a chunk of steps, what the training curves are drawn from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxclust.system import atomic

NAME = "history.jsonl"


def read(directory: Path) -> list[dict[str, Any]]:
    """All rows, oldest first: {"phase", "step", "epoch", "seconds", <term>: float}. Half-written and damaged ones are
    left out; a run without a history has no rows."""
    path = directory / NAME
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return [row for row in map(_row, lines) if row is not None]


def append(directory: Path, phase: str, step: int, epoch: float, seconds: float, terms: Mapping[str, float]) -> None:
    """Add one row. `seconds` counts from the beginning of the phase, over resumes."""
    row = {"phase": phase, "step": step, "epoch": round(epoch, 4), "seconds": round(seconds, 3), **terms}
    with open(directory / NAME, "a") as file:
        file.write(_line(row))


def truncate(directory: Path, phase: str, step: int) -> None:
    """Forget the rows of `phase` after `step`, and damaged ones: a training that goes on from there writes again."""
    kept = [row for row in read(directory) if row["phase"] != phase or row["step"] <= step]
    if (directory / NAME).is_file():
        atomic.write_text(directory / NAME, "".join(map(_line, kept)))


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    numbers = ("step", "epoch", "seconds")
    whole = isinstance(row, dict) and "phase" in row and all(isinstance(row.get(name), int | float) for name in numbers)
    return row if whole else None


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(atomic.plain(dict(row)), allow_nan=False) + "\n"
