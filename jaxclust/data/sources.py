"""`load`: a data set by name, file, folder or array, in one form."""

import difflib
import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data import dataset, prepare, rows
from jaxclust.data.dataset import Dataset
from jaxclust.data.readers import (
    annotated,
    archives,
    arrow,
    built_in,
    files,
    folders,
    frames,
    kinds,
    left_out,
    listing,
    lists,
    memory,
    npz_names,
    path_tables,
    pixels,
    remote,
    shards,
    sparse,
    tables,
)
from jaxclust.data.readers.built_in import BUILT_IN, BuiltIn
from jaxclust.data.readers.found import Found
from jaxclust.data.readers.pixels import Look
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError
from jaxclust.system import environment, paths

log = logging.getLogger(__name__)

__all__ = ["BUILT_IN", "BuiltIn", "Dataset", "load"]

STREAM = ("auto", "on", "off")
RESIDENT_SHARE = 1 / 8  # of the memory: prepared data up to that stay in it, beside raw data and a device's copy
IDX_PAIRS = (("train-images", 0), ("t10k-images", 1))


class Reading(NamedTuple):
    """How data are read: as in `load`."""

    image_size: int | None
    skip_bad: bool
    stream: str
    max_pixels: int | None = None
    depth: int | None = None

    @property
    def look(self) -> Look:
        """How image files are looked at."""
        return Look(self.image_size, self.max_pixels, self.depth)


def load(
    data: Any,
    *,
    split: str = "all",
    image_size: int | None = None,
    skip_bad: bool = False,
    stream: str = "off",
    names: Any = None,
    max_pixels: int | None = None,
    depth: int | None = None,
) -> Dataset:
    """Reads images or features from wherever they are, or opens what is to be streamed: standard data, checked once.

    data: a name in `BUILT_IN`, 'tfds:NAME' or 'openml:NAME' (or its number); a file or folder elsewhere, such as
        gs://..., s3://... or https://..., which is copied first (`remote.read`); a folder, .zip or .tar of images
        (see `folders.read`); a folder of .npy or .npz shards, or of the four MNIST-style idx files; an .npz (`images`
        or `features`, optional `labels`, `split` and `names`), .npy, idx or idx.gz file; a table of features, .csv,
        .tsv, .csv.gz, .parquet, .feather or .arrow (`tables.read_table`), or one that lists or holds image files
        (`path_tables.find`); a TIFF or GIF of several pages or frames (`folders.read_pages`); AnnData's .h5ad
        (`annotated.read`); a sparse matrix of features as scipy.sparse.save_npz writes it, perhaps with
        NAME.labels.npy and NAME.split.npy beside it (`sparse.read`); or what is in memory: an array or tensor of any
        package, (n, d), (n, h, w) or (n, h, w, c), a matrix of scipy.sparse (n, d), a data frame of pandas or polars, a
        table of pyarrow, a data set of Hugging Face or AnnData (`memory.found`); a list of paths of images, of their
        bytes, of PIL images or of arrays of images (`lists.read`); or a `Dataset`.
    split: 'all', 'train' or 'test', the last two where the data states its parts.
    image_size: resizes images to image_size x image_size.
    skip_bad: leaves out images that cannot be read, and lists them in `skipped`.
    stream: 'on' leaves the images on disk and gives `LazyArray`, 'off' reads them; 'auto' is 'on' where they would take
        more than RESIDENT_SHARE of the memory (`streams`). .npy and .npz are read where they lie; compressed .npz,
        folders of images, resized images and tables are unpacked into a temporary file once. Sparse matrices stay
        sparse in memory and become dense part by part. Other data are read whole, and with 'on' fed to the device part
        by part.
    names: (n,) what each example of data in memory is called; files have names of their own.
    max_pixels: refuses image files of more pixels; by default Pillow's limit, about 89 million.
    depth: bits of image files as `Dataset.depth` tells them of another data set, so that these are read alike; 8 reads
        files of 16 bits as 8 bits. By default what the files hold.

    Files of a folder that are not read are counted in a line of the log and listed in `skipped`, hidden ones aside.
    Raises InputError, in one line that names the file and the remedy. Nothing is ever unpickled.
    """
    reading = Reading(image_size, skip_bad, stream, max_pixels, depth)
    pixels.check(reading.look)
    if stream not in STREAM:
        raise InputError(f"stream {stream!r} is unknown: choose {', '.join(STREAM[:-1])} or {STREAM[-1]}")
    if isinstance(data, str | os.PathLike):
        name = os.fspath(data)
        if names is not None:
            raise InputError(f"{name}: files have names of their own: give names with data in memory only")
        found = _read(name, not isinstance(data, str), reading)
        name = remote.shown(name) if paths.is_url(name) else name
    else:
        name, found = _given(data, reading, names)
    result = dataset.build(name, *found, select=split)
    if result.skipped and not isinstance(data, Dataset):
        log.warning("%s: %s", name, left_out.line(result.skipped))
    if image_size is not None:
        result = _resized(result, image_size)
    if not isinstance(result.images, LazyArray) and streams(stream, result.images.shape):
        result = result._replace(images=rows.of_array(result.images, checked=True))
    return result


