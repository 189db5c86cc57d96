"""Made-up runs of rows of the tables, and how to read a table."""

import dataclasses

from experiments import configs
from jaxclust.system import atomic


def metrics(seed, **changes):
    """What metrics.json of a run holds, as far as the table reads it."""
    return {
        "seed": seed, "n_samples": 100, "split": "all", "acc": 0.9, "nmi": 0.8, "ari": 0.7, "n_clusters": 10,
        "noise_fraction": 0.02, "seconds": 60.0, "peak_memory_mb": 1000.0, "opinions": {"manager": {"acc": 0.85}},
    } | changes  # fmt: skip


def write(out, row, values, state="complete", split="all", **changes):
    """A run of `row` in `out` with these metrics; `changes` are to its config, `split` to what was fitted."""
    directory = out / row.name / str(values["seed"])
    directory.mkdir(parents=True)
    config = dataclasses.asdict(configs.config_of(row)) | changes
    described = {
        "state": state,
        "method": row.method,
        "data": f"/some/where/{row.data}",
        "config": config,
        "split": split,
    }
    atomic.write_json(directory / "config.json", described)
    atomic.write_json(directory / "metrics.json", values)
    return directory


def columns(text):
    """Cells of the last line of a table by the header's names."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, last = ([cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], lines[-1]))
    return dict(zip(header, last, strict=True))
