"""The array 'names' of .npz files: what each example is called."""

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxclust.data.readers import files
from jaxclust.errors import InputError

log = logging.getLogger(__name__)


def read(paths: Sequence[Path], lengths: Sequence[int]) -> np.ndarray | None:
    """The names of the examples of all files, (n,); None unless every file has them.

    lengths: examples in each file. An array that is not as long, or holds neither text nor whole numbers, is no names:
    a line of the log says so.
    """
    parts = [_of(path, length) for path, length in zip(paths, lengths, strict=True)]
    found = [part.astype(str).astype(object) for part in parts if part is not None]
    return np.concatenate(found) if len(found) == len(parts) else None


def _of(path: Path, length: int) -> np.ndarray | None:
    with zipfile.ZipFile(path) as archive:
        if "names.npy" not in archive.namelist():
            return None
        try:
            with archive.open("names.npy") as stream:
                shape, _, dtype = files.read_header(f"{path} (names)", stream)
        except InputError as error:
            log.warning("%s", error)
            return None
    if shape != (length,) or dtype.kind not in "USiu":
        log.warning("%s: 'names', of shape %s and type %s, does not name %d examples", path, shape, dtype, length)
        return None
    return files.read_npz(path, ("names",))["names"]
