"""What longer trainings and wider networks give, as Markdown: `python -m experiments.full`.

Reads the complete runs of the rows of configs/full.py. ACC and squared error of new images are those of the test split,
where the row was fitted to the training split; else the error is that of the images that were trained on.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import configs
from experiments.configs import Row
from experiments.table import complete_runs
from jaxclust import models, runs
from jaxclust.data import sources
from jaxclust.data.dataset import TEST
from jaxclust.errors import InputError

HEADER = ("row", "K", "ACC %", "before the last networks", "new images: ACC %", "squared error a pixel", "seconds")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 where nothing was run or data are missing."""
    argparse.ArgumentParser(prog="python -m experiments.full", description=__doc__.splitlines()[0]).parse_args(argv)
    try:
        lines = [line(row, run) for row in configs.of("full") for run in complete_runs(row, configs.OUT)[0].values()]
    except InputError as error:
        print(f"experiments.full: error: {error}", file=sys.stderr)
        return 2
    if not lines:
        print("experiments.full: error: there are no complete runs: python -m experiments.run full", file=sys.stderr)
        return 2
    print("\n".join(f"| {' | '.join(cells)} |" for cells in (HEADER, ("---",) * len(HEADER), *lines)))
    return 0


def line(row: Row, run: Mapping[str, Any]) -> tuple[str, ...]:
    """One run, in the order of HEADER."""
    opinions, held_out = run["opinions"], run.get("held_out", {})
    before = opinions.get("manager", opinions.get("first", {})).get("acc")
    shares = (f"{100 * value:.1f}" if value is not None else "-" for value in (run["acc"], before, held_out.get("acc")))
    return (row.name, str(run["n_clusters"]), *shares, f"{error(row, run):.4f}", f"{run['seconds']:.0f}")


def error(row: Row, run: Mapping[str, Any]) -> float:
    """Squared error a pixel, in [0, 1], of the reconstructions of the images that the run did not see, or of all."""
    data = sources.load(configs.data_of(row))
    images = np.asarray(data.images if data.split is None or row.split == "all" else data.images[data.split == TEST])
    again = models.reconstruct(runs.load(Path(configs.OUT) / row.name / str(run["seed"])), images)
    return float(((again - images / np.float32(255)) ** 2).mean())


if __name__ == "__main__":
    sys.exit(main())
