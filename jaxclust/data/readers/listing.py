"""The image files below a folder, links followed, each once; and what is left out, with the reason."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from jaxclust.data.readers import kinds

TWICE = "there already as"
RUN = {"config.json", "assignments.csv", "probabilities.npy"}  # files of a run directory
IGNORED = ("thumbs.db", "desktop.ini", "__macosx")  # what systems leave


class File(NamedTuple):
    """An image file. name: relative to its folder or archive, '/' between the parts. place: what errors call it."""

    name: str
    place: str
    open: Callable[[], IO[bytes]]


class Listing(NamedTuple):
    """Image files in the order of their names, part by part; and the names of others with the reason of each.

    root: what errors call the folder or archive. wrapped: whether folders that hold all the rest say nothing.
    """

    root: str
    files: list[File]
    left_out: list[tuple[str, str]]
    wrapped: bool = False


def walk(root: Path) -> Listing:
    """The image files below `root`; hidden files and folders are passed over.

    Links to files and folders are followed. A folder that was seen, or that holds `root`, is not seen again; a file
    that is there itself and by links, or by several links, is taken once. Pipes and links to nothing are left out.
    """
    files: list[File] = []
    left: list[tuple[str, str]] = []
    taken: dict[str, str] = {}
    found = sorted(_entries(root, left), key=lambda entry: entry[0].relative_to(root).parts)
    for path, real in sorted(found, key=lambda entry: entry[0].is_symlink()):
        name = path.relative_to(root).as_posix()
        reason = _left_out(path)
        if reason is None and real in taken:
            reason = f"{TWICE} {taken[real]}"
        if reason is None:
            taken[real] = name
            files.append(of_path(path, name))
        else:
            left.append((name, reason))
    return Listing(str(root), in_order(files), sorted(left))


def of_path(path: Path, name: str) -> File:
    """A file of a file system."""
    return File(name, printable(str(path)), partial(_opened, path))


def in_order(files: Iterable[File]) -> list[File]:
    """Files by name, part by part."""
    return sorted(files, key=lambda file: file.name.split("/"))


def hidden(name: str) -> bool:
    """Whether a file or folder of that name, without its folder, is passed over."""
    return name.startswith(".") or name.lower() in IGNORED


def printable(text: str) -> str:
    """In one line, whatever bytes a name holds."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _entries(root: Path, left: list[tuple[str, str]]) -> Iterator[tuple[Path, str]]:
    """Files below root, each with its real path; links to folders are followed once all else is seen."""
    real_root = os.path.realpath(root)
    seen: set[str] = set()
    tops = [str(root)]

    def failed(error: OSError) -> None:
        left.append((Path(error.filename).relative_to(root).as_posix(), f"cannot be listed, {error.strerror}"))

    for top in tops:  # grows below
        real_top = os.path.realpath(top)
        if real_top != real_root and f"{real_root}{os.sep}".startswith(real_top.rstrip(os.sep) + os.sep):
            continue
        for directory, folders, names in os.walk(top, onerror=failed):
            real = os.path.realpath(directory)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            if set(names) >= RUN:
                left.append((Path(directory).relative_to(root).as_posix(), "a run, whose figures are no data"))
                folders.clear()
                continue
            folders[:] = sorted(name for name in folders if not hidden(name))
            tops += [path for path in (os.path.join(directory, name) for name in folders) if os.path.islink(path)]
            for name in names:
                path = os.path.join(directory, name)
                if not hidden(name):
                    yield Path(path), os.path.realpath(path) if os.path.islink(path) else os.path.join(real, name)


def _left_out(path: Path) -> str | None:
    try:
        if not path.is_file():
            return "a link to nothing" if path.is_symlink() else "not a regular file"
        return kinds.left_out(path.name, partial(_head, path))
    except OSError as error:
        return f"cannot be opened, {error.strerror}"


def _opened(path: Path) -> IO[bytes]:
    return open(path, "rb")


def _head(path: Path) -> bytes:
    with _opened(path) as stream:
        return stream.read(kinds.HEAD)
