"""The files of a run: the model and what is kept about the examples, written and read back."""

import csv
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import chain, repeat
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from jaxclust import outliers, trees
from jaxclust.data import prepare
from jaxclust.errors import InputError, RunExists
from jaxclust.levels import Levels
from jaxclust.methods import find
from jaxclust.methods.base import Model
from jaxclust.methods.shared import edited
from jaxclust.models import Assignments, Fitted
from jaxclust.numerics import usual_settings
from jaxclust.outliers import Outliers
from jaxclust.runs import cluster_table, formats, lifecycle
from jaxclust.runs.lifecycle import COMPLETE
from jaxclust.system import atomic, environment
from jaxclust.train.checkpoint import load_dicts, save_dicts

SKIPPED = "skipped.csv"  # what was left out, and why
DAMAGE = (KeyError, TypeError, ValueError, EOFError, OSError)  # what reading a damaged file raises
SUM = "sum"  # in model.json
LEVELS, OUTLIERS = "levels.npz", "outliers.npz"  # beside model.json
COLUMNS = ("index", "label", "probability", "noise", "label_by_reconstruction", "typicality")
ERRORS = "surrogateescape"  # of listings: bytes of a file's name that are no UTF-8 are written and read as they are


def save(
    directory: Path,
    fitted: Fitted,
    assigned: Assignments,
    config: Mapping[str, Any],
    table: cluster_table.Table,
    *,
    overwrite: bool = False,
) -> None:
    """What was fitted in Python, as a complete run without metrics and figures.

    config: what else config.json shall hold.  table: clusters.csv.
    Raises RunExists or InputError if `directory` is not empty, unless `overwrite` is set and it holds a run.
    """
    described = {
        "method": fitted.method,
        "config": fitted.config,
        "preprocess": asdict(fitted.preprocess),
        **config,
        "versions": environment.versions(),
        "devices": environment.devices(),
    }
    try:
        begun = lifecycle.begin(directory, described, overwrite=overwrite)
    except RunExists as error:
        raise RunExists(f"{directory}: already holds a run: give another directory, or overwrite=True") from error
    with lifecycle.marked(begun):
        write_assignments(directory, assigned)
        write_clusters(directory, table)
        write_model(directory / "model", fitted)
        lifecycle.complete(directory)


@usual_settings()
def load(directory: Path) -> Fitted:
    """The model of a complete run. Raises InputError, naming the file, where there is none."""
    config = lifecycle.read_config(directory)
    if config["state"] != COMPLETE:
        raise InputError(f"{directory}: the run is {config['state']}, not complete: go on with fit ... --resume")
    path = directory / "model" / "model.json"
    saved = lifecycle.read_json(path)
    format = formats.check(saved.get("format"), path)
    try:
        method, meta = saved["method"], saved["meta"]
        if saved.get(SUM, own := _sum(saved)) != own:  # models of earlier versions have none
            raise ValueError(f"{path.name} is not as it was written")
        if method != config["method"]:
            raise ValueError(f"it is of {method!r} where config.json says {config['method']!r}")
        if "config" in meta:
            meta = {**meta, "config": formats.translated(format, method, meta["config"])}
        preprocess = prepare.Preprocess(**saved["preprocess"])
        model = Model(meta, load_dicts(directory / "model" / "arrays"), edited.restore(find(method), meta))
        levels = _read_levels(directory / "model" / LEVELS)
        settings = formats.translated(format, method, config["config"])
        names = tuple(map(str, saved.get("cluster_names", ())))
        known = _read_outliers(directory, int(saved["n_clusters"]))
        return Fitted(method, settings, preprocess, int(saved["n_clusters"]), model, levels, names, known)
    except InputError:
        raise
    except DAMAGE as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"{directory / 'model'}: damaged ({first}): fit again") from error


def preprocess_of(directory: Path) -> prepare.Preprocess:
    """How a run prepared its data, as config.json tells. Raises InputError where it is damaged."""
    config = lifecycle.read_config(directory)
    try:
        return prepare.Preprocess(**config["preprocess"])
    except DAMAGE as error:
        raise InputError(f"{directory / 'config.json'}: its 'preprocess' is damaged ({error}): fit again") from error


def cluster_names(directory: Path) -> tuple[str, ...]:
    """What a user calls the clusters of a run, '' for those without a name; empty where none has one."""
    path = directory / "model" / "model.json"
    return tuple(map(str, lifecycle.read_json(path).get("cluster_names", ()))) if path.is_file() else ()


def load_assignments(directory: Path) -> Assignments:
    """What a complete run keeps about the examples that it was fitted to."""
    try:
        with open(directory / "assignments.csv", encoding="utf-8", errors=ERRORS, newline="") as file:
            reader = csv.DictReader(file)
            rows, titles = list(reader), reader.fieldnames or ()
        named = next((title for title in titles if title not in COLUMNS), None)
        opinion = [row["label_by_reconstruction"] for row in rows]
        typical = [row.get("typicality") for row in rows]  # runs of earlier versions have none
        assigned = Assignments(
            np.array([int(row["label"]) for row in rows], np.int32),
            np.load(directory / "probabilities.npy", allow_pickle=False),
            np.array([row["noise"] == "1" for row in rows], bool),
            np.load(directory / "embedding.npy", allow_pickle=False),
            np.array(opinion, np.int32) if all(opinion) else None,
            None if named is None else np.array([row[named] for row in rows], object),
            named or "name",
            np.array(typical, np.float32) if all(typical) else None,
        )
        n, k = assigned.probabilities.shape
        if not len(rows) == n == len(assigned.embedding) or not 0 <= assigned.labels.min() <= assigned.labels.max() < k:
            raise ValueError(f"{len(rows)} rows for {n} examples in {k} clusters")
        return assigned
    except DAMAGE as error:
        raise InputError(f"{directory}: assignments are damaged ({error}): fit again") from error


