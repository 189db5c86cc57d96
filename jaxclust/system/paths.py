"""Paths as users write them: `~` is the home directory, and what lies elsewhere is told from what lies here."""

import os
import re
from pathlib import Path

from jaxclust.errors import InputError

# Two letters or more, for C:/ is a drive. Path has made one / of two.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def is_url(name: str) -> bool:
    """Whether a name is that of data elsewhere: gs://, s3://, https://, memory://, zip://x::https://..."""
    return bool(URL.match(name)) and "://" in name


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` as the home directory. Raises InputError where that is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{os.fspath(path)}: no home directory is known: write the whole path, or set HOME") from error


def check_name(directory: Path) -> None:
    """Raises InputError for a name that is not Unicode to this process: what writes arrays (orbax) takes no other."""
    try:
        str(directory.resolve()).encode()
    except UnicodeEncodeError as error:
        name = str(directory).encode("ascii", "backslashreplace").decode()
        raise InputError(
            f"{name}: the name is not UTF-8, which that of a run has to be: choose another, or set PYTHONUTF8=1"
        ) from error


def local(path: str | os.PathLike[str], what: str = "runs") -> Path:
    """`expanded`, of a path on this machine. Raises InputError for a URL.

    what: what is written or read there, for the error.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise InputError(f"{name!r}: no name holds a null character: give another")
    if URL.match(name):
        url = URL.sub(lambda found: f"{found[0]}/", name.replace("://", ":/"))
        raise InputError(f"{url}: {what} are written and read on this machine only: give a path here, and copy it")
    return expanded(path)
