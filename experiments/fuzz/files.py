"""Bad files and folders, given to the commands that read data."""

import gzip
import io
import os
import pickle
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from experiments.fuzz import place as made
from experiments.fuzz.judge import Case
from experiments.fuzz.place import COLUMNS, SIDE, N, Place

KINDS = (".npz", ".npy", ".csv", ".csv.gz", ".zip", ".tar", ".idx", ".idx.gz", ".parquet", ".sparse.npz")
HEADED = [kind for kind in KINDS if kind != ".csv"]  # what is cut is not whole any more
CHECKED = (".npz", ".csv.gz", ".zip", ".idx.gz", ".sparse.npz")  # their readers check sums
CANARY = "unpickled"


class Canary:
    """Unpickled, it leaves a file."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def cut(p: Place) -> Case:
    kind = p.choose(*HEADED)
    content = made.good(kind)
    most = 0.5 if kind == ".tar" else 0.95  # a tar file ends with blocks of zeros
    return _read(p, f"cut{kind}", content[: int(len(content) * p.rng.uniform(0.02, most))])


def flipped(p: Place) -> Case:
    kind = p.choose(*CHECKED)
    content = bytearray(made.good(kind))
    for at in p.rng.integers(int(len(content) * 0.2), int(len(content) * 0.6), 30):
        content[at] ^= 1 << int(p.rng.integers(8))
    return Case(p.use(p.file(f"flipped{kind}", bytes(content))), ("flipped",))  # where it is streamed, nothing sums it


def noise(p: Place) -> Case:
    content = p.rng.bytes(int(p.rng.integers(1, 5000)))
    return _read(p, f"noise{p.choose(*KINDS, '.feather', '.h5ad', '.tsv', '.png', '.dat', '')}", content)


def empty(p: Place) -> Case:
    return _read(p, f"empty{p.choose(*KINDS, '.feather', '.h5ad', '.tsv', '.png', '.dat', '')}", b"")


def mistaken(p: Place) -> Case:
    """A file of another format than its name says."""
    content = p.choose(
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"\x7fELF" + bytes(60),
        made.png(made.images(1)[0], "JPEG"), b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        b'{"a": ' * 3000, b"SQLite format 3\0" + bytes(84), b"\x89HDF\r\n\x1a\n" + bytes(100),
    )  # fmt: skip
    return _read(p, f"mistaken{p.choose(*[kind for kind in KINDS if kind != '.csv'], '.feather', '.h5ad')}", content)


def pickled(p: Place) -> Case:
    """What could run a program when it is read: nothing is unpickled."""
    canary = Canary(str(p.here / CANARY))
    objects = np.array([canary, None, 3], object)
    name, content = p.choose(
        ("x.npy", made.npy(objects)), ("x.npz", made.npz(images=objects)),
        ("x.npz", made.npz(images=made.images(), labels=objects)),
        ("x.npy", pickle.dumps(canary)), ("x.pkl", pickle.dumps(canary)),
        ("x.pt", made.zipped({"x/data.pkl": pickle.dumps(canary)})),
        ("x.joblib", pickle.dumps(canary)), ("x.npz", made.zipped({"images.npy": pickle.dumps(canary)})),
        ("x.npz", made.sparse(data=objects)), ("x.parquet", pickle.dumps(canary)),
    )  # fmt: skip
    return _read(p, name, content)


def arrays(p: Place) -> Case:
    """An .npz whose arrays are not those that are needed, or do not fit each other."""
    images, labels = made.images(), np.arange(N) % 3
    parts = p.choose(
        {"x": images, "y": labels}, {}, {"labels": labels}, {"images": images, "labels": labels[:-1]},
        {"images": images, "features": made.features()}, {"images": images, "labels": labels + 0.5},
        {"images": images, "labels": np.stack([labels, labels], 1)}, {"features": images},
        {"images": images, "split": labels[:-3]}, {"images": images, "split": labels + 5},
    )  # fmt: skip
    return Case(p.use(p.file("arrays.npz", made.npz(**parts))), ("arrays.npz",))


def types(p: Place) -> Case:
    """Arrays of what are no numbers."""
    array = p.choose(
        np.array([["a", "b"]] * N), made.features() + 1j, np.full((N, 3), "2026-01-01", "datetime64[D]"),
        np.zeros((N, 2), [("a", "f4"), ("b", "u1")]), np.full((N, 3), b"x"), np.full((N, 3), 1, "timedelta64[s]"),
    )  # fmt: skip
    return _read(p, *p.choose(("types.npy", made.npy(array)), ("types.npz", made.npz(features=array))))


def shapes(p: Place) -> Case:
    shape = p.choose(
        (),
        (N,),
        (N, 2, 3, 4, 5),
        (0, SIDE, SIDE),
        (0, 5),
        (N, 0),
        (N, 0, SIDE),
        (N, SIDE, SIDE, 7),
        (1, SIDE, SIDE),
        (1, 5),
    )
    array = p.rng.integers(0, 255, shape).astype(np.uint8)
    return _fit(p, *p.choose(("shapes.npy", made.npy(array)), ("shapes.npz", made.npz(images=array))))


def not_finite(p: Place) -> Case:
    value, features = p.choose(np.nan, np.inf, -np.inf, 1e300), made.features().astype(np.float64)
    features[p.rng.integers(N), p.rng.integers(COLUMNS)] = value
    columns = {f"x{i}": column for i, column in enumerate(features.T)}
    pictures = np.repeat(made.images()[..., None] / 255, 3, 3)
    pictures[p.rng.integers(N), 2, 3, 1] = value
    name, content = p.choose(
        ("nan.npy", made.npy(features)), ("nan.npz", made.npz(features=features)), ("nan.csv", made.csv(features)),
        ("nan.parquet", made.parquet(columns)), ("nan.npz", made.npz(images=pictures)),
        ("nan.csv.gz", gzip.compress(made.csv(features))),
    )  # fmt: skip
    return _fit(p, name, content)


def few_differ(p: Place) -> Case:
    """Fewer different rows than clusters."""
    rows = p.choose(
        np.ones((N, 4), np.float32),
        np.zeros((N, SIDE, SIDE), np.uint8),
        np.arange(2 * N).reshape(N, 2) % 4 * 1.0,
        made.images(2),
    )
    return _fit(
        p,
        *p.choose(
            ("same.npy", made.npy(rows)), ("same.npz", made.npz(**{"features" if rows.ndim == 2 else "images": rows}))
        ),
    )


def tables(p: Place) -> Case:
    lines = made.csv(made.features()).decode().splitlines()
    text = p.choose(
        lambda: "\n".join([*lines[:9], lines[9] + ",3,4", *lines[10:]]),
        lambda: "\n".join([*lines[:9], "1.0,2.0", *lines[10:]]),
        lambda: lines[0] + "\n",
        lambda: "\n".join(["a,b", *(["red,small"] * N)]),
        lambda: "\n".join([*lines[:5], '1,"2,3,4,5', *lines[6:]]),
        lambda: "\n".join([lines[0], *(line.rpartition(",")[0] + "," for line in lines[1:])]),
        lambda: "\n\n\n",
        lambda: "a;b;c\n" + "1,5;2,5;3,5\n" * N,
        lambda: "\n".join([lines[0], *("x".join(line.split(",")) for line in lines[1:])]),
    )()
    content = text.encode(p.choose("utf-8", "utf-8", "utf-8", "utf-16"))
    return _fit(p, *p.choose(("table.csv", content), ("table.csv.gz", gzip.compress(content))))


def parquets(p: Place) -> Case:
    columns: dict[str, Any] = p.choose(
        {}, {"a": ["x", "y"] * 30}, {"a": [{"b": 1.0}] * N}, {"x": [[1.0, 2.0], [3.0]] * 30}, {"x": [1.0, None] * 30},
        {"x": np.array([], np.float32)}, {"x": np.full(N, "2026-01-01", "datetime64[s]")}, {"x": [b"ab"] * N},
        {"x": [None] * N},
    )  # fmt: skip
    return _fit(p, "table.parquet", made.parquet(columns))


def pictures(p: Place) -> Case:
    """A folder of images that cannot all be read, or none."""
    for i, image in enumerate(made.images(6)):
        p.file(f"folder/{i}.png", made.png(image))
    png = made.png(made.images(1)[0])
    bad = {
        "wide.png": made.png(np.zeros((8, 9), np.uint8)), "cut.png": png[: len(png) // 2],
        "cut.jpg": made.png(made.images(1)[0], "JPEG")[:200],
        "empty.png": b"", "text.png": b"no image", "large.png": _header_of_png(60_000, 60_000),
        "flat.png": _header_of_png(0, 5),
        "flipped.png": png[:60] + bytes([png[60] ^ 255]) + png[61:],
    }  # fmt: skip
    name = p.choose(*bad)
    p.file(f"folder/{name}", bad[name])
    return Case(p.use(str(p.here / "folder")), (name, "folder"))


def no_pictures(p: Place) -> Case:
    name = p.choose(
        "folder/sub/notes.txt", "folder/a.mp4", "folder/.hidden.png", "folder/deep/er/x.dcm", "folder/x.nef"
    )
    p.file(name, b"\0\1\2\3 no image")
    return Case(p.use(str(p.here / "folder"), *p.choose([], ["--skip-bad"], ["--image-size", "8"])), ("folder",))


def archives(p: Place) -> Case:
    """An archive without images, with a password, of more than fits, or with damaged ones."""
    members = {f"{i}.png": made.png(image) for i, image in enumerate(made.images(6))}
    locked = bytearray(made.zipped(members))
    for at in (i for i in range(len(locked)) if locked[i : i + 4] in (b"PK\1\2", b"PK\3\4")):
        locked[at + (8 if locked[at + 2] == 1 else 6)] |= 1
    name, content = p.choose(
        ("x.zip", made.zipped({"notes.txt": b"none"})), ("x.tar", made.tarred({"notes.txt": b"none"})),
        ("x.zip", bytes(locked)),
        ("x.zip", _bomb()), ("x.zip", made.zipped({**members, "bad.png": b"none"})),
        ("x.tar", made.tarred({**members, "bad.png": b""})),
        ("x.zip", made.zipped({**members, "large.png": _header_of_png(60_000, 60_000)})), ("x.zip", made.zipped({})),
        ("x.tgz", gzip.compress(made.tarred(members))[:-20]),
    )  # fmt: skip
    return _read(p, name, content, "bad.png", "large.png", "bomb.png")


def bombs(p: Place) -> Case:
    """Headers that promise more than any memory holds."""
    shape = p.choose((10**9, 30_000, 30_000), (2**62, 2**62), (10**12, 8, 8))
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    array = head.getvalue() + bytes(5000)
    wide = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 2**31) + bytes(5000)
    name, content = p.choose(
        ("bomb.npy", array), ("bomb.npz", made.zipped({"images.npy": array})), ("bomb.idx", wide),
        ("bomb.idx.gz", gzip.compress(wide)),
        ("bomb.npz", made.sparse(shape=np.array([2**40, 2**40]))), ("bomb.npz", _bomb("images.npy")),
    )  # fmt: skip
    return _read(p, name, content)


def sparse(p: Place) -> Case:
    change = p.choose(
        {"format": np.array(b"dia")}, {"format": np.array(b"none")}, {"shape": np.array([N])},
        {"shape": np.array([-1, 5])},
        {"shape": np.array([N, 1])}, {"indptr": np.zeros(3, np.int32)},
        {"indptr": np.arange(N + 1)[::-1].astype(np.int32)},
        {"indices": np.full(400, 2**30, np.int32)}, {"indices": np.full(400, -4, np.int32)},
        {"data": np.full(10, np.nan)},
        {"data": np.array(["x"] * 50)}, {"shape": np.array([[N, COLUMNS]])},
    )  # fmt: skip
    return _fit(p, "sparse.npz", made.sparse(**change))


def shards(p: Place) -> Case:
    """A folder of arrays that do not fit each other."""
    p.file("folder/a.npy", made.npy(made.features()))
    other = p.choose(
        made.npy(made.features()[:, :3]), made.npy(made.images()), made.npy(made.features())[:300], b"",
        made.npz(images=made.images()),
        made.npy(np.array([None, {}], object)), made.npy(made.features().astype(np.complex64)),
        made.npy(np.full((5, COLUMNS), np.nan, np.float32)),
    )  # fmt: skip
    p.file(f"folder/{'b.npz' if other[:2] == b'PK' else 'b.npy'}", other)
    return Case(p.use(str(p.here / "folder"), *p.choose([], ["--stream", "on"]), kind="features"), ("folder",))


def listings(p: Place) -> Case:
    """A table of images of which some are not there."""
    for i, image in enumerate(made.images(4)):
        p.file(f"{i}.png", made.png(image))
    p.file("bad.png", b"none")
    names = [
        *(f"{i}.png" for i in range(4)),
        p.choose("none.png", "bad.png", "../../up.png", "sub", "", "/nowhere/x.png"),
    ]
    return _read(
        p,
        "list.csv",
        "\n".join(["path,label", *(f"{name},{i % 2}" for i, name in enumerate(names))]).encode(),
        *names[4:],
    )


def places(p: Place) -> Case:
    """Names of what is not there, or is no file."""
    name = p.choose("none.npz", "digts", "fashion_mnst", "no/such/folder/", "", "line\nbreak.npz", "fifo.npz",
    "loop.npz", "\N{SNOWMAN}.npy",
                    "tfds:no_such_set", "mnist:", "x" * 300, "nul\0.npz", "ftp2://host/x.npz", "file",
                    "~nobody_there/x.npz")  # fmt: skip
    if name == "fifo.npz":
        os.mkfifo(p.here / name)
    if name == "loop.npz":
        os.symlink(p.here / name, p.here / name)
    if name in ("fifo.npz", "loop.npz", "file"):
        name = str(p.here / name)
    return Case(p.use(name), (name or "''", name.removeprefix("tfds:")[:100].split("\n")[0], repr(name)[1:-1]))


def _read(p: Place, name: str, content: bytes, *names: str) -> Case:
    return Case(
        p.use(p.file(name, content), *p.choose([], [], ["--stream", "on"]), kind=p.choose("images", "features")),
        (name, *names),
    )


def _fit(p: Place, name: str, content: bytes) -> Case:
    path = p.file(name, content)
    argv = ["fit", p.choose("kmeans", "gmm", "cm", "igmm", "umap-density"), path, "--n-clusters", "3", "--no-figures"]
    return Case(
        [*argv, "--out", str(p.here / "out"), *p.choose([], [], ["--stream", "on"])],
        (name, "data", "n_clusters", "examples"),
    )


def _header_of_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def _bomb(name: str = "bomb.png") -> bytes:
    """A .zip of a few hundred kilobytes whose member says that it is 20 GB: the directory is changed, not written."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, bytes(50_000_000))
        content = bytearray(file.getvalue())
    for mark, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        place = content.index(mark) + at
        content[place : place + 4] = struct.pack("<I", 4_000_000_000)
    return bytes(content)


MAKERS = (cut, flipped, noise, empty, mistaken, pickled, arrays, types, shapes, not_finite, few_differ, tables,
parquets, pictures,
          no_pictures, archives, bombs, sparse, shards, listings, places)  # fmt: skip
