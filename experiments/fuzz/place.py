"""What bad inputs are made from: good data, and small runs fitted to them, in a folder of their own for each input."""

import contextlib
import gzip
import io
import shutil
import struct
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from jaxclust import cli

SIDE, N, COLUMNS = 8, 60, 5
RUNS = {  # what is fitted once, by name
    "images": ("igmm", "images.npz"),
    "features": ("kmeans", "features.csv"),
}


def images(n: int = N) -> np.ndarray:
    """(n, SIDE, SIDE) uint8, of three kinds."""
    rng = np.random.default_rng(0)
    return (rng.integers(30, 226, (3, SIDE, SIDE))[np.arange(n) % 3] + rng.normal(0, 9, (n, SIDE, SIDE))).astype(
        np.uint8
    )


def features(n: int = N) -> np.ndarray:
    """(n, COLUMNS) float32, of three kinds."""
    rng = np.random.default_rng(1)
    return (rng.normal(0, 5, (3, COLUMNS))[np.arange(n) % 3] + rng.normal(0, 0.3, (n, COLUMNS))).astype(np.float32)


def csv(rows: np.ndarray) -> bytes:
    """A table with a header."""
    lines = [",".join(f"x{i}" for i in range(rows.shape[1])), *(",".join(f"{v:.4f}" for v in row) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def npz(**arrays: np.ndarray) -> bytes:
    """Arrays as an .npz, pickled where they must be."""
    with io.BytesIO() as file:
        np.savez(file, **arrays)
        return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An array as an .npy, pickled where it must be."""
    with io.BytesIO() as file:
        np.save(file, array)
        return file.getvalue()


def png(image: np.ndarray, format: str = "PNG") -> bytes:
    """An image file."""
    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(image).save(file, format)
        return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    """uint8 as an idx file."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def parquet(columns: dict[str, object]) -> bytes:
    """A table as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with io.BytesIO() as file:
        pq.write_table(pa.table(columns), file)
        return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """A .zip."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return file.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    """A .tar."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return file.getvalue()


def sparse(**changes: np.ndarray) -> bytes:
    """A sparse matrix as scipy.sparse.save_npz writes it, with changes."""
    from scipy.sparse import csr_matrix

    x = csr_matrix(np.where(features() > 0, features(), 0))
    parts = {
        "format": np.array(b"csr"),
        "shape": np.array(x.shape),
        "data": x.data,
        "indices": x.indices,
        "indptr": x.indptr,
    }
    return npz(**{**parts, **changes})


def good(kind: str) -> bytes:
    """A good file of that suffix."""
    pictures = {f"{i}.png": png(image) for i, image in enumerate(images(12))}
    return {
        ".npz": lambda: npz(images=images()), ".npy": lambda: npy(features()), ".csv": lambda: csv(features()),
        ".csv.gz": lambda: gzip.compress(csv(features())), ".zip": lambda: zipped(pictures),
        ".tar": lambda: tarred(pictures), ".idx": lambda: idx(images()),
        ".idx.gz": lambda: gzip.compress(idx(images())),
        ".parquet": lambda: parquet({f"x{i}": column for i, column in enumerate(features().T)}), ".sparse.npz": sparse,
    }[kind]()  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A folder for one bad input, and the fitted runs that it may take a copy of."""

    here: Path
    base: Path

    @cached_property
    def rng(self) -> np.random.Generator:
        """Of this input alone: the folder's name says which."""
        return np.random.default_rng([int(part) for part in self.here.name.split("-")])

    def choose(self, *options):  # type: ignore[no-untyped-def]
        """One of them."""
        return options[int(self.rng.integers(len(options)))]

    def file(self, name: str, content: bytes = b"") -> str:
        """Writes a file; its path."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    def data(self, kind: str = "images") -> str:
        """Good data."""
        return self.file("images.npz", npz(images=images(), labels=np.arange(N) % 3)) if kind == "images" else (
            self.file("features.csv", csv(features())))  # fmt: skip

    def run(self, kind: str = "images") -> Path:
        """A copy of a fitted run."""
        copy = self.here / ("run" if kind == "images" else f"run_{kind}")
        return copy if copy.exists() else Path(shutil.copytree(self.base / kind, copy))

    def use(self, data: str, *more: str, kind: str = "images") -> list[str]:
        """A command that reads those data: fit (of a cheap method), predict or evaluate."""
        command = self.choose("fit", "fit", "fit", "predict", "evaluate")
        if command == "fit":
            method = self.choose("kmeans", "gmm", "cm", "igmm")
            return ["fit", method, data, *more, "--n-clusters", "3", "--out", str(self.here / "out"), "--no-figures"]
        out = ["--out", str(self.here / "out.csv")] if self.rng.random() < 0.5 else []
        return [command, str(self.run(kind)), data, *more, *out]


def fit_runs(base: Path) -> None:
    """The runs that inputs take copies of."""
    base.mkdir(parents=True, exist_ok=True)
    (base / "images.npz").write_bytes(npz(images=images(), labels=np.arange(N) % 3))
    (base / "features.csv").write_bytes(csv(features()))
    for name, (method, data) in RUNS.items():
        argv = ["fit", method, str(base / data), "--n-clusters", "3", "--out", str(base / name), "--no-figures"]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = cli.main(argv)
        if code:
            raise RuntimeError(said.getvalue())
