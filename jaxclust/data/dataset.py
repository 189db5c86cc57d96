"""A data set, in memory or on disk, in one form whatever it came from: checked, channels last, with a fingerprint."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data.rows import Images, LazyArray, blocks, limits, take
from jaxclust.errors import InputError

TRAIN, TEST = 0, 1
SPLITS = ("all", "train", "test")
MOST = 2.0**62  # of a label's number
ONE = 8  # rows and columns, at least, of bytes (h, w, 3) that are taken for one colour image


class Dataset(NamedTuple):
    """Images or features, and what is known about them. Fitting sees `images` only.

    name:        a built-in name, or the file's or folder's path as given, or 'array'.
    images:      (n, h, w, c) uint8 or float32, c 1 or 3; or (n, d) float32 features: standard data, as `standard`
                 makes them. The values are raw, not yet scaled. An array, or `LazyArray` where they are streamed.
    labels:      (n,) int64 class of each example, -1 where unknown, for evaluation only; or None.
    class_names: name of class 0, 1, ...; or None.
    split:       (n,) int8, 0 train and 1 test; or None where the data states no split.
    names:       (n,) object, str: the file of each example, relative to the folder with '/' between its parts, or what
                 a column of ids or the caller says; None where examples have no names but their places.
    skipped:     files that were left out, each with the reason: those of other kinds, and with skip_bad what cannot be
                 read.
    named:       what the names are, the title of their column in listings: 'file', or a table's own title for its ids,
                 else 'name'.
    depth:       9 to 16, the bits of image files of which some have 16; None for all else.
    """

    name: str
    images: Images
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None
    split: np.ndarray | None
    names: np.ndarray | None
    skipped: tuple[tuple[str, str], ...]
    named: str
    depth: int | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of `images`, not of the labels: `fingerprint`. Each call reads all of them."""
        return fingerprint(self.images)


def build(
    name: str,
    images: Images,
    labels: Any = None,
    class_names: tuple[str, ...] | None = None,
    split: Any = None,
    names: Any = None,
    skipped: tuple[tuple[str, str], ...] = (),
    named: str = "name",
    depth: int | None = None,
    *,
    select: str = "all",
) -> Dataset:
    """Checks and brings into one form what a reader found, and keeps the part `select` ('all', 'train', 'test').

    images: (n, h, w), (n, h, w, 1 or 3) or (n, d), any real dtype. labels: (n,) whole numbers or strings.
    split: (n,) of 0/1 or of 'train'/'test'. names: (n,) of anything that is told by its text. named: what they are.
    Raises InputError in words that start with `name`.
    """
    if select not in SPLITS:
        raise InputError(f"split {select!r} is unknown: choose one of {', '.join(SPLITS)}")
    array = standard(name, images)
    n = len(array)
    codes = None if split is None else _split_codes(name, split, n)
    if labels is not None:
        labels, class_names = _class_codes(name, labels, class_names, n)
    if names is not None:
        names = names_of(name, names, n)
    if select != "all":
        if codes is None:
            raise InputError(f"{name}: this data states no train and test parts: use split 'all'")
        keep = codes == (TRAIN if select == "train" else TEST)
        if not keep.any():
            raise InputError(f"{name}: the {select} part is empty: use split 'all'")
        array, codes = take(array, np.flatnonzero(keep)), codes[keep]
        labels = None if labels is None else labels[keep]
        names = None if names is None else names[keep]
    return Dataset(name, array, labels, class_names, codes, names, tuple(skipped), named, depth)


def standard(name: str, images: Images) -> Images:
    """Standard data: the same numbers as (n, h, w, c) uint8 or float32, or (n, d) float32, all of them finite.

    `sources.load` makes a user's data standard, once. What follows takes standard data and does not check them again.

    images: (n, h, w), (n, h, w, 1 or 3) or (n, d), any real dtype. `LazyArray` that are checked come back as they are.
    name: the first words of an error.
    Raises InputError for other shapes and types, for no examples, and for what is not finite as float32.
    """
    if isinstance(images, LazyArray) and images.checked:
        return images
    if images.dtype == object or images.dtype.kind not in "buif":
        raise InputError(f"{name}: values of type {images.dtype} are not numbers: give uint8 or float32")
    if images.ndim not in (2, 3, 4):
        raise InputError(
            f"{name}: an array of shape {images.shape} is neither images (n, h, w) or (n, h, w, c) nor features "
            "(n, d): reshape it"
        )
    if images.size == 0:
        raise InputError(f"{name}: the data is empty (shape {images.shape}): give at least one example")
    if images.ndim == 4 and images.shape[-1] not in (1, 3):
        raise InputError(f"{name}: images of shape {images.shape[1:]} {_channel_remedy(images.shape)}")
    if images.ndim == 3 and images.dtype == np.uint8 and images.shape[2] in (3, 4) and min(images.shape[:2]) >= ONE:
        raise InputError(
            f"{name}: an array of shape {images.shape} looks like one colour image, not like {images.shape[0]} grey "
            f"ones {images.shape[2]} pixels wide: give (n, h, w, 3), or for grey ones x[..., None]"
        )
    array = _narrow(images)
    if images.dtype.kind == "f" and not all(np.isfinite(block).all() for _, block in blocks(array)):
        _refuse(name, images, ": remove or replace these examples")
        _refuse(name, array, " as float32: rescale the values")
    if isinstance(array, LazyArray):
        array.checked = True
        return array
    return np.ascontiguousarray(array)


