"""Runs rows of the tables: `python -m experiments.run moe_vae_usps --seeds 0 1 2`, or all of one: `... cm_table1`.

Each seed is a process of its own, `jaxclust fit` into experiments/out/<name>/<seed>. Complete runs are skipped,
interrupted ones go on. A training that diverges leaves experiments/out/<name>/<seed>.diverged, and the next seed
follows. Where a row fits the training split, `jaxclust evaluate` then labels the test split.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import configs
from experiments.configs import Row
from jaxclust.errors import InputError
from jaxclust.runs import lifecycle
from jaxclust.system import atomic

DIVERGED = 3  # the exit code of a `jaxclust fit` whose training diverged


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, that of the first `jaxclust fit` that failed, 2 for bad input.

    A training that diverges is a result and no failure.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.run", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"rows, or all of {', '.join(configs.tables())}")
    parser.add_argument("--seeds", nargs="+", type=int, help="instead of the seeds that the config states")
    parser.add_argument("--overwrite", action="store_true", help="run again what was run before")
    options = parser.parse_args(argv)
    try:
        for row in [row for name in options.names for row in configs.of(name)]:
            for seed in options.seeds or row.seeds:
                code = run_seed(row, seed, overwrite=options.overwrite)
                if code == DIVERGED:
                    continue
                code = code or run_held_out(row, seed)
                if code:
                    return code
    except InputError as error:
        print(f"experiments.run: error: {error}", file=sys.stderr)
        return 2
    return 0


def run_seed(row: Row, seed: int, *, overwrite: bool = False) -> int:
    """One run of a row, unless it is there already; returns the exit code of `jaxclust fit`, DIVERGED also for a run
    that did so before.

    Raises InputError for missing data, and for a complete run with other settings than the row's.
    """
    out = configs.OUT / row.name / str(seed)
    how = "--overwrite" if overwrite else how_to_go_on(row, out)
    if how is None:
        print(f"{row.name}, seed {seed}: complete")
        return 0
    mark = out.with_suffix(configs.DIVERGED)
    if not overwrite and seed in configs.diverged(row, configs.OUT):
        print(f"{row.name}, seed {seed}: diverged before")
        return DIVERGED
    command = configs.arguments(row, seed, configs.data_of(row), out) + ([how] if how else [])
    code = _jaxclust(row, seed, command)
    if code == DIVERGED:
        mark.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(mark, configs.stated(row))
    elif not code:
        mark.unlink(missing_ok=True)
    return code


def run_held_out(row: Row, seed: int) -> int:
    """Scores of a complete run on the test split, where it was fitted to the training split; the exit code."""
    out = configs.OUT / row.name / str(seed)
    scores = out / configs.HELD_OUT
    if row.split != "train" or scores.is_file():
        return 0
    return _jaxclust(row, seed, ["evaluate", str(out), configs.data_of(row), "--split", "test", "--out", str(scores)])


def _jaxclust(row: Row, seed: int, command: list[str]) -> int:
    print(f"{row.name}, seed {seed}: jaxclust {' '.join(command)}", flush=True)
    process = subprocess.Popen([sys.executable, "-m", "jaxclust", *command], cwd=configs.ROOT, stdin=subprocess.DEVNULL)
    try:
        return process.wait()
    except KeyboardInterrupt:  # the process got it too, and marks its run
        return process.wait() or 130


def how_to_go_on(row: Row, out: Path) -> str | None:
    """None where `out` holds a complete run of the row; else the option with which fit can use `out`, '' for none."""
    if not (out / "config.json").is_file():
        return ""
    config = lifecycle.read_config(out)
    if config["state"] != lifecycle.COMPLETE:
        return "--resume"
    changed = configs.differences(row, config)
    if changed:
        raise InputError(f"{out}: was run with another {', '.join(changed)}: give --overwrite to run it again")
    return None


if __name__ == "__main__":
    sys.exit(main())
