"""Bad inputs of many kinds, made from a seed, to all that reads: `python -m experiments.fuzz`.

Each shall be answered with one line that names the thing and the remedy (exit code 2, or InputError), with nothing
written or lost, no warning, no hang. Prints what was answered otherwise, and a table by kind.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments.fuzz import damaged, files, options, place, python
from experiments.fuzz.judge import judge

MAKERS = {f"{module.__name__.rpartition('.')[2]} {maker.__name__}": maker for module in (files, options, damaged,
python) for maker in module.MAKERS}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m experiments.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=200, help="how many, the kinds in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=MAKERS, default=list(MAKERS), metavar="KIND")
    parser.add_argument("--verbose", action="store_true", help="print each line")
    given = parser.parse_args(argv)
    if given.n < 1:
        parser.error(f"--n is {given.n}: give at least 1")
    with tempfile.TemporaryDirectory(prefix="jaxclust-fuzz-") as work:
        answers = [(kind, wrong) for kind, wrong in run(Path(work), given.n, given.seed, given.kinds, given.verbose)]
    print(table(answers))
    return int(any(wrong for _, wrong in answers))


def run(work: Path, n: int, seed: int, kinds: Sequence[str], verbose: bool = False) -> list[tuple[str, list[str]]]:
    """The kind of each input, and what is wrong with the answer."""
    place.fit_runs(work / "base")
    answers = []
    for i in range(n):
        kind = kinds[i % len(kinds)]
        at = place.Place(work / f"{seed}-{i}-{list(MAKERS).index(kind)}", work / "base")
        at.here.mkdir()
        case = MAKERS[kind](at)
        line, wrong = judge(case, at.here)
        if wrong or verbose:
            call = " ".join(case.call) if isinstance(case.call, list) else "Python"
            print(f"{i} {kind}: {call}\n    {line}", *(f"    WRONG: {text}" for text in wrong), sep="\n", flush=True)
        answers.append((kind, wrong))
    return answers


def table(answers: Sequence[tuple[str, list[str]]]) -> str:
    """How many were answered well of how many, by kind, as Markdown."""
    kinds = dict.fromkeys(kind for kind, _ in answers)
    rows = [(kind, *_held([wrong for one, wrong in answers if one == kind])) for kind in kinds]
    rows.append(("all", *_held([wrong for _, wrong in answers])))
    lines = [("kind", "answered well", "of"), ("---",) * 3, *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _held(wrong: Sequence[list[str]]) -> tuple[int, int]:
    return sum(not one for one in wrong), len(wrong)


if __name__ == "__main__":
    sys.exit(main())
