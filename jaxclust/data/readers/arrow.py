"""pyarrow's readers of CSV and Parquet, one batch of rows at a time, with errors in one line that names the file."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxclust.errors import InputError

CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET = (".parquet",)
BATCH_BYTES = 1 << 23  # of a CSV's text, or of a Parquet file's numbers: a row cannot be longer
OWN_COLUMNS = "__index_level_"  # what pandas adds to hold a data frame's row names


class Table(NamedTuple):
    """A table on disk.

    names: of its columns, in their order.  first_row: number of its first example's row, as spreadsheets count.
    typed: whether its columns have types of their own; those of a CSV are text.
    batches: of the columns of those names (perhaps of others too), `pyarrow.RecordBatch` by `RecordBatch`, in order.
    """

    path: Path
    names: tuple[str, ...]
    first_row: int
    typed: bool
    batches: Callable[[list[str]], Iterator[Any]]


def open_table(path: Path) -> Table:
    """The table's header. Raises InputError if it cannot be read, or where pyarrow is not installed."""
    try:
        for name in ("csv", "parquet"):
            importlib.import_module(f"pyarrow.{name}")
    except ImportError as error:
        raise InputError(
            f"{path}: tables need pyarrow, which cannot be imported ({error}): pip install pyarrow"
        ) from error
    return _open_parquet(path) if path.name.lower().endswith(PARQUET) else _open_csv(path)


def is_tsv(path: Path) -> bool:
    """Whether tabs separate the cells, by the file's name."""
    return path.name.lower().removesuffix(".gz").endswith(".tsv")


def plain(column: Any) -> Any:
    """The column without dictionary, and strings of every kind as `pyarrow.string()`."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string()) if column.type in (pa.large_string(), pa.string_view()) else column


def _open_parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    def opened() -> Any:
        return pq.ParquetFile(path, memory_map=False, pre_buffer=False)

    def batches(names: list[str]) -> Iterator[Any]:
        with opened() as file:
            size = max(1, BATCH_BYTES // (8 * len(names)))
            yield from file.iter_batches(size, columns=names, use_threads=False)

    def header() -> Iterator[Any]:
        with opened() as file:
            yield from file.schema_arrow.names

    names = tuple(name for name in _explained(path, header) if not name.startswith(OWN_COLUMNS))
    if not names:
        raise InputError(f"{path}: the table has no columns: give at least one feature")
    return Table(path, names, 1, True, lambda names: _explained(path, lambda: batches(names)))


def _open_csv(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.csv as pc

    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "error"

    def opened(convert: Any) -> Any:
        return pc.open_csv(
            path,
            pc.ReadOptions(use_threads=False, block_size=BATCH_BYTES),
            pc.ParseOptions(delimiter="\t" if is_tsv(path) else ",", newlines_in_values=True, invalid_row_handler=note),
            convert,
        )

    def batches(names: list[str]) -> Iterator[Any]:
        text = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=names)
        with opened(text) as reader:
            yield from reader

    def header() -> Iterator[str]:
        with opened(None) as reader:
            yield from reader.schema.names

    def explained(read: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        try:
            yield from _explained(path, read)
        except InputError as error:
            if not ragged:
                raise
            row = ragged[0]
            raise InputError(
                f"{path}: row {row.number} has {row.actual_columns} cells where the header has {row.expected_columns}: "
                "give every row as many, quoting text that holds commas"
            ) from error

    return Table(path, tuple(explained(header)), 2, False, lambda names: explained(lambda: batches(names)))


def _explained(path: Path, read: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """What `read()` yields, with pyarrow's errors as InputError. The system's own (permissions) pass."""
    import pyarrow as pa

    try:
        yield from read()
    except MemoryError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the header is not UTF-8: save the table as UTF-8") from error
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise
        text = " ".join(str(error).split())[:120]
        if "invalid UTF8" in text:
            raise InputError(f"{path}: a cell is not UTF-8 ({text}): save the table as UTF-8") from error
        raise InputError(f"{path}: the table is empty, truncated or damaged: {text}; write it again") from error
