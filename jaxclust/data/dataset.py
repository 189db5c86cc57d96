"""A data set in memory, in one form whatever it came from: checked, with channels last and a fingerprint."""

import hashlib
from typing import Any, NamedTuple

import numpy as np

from jaxclust.errors import InputError

TRAIN, TEST = 0, 1
SPLITS = ("all", "train", "test")


class Dataset(NamedTuple):
    """Images or features, and what is known about them. Fitting sees `images` only.

    name:        a built-in name, or the file's or folder's path as given, or 'array'.
    images:      (n, h, w, c) uint8 or float32, c 1 or 3; or (n, d) float32 features. Raw values, not yet scaled.
    labels:      (n,) int64 class of each example, -1 where unknown, for evaluation only; or None.
    class_names: name of class 0, 1, ...; or None.
    split:       (n,) int8, 0 train and 1 test; or None where the data states no split.
    fingerprint: SHA-256 (hexadecimal) over shape, dtype and bytes of `images`, not over the labels.
    skipped:     files that could not be read and were left out (only with skip_bad).
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None
    split: np.ndarray | None
    fingerprint: str
    skipped: tuple[str, ...]


def build(
    name: str,
    images: Any,
    labels: Any = None,
    class_names: tuple[str, ...] | None = None,
    split: Any = None,
    skipped: tuple[str, ...] = (),
    *,
    select: str = "all",
) -> Dataset:
    """Checks and brings into one form what a reader found, and keeps the part `select` ('all', 'train', 'test').

    images: (n, h, w), (n, h, w, 1 or 3) or (n, d), any real dtype. labels: (n,) whole numbers or strings.
    split: (n,) of 0/1 or of 'train'/'test'. Raises InputError in words that start with `name`.
    """
    if select not in SPLITS:
        raise InputError(f"split {select!r} is unknown: choose one of {', '.join(SPLITS)}")
    array = standard(name, images)
    n = len(array)
    codes = None if split is None else _split_codes(name, split, n)
    if labels is not None:
        labels, class_names = _class_codes(name, labels, class_names, n)
    if select != "all":
        if codes is None:
            raise InputError(f"{name}: this data states no train and test parts: use split 'all'")
        keep = codes == (TRAIN if select == "train" else TEST)
        if not keep.any():
            raise InputError(f"{name}: the {select} part is empty: use split 'all'")
        array, codes = array[keep], codes[keep]
        labels = None if labels is None else labels[keep]
    return Dataset(name, array, labels, class_names, codes, fingerprint(array), tuple(skipped))


def standard(name: str, images: Any) -> np.ndarray:
    """(n, h, w, c) uint8 or float32, or (n, d) float32: the same numbers, checked. `name` starts the error's line."""
    array = np.asarray(images)
    if array.dtype == object or array.dtype.kind not in "buif":
        raise InputError(f"{name}: values of type {array.dtype} are not numbers: give uint8 or float32")
    if array.ndim not in (2, 3, 4):
        raise InputError(
            f"{name}: an array of shape {array.shape} is neither images (n, h, w) or (n, h, w, c) nor features (n, d)"
        )
    if array.size == 0:
        raise InputError(f"{name}: the data is empty (shape {array.shape}): give at least one example")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[-1] not in (1, 3):
        raise InputError(f"{name}: images of shape {array.shape[1:]} {_channel_remedy(array.shape)}")
    if array.dtype.kind == "f":
        check_finite(name, array)
    array = _narrow(name, array)
    if array.dtype == np.float32:
        check_finite(name, array, " as float32: rescale the values")
    return np.ascontiguousarray(array)


def check_finite(name: str, array: np.ndarray, remedy: str = ": remove or replace these examples") -> None:
    """Raises InputError if any value is NaN or infinite, saying how many and which example is the first."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    bad = ~np.isfinite(array)
    rows = np.flatnonzero(bad.reshape(len(array), -1).any(1))
    raise InputError(
        f"{name}: {int(bad.sum())} values in {len(rows)} examples are NaN or infinite, "
        f"first in example {rows[0]}{remedy}"
    )


def fingerprint(images: np.ndarray) -> str:
    """SHA-256 over shape, dtype and bytes (C order)."""
    digest = hashlib.sha256(f"{images.shape} {images.dtype.str}".encode())
    digest.update(np.ascontiguousarray(images).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _narrow(name: str, array: np.ndarray) -> np.ndarray:
    """bool and whole numbers within 0..255 become uint8, all else (and all features) float32."""
    if array.ndim == 2:
        with np.errstate(over="ignore"):
            return array.astype(np.float32, copy=False)
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind in "ui":
        if array.dtype == np.uint8 or (array.min() >= 0 and array.max() <= 255):
            return array.astype(np.uint8, copy=False)
        return array.astype(np.float32)
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def _channel_remedy(shape: tuple[int, ...]) -> str:
    if shape[1] in (1, 3):
        return "have their channels first: transpose to (n, h, w, c), images.transpose(0, 2, 3, 1)"
    if shape[-1] == 4:
        return "have 4 channels: drop the alpha channel, images[..., :3]"
    return f"have {shape[-1]} channels where 1 or 3 are expected"


def _split_codes(name: str, split: Any, n: int) -> np.ndarray:
    values = np.asarray(split)
    if values.shape != (n,):
        raise InputError(f"{name}: 'split' has shape {values.shape} where {n} examples need ({n},)")
    if values.dtype.kind in "US":
        values = np.array([{"train": TRAIN, "test": TEST}.get(v, -1) for v in values.astype(str)], np.int8)
    if values.dtype.kind not in "buif" or not np.isin(values, (TRAIN, TEST)).all():
        raise InputError(f"{name}: 'split' must hold 0 (train) and 1 (test) only")
    return values.astype(np.int8)


def _class_codes(
    name: str, labels: Any, class_names: tuple[str, ...] | None, n: int
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    values = np.asarray(labels)
    if values.ndim == 2 and 1 in values.shape:
        values = values.reshape(-1)
    if values.shape != (n,):
        raise InputError(f"{name}: labels of shape {values.shape} do not match {n} examples: give ({n},)")
    if values.dtype.kind in "US":
        names, codes = np.unique(values.astype(str), return_inverse=True)
        return codes.astype(np.int64), tuple(str(v) for v in names)
    if values.dtype.kind not in "buif" or (values.dtype.kind == "f" and not (np.rint(values) == values).all()):
        raise InputError(f"{name}: labels of type {values.dtype} are not classes: give whole numbers or strings")
    codes = values.astype(np.int64)
    if class_names is not None and codes.max() >= len(class_names):
        raise InputError(f"{name}: label {codes.max()} has no name: there are {len(class_names)} class names")
    return codes, class_names
