"""history.jsonl: one row a chunk of steps, what the training curves are drawn from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxclust.system import atomic

NAME = "history.jsonl"


def read(directory: Path) -> list[dict[str, Any]]:
    """All rows, oldest first: {"phase", "step", "epoch", "seconds", <term>: float}. A half-written last one is left
    out; a run without a history has no rows."""
    path = directory / NAME
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def append(directory: Path, phase: str, step: int, epoch: float, seconds: float, terms: Mapping[str, float]) -> None:
    """Add one row. `seconds` counts from the beginning of the phase, over resumes."""
    row = {"phase": phase, "step": step, "epoch": round(epoch, 4), "seconds": round(seconds, 3), **terms}
    with open(directory / NAME, "a") as file:
        file.write(_line(row))


def truncate(directory: Path, phase: str, step: int) -> None:
    """Forget the rows of `phase` after `step`: a training that goes on from there writes them again."""
    rows = read(directory)
    kept = [row for row in rows if row["phase"] != phase or row["step"] <= step]
    if rows:
        atomic.write_text(directory / NAME, "".join(map(_line, kept)))


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(atomic.plain(dict(row)), allow_nan=False) + "\n"