def streams(stream: str, shape: tuple[int, ...]) -> bool:
    """Whether data of that raw shape (n, ...) are streamed: 'on', 'off', or 'auto'.

    'auto' does where the prepared data exceed RESIDENT_SHARE of the machine's memory, or of a device's.
    """
    if stream != "auto":
        return stream == "on"
    memory = environment.memory_for_data()
    return memory is not None and prepare.n_bytes(shape) > RESIDENT_SHARE * memory


def _given(data: Any, reading: Reading, names: Any) -> tuple[str, Found]:
    """What a user holds in memory with the names that they give, and what errors call it."""
    called: dict[str, Any] = {} if names is None else {"names": names, "named": "name"}
    if isinstance(data, Dataset):
        return data.name, Found(*data[1:])._replace(**called)
    data = lists.unrolled(data)
    if lists.is_list(data):
        found, kept = lists.read(data, reading.look, reading.skip_bad, partial(streams, reading.stream))
        if kept is not None and names is not None:
            called["names"] = dataset.names_of(lists.NAME, names, len(data))[kept]
        return lists.NAME, found._replace(**called)
    listed = path_tables.of_frame(data) if frames.is_frame(data) else None
    if listed is not None:
        found = path_tables.read(listed, reading.look, reading.skip_bad, partial(streams, reading.stream))
        return "data", found._replace(**called)
    found = memory.found(data)
    if not isinstance(data, LazyArray):
        found = _resident(found, "data", reading.stream)
    return "array", found._replace(**called)


def _resident(found: Found, what: str, stream: str) -> Found:
    """Rows of a sparse matrix become dense unless they are streamed."""
    images = found.images
    if isinstance(images, LazyArray) and not streams(stream, images.shape):
        return found._replace(images=sparse.dense(images, what))
    return found


def _resized(result: Dataset, image_size: int) -> Dataset:
    images = result.images
    if images.ndim != 4:
        raise InputError(
            f"{result.name}: image_size is for images: these are features, of shape {images.shape}: leave it out"
        )
    if isinstance(images, LazyArray):
        ends, shape = rows.limits(images), (len(images), image_size, image_size, images.shape[3])
        if images.shape != shape:
            resized = (pixels.resize(block, image_size, ends) for _, block in rows.blocks(images))
            images = shards.stored((block.tobytes() for block in resized), shape, images.dtype)
            images.checked = True
    else:
        images = pixels.resize(images, image_size)
    return result._replace(images=images)


def _read(name: str, is_path: bool, reading: Reading) -> Found:
    if not is_path:
        if name in BUILT_IN:
            return built_in.read(BUILT_IN[name])
        if name.startswith("tfds:"):
            return built_in.read_tfds(name.removeprefix("tfds:"))
        if name.startswith("openml:"):
            number = name.removeprefix("openml:")
            return built_in.read_openml(int(number) if number.isdigit() else number)
        if paths.is_url(name):
            return remote.read(name, lambda path: _read(str(path), True, reading))
    path = paths.expanded(name)
    try:
        if name and path.is_dir():
            return _read_directory(path, reading)
        if not path.is_file():
            raise InputError(_unknown(name))
        return _read_file(path, reading)
    except MemoryError as error:
        parted = path.is_dir() or path.suffix in shards.SUFFIXES or tables.is_table(path)
        remedy = "pass --stream on" if parted else "give a part of it"
        raise InputError(f"{path}: does not fit into this machine's memory: {remedy}") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}): check the path and its permissions"
        ) from error


