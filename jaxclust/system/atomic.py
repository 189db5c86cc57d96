"""Writing files so that a reader finds the old one or the new one whole, never half of it."""

import errno
import json
import math
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# What a drive that can do it reports. With any other error it cannot: Colab's Drive and other file systems of users'
# programs (FUSE) know no fsync, or refuse to replace a file by another.
TROUBLE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EFBIG}
)
TEMPORARY = re.compile(r"\.\d+-\d+\.tmp")


def write(path: str | os.PathLike[str], fill: Callable[[BinaryIO], object]) -> Path:
    """Let `fill` write a temporary file beside `path`, then put it in place. Raises OSError if the disk is full."""
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
            fill(file)
            file.flush()
            _sync(file)
        _replace(temporary, path)
    finally:
        with suppress(OSError):  # a second error would hide the first
            temporary.unlink(missing_ok=True)
    return path


def is_temporary(path: Path) -> bool:
    """Whether a file is one of `write` that a killed process left behind."""
    return TEMPORARY.fullmatch(path.name) is not None


def _sync(file: BinaryIO) -> None:
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno in TROUBLE:
            raise


def _replace(temporary: Path, path: Path) -> None:
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in TROUBLE or path.is_dir():
            raise
        shutil.copyfile(temporary, path)
        if path.stat().st_size != temporary.stat().st_size:
            raise


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """UTF-8 text, as it is."""
    return write(path, lambda file: file.write(text.encode()))


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Strict, readable JSON: NumPy numbers and arrays become plain ones, NaN and infinity become null."""
    return write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def write_array(path: str | os.PathLike[str], array: np.ndarray) -> Path:
    """One array as .npy, without pickle."""
    return write(path, lambda file: np.save(file, array, allow_pickle=False))


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> Path:
    """Named arrays as .npz. Raises TypeError for kinds that .npz could hold only by pickling, or not at all."""
    for name, array in arrays.items():
        if array.dtype.hasobject or array.dtype.kind == "V":
            raise TypeError(f"array {name!r} has dtype {array.dtype}, which .npz cannot hold without pickle")
    return write(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote. Raises ValueError for a damaged file."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (EOFError, KeyError, TypeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from error


def plain(value: Any) -> Any:
    """`value` made of dict, list, str, int, float, bool and None alone."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | int | bool):
        return value
    raise TypeError(f"{type(value).__name__} is not plain JSON")
