"""`jaxclust export RUN DIR`: the images of a run by cluster, and a table of its examples."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxclust import runs
from jaxclust.cli.options import read
from jaxclust.cli.report import fitted_to
from jaxclust.errors import InputError
from jaxclust.runs import lifecycle
from jaxclust.system import paths


@dataclass(frozen=True)
class Export:
    """Put the images of a run into a folder for each cluster, beside a table of all examples; of features the table."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Directory that fit or edit made."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Directory to write; it must not exist, or be empty."""
    data: Annotated[str | None, tyro.conf.arg(metavar="DATA")] = None
    """What the run was fitted to; if not given, where fit found it."""
    only: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="A,B,...")] = ()
    """Clusters, by number or name, 'noise', 'uncertain'; may be given several times. All clusters if not given."""
    but: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="A,B,...")] = ()
    """What is left out: clusters, 'noise', 'uncertain', as of --only."""
    below: float = 0.9
    """Examples are uncertain whose largest probability is below it."""
    copy: bool = False
    """Copy the image files; if not given, links to them."""
    table: Literal["csv", "parquet"] = "csv"
    """Kind of the table."""
    no_data: bool = False
    """Do without the data: the table alone."""


def main(argv: list[str]) -> None:
    """The command."""
    from jaxclust.report import export

    given: Export = read(Export, "jaxclust export", argv, Export.__doc__ or "", tyro.conf.FlagCreatePairsOff)
    run, out = paths.local(given.run), paths.local(given.out, "exports")
    config = lifecycle.read_config(run)
    if config["state"] != lifecycle.COMPLETE:
        raise InputError(f"{run}: the run is {config['state']}, not complete: go on with fit ... --resume")
    if given.no_data and given.data is not None:
        raise InputError("--data and --no-data exclude each other: choose one")
    if not 0 < given.below <= 1:
        raise InputError(f"--below is {given.below}: give a probability above 0 and up to 1")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the directory {out.parent} does not exist: make it first")
    features = runs.preprocess_of(run).kind == "features" and given.data is None
    dataset = None if given.no_data or features else fitted_to(run, config, given.data, "--data DATA")
    only, but = (
        [word.strip() for words in option for word in words.split(",") if word.strip()]
        for option in (given.only, given.but)
    )
    made = export.write(run, out, dataset, only=only, but=but, below=given.below, copy=given.copy, table=given.table)
    pictured = f", images in {made.folders} folders" if made.folders else ""
    print(f"{made.n:,} examples in {made.out}{pictured}", file=sys.stderr)
