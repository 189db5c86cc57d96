"""Sparse matrices, in memory or in .npz files as scipy.sparse.save_npz writes them: features, dense block by block.

They stay sparse where they are streamed. Nothing is unpickled.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxclust.data import rows
from jaxclust.data.readers import files
from jaxclust.data.readers.found import Found
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError

PARTS = {"csr": ("indices", "indptr"), "csc": ("indices", "indptr"), "coo": ("row", "col")}
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)


def is_sparse(path: Path) -> bool:
    """Whether an .npz holds a sparse matrix, by the names of its arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            return files.holds_sparse(i.filename.removesuffix(".npy") for i in archive.infolist())
    except DAMAGED:
        return False  # whoever reads it next says so


def read(path: Path, streamed: Callable[[tuple[int, ...]], bool]) -> Found:
    """Features (n, d) float32 of a sparse matrix; labels and split from NAME.labels.npy and NAME.split.npy beside it.

    streamed: told the shape, whether to keep them sparse, as `LazyArray` that become dense as they are read.
    Raises InputError, naming the file, for damaged files and formats other than csr, csc and coo.
    """
    features = as_rows(_matrix(path), str(path))
    beside = [_beside(path, name, len(features)) for name in ("labels", "split")]
    images = features if streamed(features.shape) else dense(features, str(path))
    return Found(images, beside[0], None, beside[1])


def as_rows(matrix: Any, name: str = "data") -> LazyArray:
    """The rows of a matrix of scipy.sparse (n, d), which stays sparse, as float32; those that are read become dense.

    Raises InputError, which starts with `name`, for other shapes and for values that are not finite real numbers.
    """
    from scipy import sparse

    if matrix.ndim != 2 or matrix.dtype.kind not in "buif":
        raise InputError(f"{name}: a sparse array of shape {matrix.shape}, {matrix.dtype}: give real numbers (n, d)")
    matrix = matrix.tocsr()
    with np.errstate(over="ignore"):
        values = matrix.data.astype(np.float32)
    for bad, problem in ((~np.isfinite(matrix.data), "NaN or infinite"), (~np.isfinite(values), "beyond float32")):
        if bad.any():
            row = int(np.searchsorted(matrix.indptr, bad.argmax(), side="right")) - 1
            raise InputError(
                f"{name}: {int(bad.sum())} values are {problem}, first in example {row}: remove or replace them"
            )
    csr = sparse.csr_array((values, matrix.indices, matrix.indptr), matrix.shape)
    return LazyArray(
        csr.shape, np.float32, lambda numbers: csr[numbers].toarray(), checked=csr.shape[0] * csr.shape[1] > 0
    )


def dense(sparse: LazyArray, name: str = "data") -> np.ndarray:
    """All rows as an array, read a block at a time. Raises InputError where they exceed the limit of `files`."""
    files.check_size(name, files.n_bytes(sparse.shape, sparse.dtype))
    out = np.empty(sparse.shape, sparse.dtype)
    step = max(1, rows.BLOCK_BYTES // max(1, files.n_bytes(sparse.shape[1:], sparse.dtype)))
    for start in range(0, len(sparse), step):
        out[start : start + step] = sparse[start : start + step]
    return out


def _matrix(path: Path) -> Any:
    from scipy import sparse

    head = files.read_arrays(path, ("format", "shape"))
    kind = np.asarray(head.get("format")).astype(str).reshape(-1)[:1].tolist()
    shape = head.get("shape", np.zeros(0))
    if not kind or kind[0] not in PARTS:
        raise InputError(f"{path}: a sparse matrix of the format {kind[0] if kind else ''!r}: save matrix.tocsr()")
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or shape.min() < 0:
        raise InputError(f"{path}: the file is damaged: the shape is {shape.tolist()}; save_npz a matrix (n, d) again")
    n, d = map(int, shape)
    files.check_size(str(path), 8 * (n + 1) + 4 * d, "give a part of it")
    parts = files.read_arrays(path, ("data", *PARTS[kind[0]]))
    for name in ("data", *PARTS[kind[0]]):
        if name not in parts:
            raise InputError(
                f"{path}: a sparse matrix of the format {kind[0]} has no array {name!r}: save_npz it again"
            )
    data, *where = (parts[name] for name in ("data", *PARTS[kind[0]]))
    if data.dtype.kind not in "buif" or any(array.dtype.kind not in "iu" for array in where):
        types = ", ".join(str(array.dtype) for array in (data, *where))
        raise InputError(f"{path}: a sparse matrix of the types {types}: give real numbers, by whole numbers' places")
    data = data.astype(np.float32 if data.dtype.str[1:] == "f2" else data.dtype.newbyteorder("="))  # as SciPy needs
    try:
        if kind[0] == "coo":
            return sparse.coo_array((data, tuple(where)), (n, d))
        matrix = {"csr": sparse.csr_array, "csc": sparse.csc_array}[kind[0]]((data, *where), (n, d))
        matrix.check_format(full_check=True)
        return matrix
    except (ValueError, TypeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"{path}: the file is damaged: {text}; save_npz the matrix again") from error


def _beside(path: Path, name: str, n: int) -> np.ndarray | None:
    """The array (n,) in the file NAME.labels.npy or NAME.split.npy, if it is there."""
    file = path.with_name(f"{path.stem}.{name}.npy")
    if not file.is_file():
        return None
    array = files.read_npy(file)
    if array.shape != (n,):
        raise InputError(f"{file}: {name} of shape {array.shape} do not match the {n} rows of {path.name}: give ({n},)")
    return array
