"""Data elsewhere (gs://, s3://, https://, what else fsspec opens): copied to a temporary directory, and read there."""

import posixpath
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jaxclust.data.readers.files import GIB
from jaxclust.data.readers.found import Found
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError

HTTP = ("http", "https")
AT_A_TIME = 16  # files
MAX_FILES = 2_000_000
PATIENCE = 60  # seconds without an answer
# Packages whose errors are those of a network or of credentials; many of them are no OSError.
NETWORK = {"adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "s3fs", "yarl"}


def shown(url: str) -> str:
    """A URL without a query or user information, which may hold a key."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def read(url: str, reader: Callable[[Path], Found]) -> Found:
    """What `reader` finds in a copy of a file or folder, which is deleted as soon as nothing reads it any more.

    Raises InputError where the copy would take more than the temporary directory has, and for whatever keeps it from
    being made: nothing there, no right to it, no network, no package for that kind of URL.
    """
    folder = Path(tempfile.mkdtemp(prefix="jaxclust-"))
    found, name = None, shown(url)
    try:
        path = _copied(url, folder)
        try:
            found = reader(path)
        except InputError as error:
            raise type(error)(str(error).replace(str(path), name)) from error
        skipped = tuple((file, reason.replace(str(path), name)) for file, reason in found.skipped)
        return found._replace(skipped=skipped)
    finally:
        if found is not None and isinstance(found.images, LazyArray):
            weakref.finalize(found.images, shutil.rmtree, folder, ignore_errors=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _copied(url: str, folder: Path) -> Path:
    name = shown(url)
    with _in_one_line(name):
        system, root = _opened(url)
        inner = url.partition("::")[0]
        path = folder / (posixpath.basename(unquote(urlsplit(inner).path).rstrip("/")) or "data")
        is_http = urlsplit(inner).scheme in HTTP
        if not (url.endswith("/") if is_http else system.isdir(root)):
            size = None if is_http else system.size(root)
            _copy(name, system, [(root, path, size)])
            return path
        path.mkdir()
        files = list(_inside(name, system.find(root, detail=True), root, path))
        if not files:
            raise InputError(f"{name}: holds no files: check the URL")
        _copy(name, system, files)
        return path


def _opened(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it."""
    try:
        import fsspec

        options: dict[str, Any] = {}
        if url.startswith(HTTP):
            import aiohttp

            patience = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
            options = {"client_kwargs": {"timeout": patience}}
        return fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise InputError(f"{shown(url)}: needs another package ({error}): pip install 'jaxclust[remote]'") from error
    except ValueError as error:
        raise InputError(f"{shown(url)}: {error}: give gs://, s3://, https:// or a path of this machine") from error


def _inside(name: str, found: dict[str, Any], root: str, path: Path) -> Iterator[tuple[str, Path, int | None]]:
    """Files below a folder, hidden ones left out: source, target, size where it is known."""
    if len(found) > MAX_FILES:
        raise InputError(f"{name}: holds more than {MAX_FILES} files: give a part of it")
    for source, info in found.items():
        relative = unquote(source) if source.startswith(HTTP) else source
        relative = relative.removeprefix(root).removeprefix("/")
        if not relative or relative.endswith("/"):  # an object that stands for a folder
            continue
        parts = relative.split("/")
        if any(part in ("", ".", "..") for part in parts):  # of an object store: it would lie elsewhere
            raise InputError(f"{name}: has a file with the name {source!r}, which no folder can hold: rename it")
        if not any(part.startswith(".") for part in parts):
            yield source, path / relative, info.get("size")


def _copy(name: str, system: Any, files: list[tuple[str, Path, int | None]]) -> None:
    """Copy files, some at a time. Raises InputError as soon as they exceed what the temporary directory has."""
    from fsspec.callbacks import Callback

    free = int(0.9 * shutil.disk_usage(tempfile.gettempdir()).free)
    left, lock = free, threading.Lock()

    class Counted(Callback):
        def relative_update(self, inc: int = 1) -> None:
            nonlocal left
            with lock:
                left -= inc
            if left < 0:
                raise _too_large(name, free)

    def copy(file: tuple[str, Path, int | None]) -> None:
        source, target, _ = file
        target.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(source, str(target), callback=Counted())

    if sum(size or 0 for _, _, size in files) > free:
        raise _too_large(name, free)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        jobs = [pool.submit(copy, file) for file in files]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _too_large(name: str, free: int) -> InputError:
    room = f"{tempfile.gettempdir()} has room for {free / GIB:.1f} GiB"
    return InputError(f"{name}: is too large ({room}): set TMPDIR to a directory with more, or give a part of it")


@contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    """What goes wrong between here and there as an InputError; errors of this program stay what they are."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name}: there is nothing: check the URL") from error
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in NETWORK:
            raise
        reason = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
        raise InputError(f"{name}: cannot be fetched ({reason}): check the URL, the network and your rights") from error
