import gzip
import io
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxclust.data import sources
from jaxclust.data.readers import files
from jaxclust.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def idx_bytes(array, code=0x08, dtype=">u1"):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.astype(dtype).tobytes()


def refused(path, words, **options):
    with pytest.raises(InputError, match=words) as info:
        sources.load(path, **options)
    line = str(info.value)
    assert "\n" not in line
    assert path.name in line
    return line


def test_npz_with_everything(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=IMAGES, labels=np.arange(7), split=np.array([0] * 5 + [1] * 2), other=np.zeros(3))
    data = sources.load(path, split="test")
    np.testing.assert_array_equal(data.images[..., 0], IMAGES[5:])
    assert data.labels.tolist() == [5, 6]
    assert data.name == str(path)
    assert sources.load(str(path)).images.shape == (7, 5, 4, 1)


def test_npz_features_and_string_labels(tmp_path):
    np.savez(tmp_path / "f.npz", features=np.eye(3), labels=np.array(["b", "a", "b"]))
    data = sources.load(tmp_path / "f.npz")
    assert data.images.dtype == np.float32
    assert data.labels.tolist() == [1, 0, 1]
    assert data.class_names == ("a", "b")


def test_npz_names(tmp_path):
    np.savez(tmp_path / "none.npz", x_train=IMAGES, y_train=np.zeros(7))
    assert "x_train, y_train" in refused(tmp_path / "none.npz", "needs an array 'images' or 'features'")
    np.savez(tmp_path / "both.npz", images=IMAGES, features=np.eye(7))
    refused(tmp_path / "both.npz", "both")
    np.savez(tmp_path / "flat.npz", features=IMAGES)
    refused(tmp_path / "flat.npz", "'features' has shape")
    np.savez(tmp_path / "labels.npz", images=IMAGES, labels=np.zeros(6))
    refused(tmp_path / "labels.npz", "do not match 7 examples")
    np.savez(tmp_path / "nan.npz", images=np.full((3, 4, 4), np.nan))
    refused(tmp_path / "nan.npz", "48 values in 3 examples are NaN")
    np.savez(tmp_path / "empty.npz", images=IMAGES[:0])
    refused(tmp_path / "empty.npz", "empty")


def test_nothing_is_unpickled(tmp_path):
    trap = Trap(tmp_path / "sprung")
    np.savez(tmp_path / "o.npz", images=np.array([trap], dtype=object))
    refused(tmp_path / "o.npz", "pickle")
    np.savez(tmp_path / "l.npz", images=IMAGES, labels=np.array([trap] * 7, dtype=object))
    refused(tmp_path / "l.npz", "labels.*pickle")
    np.save(tmp_path / "o.npy", np.array([trap], dtype=object))
    refused(tmp_path / "o.npy", "pickle")
    (tmp_path / "p.npy").write_bytes(pickle.dumps(trap))
    refused(tmp_path / "p.npy", "nothing is unpickled")
    for suffix in ("pkl", "pt", "pth", "ckpt", "joblib", "pickle"):
        (tmp_path / f"p.{suffix}").write_bytes(pickle.dumps(trap))
        refused(
            tmp_path / f"p.{suffix}", rf"\.{suffix} files are pickled .*nothing is unpickled here: save .* by numpy"
        )
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_truncated(tmp_path, suffix, share):
    path = tmp_path / f"t{suffix}"
    np.savez(path, images=IMAGES) if suffix == ".npz" else np.save(path, IMAGES)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    refused(path, "truncated|damaged")


def test_damaged_inside_zip(tmp_path):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, images=IMAGES)
    raw = bytearray(path.read_bytes())
    raw[120:140] = b"\xff" * 20
    path.write_bytes(raw)
    refused(path, "truncated|damaged")


