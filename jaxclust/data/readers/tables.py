"""Tables with named columns, of .csv, .tsv, .csv.gz, .parquet and .feather or in memory, as features.

Read twice, a batch at a time: first classes, split, names and the number of rows, then the features, so that the size
is known before memory is taken. Features are float32 from the first batch on.
"""

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data.readers import arrow, shards
from jaxclust.data.readers.arrow import Table
from jaxclust.data.readers.columns import FILES, MISSING, Roles, called, is_list, is_number, roles
from jaxclust.data.readers.files import check_size, n_bytes
from jaxclust.data.readers.found import Found
from jaxclust.data.rows import Images
from jaxclust.errors import InputError

log = logging.getLogger(__name__)

SPLIT_WORDS = {"train": 0, "0": 0, "0.0": 0, "test": 1, "1": 1, "1.0": 1}
NUMERIC = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
WHOLE = 2.0**53  # up to which a float64 holds every whole number

Streamed = Callable[[tuple[int, ...]], bool]


def is_table(path: Path) -> bool:
    """Whether the file's name ends as a table's does."""
    return path.name.lower().endswith((*arrow.CSV, *arrow.PARQUET, *arrow.ARROW))


def read_table(table: Table, streamed: Streamed) -> Found:
    """Features (n, d) float32 of a table, with classes, split and names where it has them.

    A column called label, labels, class or target (in any case) is the classes: whole numbers or strings, a cell left
    empty is -1. One called split is 'train' or 'test', or 0 or 1. One of lists of numbers, all as long, is the
    features; of several the one called features, embedding or vector. Without one, all columns of numbers are, none
    missing. Text is no feature, nor is what is called id, file, name, path, url, ... (`columns.NAMES`) or ends in _id
    and the like. Names of examples are the first column so called, else the first of text, whose values all differ;
    else a first column without a name, or called index, that counts the rows by ones. Log lines say what names the
    examples, and what is left out.
    streamed: told the shape (n, d), whether to keep the features in a temporary file, as `LazyArray`.

    Raises InputError, naming file and column, for what is not so, and for a CSV whose first row is all numbers, as it
    has no header; 0, 1, 2, ... are names, as pandas gives them. Rows of files count from 1 in errors, a CSV's header
    included.
    """
    seen = look(table, streamed)
    found, n, texts = seen.roles, seen.n, seen.texts
    _say(table, seen)
    if not seen.features or not n:
        raise _nothing(table, seen)
    labels, classes = (None, None) if found.classes is None else _classes(table, found.classes, texts[found.classes])
    split = None if found.split is None else _split(table, found.split, texts[found.split])
    names = None if seen.named is None else texts[seen.named].to_numpy(zero_copy_only=False)
    features, named = _features(table, seen.features, (n, seen.d), streamed), seen.named or "name"
    return Found(features, labels, classes, split, names, named=named)


class Seen(NamedTuple):
    """What a first reading tells: n rows of d features in the columns `features`, and the column that names examples.

    counts: whether the counter, where there is one, counts the rows.  texts: the columns `roles.texts`.
    """

    roles: Roles
    features: list[str]
    n: int
    d: int
    named: str | None
    counts: bool
    texts: dict[str, Any]


def look(table: Table, streamed: Streamed) -> Seen:
    """The first reading of a table, of all but its features. Raises InputError, as `read_table`."""
    found = roles(table)
    d = _width(table, found.features[0]) if found.lists else len(found.features)
    n, texts = _texts(table, found, d, streamed)
    named = next((name for name in found.names if _differ(texts[name])), None)
    counter = found.counter
    counts = counter is not None and _counts(texts[counter])
    if counter is None or counts or found.lists:
        return Seen(found, found.features, n, d, named or (counter if counts else None), counts, texts)
    if not counter.strip():
        raise InputError(f"{table.path}: the first column has no name and does not count the rows: name it, or drop it")
    return Seen(found, [counter, *found.features], n, d + 1, named, counts, texts)


