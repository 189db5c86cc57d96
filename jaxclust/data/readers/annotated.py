"""AnnData, in memory or in an .h5ad file: X as features, obs_names as the names of examples."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from jaxclust.data.readers import files, hdf5_check, sparse
from jaxclust.data.readers.arrays import as_array, package
from jaxclust.data.readers.found import Found
from jaxclust.errors import InputError

SUFFIX = ".h5ad"
LEAST, RATE = 30.0, 5e6  # seconds, and bytes of a second, in which a file should have been read


def is_annotated(data: Any) -> bool:
    """Whether it is an `anndata.AnnData`."""
    return package(data) == "anndata" and hasattr(data, "obs_names")


def given(data: Any, what: str = "data") -> Found:
    """X (n, d), sparse as `LazyArray` of float32, and obs_names. Layers, obs and obsm are not looked at.

    Raises InputError where X is empty, or would not fit into memory.
    """
    if data.X is None:
        raise InputError(f"{what}: the AnnData has no X: give an array, such as data.obsm['X_pca']")
    matrix = data.X
    if hasattr(matrix, "to_memory"):  # on disk, and sparse
        matrix = matrix.to_memory()
    names = np.array(list(data.obs_names), object)
    if issparse(matrix):
        return Found(sparse.as_rows(matrix, what), names=names)
    files.check_size(what, files.n_bytes(data.shape, np.dtype(np.float32)), "give a part of it")
    return Found(as_array(matrix, what), names=names)


def read(path: Path) -> Found:
    """`given` of an .h5ad file. Raises InputError where anndata is not installed, or cannot read it."""
    try:
        import anndata
    except ImportError as error:
        raise InputError(f"{path}: .h5ad needs anndata ({error}): pip install anndata, or save X as .npy") from error
    _check(path)
    try:
        data = anndata.read_h5ad(path, backed="r")
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise _damaged(path, str(error)) from error
    try:
        return given(data, str(path))
    finally:
        data.file.close()


def _check(path: Path) -> None:
    """Raises InputError where another process that reads the whole file does not come to its end in time.

    HDF5 has no checksums by default, and its library may not come back from what is damaged.
    """
    with open(path, "rb"):  # that the system lets us
        seconds = LEAST + path.stat().st_size / RATE
    command = [sys.executable, "-P", hdf5_check.__file__, os.fspath(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise _damaged(path, f"not read after {seconds:.0f} s") from error
    if done.returncode:
        raise _damaged(path, done.stderr.decode(errors="replace") or f"reading it ends a process, {done.returncode}")


def _damaged(path: Path, text: str) -> InputError:
    text = " ".join(text.split())[:120]
    return InputError(f"{path}: is truncated, damaged or no AnnData ({text}): write it again")