def _read_directory(path: Path, reading: Reading) -> Found:
    if all((path / name).is_file() for name in ("config.json", "embedding.npy", "probabilities.npy")):
        raise InputError(f"{path}: is a run, not data: give the data, or {path / 'embedding.npy'} to cluster its codes")
    listed = listing.walk(path)
    pairs = [(p, code) for prefix, code in IDX_PAIRS for p in sorted(path.glob(f"{prefix}[-.]idx3-ubyte*"))[:1]]
    if pairs and not listed.files:
        parts = [(files.read_idx_pair(p), code) for p, code in pairs]
        labels = [part[1] for part, _ in parts]
        return Found(
            np.concatenate([part[0] for part, _ in parts]),
            np.concatenate([v for v in labels if v is not None]) if all(v is not None for v in labels) else None,
            None,
            np.concatenate([np.full(len(part[0]), code, np.int8) for part, code in parts]),
        )
    paths = shards.list_shards(path)
    if paths and not listed.files:
        found = _read_shards([shards.find(p) for p in paths], reading, str(path))
        return found._replace(skipped=left_out.others(path, paths))
    return _read_images(listed, reading)


def _read_images(listed: listing.Listing, reading: Reading) -> Found:
    """Image files, in a temporary file where they are to be streamed."""
    stored = streams(reading.stream, folders.shape_of(listed, reading.image_size))
    return folders.read(listed, reading.look, skip_bad=reading.skip_bad, stored=stored)


def _read_shards(found: list[shards.Shard], reading: Reading, what: str) -> Found:
    """The images of all shards as `LazyArray`, or read where they need not be streamed."""
    shape = shards.check_alike(found)
    images: rows.Images = shards.open_rows(found)
    if not streams(reading.stream, shape):
        files.check_size(what, files.n_bytes(shape, images.dtype))
        images = images[:]
    labels, split = shards.beside(found, "labels"), shards.beside(found, "split")
    packed = all(shard.member for shard in found)
    names = npz_names.read([s.path for s in found], [s.shape[0] for s in found]) if packed else None
    return Found(images, labels, None, split, names)


def _read_file(path: Path, reading: Reading) -> Found:
    suffix = path.suffix.lower()
    if archives.is_archive(path):
        return _read_images(archives.unpacked(path), reading)
    files.refuse_pickled(path)
    if tables.is_table(path):
        table, streamed = arrow.open_table(path), partial(streams, reading.stream)
        listed = path_tables.find(table, path.parent)
        if listed is not None:
            return path_tables.read(listed, reading.look, reading.skip_bad, streamed)
        return tables.read_table(table, streamed)
    if suffix == annotated.SUFFIX:
        return _resident(annotated.read(path), str(path), reading.stream)
    if suffix == ".npz" and sparse.is_sparse(path):
        return sparse.read(path, partial(streams, reading.stream))
    if suffix in shards.SUFFIXES and reading.stream != "off":
        shard = shards.find(path)
        if streams(reading.stream, shard.shape):
            return _read_shards([shard], reading, str(path))
    if suffix == ".npz":
        arrays = files.read_npz(path)
        images = arrays["images"] if "images" in arrays else _as_features(path, arrays["features"])
        names = npz_names.read([path], [len(images)] if images.ndim else [0])
        return Found(images, arrays.get("labels"), None, arrays.get("split"), names)
    if suffix == ".npy":
        return Found(files.read_npy(path))
    if files.is_idx(path):
        return Found(*files.read_idx_pair(path))
    if suffix in kinds.SUFFIXES:
        found = folders.read_pages(path, reading.look, reading.skip_bad, partial(streams, reading.stream))
        if found is not None:
            return found
        raise InputError(f"{path}: a single image cannot be clustered: give the folder that holds the images")
    raise InputError(
        f"{path}: this kind of file is not known: give .npz, .npy, .csv, .tsv, .csv.gz, .parquet, .feather, .h5ad, "
        "idx, idx.gz or a folder, .zip or .tar of images"
    )


def _as_features(path: Path, features: np.ndarray) -> np.ndarray:
    if features.ndim != 2:
        raise InputError(
            f"{path}: 'features' has shape {features.shape} where (n, d) is expected: name images 'images'"
        )
    return features


def _unknown(name: str) -> str:
    path = Path(name)
    with suppress(OSError, ValueError):
        beside = {other.name.lower(): str(other) for other in path.parent.iterdir()} if path.name else {}
        if close := difflib.get_close_matches(path.name.lower(), beside, n=1, cutoff=0.8):
            return f"{name!r} is not there: did you mean {beside[close[0]]!r}?"
    close = difflib.get_close_matches(name.lower(), BUILT_IN, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{name!r} is neither a file or folder nor a built-in data set: {hint}`jaxclust data` lists the names"