def _nothing(table: Table, seen: Seen) -> InputError:
    """The error of a table without rows, or without features."""
    for name, kind in seen.roles.aside.items():
        if kind == FILES:
            return InputError(f"{table.path}: {called(name)} holds files that are no images: give features of them")
    held = "".join(f", {name!r} holds {kind}" for name, kind in list(seen.roles.aside.items())[:3])
    what = f"no columns of numbers beside classes and split{held}" if seen.n else "a header and no rows"
    return InputError(f"{table.path}: the table has {what}: give at least one example of one number")


def _say(table: Table, seen: Seen) -> None:
    """Log lines of what names the examples, and of what else is no feature."""
    found, named = seen.roles, seen.named
    if seen.counts:
        log.warning("%s: %s counts the rows: it is left out", table.path, called(str(found.counter)))
    elif found.counter in seen.features:
        log.warning("%s: %s does not count the rows: it is a feature", table.path, called(str(found.counter)))
    if named is not None and named != found.counter:
        log.warning("%s: %s names the examples: it is not a feature", table.path, called(named))
    kinds: dict[str, list[str]] = {}
    for name, kind in found.aside.items():
        if name != named:
            kinds.setdefault(kind, []).append(repr(name))
    for kind, names in kinds.items():
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        what = f"column {shown} holds" if len(names) == 1 else f"columns {shown} hold"
        remedy = (
            f"the lists of {found.features[0]!r} are the features" if found.lists else "encode as numbers what counts"
        )
        log.warning("%s: %s %s: left out (%s)", table.path, what, kind, remedy)


def _width(table: Table, name: str) -> int:
    """How many numbers the first list of a column holds; 0 without rows. Raises InputError where it has no list."""
    import pyarrow.compute as pc

    for batch in table.batches([name]):
        if not batch.num_rows:
            continue
        first = arrow.plain(batch.column(name)).slice(0, 1)
        if first.null_count:
            raise _no_value(table, name, 0)
        return int(pc.list_value_length(first)[0].as_py())
    return 0


def _texts(table: Table, found: Roles, d: int, streamed: Streamed) -> tuple[int, dict[str, Any]]:
    """The number of rows, and the columns that are not features as trimmed text, '' where there is nothing.

    Raises InputError as soon as the n x d features, or the text, exceed the limit.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    _check_room(table, (table.rows or 0, d), streamed)
    words = [] if table.types is not None else found.words
    wanted, size, n = list(dict.fromkeys(found.texts)), 0, 0
    if table.rows is not None and not wanted:
        return table.rows, {}
    parts = {name: [pa.array([], pa.large_string())] for name in wanted}
    for batch in table.batches(list(dict.fromkeys([*wanted, *words])) or list(table.names[:1])):
        for name in words:
            _check_words(table, name, batch.column(name), n)
        n += batch.num_rows
        _check_room(table, (n, d), streamed)
        for name in wanted:
            size += arrow.plain_bytes(batch.column(name))
            check_size(f"{table.path} (text of {n} rows)", size, "give a part of it")
            column = arrow.plain(batch.column(name))
            if pa.types.is_nested(column.type):
                raise InputError(f"{table.path}: {called(name)} holds lists: give whole numbers or strings")
            parts[name].append(pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.large_string()), "")))
    return n, {name: pa.chunked_array(chunks).combine_chunks() for name, chunks in parts.items()}


def _check_room(table: Table, shape: tuple[int, int], streamed: Streamed) -> None:
    """Raises InputError if features of that shape fit neither into memory nor, streamed, onto the disk."""
    size = n_bytes(shape, np.dtype(np.float32))
    if streamed(shape):
        shards.check_disk(size)
    else:
        check_size(str(table.path), size)


def _check_words(table: Table, name: str, column: Any, start: int) -> None:
    """Raises InputError where a CSV's column of words holds a number: its first word may be a slip among numbers."""
    import pyarrow.compute as pc

    numbers = pc.match_substring_regex(column, NUMERIC)
    place = int(pc.index(numbers, True).as_py())
    if place >= 0:
        raise InputError(
            f"{table.path}: {called(name)} is not numeric: beside words it holds {column[place].as_py()!r} in row "
            f"{table.first_row + start + place}: encode it as numbers, or drop it"
        )


def _differ(texts: Any) -> bool:
    """Whether all values are there and differ."""
    import pyarrow.compute as pc

    return len(texts) > 0 and pc.count_distinct(texts).as_py() == len(texts) and pc.index(texts, "").as_py() < 0


