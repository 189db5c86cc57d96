"""`jaxclust edit RUN edits.json`: clusters merged, split and named; a new run, whose parent stays as it is."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jaxclust.cli.fit import LISTED, drawer, write_page
from jaxclust.cli.options import read
from jaxclust.cli.report import fitted_to
from jaxclust.cli.tables import columns
from jaxclust.errors import InputError
from jaxclust.runs import artefacts, cluster_table, edited_run, edits, lifecycle
from jaxclust.runs.edited_run import Asked
from jaxclust.runs.editing import Edited
from jaxclust.runs.edits import Edits
from jaxclust.system import environment, paths
from jaxclust.train.progress import Silent, Terminal

Words = tyro.conf.UseAppendAction[tuple[str, ...]]


@dataclass(frozen=True)
class Edit:
    """Merge, split and name the clusters of a run: a new run, which labels, draws and reports by the new clusters.

    The run stays as it is; the new one's config.json names it as its parent. To undo is to go back to it."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Directory that fit or edit made."""
    edits: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[EDITS]")] = None
    """The edits.json that the run's page saved; or its clusters.csv, whose names you changed."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Directory of the new run; RUN-edited if not given."""
    merge: Annotated[Words, tyro.conf.arg(metavar="A,B,...")] = ()
    """Clusters that become one; may be given several times."""
    split: Annotated[Words, tyro.conf.arg(metavar="A,...")] = ()
    """Clusters that become several."""
    into: Annotated[int | None, tyro.conf.arg(metavar="K")] = None
    """How many parts each of --split has; found if not given."""
    rename: Annotated[Words, tyro.conf.arg(metavar="A=NAME")] = ()
    """What a cluster is called; may be given several times."""
    recluster: Annotated[str | None, tyro.conf.arg(metavar="noise")] = None
    """'noise': find clusters among the examples that are noise."""
    data: Annotated[str | None, tyro.conf.arg(metavar="DATA")] = None
    """What the run was fitted to, for figures, page and scores; if not given, where fit found it."""
    no_data: bool = False
    """Do without the data: no figures, and a page without images and classes."""
    no_figures: bool = False
    """Draw no figures, and write no page."""
    overwrite: bool = False
    """Replace the run in DIR, once the new one is complete."""
    quiet: bool = False
    """Print the table of clusters only."""


def main(argv: list[str]) -> None:
    """The command."""
    given: Edit = read(Edit, "jaxclust edit", argv, Edit.__doc__ or "", tyro.conf.FlagCreatePairsOff)
    run = paths.local(given.run)
    beside = (run if run.name else run.resolve()).with_name(f"{run.resolve().name}-edited")
    out = beside if given.out is None else paths.local(given.out)
    config = lifecycle.read_config(run)
    asked = _asked(given)
    if given.no_data and given.data is not None:
        raise InputError("--data and --no-data exclude each other: choose one")
    environment.start_jax()
    report = Silent() if given.quiet else Terminal()
    environment.enable_compilation_cache(report.note)
    dataset = None if given.no_data else fitted_to(run, config, given.data, "--data DATA")
    draw = None if given.no_figures else drawer(config.get("seed", 0), report)
    made = edited_run.make(run, asked, out, dataset, overwrite=given.overwrite, report=report, draw=draw)
    if not given.no_figures:
        write_page(out, dataset, report)
    for line in made.told:
        print(line, file=sys.stderr)
    print(_table(made))
    if text := cluster_table.text(artefacts.read_clusters(out) or cluster_table.Table(), LISTED):
        print(f"\n{text}")
    print(f"\nrun  {out}")


def _asked(given: Edit) -> Asked:
    """What the file and the options ask for together. Raises InputError for what is no edit."""
    asked = Asked(Edits(), "jaxclust edit")
    if given.edits is not None:
        path = paths.local(given.edits, "edits")
        if path.name.isdigit() and not path.exists():
            raise InputError(f"{path}: is no file of edits: write clusters with commas between them, --merge 3,7")
        asked = Asked(*_of_file(path))
    if given.recluster not in (None, edits.NOISE):
        raise InputError(f"--recluster is {given.recluster!r}: give {edits.NOISE}")
    if given.into is not None and not given.split and not asked.edits.split:
        raise InputError("--into is for --split: give that too")
    own = Edits(
        dict(_named(word) for word in given.rename),
        tuple(_numbers(word, "--merge") for word in given.merge),
        tuple(k for word in given.split for k in _numbers(word, "--split")),
        "auto" if given.into is None else given.into,
        given.recluster is not None,
    )
    return asked._replace(edits=_joined(asked.edits, own))


def _of_file(path: Path) -> tuple[Edits, str, dict[str, object]]:
    found, run = edits.read(path)
    return found, str(path), run


def _joined(file: Edits, own: Edits) -> Edits:
    """Both; where both name a cluster the option counts."""
    return Edits(
        {**file.names, **own.names},
        (*file.merge, *own.merge),
        (*file.split, *own.split),
        own.into,
        file.recluster or own.recluster,
    )


def _numbers(word: str, option: str) -> tuple[int, ...]:
    return tuple(edits.number(part, option) for part in word.split(","))


def _named(word: str) -> tuple[int, str]:
    number, equals, name = word.partition("=")
    if not equals:
        raise InputError(f"--rename is {word!r}: give a number and a name, such as 0=cats")
    found = edits.parse({"names": {number: name}}, "--rename").names
    return next(iter(found.items()))


def _table(made: Edited) -> str:
    """Which clusters became which."""
    names: Sequence[str] = made.fitted.cluster_names or [""] * made.fitted.n_clusters
    rows = [("cluster", "before", "name" if any(names) else "")]
    for k, (of, name) in enumerate(zip(made.origin, names, strict=True)):
        rows.append((str(k), ", ".join(map(str, of)) or edits.NOISE, cluster_table.shown(name)))
    return columns(rows)
