"""Where numba keeps what it has compiled for umap and pynndescent: a place that can be written, and nothing damaged.

Without such a place these packages cannot even be imported; nor can they where a file of the cache is cut off, by a
full disk or a process that was killed.
"""

import atexit
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from jaxclust.errors import InputError
from jaxclust.system import environment

SUFFIXES = (".nbi", ".nbc")
PACKAGES = ("umap", "pynndescent")
ALONE = (
    threading.RLock()
)  # held while numba's code runs: some of its thread pools end the process if two threads use it
ATTEMPTS = 50  # damaged directories that one call may meet, one a package and place

T = TypeVar("T")
log = logging.getLogger(__name__)


def place() -> None:
    """Before umap is imported: a temporary directory of this process, where numba finds no place of its own."""
    if any(map(_are_writable, _own_places())):
        return
    folder = tempfile.mkdtemp(prefix="jaxclust-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    if "numba" in sys.modules:  # it has read its environment
        sys.modules["numba"].config.CACHE_DIR = folder


def healed(function: Callable[[], T]) -> T:
    """`function()`, again after each damaged directory of the cache that it meets has been emptied.

    Raises InputError, naming the directory, where that cannot be done.
    """
    for _ in range(ATTEMPTS):
        try:
            return function()
        except Exception as error:
            folder = _damaged(error)
            if folder is None or not _emptied(folder):
                raise
            log.warning("%s: numba's cache was damaged: it was emptied, and is compiled anew", folder)
    return function()


def _own_places() -> Iterator[list[Path]]:
    """Directories of which numba takes the first that can be written."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield [Path(os.environ["NUMBA_CACHE_DIR"])]
    specs = [importlib.util.find_spec(name) for name in PACKAGES]
    yield [Path(spec.origin).parent / "__pycache__" for spec in specs if spec is not None and spec.origin]
    try:
        yield [environment.user_caches() / "numba"]
    except RuntimeError:  # no home: numba would make a directory called ~
        return


def _are_writable(directories: list[Path]) -> bool:
    try:
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


def _damaged(error: BaseException | None) -> Path | None:
    """The directory of the cache that numba was reading when the error, or one that it came from, was raised."""
    while error is not None:
        frame, found = error.__traceback__, None
        while frame is not None:
            if frame.tb_frame.f_globals.get("__name__") == "numba.core.caching":
                found = getattr(frame.tb_frame.f_locals.get("self"), "_cache_path", found)
            frame = frame.tb_next
        if found is not None and not isinstance(error, OSError | MemoryError):  # no damage, but no room
            return Path(found)
        error = error.__cause__ or error.__context__
    return None


def _emptied(folder: Path) -> bool:
    """Whether there was something to delete."""
    paths = [path for path in folder.iterdir() if path.suffix in SUFFIXES]
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder}: numba's cache is damaged and cannot be emptied ({error.strerror}): delete its .nbi and "
                ".nbc files, or set NUMBA_CACHE_DIR to a new directory"
            ) from error
    return bool(paths)
