"""Lists of images, one an example: paths, bytes of files, PIL images, or arrays of one size or of several."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MappingView, Sequence, Set
from functools import partial
from io import BytesIO
from numbers import Number
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.sparse import issparse

from jaxclust.data import dataset
from jaxclust.data.readers import folders, kinds, pixels
from jaxclust.data.readers.arrays import as_array
from jaxclust.data.readers.found import Found
from jaxclust.data.readers.kinds import Unreadable
from jaxclust.data.readers.left_out import OTHER_KIND
from jaxclust.data.readers.listing import File, Listing, of_path
from jaxclust.data.readers.pixels import Look
from jaxclust.errors import InputError, WrongType
from jaxclust.system.paths import is_url

NAME = "list"  # what errors call it
BYTES = "the bytes of an image"


def unrolled(data: Any) -> Any:
    """What an iterator, or a view of a dictionary, yields, as a list; all else as it is.

    Raises WrongType, with the remedy, for what holds no examples in an order: None, a number, a set, a dictionary, an
    open file.
    """
    remedy = None
    if hasattr(data, "read") and hasattr(data, "seek"):
        remedy = "an open file: give its path"
    elif isinstance(data, Mapping) and not hasattr(data, "shape"):
        names = ", ".join(map(repr, list(data)[:5]))
        remedy = f"a dictionary of {names}: give one of its values, or pandas.DataFrame(X) for its columns"
    elif isinstance(data, Set) and not isinstance(data, MappingView):
        remedy = "a set, which has no order: give a list"
    elif data is None or isinstance(data, Number):
        remedy = f"{data!r}: give an array (n, d) or (n, h, w, c), a list of images or a path"
    if isinstance(data, Iterator | MappingView) and remedy is None:
        data = list(cast(Iterable[Any], data))
    if isinstance(data, list | tuple) and not len(data):
        remedy = "empty: give at least two examples"
    if remedy is not None:
        raise WrongType(f"X is {remedy}")
    return data


def is_list(data: Any) -> bool:
    """Whether it is a list, tuple, or array of one axis whose first is a path, the bytes of an image
    file, a PIL image or an array of an image.

    Raises InputError for dictionaries.
    """
    plain = isinstance(data, list | tuple | np.ndarray) and not isinstance(data, dataset.Dataset)
    if not plain and not hasattr(data, "to_list"):  # which series of pandas and polars have
        return False
    if len(getattr(data, "shape", (1,))) != 1 or not len(data):
        return False
    first = data[0] if plain else data.to_list()[0]
    if isinstance(first, dict):
        keys = ", ".join(map(repr, list(first)[:5]))
        raise InputError(
            f"{NAME}: examples are dictionaries of {keys}: give one value of each, such as [row['image'] for row in X]"
        )
    return _kind(first) is not None


def read(
    data: Any, look: Look, skip_bad: bool, streamed: Callable[[tuple[int, ...]], bool]
) -> tuple[Found, np.ndarray | None]:
    """The images of a list that `is_list`, and the places of those that were kept, None where all were.

    Names are the paths as given, or the files that PIL images came from.

    Paths are read as `folders.read` reads files, but have no classes and no split; PIL images are treated alike.
    Arrays are (h, w), (h, w, 1) or (h, w, 3) of any number type. With one colour image, all become colour.
    streamed: told the shape (n, h, w, c), whether to keep the pixels of paths in a temporary file.
    Raises InputError, naming the example, for another kind than the first's, and for sizes that differ without
    `look.image_size`.
    """
    items = data.to_list() if hasattr(data, "to_list") else list(data)
    kind = _kind(items[0])
    if kind == "an array" and len(items) == 2 and np.shape(items[1]) == (len(items[0]),):
        raise InputError(f"{NAME}: is a pair of examples and their classes, (X, y): give X alone")
    for place, item in enumerate(items):
        if _kind(item) != kind:
            raise InputError(
                f"{NAME}: example {place} is of type {type(item).__name__} where example 0 is {kind}: give one kind"
            )
    if kind == BYTES:
        return _read_bytes(list(map(_bytes, items)), look, skip_bad, streamed)
    if kind == "a path":
        return read_paths([os.fsdecode(item) for item in items], Path(), look, skip_bad, streamed)
    if kind == "an array":
        arrays = [as_array(item, f"{NAME}, example {place}") for place, item in enumerate(items)]
        return Found(_together(arrays, look.image_size)), None
    names = [str(getattr(item, "filename", "")) for item in items]
    arrays, depth = folders.unified([_pixels(item, place, look) for place, item in enumerate(items)], look.depth)
    images = _together(arrays, look.image_size)
    return Found(images, names=np.array(names, object) if all(names) else None, named="file", depth=depth), None


def _read_bytes(
    items: list[bytes], look: Look, skip_bad: bool, streamed: Callable[[tuple[int, ...]], bool]
) -> tuple[Found, np.ndarray]:
    """Image files that are held in memory, and which of them were kept: their places."""
    held = [File(str(i), f"{NAME}, example {i}", partial(BytesIO, item)) for i, item in enumerate(items)]
    listing = Listing(NAME, held, [])
    stored = streamed(folders.shape_of(listing, look.image_size))
    found = folders.read(listing, look, skip_bad=skip_bad, stored=stored, labelled=False)
    assert found.names is not None
    return found._replace(names=None, named="name"), found.names.astype(np.int64)


def read_paths(
    paths: Sequence[str],
    base: Path,
    look: Look,
    skip_bad: bool,
    streamed: Callable[[tuple[int, ...]], bool],
) -> tuple[Found, np.ndarray]:
    """Images by their paths, relative to `base`, in the order given; and which of them were kept: their places."""
    files = [(base / os.path.expanduser(path)).absolute() for path in paths]
    gone = [place for place, file in enumerate(files) if not os.path.isfile(file)]  # no pipes either
    if gone and is_url(paths[gone[0]]):
        raise InputError(f"{paths[gone[0]]}: is not on this machine: fetch it, or give the URL of its folder alone")
    if gone and (not skip_bad or len(gone) == len(files)):
        if os.path.isdir(files[gone[0]]):
            raise InputError(f"{paths[gone[0]]}: is a folder among files: give one folder alone, or the files in it")
        raise InputError(f"{paths[gone[0]]}: there is no such file: check the path (relative to {base.absolute()})")
    left_out = [(paths[place], "there is no such file") for place in gone]
    there = [of_path(file, path) for file, path in zip(files, paths, strict=True) if file.is_file()]
    listing = Listing(NAME, there, left_out)
    stored = streamed(folders.shape_of(listing, look.image_size))
    found = folders.read(listing, look, skip_bad=skip_bad, stored=stored, labelled=False)
    bad = {path for path, _ in found.skipped}
    return found, np.array([place for place, path in enumerate(paths) if path not in bad])


def _bytes(item: Any) -> bytes:
    return item.getvalue() if isinstance(item, BytesIO) else item


def _kind(item: Any) -> str | None:
    if isinstance(item, BytesIO | bytes) and kinds.left_out("", lambda: _bytes(item)[: kinds.HEAD]) != OTHER_KIND:
        return BYTES
    if isinstance(item, str | bytes | os.PathLike):
        return "a path"
    if hasattr(item, "getbands") and hasattr(item, "convert"):
        return "a PIL image"
    if getattr(item, "ndim", 0) in (2, 3) and not issparse(item) and not hasattr(item, "columns"):
        return "an array"
    return None


def _pixels(picture: Any, place: int, look: Look) -> np.ndarray:
    """The pixels of a PIL image, as of a file."""
    try:
        return pixels.of_image(picture, look).array
    except (OSError, SyntaxError, ValueError, Unreadable) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{NAME}: example {place} cannot be read as an image ({reason}): leave it out") from error


def _together(arrays: list[np.ndarray], image_size: int | None) -> np.ndarray:
    """Images (h, w), (h, w, 1) or (h, w, c) of one size, or resized to one, as (n, h, w) or (n, h, w, c)."""
    shapes = [array.shape for array in arrays]
    if any(shape[:2] != shapes[0][:2] for shape in shapes):
        place = next(i for i, shape in enumerate(shapes) if shape[:2] != shapes[0][:2])
        if image_size is None:
            raise InputError(
                f"{NAME}: images differ in size, example 0 is {_times(shapes[0])} and example {place} is "
                f"{_times(shapes[place])}: load_data(..., image_size=N) resizes all to N x N"
            )
        arrays = _resized(arrays, image_size)
        shapes = [array.shape for array in arrays]
    channels = [shape[2] if len(shape) == 3 else 1 for shape in shapes]
    most = max(channels)
    for place, count in enumerate(channels):
        if count not in (1, most):
            raise InputError(f"{NAME}: example {place} has {count} channels where others have {most}: give all 1 or 3")
    if len({len(shape) for shape in shapes}) > 1 or min(channels) < most:
        arrays = [array if array.ndim == 3 else array[..., None] for array in arrays]
        arrays = [np.repeat(array, most // array.shape[2], axis=2) for array in arrays]
    return np.stack(arrays)


def _resized(arrays: list[np.ndarray], image_size: int) -> list[np.ndarray]:
    standard = [np.asarray(dataset.standard(f"{NAME}, example {i}", array[None])) for i, array in enumerate(arrays)]
    ends = min(array.min() for array in standard), max(array.max() for array in standard)
    return [pixels.resize(array, image_size, ends)[0] for array in standard]


def _times(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