def write_table(path: Path, header: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
    """Rows as a CSV file, one at a time: the text of all of them would take more memory than they do."""

    def fill(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", errors=ERRORS, newline="")
        print_table(text, header, rows)
        text.detach()

    atomic.write(path, fill)


def print_table(text: TextIO, header: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
    """Rows as CSV lines."""
    plain, quoted = (csv.writer(text, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in chain((header,), rows):  # before Python 3.13 a carriage return alone is not quoted
        (quoted if any(isinstance(cell, str) and "\r" in cell for cell in row) else plain).writerow(row)


def title_of_names(named: str) -> str:
    """The title of the column of names: `named`, or 'name' where a listing has a column of its own called so."""
    return "name" if named in COLUMNS or not named.strip() else named


def write_assignments(out: Path, assigned: Assignments) -> None:
    """assignments.csv, its names in the last column, and the arrays beside it."""
    n = len(assigned.labels)
    columns: tuple[Iterable[object], ...] = (
        range(n),
        assigned.labels,
        (f"{p:.6f}" for p in assigned.probabilities.max(1)),
        assigned.noise.astype(np.int8),
        repeat("", n) if assigned.reconstruction is None else assigned.reconstruction,
        repeat("", n) if assigned.typicality is None else (f"{share:.4g}" for share in assigned.typicality),
    )
    header: tuple[str, ...] = COLUMNS
    if assigned.names is not None:
        header, columns = (*COLUMNS, title_of_names(assigned.named)), (*columns, assigned.names)
    atomic.write_array(out / "embedding.npy", np.asarray(assigned.embedding, np.float32))
    atomic.write_array(out / "probabilities.npy", np.asarray(assigned.probabilities, np.float32))
    write_table(out / "assignments.csv", header, zip(*columns, strict=True))


def read_levels(directory: Path, metrics: Mapping[str, Any], probabilities: np.ndarray) -> dict[int, np.ndarray]:
    """Labels (n,) of coarser and finer clusterings, by their number of clusters: of levels.npz, or a tree's cuts.

    Raises InputError where the file is damaged.
    """
    path = directory / LEVELS
    if path.is_file():
        try:
            kept = atomic.read_arrays(path)
            return {k: kept[str(k)] for k in sorted(map(int, kept))}
        except DAMAGE as error:
            raise InputError(f"{path}: is damaged ({error}): delete it, or fit again") from error
    splits = (metrics.get("summary", {}).get("tree") or {}).get("splits")
    if not splits:
        return {}
    numbers = range(2, probabilities.shape[1])
    return {k: (probabilities @ trees.cut(splits, k)).argmax(1).astype(np.int32) for k in numbers}


def write_levels(out: Path, levels: Mapping[int, np.ndarray]) -> None:
    """levels.npz, where there are any."""
    if levels:
        atomic.write_arrays(out / LEVELS, {str(k): of for k, of in levels.items()})


def write_clusters(out: Path, table: cluster_table.Table) -> None:
    """clusters.csv."""
    write_table(out / cluster_table.NAME, *cluster_table.lines(table))


def read_clusters(directory: Path) -> cluster_table.Table | None:
    """clusters.csv of a run, None where there is none. Raises InputError where it is damaged."""
    path = directory / cluster_table.NAME
    if not path.is_file():
        return None
    try:
        with open(path, encoding="utf-8", errors=ERRORS, newline="") as file:
            return cluster_table.parsed(csv.DictReader(file))
    except DAMAGE as error:
        raise InputError(f"{path}: is damaged ({error}): delete it, or fit again") from error


def _read_levels(path: Path) -> Levels | None:
    if not path.is_file():
        return None
    return Levels(**atomic.read_arrays(path))


def _read_outliers(directory: Path, n_clusters: int) -> Outliers | None:
    """The statistics of a run's examples; of the examples themselves, where an earlier version wrote none."""
    path = directory / "model" / OUTLIERS
    if path.is_file():
        found = Outliers(**atomic.read_arrays(path))
        if len(found.mean) != n_clusters:
            raise ValueError(f"{path.name} is of {len(found.mean)} clusters, the model of {n_clusters}")
        return found
    kept = [directory / "embedding.npy", directory / "probabilities.npy"]
    if not all(file.is_file() for file in kept):
        return None
    embedding, probabilities = (np.load(file, allow_pickle=False) for file in kept)
    return outliers.of_fit(embedding, probabilities)


def write_model(directory: Path, fitted: Fitted) -> None:
    save_dicts(directory / "arrays", fitted.model.arrays)
    if fitted.outliers is not None:
        atomic.write_arrays(directory / OUTLIERS, fitted.outliers._asdict())
    if fitted.levels is not None:
        atomic.write_arrays(directory / LEVELS, fitted.levels._asdict())
    saved = {
        "format": formats.FORMAT,
        "method": fitted.method,
        "n_clusters": fitted.n_clusters,
        "preprocess": asdict(fitted.preprocess),
        "meta": dict(fitted.model.meta),
        **({"cluster_names": fitted.cluster_names} if fitted.cluster_names else {}),
    }
    saved = atomic.plain(saved)
    atomic.write_json(directory / "model.json", {**saved, SUM: _sum(saved)})


def _sum(saved: Mapping[str, Any]) -> int:
    """CRC-32 of what model.json holds beside it: a value that was changed by accident could suit all the same."""
    held = {name: value for name, value in saved.items() if name != SUM}
    return zlib.crc32(json.dumps(held, sort_keys=True).encode())
