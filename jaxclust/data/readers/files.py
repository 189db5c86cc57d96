"""Readers of .npz, .npy, idx and idx.gz files. Sizes are checked before memory is taken; nothing is unpickled."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np

from jaxclust.data.readers.arrays import as_numbers, standard_type
from jaxclust.errors import InputError
from jaxclust.system import environment

GIB = 1024**3
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NPZ_NAMES = ("images", "features", "labels", "split")
AS_ARRAY, AS_TABLE = "numpy.save('x.npy', numpy.asarray(x))", "frame.to_parquet('x.parquet')"
PICKLED = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), "numpy.save('x.npy', torch.load(...).float().numpy())"),
    **dict.fromkeys((".pkl", ".pickle"), f"{AS_ARRAY}, or of a data frame {AS_TABLE}"),
    **dict.fromkeys((".joblib", ".sav", ".dill"), AS_ARRAY),
}  # files that are pickled, and how what they hold is saved instead


def refuse_pickled(path: Path) -> None:
    """Raises InputError for a file whose name says that it is pickled, as those of PyTorch and joblib are."""
    remedy = PICKLED.get(path.suffix.lower())
    if remedy is not None:
        raise InputError(
            f"{path}: {path.suffix} files are pickled and can run any program when read; nothing is unpickled here: "
            f"save what it holds by {remedy}"
        )


def memory_limit() -> int:
    """The most bytes that one array may take when read: 16 GiB, or the machine's memory where that is less."""
    megabytes = environment.machine_memory_mb()
    return min(16 * GIB, int(megabytes * 1e6)) if megabytes else 16 * GIB


def check_size(what: str, n_bytes: int, remedy: str = "pass --stream on, or give a part of it") -> None:
    """Raises InputError if `n_bytes` exceed `memory_limit()`; called before anything is allocated."""
    if n_bytes > memory_limit():
        raise InputError(
            f"{what}: would take {n_bytes / GIB:.1f} GiB of memory, "
            f"the limit is {memory_limit() / GIB:.1f} GiB: {remedy}"
        )


def read_npz(path: Path, names: Sequence[str] = NPZ_NAMES) -> dict[str, np.ndarray]:
    """The arrays 'images' or 'features', and 'labels' and 'split' where present; only those in `names` are read."""
    return read_arrays(path, names, members)


