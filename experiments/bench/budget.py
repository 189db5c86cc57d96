"""What preset full of moe-vae takes for 70,000 images of 32 x 32 on one chip that is not here, as Markdown.

    python -m experiments.bench.budget

    at least    steps times the roofline of the step's compiled program: XLA's counts, the data sheet's rates
    compiling   of these programs, measured here, with the compiler's least effort
    host        the search for clusters, measured here: of 20,000 rows of MNIST on ten principal components, which
                stand in for codes, and the 50,000 others by their neighbours

XLA counts bytes and arithmetic for the v5e alone. The column of the H100 has the same counts at its own rates. A chip
needs longer than 'at least': nothing here ran on one. All latent sizes are 32, also that of the search for one.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.bench import _targets, aot
from experiments.bench.steps import CLUSTERS, IMAGES, MOE_VAE, step_of
from experiments.cluster_sets import stored
from jaxclust.errors import InputError
from jaxclust.host import clusters
from jaxclust.methods.shared.lengths import length

COMPONENTS = 10  # principal ones that stand in for codes
TARGET = "v5e:1x1"
HEADER = ("phase", "steps", "batch", "v5e: ms a step", "v5e: s at least", "H100: s at least", "compiling here: s")


class Phase(NamedTuple):
    """A training: its step of the registry (steps.py), its epochs and its batch."""

    name: str
    step: str
    epochs: float
    batch: int

    def n_steps(self) -> int:
        """Of 70,000 images. Each expert sees those of his cluster in his own batches: a tenth of all."""
        batches = -(-IMAGES // self.batch)
        return length(MOE_VAE, self.epochs, batches)[1]


PHASES = (
    Phase("search-autoencoder", "autoencoder-32", MOE_VAE.search_epochs, MOE_VAE.batch_size),
    Phase("autoencoder", "autoencoder-32", MOE_VAE.epochs, MOE_VAE.batch_size),
    Phase("manager", "manager-32", MOE_VAE.manager_epochs, MOE_VAE.batch_size),
    Phase("mixture", "mixture-routed-32", MOE_VAE.mixture_epochs, MOE_VAE.batch_size),
    Phase("experts", "experts-32", MOE_VAE.expert_epochs, MOE_VAE.expert_batch_size * CLUSTERS),
)


class Cost(NamedTuple):
    """Of one phase: seconds a step at least, by chip, and seconds that its program took to compile."""

    v5e: float
    h100: float
    compiling: float


def cost(phase: Phase) -> Cost:
    """Compile the phase's step for one v5e and read what XLA counts."""
    start = time.perf_counter()
    row = aot.counted(step_of(phase.step).with_batch(phase.batch), _targets.find(TARGET))
    compiling = time.perf_counter() - start
    v5e, h100 = (aot.lower_bound(row, chip) for chip in (_targets.V5E, _targets.H100))
    if v5e is None or h100 is None:
        raise InputError(f"{phase.step}: XLA counts nothing for {TARGET}: give another version of libtpu")
    return Cost(v5e, h100, compiling)


def host_seconds(data: np.ndarray) -> float:
    """Seconds that the search takes of MNIST (n, d) on this machine, without what numba compiles at the first use."""
    centred = data - data.mean(0)
    codes = centred @ np.linalg.svd(centred[:10_000], full_matrices=False)[2][:COMPONENTS].T
    order = np.random.default_rng(0).permutation(len(codes))
    known, others = codes[order[: MOE_VAE.max_samples]], codes[order[MOE_VAE.max_samples :]]
    clusters.find({"codes": known[:500]}, "auto", 0)
    start = time.perf_counter()
    found = clusters.find({"codes": known}, "auto", 0, draws=MOE_VAE.draws)
    clusters.extended(found, known, others)
    return time.perf_counter() - start


def table(costs: Sequence[Cost], host: float) -> list[str]:
    """The lines of both tables."""
    total = Cost(0.0, 0.0, 0.0)
    lines = [aot.line(HEADER), aot.line(["---"] * len(HEADER))]
    for phase, one in zip(PHASES, costs, strict=True):
        steps = phase.n_steps()
        v5e, h100 = steps * one.v5e, steps * one.h100
        total = Cost(total.v5e + v5e, total.h100 + h100, total.compiling + one.compiling)
        cells = (f"{1e3 * one.v5e:.2f}", f"{v5e:.1f}", f"{h100:.1f}", f"{one.compiling:.0f}")
        lines.append(aot.line([phase.name, str(steps), str(phase.batch), *cells]))
    lines += ["", aot.line(["chip", "trainings at least: s", "host: s", "compiling: s", "host's share"])]
    lines.append(aot.line(["---"] * 5))
    for name, least in (("one v5e", total.v5e), ("one H100", total.h100)):
        whole = least + host + total.compiling
        cells = [name, f"{least:.0f}", f"{host:.0f}", f"{total.compiling:.0f}", f"{host / whole:.0%}"]
        lines.append(aot.line(cells))
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 where a compiler or MNIST is missing."""
    argparse.ArgumentParser(prog="python -m experiments.bench.budget", description=__doc__.splitlines()[0]).parse_args(
        argv
    )
    try:
        data = stored("mnist").x
        if len(data) <= MOE_VAE.max_samples:
            raise InputError(f"mnist.npz has {len(data)} rows: give all {IMAGES}")
        _targets.prepare()
        costs = [cost(phase) for phase in PHASES]
        print("\n".join(table(costs, host_seconds(data))))
    except InputError as error:
        print(f"experiments.bench.budget: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
