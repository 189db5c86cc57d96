"""The files of the directory JAXCLUST_DATA, by default ../shared/data beside the repository."""

import os
from pathlib import Path

from jaxclust.errors import InputError

ROOT = Path(__file__).parents[1]


def directory() -> Path:
    """Where the files lie."""
    return Path(os.environ.get("JAXCLUST_DATA") or ROOT.parent / "shared" / "data")


def path(name: str) -> Path:
    """The file called `name`. Raises InputError where it is missing."""
    found = directory() / name
    if not found.is_file():
        raise InputError(f"{found}: is missing: set JAXCLUST_DATA to the directory that holds {name}")
    return found