def read_arrays(
    path: Path,
    names: Sequence[str],
    members: Callable[[Path, zipfile.ZipFile], dict[str, zipfile.ZipInfo]] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of an .npz that are called as in `names`, those that are there; `members` lists (and checks) all."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = (members or _members)(path, archive)
            arrays = {}
            for name in names:
                if name in found:
                    with archive.open(found[name]) as stream:
                        arrays[name] = _read_array(f"{path} ({name})", stream, found[name].file_size)
            return arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise InputError(f"{path}: the file is truncated, damaged or not an .npz: {error}; write it again") from error


def members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an .npz by name. Raises InputError unless one of 'images' and 'features' is among them."""
    found = _members(path, archive)
    if holds_sparse(found):
        raise InputError(
            f"{path}: a sparse matrix cannot be a shard: join them by scipy.sparse.vstack and give the one file's name"
        )
    present = [name for name in ("images", "features") if name in found]
    if len(present) != 1:
        names = ", ".join(sorted(found)) or "none"
        problem = (
            "holds both 'images' and 'features': keep one"
            if present
            else f"needs an array 'images' or 'features' (arrays found: {names}): np.savez(file, images=x)"
        )
        raise InputError(f"{path}: {problem}")
    return found


def holds_sparse(names: Iterable[str]) -> bool:
    """Whether those names of arrays are what scipy.sparse.save_npz writes."""
    return {"format", "shape", "data"} <= set(names)


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")}


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file."""
    with open(path, "rb") as stream:
        return _read_array(str(path), stream, path.stat().st_size)


def is_idx(path: Path) -> bool:
    """Whether the file (or what it holds compressed by gzip) begins like an idx file."""
    try:
        with _open_maybe_gzip(path) as stream:
            head = stream.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in IDX_TYPES and 1 <= head[3] <= 4


def read_idx(path: Path) -> np.ndarray:
    """The array of an idx or idx.gz file, (n,), (n, d), (n, h, w) or (n, h, w, c), in native byte order."""
    try:
        with _open_maybe_gzip(path) as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not 1 <= head[3] <= 4:
                raise InputError(f"{path}: not an idx file: its first bytes are {head!r}")
            dims = stream.read(4 * head[3])
            if len(dims) < 4 * head[3]:
                raise InputError(f"{path}: the file is truncated within its header: fetch it again")
            shape = struct.unpack(f">{head[3]}I", dims)
            dtype = np.dtype(IDX_TYPES[head[2]])
            announced = n_bytes(shape, dtype)
            check_size(str(path), announced, "give a part of it, or write it as .npy and pass --stream on")
            data = _read_exactly(stream, announced)
            _check_length(path, announced, len(data) + len(stream.read(1)))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the file is truncated or damaged: {error}; fetch it again") from error
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def idx_labels(path: Path) -> Path | None:
    """The labels file that lies beside an idx images file: train-images-idx3-ubyte -> train-labels-idx1-ubyte."""
    if "images" not in path.name:
        return None
    stem = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    for name in (stem, stem + ".gz"):
        if (path.parent / name).is_file():
            return path.parent / name
    return None


def read_idx_pair(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Images (or features) of an idx file, and the labels of the file beside it, if there is one."""
    images = read_idx(path)
    if images.ndim == 1:
        raise InputError(f"{path}: this idx file holds labels (one number each): give the images file")
    beside = idx_labels(path)
    if beside is None:
        return images, None
    labels = read_idx(beside)
    if labels.shape != (len(images),):
        raise InputError(
            f"{beside}: labels of shape {labels.shape} do not match the {len(images)} images of {path.name}"
        )
    return images, labels


def read_header(what: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and dtype of the array in .npy form that a stream holds."""
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(stream)
    except ValueError as error:
        raise InputError(
            f"{what}: not a NumPy array, or pickled or damaged ({error}); nothing is unpickled: save it with numpy.save"
        ) from None
    if dtype.hasobject:
        raise InputError(
            f"{what}: holds Python objects, which need pickle; nothing is unpickled: save numbers (uint8 or float32)"
        )
    if min(shape, default=0) < 0:
        raise InputError(f"{what}: the file is damaged: it states the shape {shape}; write it again")
    return shape, fortran, dtype


def _read_array(what: str, stream: IO[bytes], size: int) -> np.ndarray:
    """Reads one array in .npy form from a stream that claims to hold `size` bytes."""
    shape, _, dtype = read_header(what, stream)
    announced = n_bytes(shape, dtype)
    check_size(what, max(announced, n_bytes(shape, standard_type(dtype, what)[1])))
    if announced > size:
        raise InputError(f"{what}: the file is truncated: {announced} bytes announced, {size} there; write it again")
    stream.seek(0)
    try:
        return as_numbers(np.load(stream, allow_pickle=False), what)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{what}: the file is truncated or damaged: {error}; write it again") from error


def n_bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    """Bytes of an array, exactly, however large a header says it is."""
    total = dtype.itemsize
    for length in shape:
        total *= int(length)
    return total


def _is_gzip(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _open_maybe_gzip(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if _is_gzip(path) else open(path, "rb")


def _read_exactly(stream: IO[bytes], n_bytes: int) -> memoryview:
    """At most `n_bytes`, taken in pieces, so memory grows only with what is really there."""
    buffer = io.BytesIO()
    while buffer.tell() < n_bytes:
        piece = stream.read(min(1 << 22, n_bytes - buffer.tell()))
        if not piece:
            break
        buffer.write(piece)
    return buffer.getbuffer()


def _check_length(path: Path, expected: int, found: int) -> None:
    if found < expected:
        raise InputError(f"{path}: the file is truncated: {expected} bytes announced, {found} there; fetch it again")
    if found > expected:
        raise InputError(f"{path}: the file is longer than its header says ({expected} bytes of data): fetch it again")
