"""The number of clusters that whole fits find, by set and method: `python -m experiments.found`, as Markdown.

Reads the complete runs of the rows of configs/found.py, and of moe-vae on the sets of configs/moe_vae.py. Sets on which
the settings of the search were chosen stand apart from those that only confirm them.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import configs
from experiments.configs import Row
from experiments.table import complete_runs, spread

CLASSES = {
    "digits": 10, "fmnist10k": 10, "palm_16": 100, "isolet": 26, "usps": 10, "mnist10k": 10, "orl_32": 40,
    "segment": 7, "pendigits": 10, "mnist_2": 2, "mnist_3": 3, "mnist_5": 5, "mnist_thin": 10, "digits_300": 10,
    "objects_20": 20,
    "cifar10k": 10, "normal_64": 0, "uniform_10": 0,
}  # fmt: skip
IMAGES = ("digits", "fmnist10k", "usps", "mnist10k")  # rows of configs/moe_vae.py
CHOSEN = ("digits", "fmnist10k", "palm_16", "isolet")
HEADER = ("data", "classes", "method", "seeds", "K by seed", "clear", "seen in", "ACC %", "NMI %", "seconds", "MB")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 where nothing was run."""
    argparse.ArgumentParser(prog="python -m experiments.found", description=__doc__.splitlines()[0]).parse_args(argv)
    rows = [*configs.tables()["found"], *(configs.find(f"moe_vae_{name}") for name in IMAGES)]
    if not any(complete_runs(row, configs.OUT)[0] for row in rows):
        print("experiments.found: error: there are no complete runs: python -m experiments.run found", file=sys.stderr)
        return 2
    for title, wanted in (("chosen on", True), ("only confirmed on", False)):
        print(f"Settings of the search {title}:\n")
        print(table([row for row in rows if (Path(row.data).stem in CHOSEN) is wanted], configs.OUT), end="\n\n")
    return 0


def table(rows: Sequence[Row], out: Path) -> str:
    """The rows that have complete runs, set by set."""
    lines = [HEADER, ("---",) * len(HEADER)]
    order = list(CLASSES)
    for row in sorted(
        rows, key=lambda row: (order.index(Path(row.data).stem), row.method == "umap-density", row.method)
    ):
        runs, _ = complete_runs(row, out)
        if runs:
            lines.append(cells(row, list(runs.values())))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(row: Row, runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """One line, in the order of HEADER."""

    def each(name: str) -> str:
        values = [run["summary"].get("clusters", {}).get(name) for run in runs]
        shown = ["yes" if value is True else "no" if value is False else str(value) for value in values]
        return shown[0] if len(set(shown)) == 1 else " ".join(shown)

    def percent(name: str) -> str:
        if runs[0][name] is None:
            return "-"
        return spread((run[name] for run in runs), lambda share: f"{100 * share:.1f}")

    name = Path(row.data).stem
    return (
        f"{name} ({runs[0]['n_samples']})", str(CLASSES[name] or "-"), row.method,
        " ".join(str(run["seed"]) for run in runs),
        " ".join(str(run["n_clusters"]) for run in runs), each("clear"), each("view"), percent("acc"), percent("nmi"),
        spread((run["seconds"] for run in runs), lambda value: f"{value:.0f}"),
        spread((run["peak_memory_mb"] for run in runs), lambda value: f"{value:.0f}"),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
