"""Tables that list image files: a column of paths, and perhaps columns of classes and of the split."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data.readers import arrow, kinds, lists, tables
from jaxclust.data.readers.arrow import Table
from jaxclust.data.readers.files import check_size
from jaxclust.data.readers.found import Found
from jaxclust.data.readers.pixels import Look
from jaxclust.errors import InputError

IDS = ("id", "uuid", "guid", "index")  # titles of numbers that are no features; and what ends in _id
LONGEST = 4096  # characters of a path
SPLIT_CODES = {"0": "train", "1": "test"}


class Listed(NamedTuple):
    """A table of image files: the titles of its columns of paths, classes and split, and the folder of the paths."""

    table: Table
    paths: str
    classes: str | None
    split: str | None
    base: Path


def find(path: Path) -> Listed | None:
    """What a table of image files is made of; None for a table of features.

    It lists files where one column holds text that names a file or ends as an image's name does, and none holds numbers
    but those of classes, split, ids and a counter of rows. Paths are relative to the table's folder, or, where the
    first is not there, to the current one. Raises InputError where several columns list files.
    """
    table = arrow.open_table(path)
    roles = tables.roles(table)
    others = [name for name in table.names if name not in (roles.classes, roles.split, roles.counter)]
    cells = _first_cells(table, others)
    found = [name for name, cell in cells.items() if _is_file(path, cell)]
    if not found or any(_is_feature(name, cells[name]) for name in others if name not in found):
        return None
    if len(found) > 1:
        titles = " and ".join(map(repr, found))
        raise InputError(f"{path}: the columns {titles} both list files: keep the one whose images are to be clustered")
    first = os.path.expanduser(cells[found[0]])
    base = path.parent if os.path.isfile(path.parent / first) or not os.path.isfile(first) else Path()
    return Listed(table, found[0], roles.classes, roles.split, base)


def read(listed: Listed, look: Look, skip_bad: bool, streamed: Callable[[tuple[int, ...]], bool]) -> Found:
    """The images in the order of the rows, with their classes and split; names are the paths as the table has them.

    look, skip_bad, streamed: as in `lists.read`. Raises InputError, as that does, and for a cell without a path.
    """
    wanted = [title for title in (listed.paths, listed.classes, listed.split) if title is not None]
    texts = _texts(listed.table, wanted)
    paths = texts[listed.paths]
    if "" in paths:
        row = listed.table.first_row + paths.index("")
        raise InputError(
            f"{listed.table.path}: column {listed.paths!r} has no path in row {row}: fill it in, or drop it"
        )
    found, kept = lists.read_paths(paths, listed.base, look, skip_bad, streamed)
    labels, class_names, split = None, None, None
    if listed.classes is not None:
        codes, class_names = _classes(texts[listed.classes])
        labels = codes[kept]
    if listed.split is not None:
        split = np.array([SPLIT_CODES.get(word, word) for word in map(str.lower, texts[listed.split])])[kept]
    return found._replace(labels=labels, class_names=class_names, split=split, named=listed.paths)


def _texts(table: Table, titles: list[str]) -> dict[str, list[str]]:
    """Columns as trimmed text, '' where there is nothing."""
    texts: dict[str, list[str]] = {title: [] for title in titles}
    size = 0
    for batch in table.batches(titles):
        size += batch.nbytes
        check_size(f"{table.path} (text of its rows)", size, "give a part of it")
        for title in titles:
            texts[title] += [_text(cell) for cell in arrow.plain(batch.column(title)).to_pylist()]
    return texts


def _first_cells(table: Table, titles: list[str]) -> dict[str, str]:
    """The first cell of each column that holds something, as text, among the first rows."""
    batch = next((batch for batch in table.batches(titles) if batch.num_rows), None) if titles else None
    if batch is None:
        return dict.fromkeys(titles, "")
    columns = {title: arrow.plain(batch.column(title).slice(0, 100)).to_pylist() for title in titles}
    return {title: next((_text(cell) for cell in cells if _text(cell)), "") for title, cells in columns.items()}


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _is_file(table: Path, cell: str) -> bool:
    if not cell or "\n" in cell or len(cell) > LONGEST or _is_number(cell):
        return False
    path = os.path.expanduser(cell)
    return cell.lower().endswith(kinds.SUFFIXES) or os.path.isfile(table.parent / path) or os.path.isfile(path)


def _is_feature(title: str, cell: str) -> bool:
    """Whether a column whose first cell is that may be a feature."""
    plain = title.strip().casefold()
    return _is_number(cell.strip("[]()").partition(",")[0]) and plain not in IDS and not plain.endswith("_id")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _classes(words: list[str]) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Class of each row, -1 where nothing is stated, and the names where they are not whole numbers."""
    try:
        return np.array([int(float(word)) if word else -1 for word in words], np.int64), None
    except (ValueError, OverflowError):
        names = sorted({word for word in words if word})
        codes = {name: code for code, name in enumerate(names)}
        return np.array([codes.get(word, -1) for word in words], np.int64), tuple(names)
