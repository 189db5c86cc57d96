"""Prints tables 1 and 2 of Morais 2021 as Markdown: each latent group of hrwae-gan.

    python -m experiments.groups

Reads the complete runs of the rows of experiments/configs/hrwae_gan.py. Shares are in percent, means and standard
deviations (n - 1) over seeds; 'best' is the run of the largest accuracy, in which points without a label are wrong.
'broken' counts trainings that ended before their time, with the last sound state, those that diverged before any, and
those that left a group of codes far from its prior: MMD^2 above FAR (jaxclust/methods/hrwae_gan/model.py).
A group's lines leave out runs in which it had no clusters.
MMD^2 is of the group's codes to their prior on examples that were held out. The last columns are of all runs: the
accuracy of their labels, which the head gives to all points, what the head agrees with, and their cost.
"""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import configs
from experiments.configs import Row
from experiments.configs.hrwae_gan import reported
from experiments.table import complete_runs, settings, spread
from jaxclust.methods.hrwae_gan.model import far

HEADER = (
    "data", "settings", "n seeds", "broken", "group", "clusterer", "K by seed", "labelled %", "ACC of labelled %",
    "ACC %", "best ACC %", "text: labelled %", "text: ACC of labelled %", "text: ACC %", "text: best ACC %", "MMD^2",
    "ACC of the head %", "head agrees %", "seconds", "peak memory MB",
)  # fmt: skip


def main() -> int:
    """The command; returns the exit code."""
    lines = [HEADER, ["---"] * len(HEADER)]
    for row in configs.of("hrwae_gan"):
        runs, _ = complete_runs(row, configs.OUT)
        lines += lines_of(row, list(runs.values()), len(configs.diverged(row, configs.OUT)))
    print("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return 0


def lines_of(row: Row, runs: Sequence[Mapping[str, Any]], diverged: int = 0) -> Iterator[list[str]]:
    """A line for each group of the runs; one line where there are none but `diverged` ones."""
    broken = sum(run["summary"]["ended"] is not None or bool(far(last_look(run))) for run in runs) + diverged
    if not runs:
        if diverged:
            yield [Path(row.data).stem, settings(row), "0", str(broken), *["-"] * (len(HEADER) - 4)]
        return
    of_runs = [
        spread([run["acc"] for run in runs], percent),
        spread([run["summary"]["head_agreement"] for run in runs], percent),
        spread([run["seconds"] for run in runs], "{:.0f}".format),
        spread([run["peak_memory_mb"] for run in runs], "{:.0f}".format),
    ]
    for level in range(len(runs[0]["summary"]["latent_dims"])):
        name = row.overrides.get("clusterer", "leaves")
        key = f"group_{level}"
        clustered = [run for run in runs if key in run["opinions"]]
        if not clustered:
            continue
        found = [run["opinions"][key] for run in clustered]
        labelled = [1 - one.get("noise_fraction", 0) for one in found]
        counted = (str(run["summary"]["clusters_by_group"][level]) for run in clustered)
        text = reported(Path(row.data).stem, len(runs[0]["summary"]["latent_dims"]), level, name)
        mmd = [last_look(run)["mmd"][level] for run in clustered]
        yield [
            Path(row.data).stem,
            settings(row),
            str(len(clustered)),
            str(broken),
            str(level),
            name,
            " ".join(counted),
            spread(labelled, percent),
            spread([one.get("acc_labelled", one["acc"]) for one in found], percent),
            spread([one["acc"] for one in found], percent),
            percent(max(one["acc"] for one in found)),
            *text,
            f"{statistics.fmean(known):.3f}" if (known := [value for value in mmd if value is not None]) else "-",
            *(of_runs if level == 0 else [""] * len(of_runs)),
        ]


def last_look(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The health of the state that a run kept."""
    return run["summary"]["health"][run["summary"].get("look", 0) - 1]


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    sys.exit(main())
