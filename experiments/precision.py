"""What bfloat16 costs beside float32, as Markdown: `python -m experiments.precision`.

Reads the complete runs of the rows of configs/precision.py. The difference of the means of ACC is told in its standard
errors, the root of the sum of both variances over their numbers of seeds; more than TWO fails.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from math import inf, sqrt
from typing import Any

from experiments import configs
from experiments.configs.precision import METHODS, PRECISIONS, row
from experiments.table import complete_runs, spread

TWO = 2.0
HEADER = ("method", "n seeds", "float32: ACC %", "bfloat16: ACC %", "difference", "in standard errors", "verdict")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code: 1 where a difference is too large, 2 where nothing can be compared."""
    description = __doc__.splitlines()[0]
    argparse.ArgumentParser(prog="python -m experiments.precision", description=description).parse_args(argv)
    lines = [line for method in METHODS if (line := of_method(method)) is not None]
    if not lines:
        told = "no method has two complete runs of each: python -m experiments.run precision"
        print(f"experiments.precision: error: {told}", file=sys.stderr)
        return 2
    print("\n".join(f"| {' | '.join(cells)} |" for cells in (HEADER, ("---",) * len(HEADER), *lines)))
    return int(any(cells[-1] != "good" for cells in lines))


def of_method(method: str) -> tuple[str, ...] | None:
    """One line, in the order of HEADER; None with fewer than two runs of either."""
    exact, fewer = ([run["acc"] for run in runs_of(method, precision)] for precision in PRECISIONS)
    if min(len(exact), len(fewer)) < 2:
        return None
    difference, errors = compared(exact, fewer)
    return (
        method,
        f"{len(exact)} {len(fewer)}",
        spread(exact, percent),
        spread(fewer, percent),
        f"{100 * difference:+.1f}",
        f"{errors:+.1f}",
        "good" if abs(errors) <= TWO else "apart",
    )


def runs_of(method: str, precision: str) -> list[Mapping[str, Any]]:
    """The complete runs of a row."""
    return list(complete_runs(configs.find(row(method, precision).name), configs.OUT)[0].values())


def compared(exact: Sequence[float], fewer: Sequence[float]) -> tuple[float, float]:
    """The mean of `fewer` less that of `exact`, and the same in its standard errors: 0 where there is none."""
    difference = statistics.fmean(fewer) - statistics.fmean(exact)
    error = sqrt(sum(statistics.variance(values) / len(values) for values in (exact, fewer)))
    if error:
        return difference, difference / error
    return difference, 0.0 if difference == 0 else inf * (1 if difference > 0 else -1)


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    sys.exit(main())
