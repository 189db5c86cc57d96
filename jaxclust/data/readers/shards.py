"""Arrays in .npy and .npz files, one or a folder of them, left on disk and mapped into memory piece by piece."""

import shutil
import struct
import tempfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jaxclust.data.readers import files
from jaxclust.data.readers.arrays import as_numbers, standard_type
from jaxclust.data.rows import LazyArray, joined
from jaxclust.errors import InputError

SUFFIXES = (".npy", ".npz")
PIECE_BYTES = 1 << 23  # mapped at a time, so that what was read does not stay in memory
WAITING = 8  # blocks of rows, at most, that were read before those in front of them
AROUND = 1 << 16  # bytes that systems map around a touched page
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)


class Shard(NamedTuple):
    """An array in a file, known by its header: `member` of an .npz or '' for an .npy; (n, ...) shape and dtype.

    offset: of the first value in the file; None where it is compressed.
    sums: CRC-32 of the member of an .npz, and of its header; None for an .npy, which has none.
    fortran: whether rows lie scattered, as in the transpose of an array.
    """

    path: Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    fortran: bool
    sums: tuple[int, int] | None = None


def list_shards(root: Path) -> list[Path]:
    """The .npy and .npz files in a folder by name, hidden ones left out."""
    return sorted(p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "." and p.is_file())


def find(path: Path) -> Shard:
    """The images or features of a file, from its header alone. Raises InputError, naming the file."""
    if path.suffix.lower() == ".npy":
        with open(path, "rb") as stream:
            return _shard(path, "", stream, path.stat().st_size, stored=True)
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
            members = files.members(path, archive)
            name = "images" if "images" in members else "features"
            info = members[name]
            if info.compress_type == zipfile.ZIP_STORED:
                stream.seek(info.header_offset + 26)  # lengths of the name and of the extra field, which follow
                start = info.header_offset + 30 + sum(struct.unpack("<HH", stream.read(4)))
                stream.seek(start)
                shard = _shard(path, name, stream, info.file_size, stored=True)
                stream.seek(start)
                header = (shard.offset or start) - start
                whole = header + files.n_bytes(shard.shape, shard.dtype) == info.file_size
                return shard._replace(sums=(info.CRC, zlib.crc32(stream.read(header))) if whole else None)
            with archive.open(info) as unpacked:
                return _shard(path, name, unpacked, info.file_size, stored=False)
    except DAMAGED as error:
        raise InputError(f"{path}: the file is truncated, damaged or not an .npz: {error}; write it again") from error


def _shard(path: Path, name: str, stream: IO[bytes], size: int, *, stored: bool) -> Shard:
    what, start = f"{path} ({name})" if name else str(path), stream.tell()
    shape, fortran, dtype = files.read_header(what, stream)
    standard_type(dtype, what)
    announced = stream.tell() - start + files.n_bytes(shape, dtype)
    if announced > size:
        raise InputError(f"{what}: the file is truncated: {announced} bytes announced, {size} there; write it again")
    if name == "features" and len(shape) != 2:
        raise InputError(f"{path}: 'features' has shape {shape} where (n, d) is expected: name images 'images'")
    return Shard(path, name, shape, dtype, stream.tell() if stored else None, fortran and len(shape) > 1)


def check_alike(shards: list[Shard]) -> tuple[int, ...]:
    """The shape of all shards together. Raises InputError, naming the first that differs in kind from the others."""
    first = shards[0]
    for shard in shards:
        if not shard.shape or shard.shape[1:] != first.shape[1:]:
            raise InputError(
                f"{shard.path}: rows of shape {shard.shape[1:]} where {first.path.name} has {first.shape[1:]}: "
                "give all shards one shape, or take this file out of the folder"
            )
        if shard.dtype != first.dtype:
            raise InputError(
                f"{shard.path}: values of type {shard.dtype} where {first.path.name} has {first.dtype}: "
                "give all shards one type"
            )
    return (sum(shard.shape[0] for shard in shards), *first.shape[1:])


def open_rows(shards: list[Shard]) -> LazyArray:
    """The rows of all shards in their order. Compressed ones are unpacked into a temporary file first."""
    check_alike(shards)
    return joined([_as_numbers(_open(shard)) for shard in shards])


def _as_numbers(rows: LazyArray) -> LazyArray:
    """Rows of a type that NumPy does not have as `as_numbers` gives them."""
    target = standard_type(rows.dtype)[1]
    return rows if target == rows.dtype else rows.map(as_numbers, rows.shape[1:], target)


def _open(shard: Shard) -> LazyArray:
    if shard.fortran:
        raise InputError(
            f"{shard.path}: is in Fortran order, which cannot be read in parts: save numpy.ascontiguousarray(x)"
        )
    if shard.offset is not None:
        rows = mapped(shard.path, shard.offset, shard.shape, shard.dtype)
        return (
            rows
            if shard.sums is None
            else LazyArray(rows.shape, rows.dtype, _Summed(shard.path, rows, *shard.sums).read)
        )
    try:
        with zipfile.ZipFile(shard.path) as archive, archive.open(f"{shard.member}.npy") as stream:
            files.read_header(str(shard.path), stream)
            return stored(_first(stream, files.n_bytes(shard.shape, shard.dtype)), shard.shape, shard.dtype)
    except DAMAGED as error:
        raise InputError(f"{shard.path}: the file is truncated or damaged: {error}; write it again") from error


