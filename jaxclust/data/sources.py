"""`load`: a data set by name, file, folder or array, in one form."""

import difflib
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jaxclust.data import built_in, dataset, files, folders
from jaxclust.data.built_in import BUILT_IN, BuiltIn
from jaxclust.data.dataset import Dataset
from jaxclust.errors import InputError

__all__ = ["BUILT_IN", "BuiltIn", "Dataset", "load"]

FoundSkipped: TypeAlias = tuple[built_in.Found, tuple[str, ...]]
IDX_PAIRS = (("train-images", 0), ("t10k-images", 1))


def load(data: Any, *, split: str = "all", image_size: int | None = None, skip_bad: bool = False) -> Dataset:
    """Reads images or features from wherever they are.

    data: a name in `BUILT_IN`, 'tfds:NAME' or 'openml:NAME' (or its number); a folder of images (see
        `folders.read_folder`) or of the four MNIST-style idx files; an .npz (`images` or `features`, optional `labels`
        and `split`), .npy, idx or idx.gz file; or an array (n, d), (n, h, w) or (n, h, w, c).
    split: 'all', 'train' or 'test', the last two where the data states its parts.
    image_size: resizes images to image_size x image_size.
    skip_bad: leaves out images of a folder that cannot be read, and lists them in `skipped`.

    Raises InputError, in one line that names the file and the remedy. Nothing is ever unpickled.
    """
    folders.check_image_size(image_size)
    skipped: tuple[str, ...] = ()
    if not isinstance(data, str | os.PathLike):
        name, found = "array", built_in.Found(np.asarray(data))
    else:
        name = os.fspath(data)
        found, skipped = _read(name, is_path=not isinstance(data, str), image_size=image_size, skip_bad=skip_bad)
    result = dataset.build(name, *found, skipped, select=split)
    if image_size is None:
        return result
    return _resized(result, image_size)


def _resized(result: Dataset, image_size: int) -> Dataset:
    if result.images.ndim != 4:
        raise InputError(f"{result.name}: image_size is for images: these are features, of shape {result.images.shape}")
    images = folders.resize(result.images, image_size)
    return result._replace(images=images, fingerprint=dataset.fingerprint(images))


def _read(name: str, *, is_path: bool, image_size: int | None, skip_bad: bool) -> FoundSkipped:
    if not is_path:
        if name in BUILT_IN:
            return built_in.read(BUILT_IN[name]), ()
        if name.startswith("tfds:"):
            return built_in.read_tfds(name.removeprefix("tfds:")), ()
        if name.startswith("openml:"):
            number = name.removeprefix("openml:")
            return built_in.read_openml(int(number) if number.isdigit() else number), ()
    path = Path(name).expanduser()
    try:
        if name and path.is_dir():
            return _read_directory(path, image_size, skip_bad)
        if not path.is_file():
            raise InputError(_unknown(name))
        return _read_file(path), ()
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into this machine's memory: give a part of it") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}): check the path and its permissions"
        ) from error


def _read_directory(path: Path, image_size: int | None, skip_bad: bool) -> FoundSkipped:
    pairs = [(p, code) for prefix, code in IDX_PAIRS for p in sorted(path.glob(f"{prefix}[-.]idx3-ubyte*"))[:1]]
    if pairs and not folders.list_images(path):
        parts = [(files.read_idx_pair(p), code) for p, code in pairs]
        labels = [part[1] for part, _ in parts]
        return built_in.Found(
            np.concatenate([part[0] for part, _ in parts]),
            np.concatenate([v for v in labels if v is not None]) if all(v is not None for v in labels) else None,
            None,
            np.concatenate([np.full(len(part[0]), code, np.int8) for part, code in parts]),
        ), ()
    folder = folders.read_folder(path, image_size=image_size, skip_bad=skip_bad)
    return built_in.Found(folder.images, folder.labels, None, folder.split), folder.skipped


def _read_file(path: Path) -> built_in.Found:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = files.read_npz(path)
        images = arrays["images"] if "images" in arrays else _as_features(path, arrays["features"])
        return built_in.Found(images, arrays.get("labels"), None, arrays.get("split"))
    if suffix == ".npy":
        return built_in.Found(files.read_npy(path))
    if files.is_idx(path):
        return built_in.Found(*files.read_idx_pair(path))
    if suffix in folders.SUFFIXES:
        raise InputError(f"{path}: a single image cannot be clustered: give the folder that holds the images")
    raise InputError(f"{path}: this kind of file is not known: give .npz, .npy, idx, idx.gz or a folder of images")


def _as_features(path: Path, features: np.ndarray) -> np.ndarray:
    if features.ndim != 2:
        raise InputError(
            f"{path}: 'features' has shape {features.shape} where (n, d) is expected: name images 'images'"
        )
    return features


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), BUILT_IN, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{name!r} is neither a file or folder nor a built-in data set: {hint}`jaxclust data` lists the names"
