"""Tables of images: of paths in a column, or of the files themselves, and perhaps of their classes and split."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data.readers import arrow, encoded, folders, frames, kinds, lists, tables
from jaxclust.data.readers.arrow import Table
from jaxclust.data.readers.columns import Roles
from jaxclust.data.readers.files import check_size
from jaxclust.data.readers.found import Found
from jaxclust.data.readers.pixels import Look
from jaxclust.errors import InputError

IDS = ("id", "uuid", "guid", "index")  # titles of numbers that are no features; and what ends in _id
LONGEST = 4096  # characters of a path
SPLIT_CODES = {"0": "train", "1": "test"}

Streamed = Callable[[tuple[int, ...]], bool]


class Listed(NamedTuple):
    """A table of image files: the title of the column of paths or of files, what its columns are for, and the folder
    to which paths are relative. encoded: whether the column holds the files."""

    table: Table
    images: str
    roles: Roles
    base: Path
    encoded: bool


def find(table: Table, folder: Path) -> Listed | None:
    """What a table of image files is made of; None for a table of features.

    It is one where a column holds image files (`encoded.columns`) and none lists of numbers. Or it lists files, where
    one column holds text that names a file or ends as an image's name does, and none holds numbers but those of
    classes, split, ids and a counter of rows. Paths are relative to `folder`, the table's, or, where the first is not
    there, to the current one. Raises InputError where several columns hold or list files.
    """
    roles = tables.roles(table)
    held = [] if roles.lists else encoded.columns(table, roles)
    if held:
        return Listed(table, _only(table, held, "hold image files"), roles, folder, True)
    others = [name for name in table.names if name not in (roles.classes, roles.split, roles.counter)]
    cells = _first_cells(table, others)
    found = [name for name, cell in cells.items() if _is_file(folder, cell)]
    if not found or any(_is_feature(name, cells[name]) for name in others if name not in found):
        return None
    column = _only(table, found, "list files")
    first = os.path.expanduser(cells[column])
    base = folder if os.path.isfile(folder / first) or not os.path.isfile(first) else Path()
    return Listed(table, column, roles, base, False)


def of_frame(frame: Any) -> Listed | None:
    """`find` in a table in memory, where that may be one."""
    return find(frames.table(frame), Path()) if frames.holds_objects(frame) else None


def read(listed: Listed, look: Look, skip_bad: bool, streamed: Streamed) -> Found:
    """The images in the order of the rows, with their classes and split.

    Names are the paths as the table has them. Where it holds the files, names are their paths if all are stated and
    differ, else a column that names examples, else the numbers of the rows, from 0.
    look, skip_bad, streamed: as in `lists.read`. Raises InputError, as that does, and for a cell without a path.
    """
    table, roles = listed.table, listed.roles
    texts = _texts(table, [title for title in (roles.classes, roles.split) if title is not None])
    found, kept = (_files if listed.encoded else _paths)(listed, look, skip_bad, streamed)
    labels, class_names, split = None, None, None
    if roles.classes is not None:
        codes, class_names = _classes(texts[roles.classes])
        labels = codes[kept]
    if roles.split is not None:
        split = np.array([SPLIT_CODES.get(word, word) for word in map(str.lower, texts[roles.split])])[kept]
    return found._replace(labels=labels, class_names=class_names, split=split)


def _only(table: Table, titles: list[str], what: str) -> str:
    if len(titles) > 1:
        both = " and ".join(map(repr, titles))
        raise InputError(f"{table.path}: the columns {both} both {what}: keep the one whose images are to be clustered")
    return titles[0]


def _paths(listed: Listed, look: Look, skip_bad: bool, streamed: Streamed) -> tuple[Found, np.ndarray]:
    """The images of a column of paths, and the rows that were kept."""
    paths = _texts(listed.table, [listed.images])[listed.images]
    if "" in paths:
        row = listed.table.first_row + paths.index("")
        raise InputError(
            f"{listed.table.path}: column {listed.images!r} has no path in row {row}: fill it in, or drop it"
        )
    found, kept = lists.read_paths(paths, listed.base, look, skip_bad, streamed)
    return found._replace(named=listed.images), kept


def _files(listed: Listed, look: Look, skip_bad: bool, streamed: Streamed) -> tuple[Found, np.ndarray]:
    """The images of a column of files, and the rows that were kept."""
    listing, paths = encoded.listing(listed.table, listed.images, listed.base)
    stored = bool(listing.files) and streamed(folders.shape_of(listing, look.image_size))
    found = folders.read(listing, look, skip_bad=skip_bad, stored=stored, labelled=False)
    assert found.names is not None
    kept = found.names.astype(np.int64)
    titles = listed.roles.names
    columns = [(listed.images, paths), *_texts(listed.table, titles).items()]
    named, names = next(
        ((title, texts) for title, texts in columns if all(texts) and len(set(texts)) == len(texts)),
        ("row", list(map(str, range(len(paths))))),
    )
    skipped = tuple((names[int(row)], reason) for row, reason in found.skipped)
    return found._replace(names=np.array(names, object)[kept], named=named, skipped=skipped), kept


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


def _is_file(folder: Path, cell: str) -> bool:
    if not cell or "\n" in cell or len(cell) > LONGEST or _is_number(cell):
        return False
    path = os.path.expanduser(cell)
    return cell.lower().endswith(kinds.SUFFIXES) or os.path.isfile(folder / path) or os.path.isfile(path)


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