def bomb_npz(path, shape, held):
    """An .npz whose array announces `shape` and holds `held` zero bytes, deflated."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(held))


def test_npz_bombs_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    bomb_npz(tmp_path / "announced.npz", (10**6, 10**4, 10**3), 100)
    refused(tmp_path / "announced.npz", "GiB of memory, the limit is")
    monkeypatch.setattr(files, "memory_limit", lambda: 10**6)
    bomb_npz(tmp_path / "real.npz", (2000, 1001), 2000 * 1001)
    assert (tmp_path / "real.npz").stat().st_size < 10**4
    monkeypatch.setattr(np, "load", lambda *a, **k: pytest.fail("read although too large"))
    refused(tmp_path / "real.npz", "GiB of memory")


@pytest.mark.parametrize("stream", ["off", "on"])
def test_bfloat16_of_jax(tmp_path, stream):
    """NumPy stores it as two bytes without a type."""
    x = np.arange(12).reshape(4, 3).astype(ml_dtypes.bfloat16)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", features=x)
    np.savez_compressed(tmp_path / "z.npz", features=x)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    assert np.load(tmp_path / "x.npy").dtype == "V2"
    for name in ("x.npy", "x.npz", "z.npz", *(["f.npy"] if stream == "off" else [])):
        data = sources.load(tmp_path / name, stream=stream)
        assert data.images.dtype == np.float32
        assert data.images[:].tolist() == x.tolist()
    np.save(tmp_path / "x.npy", x.astype(ml_dtypes.float8_e4m3fn))
    refused(tmp_path / "x.npy", r"values of type \|V1 .*float8 and int4 .*: save x.astype", stream=stream)
    np.save(tmp_path / "x.npy", np.zeros(3, [("a", "f4"), ("b", "f4")]))
    refused(tmp_path / "x.npy", "a structured array of the fields a, b: .*structured_to_unstructured", stream=stream)


def test_what_lies_behind_a_compressed_array_is_not_unpacked(tmp_path):
    bomb_npz(tmp_path / "x.npz", (20, 10), 10**8)
    taken = []
    read = zipfile.ZipExtFile.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: taken.append(n) or read(self, n))
        assert sources.load(tmp_path / "x.npz", stream="on").images.shape == (20, 10)
    assert sum(taken) < 10**4


def test_npy(tmp_path):
    path = tmp_path / "a.npy"
    for array, shape in [(IMAGES, (7, 5, 4, 1)), (IMAGES[:, 0], (7, 4)), (np.stack([IMAGES] * 3, -1), (7, 5, 4, 3))]:
        np.save(path, array)
        assert sources.load(path).images.shape == shape
    np.save(path, IMAGES[0, 0])
    refused(path, "neither images")
    np.save(path, np.asfortranarray(IMAGES))
    np.testing.assert_array_equal(sources.load(path).images[..., 0], IMAGES)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_with_labels_beside(tmp_path, packed):
    write = (
        (lambda p, b: p.with_name(p.name + ".gz").write_bytes(gzip.compress(b)))
        if packed
        else (lambda p, b: p.write_bytes(b))
    )
    write(tmp_path / "train-images-idx3-ubyte", idx_bytes(IMAGES))
    name = tmp_path / ("train-images-idx3-ubyte" + (".gz" if packed else ""))
    assert sources.load(name).labels is None
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(7)))
    data = sources.load(name)
    np.testing.assert_array_equal(data.images[..., 0], IMAGES)
    assert data.labels.tolist() == list(range(7))
    refused(tmp_path / "train-labels-idx1-ubyte", "labels .one number each.")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(6)))
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte: labels of shape .6,. do not match the 7 images"):
        sources.load(name)


def test_idx_folder_has_train_and_test(tmp_path):
    for part, rows in (("train", IMAGES[:5]), ("t10k", IMAGES[5:])):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(rows)))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.arange(len(rows)))))
    data = sources.load(tmp_path)
    assert data.images.shape == (7, 5, 4, 1)
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert sources.load(tmp_path, split="test").images.shape[0] == 2


def test_idx_other_types(tmp_path):
    values = np.linspace(-1, 1, 24).reshape(4, 6)
    (tmp_path / "a.idx").write_bytes(idx_bytes(values, 0x0E, ">f8"))
    np.testing.assert_allclose(sources.load(tmp_path / "a.idx").images, values, rtol=1e-6)
    (tmp_path / "b.idx").write_bytes(idx_bytes(np.array([[300, -5]]), 0x0B, ">i2"))
    assert sources.load(tmp_path / "b.idx").images.tolist() == [[300, -5]]


def test_idx_wrong_lengths_and_bombs(tmp_path, monkeypatch):
    good = idx_bytes(IMAGES)
    for name, raw in [("short", good[:-1]), ("head", good[:9]), ("long", good + b"x")]:
        (tmp_path / name).write_bytes(raw)
        refused(tmp_path / name, "truncated|longer than its header")
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(raw))
        refused(tmp_path / f"{name}.gz", "truncated|longer than its header")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(good)[:-12])
    refused(tmp_path / "cut.gz", "truncated")
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 10**6, 10**4, 10**3)))
    refused(tmp_path / "bomb.gz", "GiB of memory")
    # far more zeros behind the header than it announces: only what was announced, and one byte, is read
    taken = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, n=-1: taken.append(n) or read(self, n))
    (tmp_path / "tail.gz").write_bytes(gzip.compress(good + bytes(10**7)))
    refused(tmp_path / "tail.gz", "longer than its header")
    assert min(taken) > 0
    assert sum(taken) < 300


def test_unknown_files(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "not known: give .npz")
    (tmp_path / "bare.gz").write_bytes(gzip.compress(b"hello"))
    refused(tmp_path / "bare.gz", "not known")
    refused(tmp_path / "missing.npz", "neither a file")


def test_memory_limit_is_bounded():
    assert 0 < files.memory_limit() <= 16 * files.GIB
