"""Columns of a table that hold image files themselves, as bytes, or as {bytes, path} as Hugging Face writes them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from jaxclust.data.readers import arrow, kinds, shards
from jaxclust.data.readers.archives import Store
from jaxclust.data.readers.arrow import Table
from jaxclust.data.readers.columns import FILES, Roles
from jaxclust.data.readers.kinds import Unreadable
from jaxclust.data.readers.left_out import OTHER_KIND
from jaxclust.data.readers.listing import File, Listing, of_path

LOOKED_AT = 100  # cells, one of which holds something


def columns(table: Table, roles: Roles) -> list[str]:
    """The columns whose first cell holds an image file, or names one that is kept beside the table."""
    if table.types is None:
        return []
    import pyarrow.types as pt

    kinds_of = table.types
    able = [n for n, kind in roles.aside.items() if kind == FILES or any(test(kinds_of[n]) for test in _tests(pt))]
    return [name for name in able if _is_image(next(_cells(table, name, LOOKED_AT), None))]


def listing(table: Table, column: str, folder: Path) -> tuple[Listing, list[str]]:
    """The image files of a column, row by row and named '0', '1', ..., and the path that each cell states, or ''.

    Their bytes are kept in a temporary file. A cell without bytes names a file, relative to `folder`; one without both
    is a file that cannot be read. Raises InputError where the disk has no room.
    """
    places: list[tuple[int, int] | None] = []
    paths: list[str] = []

    def pieces() -> Iterator[bytes]:
        end = 0
        for data, path in _cells(table, column):
            paths.append(path)
            places.append(None if data is None else (end, len(data)))
            if data is not None:
                end += len(data)
                yield data

    store = Store(shards.temporary(pieces()))
    files = []
    for row, (place, path) in enumerate(zip(places, paths, strict=True)):
        called = f"{table.path}, row {table.first_row + row}"
        if place is not None:
            files.append(File(str(row), called, partial(store.open, *place)))
        elif path:
            files.append(of_path((folder / path).absolute(), str(row))._replace(place=f"{called} ({path})"))
        else:
            files.append(File(str(row), called, _nothing))
    return Listing(str(table.path), files, []), paths


def _tests(types: Any) -> tuple[Any, ...]:
    return types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary


def _cells(table: Table, column: str, most: int | None = None) -> Iterator[tuple[bytes | None, str]]:
    """Bytes and path of each cell; of the first `most` cells only those that hold something."""
    import pyarrow as pa

    for batch in table.batches([column]):
        cells = arrow.plain(batch.column(column)).slice(0, most)
        if most is None:
            shards.check_disk(cells.nbytes)
        for cell in cells:
            if pa.types.is_struct(cell.type):
                held = cell.as_py() or {}
                data, path = held.get("bytes"), held.get("path") or ""
            else:
                data, path = cell.as_py(), ""
            if most is None or data is not None or path:
                yield data or None, str(path)
        if most is not None and batch.num_rows:
            return


def _is_image(cell: tuple[bytes | None, str] | None) -> bool:
    if cell is None:
        return False
    data, path = cell
    if data is None:
        return path.lower().endswith(kinds.SUFFIXES)
    return kinds.left_out("", partial(bytes, data[: kinds.HEAD])) != OTHER_KIND


def _nothing() -> IO[bytes]:
    raise Unreadable("the cell is empty", "fill it in, or pass --skip-bad")
