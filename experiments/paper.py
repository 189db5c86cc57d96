"""What preset paper does, as Markdown: `python -m experiments.paper`.

Reads the complete runs of the rows of configs/paper.py. The last column but two is moe-vae's: of the experts that own
at least LEAST_SHARE of the images, the fewest latent dimensions with a mean KL above ACTIVE nats.
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import configs
from experiments.configs import Row
from experiments.table import complete_runs

ACTIVE = 0.01
LEAST_SHARE = 0.01
HEADER = (
    "row", "K", "clusters in use", "ACC %", "NMI %", "noise %", "experts: fewest active dimensions", "seconds", "MB",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 where nothing was run."""
    argparse.ArgumentParser(prog="python -m experiments.paper", description=__doc__.splitlines()[0]).parse_args(argv)
    lines, diverged = [], []
    for row in configs.of("paper"):
        lines += [line(row, run) for run in complete_runs(row, configs.OUT)[0].values()]
        diverged += [f"- diverged: {row.name}, seed {seed}" for seed in configs.diverged(row, configs.OUT)]
    if not lines and not diverged:
        print("experiments.paper: error: there are no complete runs: python -m experiments.run paper", file=sys.stderr)
        return 2
    print("\n".join(f"| {' | '.join(cells)} |" for cells in (HEADER, ("---",) * len(HEADER), *lines)))
    print("\n".join(diverged), end="\n" if diverged else "")
    return 0


def line(row: Row, run: Mapping[str, Any]) -> tuple[str, ...]:
    """One run, in the order of HEADER."""
    kl = run["summary"].get("expert_kl")
    active = None if kl is None else fewest_active(kl, sizes_of(configs.OUT / row.name / str(run["seed"])))
    shares = (f"{100 * run[name]:.1f}" for name in ("acc", "nmi", "noise_fraction"))
    counts = (str(run[name]) for name in ("n_clusters", "effective_clusters"))
    told = "-" if active is None else str(active)
    return (row.name, *counts, *shares, told, f"{run['seconds']:.0f}", f"{run['peak_memory_mb']:.0f}")


def fewest_active(kl: Sequence[Sequence[float] | None], sizes: Mapping[int, int]) -> int | None:
    """The fewest latent dimensions with a KL above ACTIVE of any expert that owns LEAST_SHARE of the examples; None
    where no expert owns so many.

    kl: of each expert the KL of its dimensions in nats, None where it owns nothing.  sizes: examples by cluster.
    """
    least = LEAST_SHARE * sum(sizes.values())
    active = [sum(value > ACTIVE for value in kl[k] or ()) for k, size in sizes.items() if size >= least]
    return min(active, default=None)


def sizes_of(run: Path) -> dict[int, int]:
    """Examples of each cluster of a run, by its clusters.csv."""
    with (run / "clusters.csv").open(newline="") as file:
        return {int(line["cluster"]): int(line["size"]) for line in csv.DictReader(file)}


if __name__ == "__main__":
    sys.exit(main())
