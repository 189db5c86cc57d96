"""How the time of a training step grows: `python -m experiments.bench.scaling`, about two minutes.

Against K, the number of experts of a dense mixture; against N, the rows of the data set that is resident on the
device; against the pixels of an image, in a convolutional VAE. The steps are those of `experiments.bench.throughput`,
in the library's own loop. An exponent is the slope of a least-squares line through logarithms, the median over
interleaved rounds: 1 is linear, 0 no growth at all. `arithmetic` is the same of the networks' own operations.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.bench import _cases as cases
from experiments.bench import _timing as timing
from jaxclust.system import atomic


class Sizes(NamedTuple):
    """How large the measured things are; the tests make them small. side: of the images where it is not measured."""

    ks: Sequence[int] = (1, 2, 5, 10, 20)
    rows: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000)
    sides: Sequence[int] = (8, 16, 32, 64)
    side: int = 16
    first: int = cases.FIRST
    batch: int = cases.BATCH
    steps: int = 4


class Growth(NamedTuple):
    """Seconds of a step and operations of a step by size, and their exponents (None where operations do not grow)."""

    name: str
    sizes: list[int]
    seconds: list[float]
    flops: list[float]
    exponent: float
    arithmetic: float | None


class Point(NamedTuple):
    """One measurement of a group: how large, which step, how many rows of data."""

    size: int
    case: cases.Case
    rows: int


def over_experts(sizes: Sizes) -> list[Point]:
    """Dense stage 1 of K experts."""
    return [Point(k, cases.stage_one(k, k, sizes.side, sizes.batch, sizes.first), 10 * sizes.batch) for k in sizes.ks]


def over_rows(sizes: Sizes) -> list[Point]:
    """One VAE on data sets of N rows."""
    case = cases.conv_vae(sizes.side, sizes.batch, sizes.first)
    return [Point(n, case, n) for n in sizes.rows]


def over_pixels(sizes: Sizes) -> list[Point]:
    """One VAE on images of more and more pixels: a block more each time that the side doubles."""
    return [Point(side**2, cases.conv_vae(side, sizes.batch, sizes.first), 10 * sizes.batch) for side in sizes.sides]


GROUPS: dict[str, tuple[str, Callable[[Sizes], list[Point]]]] = {
    "experts": ("K, experts", over_experts),
    "rows": ("N, rows of data", over_rows),
    "pixels": ("pixels of an image", over_pixels),
}


def measure(name: str, points: list[Point], steps: int, rounds: int, limit: float) -> Growth:
    """Time the points in interleaved rounds and fit the exponents."""
    timers = {
        str(size): timing.training(case.training, case.data(rows), case.batch, steps) for size, case, rows in points
    }
    seconds = timing.interleaved(timers, rounds, limit)
    return growth(name, [point.size for point in points], seconds, [point.case.flops for point in points])


def growth(name: str, at: list[int], seconds: timing.Seconds, flops: list[float]) -> Growth:
    """Medians of the rounds, and the exponents: of time the median over rounds, each fitted by itself."""
    rounds = zip(*(seconds[str(size)] for size in at), strict=True)
    slope = statistics.median(timing.exponent(at, values) for values in rounds)
    middle = [statistics.median(seconds[str(size)]) for size in at]
    arithmetic = timing.exponent(at, flops) if len(set(flops)) > 1 else None
    return Growth(name, at, middle, flops, slope, arithmetic)


def main(argv: Sequence[str] | None = None, sizes: Sizes | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.bench.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="groups to measure")
    parser.add_argument("--rounds", type=int, default=5, help="at most, for each group")
    parser.add_argument("--limit", type=float, default=30, help="seconds of rounds, for each group")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows of the table")
    options = parser.parse_args(argv)
    sizes = sizes or Sizes()
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, float32: time of a training step\n")
    print(timing.header("against", "sizes", "ms a step", "exponent of time", "of arithmetic"))
    found = []
    for title, points in (GROUPS[name] for name in options.only):
        grown = measure(title, points(sizes), sizes.steps, options.rounds, options.limit)
        ms = ", ".join(f"{1e3 * value:.3g}" for value in grown.seconds)
        at = ", ".join(map(str, grown.sizes))
        print(timing.line(grown.name, at, ms, grown.exponent, grown.arithmetic), flush=True)
        found.append(grown._asdict())
    if options.json:
        atomic.write_json(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
