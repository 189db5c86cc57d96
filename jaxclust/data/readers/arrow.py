"""Tables of pyarrow, read from CSV, Parquet or Arrow files or held in memory, one batch of rows at a time.

Errors are one line that names the file. What a Parquet file unpacks to is checked before it is read.
"""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxclust.data.readers.files import check_size
from jaxclust.errors import InputError

CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET = (".parquet", ".pq")
ARROW = (".feather", ".arrow", ".ipc")
BATCH_BYTES = 1 << 23  # of a CSV's text, or of a Parquet file's numbers: a row cannot be longer
OWN_COLUMNS = "__index_level_"  # what pandas adds to hold a data frame's row names


class Table(NamedTuple):
    """A table on disk or in memory.

    path: what errors begin with.
    names: of its columns, in their order.
    first_row: number of its first example's row: as spreadsheets count, or 0 in memory.
    types: of the columns, `pyarrow.DataType`; None for a CSV, whose cells are text.
    rows: how many there are; None where they must be counted.
    batches: of the columns of those names (perhaps of others too), `pyarrow.RecordBatch` by `RecordBatch`, in order.
    """

    path: Path | str
    names: tuple[str, ...]
    first_row: int
    types: dict[str, Any] | None
    rows: int | None
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
    name = path.name.lower()
    if name.endswith(PARQUET):
        return _open_parquet(path)
    return _open_arrow(path) if name.endswith(ARROW) else _open_csv(path)


def in_memory(table: Any, what: str = "data") -> Table:
    """A `pyarrow.Table` whose names are distinct, for errors called `what`."""

    def batches(names: list[str]) -> Iterator[Any]:
        yield from table.select(names).to_batches(_rows_in_a_batch(table.nbytes, table.num_rows))

    return Table(what, tuple(table.column_names), 0, _types(table.schema), table.num_rows, batches)


def is_tsv(path: Path | str) -> bool:
    """Whether tabs separate the cells, by the file's name."""
    return Path(path).name.lower().removesuffix(".gz").endswith(".tsv")


def plain(column: Any) -> Any:
    """The column without extension type or dictionary, and strings of every kind as `pyarrow.large_string()`."""
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.large_string()) if column.type in (pa.string(), pa.string_view()) else column


def plain_bytes(column: Any) -> int:
    """Bytes that `plain` of the column takes; a dictionary may be small and its text large."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    words = column.dictionary
    if not pa.types.is_string(words.type) and not pa.types.is_large_string(words.type):
        return 8 * len(column)
    lengths = pc.take(pc.binary_length(words).cast(pa.int64()), column.indices)
    return 8 * len(column) + int(pc.sum(lengths).as_py() or 0)


def _types(schema: Any) -> dict[str, Any]:
    """Type of each column; of an extension type and of a dictionary, that of the values."""
    import pyarrow as pa

    types = {}
    for field in schema:
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        types[field.name] = kind.value_type if pa.types.is_dictionary(kind) else kind
    return types


def _rows_in_a_batch(size: int, rows: int) -> int:
    """So many that they take about BATCH_BYTES, where `rows` take `size` bytes."""
    return max(1, int(BATCH_BYTES * rows / max(1, size)))


def _open_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def opened(dictionaries: Any = None) -> Any:
        return pq.ParquetFile(path, memory_map=False, pre_buffer=False, read_dictionary=dictionaries)

    def batches(names: list[str]) -> Iterator[Any]:
        texts = [name for name in names if pa.types.is_string(types[name])]  # repeated text is held once
        with opened(texts) as file:
            size = max(_unpacked_size(path, file.metadata, names), 8 * len(names) * rows)
            for batch in file.iter_batches(_rows_in_a_batch(size, rows), columns=names, use_threads=False):
                batch.validate(full=True)
                yield batch

    def header() -> Iterator[Any]:
        with opened() as file:
            yield file.schema_arrow.names, _types(file.schema_arrow), file.metadata.num_rows

    [(every, types, rows)] = _explained(path, header)
    names = tuple(name for name in every if not name.startswith(OWN_COLUMNS))
    if not names:
        raise InputError(f"{path}: the table has no columns: give at least one feature")
    return Table(path, names, 1, types, rows, lambda names: _explained(path, lambda: batches(names)))


def _unpacked_size(path: Path, metadata: Any, names: list[str]) -> int:
    """Bytes of those columns unpacked, as the file's footer states. Raises InputError where a part exceeds the limit.

    A part is a column's values in one group of rows, of which the largest page is unpacked at once.
    """
    total = 0
    for place in range(metadata.num_row_groups):
        group = metadata.row_group(place)
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in names or column.path_in_schema.partition(".")[0] in names:
                size = max(column.total_uncompressed_size, 8 * column.num_values)
                check_size(f"{path}: column {column.path_in_schema!r}", size, "write it in smaller groups of rows")
                total += size
    return total


def _open_arrow(path: Path) -> Table:
    import pyarrow as pa

    def opened(stream: Any) -> Any:
        """The file format, which Feather is too, or the stream format."""
        try:
            return pa.ipc.open_file(stream)
        except pa.ArrowInvalid:
            stream.seek(0)
            return pa.ipc.open_stream(stream)

    def whole(reader: Any) -> Iterator[Any]:
        if hasattr(reader, "get_batch"):
            return map(reader.get_batch, range(reader.num_record_batches))
        return iter(reader)

    def batches(names: list[str]) -> Iterator[Any]:
        with pa.OSFile(str(path)) as stream:
            for batch in whole(opened(stream)):
                batch.validate(full=True)
                rows = _rows_in_a_batch(batch.nbytes, batch.num_rows)
                for start in range(0, batch.num_rows, rows):
                    yield batch.select(names).slice(start, rows)

    def header() -> Iterator[Any]:
        with pa.OSFile(str(path)) as stream:
            schema = opened(stream).schema
            yield schema.names, _types(schema)

    [(every, types)] = _explained(path, header)
    names = tuple(name for name in every if not name.startswith(OWN_COLUMNS))
    if not names:
        raise InputError(f"{path}: the table has no columns: give at least one feature")
    return Table(path, names, 1, types, None, lambda names: _explained(path, lambda: batches(names)))


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

    return Table(path, tuple(explained(header)), 2, None, None, lambda names: explained(lambda: batches(names)))


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
        if "invalid utf8" in text.lower():
            raise InputError(f"{path}: a cell is not UTF-8 ({text}): save the table as UTF-8") from error
        raise InputError(f"{path}: the table is empty, truncated or damaged: {text}; write it again") from error
