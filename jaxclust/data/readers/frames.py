"""Tables in memory: data frames of pandas, polars or cuDF, tables of pyarrow, data sets of Hugging Face.

Their columns become pyarrow's, which `tables` reads as it does those of files. Only pyarrow is imported.
"""

import os
import re
from collections import Counter
from typing import Any

import numpy as np

from jaxclust.data.readers import arrow, lists, tables
from jaxclust.data.readers.arrays import package
from jaxclust.data.readers.columns import CLASSES
from jaxclust.data.readers.found import Found
from jaxclust.errors import InputError

OBJECTS = re.compile("obj|str|utf8|cat|enum|binary|dict|struct|extension", re.IGNORECASE)  # types


def is_frame(data: Any) -> bool:
    """Whether it is a data frame: columns with a name and a type each."""
    if package(data) == "pyarrow":
        return hasattr(data, "column_names")
    return is_hugging_face(data) or all(hasattr(data, name) for name in ("to_numpy", "dtypes", "columns"))


def is_hugging_face(data: Any) -> bool:
    """Whether it is a `datasets.Dataset`, all of which is there: one part, with an index perhaps."""
    listed = package(data) == "datasets" and isinstance(getattr(data, "column_names", None), list)
    return listed and hasattr(data, "shape")


def given(frame: Any) -> Found:
    """Features (n, d) float32 of a frame's columns, as `tables.read_table` takes them; its index is not looked at.

    The classes of a Hugging Face data set are for scores only, as those of a file. Those of other frames, which
    estimators are given as X, are refused. Raises InputError, naming the column, for that, and as `tables.read_table`.
    """
    refuse_classes(frame)
    return tables.read_table(table(frame), _never)


def described(frame: Any) -> Any:
    """What scikit-learn's conventions compare of a frame: its columns of features, or (n, d) where they are lists."""
    seen = tables.look(table(frame), _never)
    if seen.roles.lists or is_hugging_face(frame):
        return np.broadcast_to(np.float32(0), (seen.n, seen.d))
    names = [name for name in _names(frame) if str(name) in seen.features]
    return frame if len(names) == len(_names(frame)) else _select(frame, names)


def refuse_classes(frame: Any) -> None:
    """Raises InputError for a column that a table's classes would have, but in a data set of Hugging Face."""
    for name in [] if is_hugging_face(frame) else _names(frame):
        if str(name).strip().casefold() in CLASSES:
            raise InputError(f"data: column {name!r} has a name that classes have: drop it, or rename it")


def _names(frame: Any) -> list[Any]:
    return list(frame.column_names if hasattr(frame, "column_names") else frame.columns)


def _select(frame: Any, names: list[Any]) -> Any:
    return frame.select(names) if hasattr(frame, "select") else frame[names]


def _never(shape: tuple[int, ...]) -> bool:
    return False


def holds_objects(frame: Any) -> bool:
    """Whether a column may hold text, bytes or structures."""
    if is_hugging_face(frame):
        return True
    kinds = map(str, frame.schema.types if package(frame) == "pyarrow" else frame.dtypes)
    return any(map(OBJECTS.search, kinds))


def table(frame: Any) -> arrow.Table:
    """The frame's columns as those of a `pyarrow.Table`. Raises InputError where it is empty, and for its names."""
    names = _names(frame)
    if not names or not len(frame):
        raise InputError(
            f"data: the data frame is empty, {len(frame)} x {len(names)}: give at least one row and column"
        )
    for name, times in Counter(map(str, names)).items():
        if times > 1:
            raise InputError(f"data: column {name!r} is there {times} times: rename or drop one")
    return arrow.in_memory(_columns(frame))


def _columns(frame: Any) -> Any:
    """The frame as a `pyarrow.Table`."""
    import pyarrow as pa

    if package(frame) == "pyarrow":
        return frame if isinstance(frame, pa.Table) else pa.table(frame)
    if is_hugging_face(frame):
        return frame.with_format("arrow")[:]
    return pa.table({str(name): _column(name, frame[name]) for name in frame.columns})


def _column(name: Any, column: Any) -> Any:
    """A column as pyarrow's. Raises InputError for objects that are neither numbers, text nor lists of them."""
    import pyarrow as pa

    try:
        if hasattr(column, "to_arrow"):
            return column.to_arrow()
        if hasattr(column.dtype, "fill_value"):  # sparse
            column = np.asarray(column)
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        first = next(iter(column), None)
        if isinstance(first, os.PathLike):
            return pa.array([os.fspath(cell) if isinstance(cell, os.PathLike) else cell for cell in column])
        remedy = "encode it as numbers, or drop it"
        if lists.is_list([first]):
            remedy = f"give list(data[{str(name)!r}]) for its images, or drop it"
        raise InputError(f"data: column {name!r} holds {column.dtype}, not numbers: {remedy}") from error