def _refuse(name: str, images: Images, remedy: str) -> None:
    """Raises InputError if any value is NaN or infinite, saying how many and which example is the first."""
    n_values, bad_rows = 0, []
    for start, block in blocks(images):
        bad = ~np.isfinite(block).reshape(len(block), -1)
        n_values += int(bad.sum())
        bad_rows += (start + np.flatnonzero(bad.any(1))).tolist()
    if bad_rows:
        raise InputError(
            f"{name}: {n_values} values in {len(bad_rows)} examples are NaN or infinite, "
            f"first in example {bad_rows[0]}{remedy}"
        )


def fingerprint(images: Images) -> str:
    """SHA-256 (hexadecimal) over shape, dtype and bytes (C order)."""
    digest = hashlib.sha256(f"{images.shape} {images.dtype.str}".encode())
    for _, block in blocks(images):
        digest.update(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _narrow(images: Images) -> Images:
    """bool and whole numbers within 0..255 become uint8, all else (and all features) float32; a channel is added."""
    dtype: np.dtype = np.dtype(np.float32)
    if images.ndim > 2 and (images.dtype in (bool, np.uint8) or (images.dtype.kind in "ui" and _are_levels(images))):
        dtype = np.dtype(np.uint8)
    shape = (*images.shape[1:], 1) if images.ndim == 3 else images.shape[1:]

    def convert(block: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            levels = block.reshape(len(block), *shape).astype(dtype, copy=False)
        return levels * np.uint8(255) if block.dtype == bool and dtype == np.uint8 else levels

    if isinstance(images, LazyArray):
        return images.map(convert, shape, dtype)
    return convert(images)


def _are_levels(images: Images) -> bool:
    """Whether whole numbers lie within 0..255."""
    low, high = limits(images)
    return low >= 0 and high <= 255


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
        values = np.array([{"train": TRAIN, "test": TEST}.get(v.lower(), -1) for v in values.astype(str)], np.int8)
    if values.dtype.kind not in "buif" or not np.isin(values, (TRAIN, TEST)).all():
        raise InputError(f"{name}: 'split' must hold 0 (train) and 1 (test) only")
    return values.astype(np.int8)


def names_of(name: str, names: Any, n: int) -> np.ndarray:
    """Names (n,) of examples as text. Raises InputError for another number, and for text that UTF-8 cannot hold."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(f"{name}: names are {names!r:.40}: give a list, one for each of {n} examples")
    texts = [str(one) for one in names]
    found = np.empty(len(texts), object)
    found[:] = texts
    if len(found) != n:
        raise InputError(f"{name}: {len(found)} names do not match {n} examples: give one for each")
    try:
        "".join(found).encode("utf-8", "surrogateescape")  # as listings are written
    except UnicodeEncodeError as error:
        text = error.object[error.start : error.end]
        raise InputError(f"{name}: the names hold {text!a}, which is no character: give other names") from error
    return found


def _class_codes(
    name: str, labels: Any, class_names: tuple[str, ...] | None, n: int
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    values = np.asarray(labels)
    if values.ndim == 2 and 1 in values.shape:
        values = values.reshape(-1)
    if values.shape != (n,):
        one_hot = ", such as labels.argmax(1)" if values.ndim == 2 and len(values) == n else ""
        raise InputError(f"{name}: labels of shape {values.shape} do not match {n} examples: give ({n},){one_hot}")
    if values.dtype.kind in "US":
        names, codes = np.unique(values.astype(str), return_inverse=True)
        return codes.astype(np.int64), tuple(str(v) for v in names)
    if values.dtype.kind not in "buif" or (values.dtype.kind == "f" and not (np.rint(values) == values).all()):
        raise InputError(
            f"{name}: labels of type {values.dtype} are not classes: give whole numbers, -1 where unknown, or strings"
        )
    if values.dtype.kind in "uif" and np.abs(values.astype(np.float64)).max() > MOST:
        raise InputError(f"{name}: labels up to {values.max()} are too large to be classes: number them from 0")
    codes = values.astype(np.int64)
    if class_names is not None and codes.max() >= len(class_names):
        raise InputError(f"{name}: label {codes.max()} has no name: there are {len(class_names)} class names")
    return codes, class_names