def _counts(texts: Any) -> bool:
    """Whether each number is one more than that before it."""
    import pyarrow as pa

    try:
        numbers = texts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return False
    return bool((np.diff(numbers) == 1).all())


def _classes(table: Table, name: str, texts: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Class (n,) int64 of each row, -1 where nothing is stated, and the names where they are not numbers."""
    encoded = texts.dictionary_encode()
    words, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    if all(is_number(word) for word in words if word):
        values = np.array([float(word or "nan") for word in words])
        values[np.isnan(values)] = -1
        if not ((values == np.rint(values)) & (np.abs(values) <= WHOLE)).all():
            raise InputError(
                f"{table.path}: {called(name)} is for classes but holds fractions or very large numbers: "
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
            raise InputError(f"{table.path}: {called(name)} holds {word!r} in row {row}: give train or test, or 0 or 1")
    return np.array([SPLIT_WORDS[word.lower()] for word in words], np.int8)[codes]


def _features(table: Table, names: list[str], shape: tuple[int, int], streamed: Streamed) -> Images:
    """(n, d) float32 of the columns `names`: an array, or `LazyArray` in a temporary file."""
    if streamed(shape):
        return shards.stored((block.tobytes() for _, block in _blocks(table, names, shape[1])), shape, np.float32)
    check_size(str(table.path), n_bytes(shape, np.dtype(np.float32)))
    out = np.empty(shape, np.float32)
    for start, block in _blocks(table, names, shape[1]):
        out[start : start + len(block)] = block
    return out


def _blocks(table: Table, names: list[str], d: int) -> Iterator[tuple[int, np.ndarray]]:
    start = 0
    for batch in table.batches(names):
        columns = [arrow.plain(batch.column(name)) for name in names]
        if is_list(columns[0].type):
            block = _lists(table, names[0], columns[0], d, start)
        else:
            block = np.empty((batch.num_rows, d), np.float32)
            for place, (name, column) in enumerate(zip(names, columns, strict=True)):
                block[:, place] = _numbers(table, name, column, start)
        yield start, block
        start += len(block)


def _lists(table: Table, name: str, column: Any, d: int, start: int) -> np.ndarray:
    """(m, d) float32 of a column of lists, the first of which is in row `start` of the data. Raises InputError."""
    import pyarrow.compute as pc

    if column.null_count:
        raise _no_value(table, name, start + pc.index(column.is_null(), True).as_py())
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(lengths != d)
    if bad.size:
        raise InputError(
            f"{table.path}: {called(name)} holds {lengths[bad[0]]} numbers in row {table.first_row + start + bad[0]} "
            f"where row {table.first_row} has {d}: give all rows as many"
        )
    return _numbers(table, name, pc.list_flatten(column), start, d).reshape(len(column), d)


def _numbers(table: Table, name: str, column: Any, start: int, d: int = 1) -> np.ndarray:
    """(m,) float32 of values, d a row, the first of which is in row `start` of the data. Raises InputError."""
    import pyarrow as pa

    try:
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)  # a cell without value is NaN
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values = np.array([_number(table, name, cell, start + i) for i, cell in enumerate(column.to_pylist())])
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(narrow))
    if bad.size:
        row, value = start + int(bad[0]) // d, values[bad[0]]
        if np.isnan(value):
            raise _no_value(table, name, row)
        raise InputError(
            f"{table.path}: {called(name)} holds {value:g} in row {table.first_row + row}, beyond float32: rescale or "
            "drop it"
        )
    return narrow


def _no_value(table: Table, name: str, row: int) -> InputError:
    return InputError(
        f"{table.path}: {called(name)} has no value in row {table.first_row + row}: fill it in, or drop row or column"
    )


def _number(table: Table, name: str, cell: Any, row: int) -> float:
    text = "" if cell is None else str(cell).strip()
    if text.lower() in MISSING:
        return math.nan
    if not is_number(text):
        raise InputError(
            f"{table.path}: {called(name)} is not numeric, {text[:40]!r} in row {table.first_row + row}: "
            "encode it as numbers, or drop it"
        )
    return float(text)
