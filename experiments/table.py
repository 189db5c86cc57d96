"""Prints results beside the text's numbers as Markdown: `python -m experiments.table moe_vae`, or `... cm_table1`.

Reads the complete runs in experiments/out of all rows whose name, or whose module's, starts so. Means and standard
deviations (n - 1) are over seeds; runs with settings that are no longer the row's are left out, and named, as are seeds
that diverged. Where a run trained several restarts together each of them counts, with its share of the time, and beside
them stands what L_sp picked in each run.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import configs
from experiments.configs import Row
from jaxclust import methods
from jaxclust.errors import InputError
from jaxclust.runs import lifecycle

Metrics = Mapping[str, Any]
HEADER = (
    "data", "settings", "n seeds", "ACC %", "ACC % manager only", "ACC % held out", "NMI %", "ARI %", "K by seed",
    "noise %", "seconds", "peak memory MB", "text: ACC %", "text: manager only", "text: K",
)  # fmt: skip
RUNS_HEADER = (
    "data", "method", "settings", "n runs", "ARI %", "NMI %", "ACC %", "L_sp's ARI %", "L_sp's NMI %", "L_sp's ACC %",
    "text: ARI %", "text: NMI %", "text: ACC %", "text: L_sp's ARI %", "seconds a run", "peak memory MB",
)  # fmt: skip
SCORES = ("ari", "nmi", "acc")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.table", description=__doc__.splitlines()[0])
    parser.add_argument("prefix", nargs="?", default="", help="what the rows' names start with, for instance moe_vae")
    options = parser.parse_args(argv)
    rows = configs.starting(options.prefix)
    try:
        if not rows:
            raise InputError(f"no experiment starts with {options.prefix!r}: there are {', '.join(configs.tables())}")
        print(table(rows, configs.OUT))
    except InputError as error:
        print(f"experiments.table: error: {error}", file=sys.stderr)
        return 2
    return 0


def table(rows: Sequence[Row], out: Path) -> str:
    """The rows' results under `out` as Markdown tables, one for moe-vae and one for the others, and remarks below."""
    kinds: dict[Sequence[str], list[list[str]]] = {HEADER: [], RUNS_HEADER: []}
    remarks = []
    for row in rows:
        runs, stale = complete_runs(row, out)
        if row.method == "moe-vae":
            kinds[HEADER].append(cells(row, runs))
        else:
            kinds[RUNS_HEADER].append(runs_cells(row, runs))
        remarks += [f"- diverged: {row.name}, seed {seed}" for seed in configs.diverged(row, out)]
        remarks += [f"- left out, run with another {', '.join(changed)}: {path}" for path, changed in stale]
    parts = [_lines([header, ["---"] * len(header), *lines]) for header, lines in kinds.items() if lines]
    return "\n\n".join([*parts, "\n".join(remarks)] if remarks else parts)


def complete_runs(row: Row, out: Path) -> tuple[dict[int, Metrics], list[tuple[Path, list[str]]]]:
    """metrics.json of each complete run by seed, and the runs whose settings are not the row's, with these.

    A row of a method that this version does not have has none.
    """
    found: dict[int, Metrics] = {}
    stale: list[tuple[Path, list[str]]] = []
    if row.method not in methods.METHODS:
        return found, stale
    for path in sorted((out / row.name).glob("*/metrics.json"), key=lambda p: (len(p.parent.name), p.parent.name)):
        config = lifecycle.read_config(path.parent)
        if config["state"] != lifecycle.COMPLETE:
            continue
        changed = configs.differences(row, config)
        if changed:
            stale.append((path.parent, changed))
        else:
            metrics = lifecycle.read_json(path)
            held_out = path.with_name(configs.HELD_OUT)
            if held_out.is_file():
                metrics["held_out"] = lifecycle.read_json(held_out)
            found[int(metrics["seed"])] = metrics
    return dict(sorted(found.items())), stale


def cells(row: Row, runs: Mapping[int, Metrics]) -> list[str]:
    """One line of the table, in the order of HEADER."""
    all_runs = list(runs.values())
    size = f"n = {all_runs[0]['n_samples']}, " if all_runs else ""
    name = f"{Path(row.data).stem} ({size}split {row.split})"
    manager = [run["opinions"].get("manager", {}).get("acc") for run in all_runs]
    return [
        name,
        ", ".join([row.preset, *(f"{name}={value}" for name, value in row.overrides.items())]),
        str(len(all_runs)),
        spread((run["acc"] for run in all_runs), _percent),
        spread(manager, _percent),
        spread((run.get("held_out", {}).get("acc") for run in all_runs), _percent),
        spread((run["nmi"] for run in all_runs), _percent),
        spread((run["ari"] for run in all_runs), _percent),
        " ".join(str(run["n_clusters"]) for run in all_runs) or "-",
        spread((run["noise_fraction"] for run in all_runs), _percent),
        spread((run["seconds"] for run in all_runs), _whole),
        spread((run["peak_memory_mb"] for run in all_runs), _whole),
        _text(row, "acc", _percent),
        _text(row, "manager", _percent),
        _text(row, "n_clusters", _whole),
    ]


def runs_cells(row: Row, runs: Mapping[int, Metrics]) -> list[str]:
    """One line of the table of all methods but moe-vae, in the order of RUNS_HEADER."""
    all_runs = list(runs.values())
    each = [restarts(run) for run in all_runs]
    picked = [run for run, several in zip(all_runs, each, strict=True) if several]
    scores = [one for run, several in zip(all_runs, each, strict=True) for one in several or [run]]
    seconds = [run["seconds"] / max(len(several), 1) for run, several in zip(all_runs, each, strict=True)]
    return [
        Path(row.data).stem + (f" (n = {all_runs[0]['n_samples']})" if all_runs else ""),
        row.method,
        settings(row),
        str(len(scores)),
        *(spread((one[name] for one in scores), _percent) for name in SCORES),
        *(spread((run[name] for run in picked), _percent) for name in SCORES),
        *(_text(row, name, _percent) for name in (*SCORES, "lsp_ari")),
        spread(seconds, _whole),
        spread((run["peak_memory_mb"] for run in all_runs), _whole),
    ]


def restarts(run: Metrics) -> list[Mapping[str, float | None]]:
    """The scores of each restart, where several were trained together; else none."""
    return [scores for name, scores in run["opinions"].items() if name.startswith("restart_")]


def settings(row: Row) -> str:
    """The preset and what differs from it; all that the row states, where this version has no such method."""
    stated = dict(row.overrides)
    if row.method in methods.METHODS:
        preset = methods.find(row.method).presets[row.preset]
        stated = {name: value for name, value in stated.items() if getattr(preset, name) != value}
    return ", ".join([row.preset, *(f"{name}={value}" for name, value in stated.items())])


def spread(values: Iterable[float | None], show: Callable[[float], str]) -> str:
    """'mean ± standard deviation' of the known values; the mean alone for one, '-' for none."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = show(statistics.fmean(known))
    return mean if len(known) == 1 else f"{mean} ± {show(statistics.stdev(known))}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _text(row: Row, name: str, show: Callable[[float], str]) -> str:
    return show(row.text[name]) if name in row.text else "-"


def _lines(lines: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
