"""Tables with named columns, .csv, .tsv, .csv.gz and .parquet: what the columns are, and their numbers as features.

Read twice, a batch at a time: first classes, split and the number of rows, then the features, so that the size is known
before memory is taken. Features are float32 from the first batch on.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data.readers import arrow, shards
from jaxclust.data.readers.arrow import Table
from jaxclust.data.readers.files import check_size, n_bytes
from jaxclust.data.readers.found import Found
from jaxclust.data.readers.frames import CLASSES
from jaxclust.data.rows import Images
from jaxclust.errors import InputError

log = logging.getLogger(__name__)

SPLIT = "split"
COUNTERS = ("", "unnamed: 0", "id", "index")  # names of a first column that may merely count the rows
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # cells without a number, in lower case
SPLIT_WORDS = {"train": 0, "0": 0, "0.0": 0, "test": 1, "1": 1, "1.0": 1}
WHOLE = 2.0**53  # up to which a float64 holds every whole number


class Roles(NamedTuple):
    """Names of the columns by what they are for; counter: the first column, if it may merely count the rows."""

    features: list[str]
    classes: str | None
    split: str | None
    counter: str | None


def is_table(path: Path) -> bool:
    """Whether the file's name ends as a table's does."""
    return path.name.lower().endswith((*arrow.CSV, *arrow.PARQUET))


def read(path: Path, streamed: Callable[[tuple[int, ...]], bool]) -> Found:
    """Features (n, d) float32 of a table, with classes and split where it has them.

    A column called label, labels, class or target (in any case) is the classes: whole numbers or strings, a cell left
    empty is -1. One called split is 'train' or 'test', or 0 or 1. A first column without a name, or called id or index,
    that counts the rows by ones is left out, and a log line says so. All others are features: numbers, none missing.
    streamed: told the shape (n, d), whether to keep the features in a temporary file, as `LazyArray`.

    Raises InputError, naming file and column, for what is not so, and for a CSV whose first row is all numbers, as it
    has no header; 0, 1, 2, ... are names, as pandas gives them. Rows count from 1 in errors, a CSV's header included.
    """
    table = arrow.open_table(path)
    found = roles(table)
    n, texts = _texts(table, found)
    features = found.features
    if found.counter is not None:
        if _counts(texts[found.counter]):
            log.warning("%s: %s counts the rows: it is left out", path, _called(found.counter))
        elif found.counter.strip():
            log.warning("%s: %s does not count the rows: it is a feature", path, _called(found.counter))
            features = [found.counter, *features]
        else:
            raise InputError(f"{path}: the first column has no name and does not count the rows: name it, or drop it")
    if not features or not n:
        what = "no columns beside classes, split and row numbers" if n else "a header and no rows"
        raise InputError(f"{path}: the table has {what}: give at least one example of one number")
    labels, names = (None, None) if found.classes is None else _classes(path, found.classes, texts[found.classes])
    split = None if found.split is None else _split(table, found.split, texts[found.split])
    return Found(_features(table, features, n, streamed), labels, names, split)


def roles(table: Table) -> Roles:
    """What each column is for, by its name. Raises InputError for names that are missing, twice there or numbers."""
    path, names = table.path, list(table.names)
    _check_names(table)
    plain = {name: name.strip().casefold() for name in names}
    classes = [name for name in names if plain[name] in CLASSES]
    splits = [name for name in names if plain[name] == SPLIT]
    for found, what in ((classes, "the classes"), (splits, "the split")):
        if len(found) > 1:
            quoted = " and ".join(map(repr, found))
            raise InputError(f"{path}: the columns {quoted} could all be {what}: keep one, or rename the others")
    counter = names[0] if plain[names[0]] in COUNTERS else None
    others = [name for name in names if name not in (*classes, *splits, counter)]
    for name in others:
        if not plain[name]:
            place = names.index(name) + 1
            raise InputError(f"{path}: column {place} has no name: name it, or drop it (a comma at each row's end?)")
    return Roles(others, classes[0] if classes else None, splits[0] if splits else None, counter)


def _check_names(table: Table) -> None:
    path, names = table.path, table.names
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{path}: {_called(name)} is there {times} times: rename or drop one")
    if table.typed:
        return
    marks, wanted = (";|,", "tabs") if arrow.is_tsv(path) else (";|\t", "commas, or save it as .tsv with tabs")
    if len(names) == 1 and any(mark in names[0] for mark in marks):
        raise InputError(f"{path}: the header is one name ({names[0][:40]!r}): separate names and cells by {wanted}")
    numbered = [str(i) for i in range(len(names))]  # the names that pandas gives
    if all(_is_number(name) for name in names) and list(names) != numbered:
        raise InputError(
            f"{path}: the first row holds numbers ({', '.join(names[:3])[:40]}) where the columns' names should be: "
            "put a row of names before it"
        )


def _texts(table: Table, found: Roles) -> tuple[int, dict[str, Any]]:
    """The number of rows, and the columns that are not features as trimmed text, '' where there is nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = [name for name in (found.classes, found.split, found.counter) if name is not None]
    n, size, parts = 0, 0, {name: [pa.array([], pa.string())] for name in wanted}
    for batch in table.batches(wanted or list(table.names[:1])):
        n, size = n + batch.num_rows, size + batch.nbytes
        check_size(f"{table.path} (rows so far: {n})", size, "give a part of it")
        for name in wanted:
            column = arrow.plain(batch.column(name))
            if pa.types.is_nested(column.type):
                raise InputError(f"{table.path}: {_called(name)} holds lists: give whole numbers or strings")
            parts[name].append(pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), "")))
    return n, {name: pa.chunked_array(chunks).combine_chunks() for name, chunks in parts.items()}


