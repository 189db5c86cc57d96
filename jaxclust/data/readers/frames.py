"""Data frames of pandas or polars as features. Neither package is imported."""

from collections import Counter
from typing import Any

import numpy as np

from jaxclust.errors import InputError

CLASSES = ("label", "labels", "class", "target")  # names of columns that hold classes, in any case


def is_frame(data: Any) -> bool:
    """Whether it is a data frame: columns with a name and a type each."""
    return all(hasattr(data, name) for name in ("columns", "dtypes", "to_numpy"))


def given(frame: Any) -> np.ndarray:
    """(n, d) float32 of a data frame's columns; its index is not looked at.

    Raises InputError, naming the column, for one that is not numeric or lacks a value, for a name that is there twice,
    and for one that a table's classes would have (CLASSES), which fitting must not see.
    """
    names = list(frame.columns)
    times = Counter(names)
    if not names or not len(frame):
        raise InputError(
            f"data: the data frame is empty, {len(frame)} x {len(names)}: give at least one row and column"
        )
    refuse_classes(frame)
    out = np.empty((len(frame), len(names)), np.float32)
    for place, name in enumerate(names):
        if times[name] > 1:
            raise InputError(f"data: column {name!r} is there {times[name]} times: rename or drop one")
        out[:, place] = _numbers(name, frame[name])
    return out


def refuse_classes(frame: Any) -> None:
    """Raises InputError for a column that a table's classes would have."""
    for name in frame.columns:
        if str(name).strip().casefold() in CLASSES:
            raise InputError(f"data: column {name!r} has a name that classes have: drop it, or rename it")


def _numbers(name: Any, column: Any) -> np.ndarray:
    kind = getattr(column.dtype, "kind", None)  # pandas has it, polars has not
    values = column.to_numpy(np.float64, na_value=np.nan) if kind and kind in "buif" else np.asarray(column)
    if (kind or values.dtype.kind) not in "buif":
        raise InputError(f"data: column {name!r} holds {column.dtype}, not numbers: encode it as numbers, or drop it")
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(narrow))
    if bad.size:
        value = values[bad[0]]
        problem = "no value" if np.isnan(value) else f"{value:g}"
        raise InputError(
            f"data: column {name!r} has {problem} in row {bad[0]} (from 0): numbers within float32 are needed: "
            "replace it, or drop row or column"
        )
    return narrow
