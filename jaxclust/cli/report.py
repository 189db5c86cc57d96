"""`jaxclust report RUN`: the page of a run, made again."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxclust.cli.options import read_on_run
from jaxclust.data import sources
from jaxclust.data.dataset import Dataset
from jaxclust.errors import InputError
from jaxclust.runs import lifecycle
from jaxclust.system import environment


@dataclass(frozen=True)
class Report:
    """Write the page of a run: a map with its images, cards of the clusters, and edits. Any browser opens it."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Directory that fit made."""
    data: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[DATA]")] = None
    """What the run was fitted to, for the images; if not given, where fit found it."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Page to write; RUN/report.html if not given."""
    no_data: bool = False
    """Do without the data: no images and no classes."""


def main(argv: list[str]) -> None:
    """The command."""
    options = read_on_run(Report, "report", argv)
    run, out = options.run, options.out
    kept = lifecycle.read_config(run)
    if options.no_data and options.data is not None:
        raise InputError("DATA and --no-data exclude each other: choose one")
    environment.enable_compilation_cache()
    dataset = None if options.no_data else fitted_to(run, kept, options.data)
    write(run, dataset, out)


def write(run: Path, dataset: Dataset | None, out: Path | None = None) -> None:
    """Writes the page and says what is in it."""
    from jaxclust.report import page

    made = page.write(run, dataset, out)
    shown = "" if made.mapped == made.n else f", {made.mapped:,} of {made.n:,} examples"
    pictured = "" if made.pictured in (0, made.mapped) else f", images of {made.pictured:,}"
    print(f"page in {made.path}: {made.size / 1e6:.1f} MB{shown}{pictured}", file=sys.stderr)


def fitted_to(run: Path, kept: dict[str, Any], data: str | None, given: str = "DATA") -> Dataset:
    """The data of the run, read as fit read them. Raises InputError where they are others, or are not there.

    given: how the command takes them, for errors.
    """
    name = data or kept.get("data")
    if name is None or (data is None and name == "array"):
        raise InputError(f"{run}: does not say what data it was fitted to: give {given}, or --no-data")
    read = {
        key: kept[key]
        for key in ("split", "image_size", "skip_bad", "stream", "max_pixels", "depth")
        if kept.get(key) is not None
    }
    try:
        dataset = sources.load(name, **read)
    except InputError as error:
        if data is not None:
            raise
        raise InputError(f"{error} (the data that {run} was fitted to: give {given}, or --no-data)") from error
    fingerprint = kept.get("data_fingerprint")
    if fingerprint is not None and dataset.fingerprint != fingerprint:
        raise InputError(f"{name}: is not what {run} was fitted to: give that {given}, or --no-data")
    return dataset
