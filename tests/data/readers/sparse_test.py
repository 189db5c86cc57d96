"""Sparse matrices: the same features as their dense arrays, block by block, and nothing unpickled."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse as sp

from jaxclust import cli
from jaxclust.data import prepare, rows, sources
from jaxclust.data.readers import files
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError

RNG = np.random.default_rng(0)
DENSE = np.where(RNG.random((60, 9)) < 0.2, RNG.normal(size=(60, 9)), 0.0)
DENSE[5] = 0.0
NONE = np.zeros(1, np.int64)
LABELS = np.arange(60) % 4


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 200)


def parts(**changes):
    matrix = sp.csr_array(DENSE)
    arrays = {name: getattr(matrix, name) for name in ("data", "indices", "indptr")}
    return {"format": b"csr", "shape": np.array(DENSE.shape), **arrays, **changes}


def refused(path, words, **options):
    with pytest.raises(InputError, match=words) as info:
        sources.load(path, **options)
    assert "\n" not in str(info.value)
    assert path.parent.name in str(info.value)


@pytest.mark.parametrize(
    "make", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.csc_array, sp.coo_array]
)
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.usefixtures("small_blocks")
def test_a_file_is_its_dense_array(tmp_path, make, compressed):
    sp.save_npz(tmp_path / "x.npz", make(DENSE), compressed=compressed)
    np.save(tmp_path / "x.labels.npy", LABELS)
    np.save(tmp_path / "x.split.npy", LABELS == 3)
    expected = sources.load(DENSE)
    resident = sources.load(tmp_path / "x.npz")
    streamed = sources.load(tmp_path / "x.npz", stream="on")
    assert isinstance(resident.images, np.ndarray)
    assert isinstance(streamed.images, LazyArray)
    for data in (resident, streamed):
        assert data.images.dtype == np.float32
        np.testing.assert_array_equal(data.images[:], expected.images)
        assert data.fingerprint == expected.fingerprint
        np.testing.assert_array_equal(data.labels, LABELS)
        for scaling in prepare.SCALINGS:
            plan = prepare.plan(data.images, scaling=scaling)
            assert plan == prepare.plan(expected.images, scaling=scaling)
            np.testing.assert_array_equal(prepare.apply(plan, data.images)[:], prepare.apply(plan, expected.images))
    part = sources.load(tmp_path / "x.npz", stream="on", split="test")
    np.testing.assert_array_equal(part.images[:], expected.images[LABELS == 3])
    order = RNG.permutation(60)
    np.testing.assert_array_equal(streamed.images[order], expected.images[order])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", ">f8", "float16", "float32"])
def test_types_and_names(tmp_path, dtype):
    np.savez(tmp_path / "x.npz", **parts(data=np.ones(len(parts()["data"]), dtype)))
    np.save(tmp_path / "x.labels.npy", np.array(["b", "a"] * 30))
    data = sources.load(tmp_path / "x.npz")
    np.testing.assert_array_equal(data.images, DENSE != 0)
    assert data.class_names == ("a", "b")
    assert data.split is None


def test_values_that_lie_at_one_place_add_up():
    matrix = sp.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), (2, 2))
    assert sources.load(matrix).images.tolist() == [[0, 3], [4, 0]]


def test_nothing_is_unpickled(tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    for name in ("format", "data", "shape", "indptr"):
        np.savez(tmp_path / "x.npz", **parts(**{name: trap}))
        refused(tmp_path / "x.npz", f"{name}.*pickle")
    sp.save_npz(tmp_path / "x.npz", sp.csr_array(DENSE))
    np.save(tmp_path / "x.labels.npy", np.repeat(trap, 60))
    refused(tmp_path / "x.npz", "labels.*pickle")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": b"dia"}, "format 'dia': save matrix.tocsr"),
        ({"indices": np.full(3, 1)}, "damaged"),
        ({"indices": np.full(len(parts()["indices"]), 9)}, "damaged"),
        ({"indices": np.full(len(parts()["indices"]), -1)}, "damaged"),
        ({"indices": parts()["indices"] * 1.0}, "types float64, float64, int32"),
        ({"indptr": parts()["indptr"][:-1]}, "damaged"),
        ({"indptr": parts()["indptr"][::-1].copy()}, "damaged"),
        ({"data": parts()["data"] * 1j}, "types complex128"),
        ({"data": np.where(np.arange(len(parts()["data"])) == 0, np.nan, 1)}, "1 values are NaN or infinite, first in"),
        ({"data": parts()["data"] * 1e300}, "beyond float32"),
        ({"shape": np.array([60, 9, 1])}, "the shape is"),
        ({"shape": np.array([-1, 9])}, "the shape is"),
        ({"shape": np.array([10**13, 9])}, "GiB of memory"),
        ({"shape": np.array([60, 10**13])}, "GiB of memory"),
        ({"shape": np.array([0, 9]), "indptr": NONE[:1], "indices": NONE[:0], "data": NONE[:0]}, "empty"),
    ],
)  # fmt: skip
def test_bad_files_are_refused(tmp_path, changes, words):
    np.savez(tmp_path / "x.npz", **parts(**changes))
    refused(tmp_path / "x.npz", words)
    refused(tmp_path / "x.npz", words, stream="on")


def test_parts_that_are_missing_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", **{name: array for name, array in parts().items() if name != "indptr"})
    refused(tmp_path / "x.npz", "has no array 'indptr'")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_truncated(tmp_path, share):
    sp.save_npz(tmp_path / "x.npz", sp.csr_array(DENSE))
    raw = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(raw[: int(share * len(raw))])
    refused(tmp_path / "x.npz", "truncated|damaged")


def test_labels_of_another_length(tmp_path):
    sp.save_npz(tmp_path / "x.npz", sp.csr_array(DENSE))
    np.save(tmp_path / "x.labels.npy", LABELS[:-1])
    refused(tmp_path / "x.npz", r"x\.labels\.npy: labels of shape \(59,\) do not match the 60 rows of x\.npz")


def test_a_folder_of_shards_holds_none(tmp_path):
    sp.save_npz(tmp_path / "x.npz", sp.csr_array(DENSE))
    refused(tmp_path, "a sparse matrix cannot be a shard: .*scipy.sparse.vstack")


def test_the_dense_size_is_checked_unless_streamed(tmp_path, monkeypatch):
    sp.save_npz(tmp_path / "x.npz", sp.eye_array(3000, format="csr"))
    monkeypatch.setattr(files, "memory_limit", lambda: 10**6)
    refused(tmp_path / "x.npz", "GiB of memory.*--stream on")
    assert sources.load(tmp_path / "x.npz", stream="on").images[7].argmax() == 7


def test_it_is_never_dense_as_a_whole_when_streamed(tmp_path, monkeypatch):
    """3000 x 3000: 36 MB of float32, and 4 MB at a time; resident, no float64 of it."""
    sp.save_npz(tmp_path / "x.npz", sp.eye_array(3000, format="csr"))
    peaks = []
    for stream in ("on", "on", "off"):
        tracemalloc.start()
        data = sources.load(tmp_path / "x.npz", stream=stream)
        prepare.plan(data.images, scaling="maxabs")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 36e6
    assert peaks[2] < 36e6 + 24e6


def test_given_in_python():
    matrix = sp.csc_matrix(DENSE)
    np.testing.assert_array_equal(sources.load(matrix).images, DENSE.astype(np.float32))
    assert isinstance(sources.load(matrix, stream="on").images, LazyArray)
    assert isinstance(sources.load(matrix, stream="off").images, np.ndarray)
    for bad in (sp.csr_array(DENSE * 1j), sp.coo_array(DENSE[0])):
        with pytest.raises(InputError, match=r"give real numbers \(n, d\)"):
            sources.load(bad)
    matrix.data[0] = np.inf
    with pytest.raises(InputError, match="1 values are NaN or infinite, first in example"):
        sources.load(matrix)


def test_the_lists_name_them(capsys):
    cli.main(["data"])
    listed = capsys.readouterr().out
    cli.main(["fit", "--help"])
    for kind in (".csv", ".parquet", "save_npz"):
        assert kind in listed
    assert ".parquet" in capsys.readouterr().out
