"""The examples of a run as folders of images, one a cluster, and as a table that other programs read."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust import runs
from jaxclust.data import prepare
from jaxclust.data.dataset import Dataset
from jaxclust.data.readers import tables
from jaxclust.errors import InputError, nearest
from jaxclust.models import Assignments
from jaxclust.report import maps
from jaxclust.runs import cluster_table
from jaxclust.system import atomic, paths

NOISE, UNCERTAIN = "noise", "uncertain"
TABLE = "examples"  # and .csv or .parquet


class Exported(NamedTuple):
    """How an export came out: the examples that it lists, and its images: links, copies or PNGs of arrays."""

    out: Path
    n: int
    images: int
    folders: int


def write(
    run: Path,
    out: Path,
    dataset: Dataset | None,
    *,
    only: Sequence[str] = (),
    but: Sequence[str] = (),
    below: float = 0.9,
    copy: bool = False,
    table: str = "csv",
) -> Exported:
    """Writes `out`, a directory that does not exist or is empty.

    dataset: what the run was fitted to; without it there is the table alone.
    only: numbers or names of clusters, 'noise', 'uncertain'; all clusters by default.  but: of these nothing.
    below: the largest probability up to which an example is uncertain.  copy: files, and not links to them.
    table: 'csv' or 'parquet'. Raises InputError for what there is not, and where `out` is not free.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already, and not empty: choose another DIR")
    assigned, names = runs.load_assignments(run), runs.cluster_names(run)
    chosen = selected(assigned, names, only, but, below)
    rows = np.unique(np.concatenate(list(chosen.values())))
    images = dataset is not None and dataset.images.ndim == 4
    part = out.with_name(f".{out.name}-{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        _write_table(part / f"{TABLE}.{table}", run, assigned, names, dataset, rows)
        if (run / cluster_table.NAME).is_file():
            shutil.copyfile(run / cluster_table.NAME, part / cluster_table.NAME)
        if images and dataset is not None:
            place = _placer(run, dataset, copy)
            for folder, of in chosen.items():
                _fill(part / folder, of, dataset, place)
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(out, len(rows), sum(map(len, chosen.values())) if images else 0, len(chosen) if images else 0)


def selected(
    assigned: Assignments, names: Sequence[str], only: Sequence[str], but: Sequence[str], below: float
) -> dict[str, np.ndarray]:
    """Names of folders with the rows that they hold. Raises InputError for a cluster that there is not."""
    every = [str(cluster) for cluster in range(assigned.probabilities.shape[1])]
    found = _groups(assigned, names, "--only", only or every, below)
    if not but:
        return found
    left_out = np.unique(np.concatenate(list(_groups(assigned, names, "--but", but, below).values())))
    rest = {folder: np.setdiff1d(rows, left_out) for folder, rows in found.items()}
    rest = {folder: rows for folder, rows in rest.items() if len(rows)}
    if not rest:
        raise InputError(f"--but {','.join(but)}: leaves nothing to export: leave out less")
    return rest


def _groups(
    assigned: Assignments, names: Sequence[str], option: str, words: Sequence[str], below: float
) -> dict[str, np.ndarray]:
    """The rows of clusters, by number or name, of noise, and of what is uncertain."""
    k = assigned.probabilities.shape[1]
    found: dict[str, np.ndarray] = {}
    for word in words:
        if word == NOISE:
            found[NOISE] = np.flatnonzero(assigned.noise)
        elif word == UNCERTAIN:
            found[UNCERTAIN] = np.flatnonzero(assigned.probabilities.max(1) < below)
        else:
            for cluster in _clusters(option, word, k, names):
                name = _slug(names[cluster]) if names else ""
                digits = len(str(k - 1))
                found[f"{cluster:0{digits}d}{'-' if name else ''}{name}"] = np.flatnonzero(assigned.labels == cluster)
    return found


def _clusters(option: str, word: str, k: int, names: Sequence[str]) -> list[int]:
    """The clusters of that number or name."""
    if word.isascii() and word.isdigit() and int(word) < k:
        return [int(word)]
    if called := [cluster for cluster, name in enumerate(names) if name == word]:
        return called
    known = [name for name in (NOISE, UNCERTAIN, *names) if name]
    raise InputError(f"{option} {word}: there is no such cluster: give 0 to {k - 1}, {NOISE}, {UNCERTAIN}"
                     f"{' or a name' if any(names) else ''}{nearest(word, known)}")  # fmt: skip


def _write_table(
    path: Path, run: Path, assigned: Assignments, names: Sequence[str], dataset: Dataset | None, rows: np.ndarray
) -> None:
    """A line for each example: where it lies on the map, if there is one, its cluster, how sure that is, its name."""
    columns: dict[str, Any] = {"index": rows}
    if (run / maps.NAME).is_file():
        columns |= dict(zip("xy", maps.of_run(run, assigned.embedding)[rows].T, strict=True))
    labels = assigned.labels[rows]
    columns |= {
        "cluster": labels,
        **({"cluster_name": [names[k] for k in labels]} if any(names) else {}),
        "probability": assigned.probabilities[rows].max(1),
        "noise": assigned.noise[rows].astype(np.int8),
        **({} if assigned.typicality is None else {"typicality": assigned.typicality[rows]}),
    }
    if dataset is not None and dataset.labels is not None and (dataset.labels >= 0).any():
        called = dataset.class_names
        columns["class"] = ["" if c < 0 else str(c) if called is None else called[c] for c in dataset.labels[rows]]
    if assigned.names is not None:
        columns[runs.title_of_names(assigned.named)] = list(assigned.names[rows])
    if path.suffix == ".csv":
        cells = ([f"{v:.6f}" for v in of] if np.asarray(of).dtype.kind == "f" else of for of in columns.values())
        runs.write_table(path, tuple(columns), zip(*cells, strict=True))
        return
    import pyarrow
    from pyarrow import parquet

    text = {title: [_unicode(cell) for cell in of] if isinstance(of, list) else of for title, of in columns.items()}
    made = pyarrow.table(text)
    atomic.write(path, lambda file: parquet.write_table(made, file))


Place = Callable[[int, Path], None]


def _placer(run: Path, dataset: Dataset, copy: bool) -> tuple[Mapping[int, Path], Place]:
    """The files of those rows that are files, and what puts a row at a path: a link, a copy, or a PNG of its pixels."""
    files = sources_of(dataset)
    preprocess = runs.preprocess_of(run)

    def place(row: int, path: Path) -> None:
        if row in files and copy:
            shutil.copyfile(files[row], path)
        elif row in files:
            try:
                path.symlink_to(files[row].resolve())
            except OSError as error:
                raise InputError(f"{path.parent}: holds no links ({error.strerror}): give --copy") from error
        else:
            from PIL import Image

            pixels = prepare.quantise(np.asarray(dataset.images[row : row + 1]), preprocess.low, preprocess.high)[0]
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            atomic.write(path, lambda file: picture.save(file, format="PNG"))

    return files, place


def sources_of(dataset: Dataset) -> dict[int, Path]:
    """The image files that rows were read from, where they are files: of a folder, or of a table that lists them."""
    if dataset.names is None or paths.is_url(dataset.name):
        return {}
    root = paths.expanded(dataset.name)
    if root.is_dir():
        bases = [root]
    elif root.is_file() and tables.is_table(root):
        bases = [root.parent, Path()]
    else:
        return {}
    found = {}
    for row, name in enumerate(dataset.names):
        path = next((path for base in bases if (path := base / paths.expanded(name)).is_file()), None)
        if path is not None:
            found[row] = path
    return found


def _fill(folder: Path, rows: np.ndarray, dataset: Dataset, placer: tuple[Mapping[int, Path], Place]) -> None:
    """One folder. A name that several rows have begins with the number of the row."""
    files, place = placer
    folder.mkdir()
    called = {row: files[row].name if row in files else _png(dataset, row) for row in map(int, rows)}
    often = Counter(name.casefold() for name in called.values())
    for row, name in called.items():
        place(row, folder / (name if often[name.casefold()] == 1 else f"{row}-{name}"))


def _png(dataset: Dataset, row: int) -> str:
    name = "" if dataset.names is None else _slug(Path(dataset.names[row]).stem)
    return f"{row:06d}{'-' if name else ''}{name}.png"


def _slug(name: str) -> str:
    """Letters and digits of any script, for a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.UNICODE).strip("-.")[:60].encode("utf-8", "ignore").decode()


def _unicode(cell: Any) -> str:
    return str(cell).encode("utf-8", "backslashreplace").decode()