class _Summed:
    """Reads rows, and compares their checksum when all have been read in their order, as a first look at data does.

    total, header: CRC-32 of the member of an .npz, and of what comes before its rows.
    """

    def __init__(self, path: Path, rows: LazyArray, total: int, header: int):
        self.path, self.rows, self.total, self.header = path, rows, total, header
        self.done, self.sum = 0, header  # rows so far, and the checksum up to there
        self.waiting: dict[int, np.ndarray] = {}  # what another thread has read ahead
        self.lock = threading.Lock()

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Those rows. Raises InputError where they are the last of a file that is damaged."""
        found = self.rows[numbers]
        if self.done < len(self.rows) and len(numbers) and (np.diff(numbers) == 1).all():
            with self.lock:
                self._add(int(numbers[0]), found)
        return found

    def _add(self, first: int, found: np.ndarray) -> None:
        if first == 0:
            self.done, self.sum = 0, self.header
        if len(self.waiting) >= WAITING:  # of a reading that was given up
            self.waiting.clear()
        self.waiting[first] = found
        while (found := self.waiting.pop(self.done, found[:0])).size:
            self.done, self.sum = self.done + len(found), zlib.crc32(found.tobytes(), self.sum)
        if self.done == len(self.rows) and self.sum != self.total:
            self.done = 0
            raise InputError(f"{self.path}: is damaged: its checksum is another: write it again")


def _first(stream: IO[bytes], n_bytes: int) -> Iterator[bytes]:
    """The first bytes of a stream in pieces: what lies behind them is not unpacked."""
    while n_bytes and (piece := stream.read(min(n_bytes, 1 << 20))):
        n_bytes -= len(piece)
        yield piece


def beside(shards: list[Shard], name: str) -> np.ndarray | None:
    """'labels' or 'split' of all .npz shards, (n,); None if no shard has them. Raises InputError if only some do."""
    found = [files.read_npz(s.path, (name,)).get(name) if s.member else None for s in shards]
    arrays = [array for array in found if array is not None]
    if not arrays:
        return None
    for shard, array in zip(shards, found, strict=True):
        if array is None:
            raise InputError(f"{shard.path}: has no {name!r} where other shards do: give them to all or to none")
        if array.shape != shard.shape[:1]:
            raise InputError(f"{shard.path}: {name!r} of shape {array.shape} do not match {shard.shape[0]} examples")
    return np.concatenate(arrays)


def mapped(file: Path | IO[bytes], offset: int, shape: tuple[int, ...], dtype: Any) -> LazyArray:
    """Rows of an array in C order that begins at `offset` of a file.

    Each read maps the file anew, some PIECE_BYTES at a time and along the file: mapped pages count as resident memory.
    """
    dtype = np.dtype(dtype)
    row = files.n_bytes(shape[1:], dtype)
    piece = max(1, PIECE_BYTES // (row + AROUND))

    def read(numbers: np.ndarray) -> np.ndarray:
        out = np.empty((len(numbers), *shape[1:]), dtype)
        order = np.argsort(numbers, kind="stable")
        for start in range(0, len(order), piece):
            places = order[start : start + piece]
            try:
                out[places] = np.memmap(file, dtype, "r", offset, shape)[numbers[places]]
            except ValueError as error:
                raise InputError(f"{file}: was made shorter while it was read: write it again") from error
        return out

    return LazyArray(shape, dtype, read)


def stored(pieces: Iterable[bytes], shape: tuple[int, ...], dtype: Any) -> LazyArray:
    """Rows of the bytes of an array in C order, kept in a temporary file that goes with them.

    Raises InputError where the disk has no room.
    """
    check_disk(files.n_bytes(shape, np.dtype(dtype)))
    return rows_of(temporary(pieces), shape, dtype)


def check_disk(n_bytes: int) -> None:
    """Raises InputError if a temporary file of that size has no room, before anything is written."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if n_bytes > free:
        raise InputError(
            f"{tempfile.gettempdir()}: cannot hold the unpacked data ({n_bytes / files.GIB:.1f} GiB, "
            f"{free / files.GIB:.1f} GiB free): set TMPDIR to a directory with more room"
        )


def temporary(pieces: Iterable[bytes]) -> IO[bytes]:
    """A nameless file that holds `pieces`, gone once it is closed, however the process ends."""
    file = tempfile.TemporaryFile(prefix="jaxclust-")  # noqa: SIM115  # closed by whom it is given to
    try:
        write(file, pieces)
    except BaseException:
        file.close()
        raise
    return file


def rows_of(file: IO[bytes], shape: tuple[int, ...], dtype: Any) -> LazyArray:
    """Rows of an array that fills a file, which is closed when they are no longer used."""
    rows = mapped(file, 0, shape, dtype)
    weakref.finalize(rows, file.close)
    return rows


def write(file: IO[bytes], pieces: Iterable[bytes]) -> None:
    """Append to a temporary file. Raises InputError where the disk has no room."""
    try:
        for piece in pieces:
            file.write(piece)
        file.flush()
    except OSError as error:
        room = shutil.disk_usage(tempfile.gettempdir()).free / files.GIB
        raise InputError(
            f"{tempfile.gettempdir()}: cannot hold the unpacked data ({error.strerror}, {room:.1f} GiB free): "
            "set TMPDIR to a directory with more room"
        ) from error