def _counts(texts: Any) -> bool:
    """Whether each number is one more than that before it."""
    import pyarrow as pa

    try:
        numbers = texts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return False
    return bool((np.diff(numbers) == 1).all())


def _classes(path: Path, name: str, texts: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Class (n,) int64 of each row, -1 where nothing is stated, and the names where they are not numbers."""
    encoded = texts.dictionary_encode()
    words, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    if all(_is_number(word) for word in words if word):
        values = np.array([float(word or "nan") for word in words])
        values[np.isnan(values)] = -1
        if not ((values == np.rint(values)) & (np.abs(values) <= WHOLE)).all():
            raise InputError(
                f"{path}: {_called(name)} is for classes but holds fractions or very large numbers: "
                "give whole numbers or strings, or rename the column to make it a feature"
            )
        return values.astype(np.int64)[codes], None
    names = sorted(word for word in words if word)
    return np.array([names.index(word) if word else -1 for word in words], np.int64)[codes], tuple(names)


def _split(table: Table, name: str, texts: Any) -> np.ndarray:
    encoded = texts.dictionary_encode()
    words, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    for place, word in enumerate(words):
        if word.lower() not in SPLIT_WORDS:
            row = table.first_row + int((codes == place).argmax())
            raise InputError(
                f"{table.path}: {_called(name)} holds {word!r} in row {row}: give train or test, or 0 or 1"
            )
    return np.array([SPLIT_WORDS[word.lower()] for word in words], np.int8)[codes]


def _features(table: Table, names: list[str], n: int, streamed: Callable[[tuple[int, ...]], bool]) -> Images:
    """(n, d) float32 of the columns `names`: an array, or `LazyArray` in a temporary file."""
    shape = (n, len(names))
    if streamed(shape):
        return shards.stored((block.tobytes() for _, block in _blocks(table, names)), shape, np.float32)
    check_size(str(table.path), n_bytes(shape, np.dtype(np.float32)))
    out = np.empty(shape, np.float32)
    for start, block in _blocks(table, names):
        out[start : start + len(block)] = block
    return out


def _blocks(table: Table, names: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    start = 0
    for batch in table.batches(names):
        block = np.empty((batch.num_rows, len(names)), np.float32)
        for place, name in enumerate(names):
            block[:, place] = _numbers(table, name, batch.column(name), start)
        yield start, block
        start += len(block)


def _numbers(table: Table, name: str, column: Any, start: int) -> np.ndarray:
    """(m,) float32 of a column's cells, the first of which is in row `start` of the data. Raises InputError."""
    import pyarrow as pa

    column = arrow.plain(column)
    text = pa.types.is_string(column.type)
    if (table.typed and text) or pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
        raise InputError(
            f"{table.path}: {_called(name)} holds values of type {column.type}: encode them as numbers, one a column, "
            "or drop it"
        )
    try:
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)  # a cell without value is NaN
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values = np.array([_number(table, name, cell, start + i) for i, cell in enumerate(column.to_pylist())])
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(narrow))
    if bad.size:
        row, value = table.first_row + start + int(bad[0]), values[bad[0]]
        if np.isnan(value):
            raise InputError(
                f"{table.path}: {_called(name)} has no value in row {row}: fill it in, or drop row or column"
            )
        raise InputError(
            f"{table.path}: {_called(name)} holds {value:g} in row {row}, beyond float32: rescale or drop it"
        )
    return narrow


def _number(table: Table, name: str, cell: Any, row: int) -> float:
    text = "" if cell is None else str(cell).strip()
    if text.lower() in MISSING:
        return math.nan
    if not _is_number(text):
        raise InputError(
            f"{table.path}: {_called(name)} is not numeric, {text[:40]!r} in row {table.first_row + row}: "
            "encode it as numbers, or drop it"
        )
    return float(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _called(name: str) -> str:
    return f"column {name!r}" if name.strip() else "the column without a name"
