"""Image files in a .zip or .tar, perhaps compressed: unpacked once into a nameless temporary file, within bounds.

Names of members are text and never paths to write to.
"""

import bz2
import gzip
import lzma
import struct
import tarfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from jaxclust.data.readers import kinds, shards
from jaxclust.data.readers.files import GIB
from jaxclust.data.readers.listing import File, Listing, hidden, in_order, printable
from jaxclust.errors import InputError

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (".zip", *TARS)
NESTED = (*SUFFIXES, ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")
MAX_MEMBERS = 4_000_000
FREE, RATIO = GIB, 100  # an archive may unpack to FREE bytes, or RATIO times its own size where that is more
HEADER = 1 << 20  # bytes that a tar file may ask for at once: a header that claims more is refused
PIECE = 1 << 18
COMPRESSED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError),
    *(NotImplementedError, RuntimeError, struct.error, ValueError),
)


class _Member(NamedTuple):
    """A file in an archive: what it claims to unpack to, what is wrong with it if anything, and its bytes."""

    name: str
    size: int
    problem: str | None
    open: Any


class Store:
    """A temporary file that is closed when it is no longer used. Several threads may read from it."""

    def __init__(self, file: IO[bytes]):
        self._file, self._lock = file, threading.Lock()
        weakref.finalize(self, file.close)

    def open(self, offset: int, size: int) -> IO[bytes]:
        """Those bytes."""
        with self._lock:
            self._file.seek(offset)
            return BytesIO(self._file.read(size))


def is_archive(path: Path) -> bool:
    """Whether a file is called like an archive."""
    return path.name.lower().endswith(SUFFIXES)


def unpacked(path: Path) -> Listing:
    """The image files of an archive; hidden ones are passed over. A name that is there twice is what was added last.

    Raises InputError where it is damaged or encrypted, holds another archive, or unpacks to more than the bounds.
    """
    places: dict[str, tuple[int, int]] = {}
    left: list[tuple[str, str]] = []
    try:
        store = Store(shards.temporary(_pieces(path, places, left)))
    except InputError:
        raise
    except DAMAGED as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path}: the archive is truncated or damaged ({reason}): write or fetch it again") from error
    entries = [File(name, printable(f"{path}/{name}"), partial(store.open, *place)) for name, place in places.items()]
    return Listing(str(path), in_order(entries), sorted(left), wrapped=True)


def _pieces(path: Path, places: dict[str, tuple[int, int]], left: list[tuple[str, str]]) -> Iterator[bytes]:
    """The bytes of all image files, one after the other, where each lies, and what is left out."""
    offset = 0
    for member in _bounded(path):
        name = member.name.replace("\\", "/").lstrip("/")
        parts = name.split("/")
        if ".." in parts:
            left.append((name, "its name leads out of the archive"))
            continue
        if any(hidden(part) for part in parts if part != "."):
            continue
        if name.lower().endswith(NESTED):
            raise InputError(
                f"{path}: holds another archive, {printable(name)}: unpack both, and give the folder of the images"
            )
        if member.problem is not None:
            left.append((name, member.problem))
            continue
        with member.open() as stream:
            head = stream.read(kinds.HEAD)
            reason = kinds.left_out(name, partial(bytes, head))
            if reason is not None:
                left.append((name, reason))
                continue
            size = 0
            for piece in _all(head, stream):
                size += len(piece)
                yield piece
        places["/".join(part for part in parts if part not in ("", "."))] = (offset, size)
        offset += size


def _all(head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield head
    while piece := stream.read(PIECE):
        yield piece


def _bounded(path: Path) -> Iterator[_Member]:
    """The members, told before they are unpacked. Raises InputError beyond the bounds."""
    bound = max(FREE, RATIO * path.stat().st_size)
    total = 0
    members = _zipped(path) if _is_zip(path) else _tarred(path, bound)
    for number, member in enumerate(members):
        total += member.size
        if number >= MAX_MEMBERS:
            raise InputError(f"{path}: holds more than {MAX_MEMBERS} files: unpack it, and give a folder of fewer")
        if total > bound:
            raise _too_large(path, bound)
        yield member


def _too_large(path: Path, bound: int) -> InputError:
    return InputError(
        f"{path}: unpacks to more than {bound / GIB:.1f} GiB, which is the most for {path.stat().st_size} bytes: "
        "where it is to be trusted, unpack it and give the folder"
    )


def _is_zip(path: Path) -> bool:
    """By its beginning, for a tar may end with a zip; or by its suffix."""
    with open(path, "rb") as stream:
        return stream.read(2) == b"PK" or path.suffix.lower() == ".zip"


def _zipped(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.flag_bits & 1:
                raise InputError(f"{path}: is encrypted: unpack it, and give the folder")
            if not info.is_dir():  # what is read is never more than file_size
                yield _Member(info.filename, info.file_size, None, partial(archive.open, info))


def _tarred(path: Path, bound: int) -> Iterator[_Member]:
    with open(path, "rb") as raw:
        head = raw.read(6)
        raw.seek(0)
        reader = next((opened for magic, opened in COMPRESSED if head.startswith(magic)), None)
        stream = raw if reader is None else reader(raw)
        guarded = cast(IO[bytes], _Guarded(path, stream, bound))
        with tarfile.open(fileobj=guarded, mode="r:", errors="surrogateescape") as archive:
            while (info := archive.next()) is not None:
                cast(Any, archive).members.clear()  # else all are kept
                if not info.isdir():
                    problem = None if info.isreg() and not info.issparse() else "a link or another special file"
                    yield _Member(info.name, info.size, problem, partial(archive.extractfile, info))
            guarded.seek(archive.offset)  # tarfile ends at what is no header, as it does at the blocks of zeros
            if guarded.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("its end is missing")
            left = bound
            while piece := guarded.read(HEADER):  # what is compressed has its checksum at the end
                left -= len(piece)
                if left < 0:
                    raise _too_large(path, bound)


class _Guarded:
    """A stream that a tar file is read from: refuses requests for very many bytes at once, and more than `bound`."""

    def __init__(self, path: Path, stream: Any, bound: int):
        self._path, self._stream, self._bound = path, stream, bound
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return cast(bytes, self._stream.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset > 2 * self._bound:
            raise _too_large(self._path, self._bound)
        return cast(int, self._stream.seek(offset, whence))
