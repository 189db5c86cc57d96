"""Tables: which columns are features, numbers as they are written, and one clear line for what is not so."""

import gzip
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from jaxclust.data import prepare, sources
from jaxclust.data.readers import arrow, files
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError

X = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
COLUMNS = {
    "id": np.arange(500), "height": X[:, 0], "Class": np.array(["b", "a"])[np.arange(500) % 2], "width": X[:, 1],
    "split": (np.arange(500) % 3 == 0).astype(int), "depth": X[:, 2],
}  # fmt: skip


def csv(path, columns, mark=","):
    lines = [mark.join(columns), *(mark.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def write(path, columns):
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(columns), path)
    else:
        csv(path, columns, "\t" if ".tsv" in path.name.lower() else ",")


def load(tmp_path, text, name="x.csv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return sources.load(path, **options)


def refused(tmp_path, text, words, **options):
    with pytest.raises(InputError, match=words) as info:
        load(tmp_path, text, **options)
    assert "\n" not in str(info.value)
    assert str(info.value).startswith(str(tmp_path / "x."))


@pytest.fixture
def small_batches(monkeypatch):
    """Several batches, even of the few rows here."""
    monkeypatch.setattr(arrow, "BATCH_BYTES", 2000)


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.csv.gz", "x.TSV.gz", "x.parquet"])
@pytest.mark.usefixtures("small_batches")
def test_all_kinds_hold_the_same(tmp_path, name, caplog):
    write(tmp_path / name, COLUMNS)
    for split, keep in (("all", np.full(500, True)), ("test", np.arange(500) % 3 == 0)):
        data = sources.load(tmp_path / name, split=split)
        np.testing.assert_array_equal(data.images, X[keep])
        assert data.images.dtype == np.float32
        np.testing.assert_array_equal(data.labels, 1 - np.arange(500)[keep] % 2)
        assert data.class_names == ("a", "b")
        streamed = sources.load(tmp_path / name, split=split, stream="on")
        assert isinstance(streamed.images, LazyArray)
        np.testing.assert_array_equal(streamed.images[:], data.images)
        assert streamed.fingerprint == data.fingerprint
        plan = prepare.plan(data.images)
        assert prepare.plan(streamed.images) == plan
    assert "column 'id' counts the rows: it is left out" in caplog.text


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("a,b\n1,2\n 3 ,4e1\n", [[1, 2], [3, 40]]),
        ("\ufeffa,b\r\n1,-2.5\r\n\r\n3,4", [[1, -2.5], [3, 4]]),
        ('a,"b, c"\n"1","2\n"\n', [[1, 2]]),
        ("0,1\n5,6\n", [[5, 6]]),  # names as pandas gives them
        (",a\n5,1\n6,3\n", [[1], [3]]),
        ("ID,a\n1,1\n2,3\n", [[1], [3]]),
        ("index,a\n2,1\n1,3\n", [[2, 1], [1, 3]]),
        ("a,id\n1,1\n3,2\n", [[1, 1], [3, 2]]),
    ],
)
def test_features_by_hand(tmp_path, text, features):
    data = load(tmp_path, text)
    assert data.images.tolist() == features
    assert data.labels is None


@pytest.mark.parametrize(
    ("cells", "codes", "names"),
    [
        (["3", "1", "3"], [3, 1, 3], None),
        (["3.0", "", "nan"], [3, -1, -1], None),
        (["cat", "", "ant"], [1, -1, 0], ("ant", "cat")),
        ([" x", "x ", "1"], [1, 1, 0], ("1", "x")),
    ],
)
@pytest.mark.parametrize("column", ["label", "LABELS", "Class", " target "])
def test_classes_by_hand(tmp_path, column, cells, codes, names):
    data = load(tmp_path, "\n".join([f"a,{column}", *(f"{i},{cell}" for i, cell in enumerate(cells))]))
    assert data.labels.tolist() == codes
    assert data.class_names == names
    assert data.images.shape == (3, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("a,b\n", "header and no rows"),
        ("a,b\n1,2\n3,red\n", "column 'b' is not numeric, 'red' in row 3: encode it as numbers, or drop it"),
        ("a,b\n1,2\n3,\n", "column 'b' has no value in row 3: fill it in, or drop"),
        ("a,b\n1,NA\n3,4\n", "column 'b' has no value in row 2"),
        ("a,b\n1,nan\n3,4\n", "column 'b' has no value in row 2"),
        ("a,b\n1,2\n3,inf\n", "column 'b' holds inf in row 3"),
        ("a,b\n1,2\n3,1e300\n", r"column 'b' holds 1e\+300 in row 3, beyond float32: rescale"),
        ("a,b\n1,1_0\n", "column 'b' is not numeric, '1_0'"),
        ("a,b,a\n1,2,3\n", "column 'a' is there 2 times"),
        ("a,b\n1,2\n3\n4,5\n", "row 3 has 1 cells where the header has 2"),
        ("a,b\n1,2\n3,4,5\n", "row 3 has 3 cells where the header has 2"),
        ("5.1,3\n4,2\n", "the first row holds numbers"),
        ("a;b\n1;2\n", r"the header is one name \(.a;b.\): separate names and cells by commas"),
        ("a,b,\n1,2,\n", "column 3 has no name"),
        (",a\n4,1\n2,2\n", "the first column has no name and does not count the rows"),
        ("a,label,Class\n1,2,3\n", "'label' and 'Class' could all be the classes"),
        ("a,target\n1,2.5\n", "'target' is for classes but holds fractions"),
        ("a,split\n1,train\n2,dev\n", "column 'split' holds 'dev' in row 3: give train or test"),
        ("id,label\n1,2\n", "no columns beside classes"),
        ("é,b\n1,2\n".encode("latin1"), "header is not UTF-8"),
        ("a,b\n1,2\n1,é\n".encode("latin1"), "not UTF-8"),
        ("a\n" + "1" * 5000, "straddling"),
    ],
)
def test_bad_csv_is_refused(tmp_path, monkeypatch, text, words):
    monkeypatch.setattr(arrow, "BATCH_BYTES", 2000)
    refused(tmp_path, text, words)
    refused(tmp_path, text, words, stream="on")


@pytest.mark.usefixtures("small_batches")
def test_the_row_is_counted_over_batches(tmp_path):
    lines = ["a,b"] + ["1,2"] * 5000
    refused(tmp_path, "\n".join([*lines[:4000], "1,x", *lines[4000:]]), "'x' in row 4001:")
    refused(tmp_path, "\n".join([*lines[:4000], "1", *lines[4000:]]), "row 4001 has 1 cells")
    write(tmp_path / "x.parquet", {"a": np.where(np.arange(5000) == 4000, np.nan, 1.0)})
    with pytest.raises(InputError, match="column 'a' has no value in row 4001:"):
        sources.load(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": ["1", "2"]}, "column 'a' holds values of type string"),
        ({"a": pa.array(["1", "2"], pa.large_string())}, "column 'a' holds values of type string"),
        ({"a": [[1.0], [2.0]]}, "column 'a' holds values of type list.* one a column"),
        ({"a": pa.array([1, 2], pa.timestamp("s"))}, "column 'a' holds values of type timestamp"),
        ({"a": [1, None]}, "column 'a' has no value in row 2"),
        ({"a": [1.0, float("nan")]}, "column 'a' has no value in row 2"),
        ({"a": [1.0, 2.0], "label": [[1], [2]]}, "column 'label' holds lists"),
        ({"a": pa.array([], pa.float64())}, "no rows"),
        ({}, "no columns"),
    ],
)
def test_bad_parquet_is_refused(tmp_path, columns, words):
    write(tmp_path / "x.parquet", columns)
    with pytest.raises(InputError, match=words):
        sources.load(tmp_path / "x.parquet")


def test_types_of_parquet(tmp_path):
    kinds = {
        "a": pa.array([True, False]), "a.b": pa.array([1, 2], pa.uint8()),
        "c": pa.array(np.array([0.5, 1.5], np.float16)),
        "d": pa.array([1, 2]).dictionary_encode(), "e": pa.array([1, 2]).cast(pa.decimal128(21, 2)),
        "class": pa.array(["y", None]).dictionary_encode(), "__index_level_0__": ["r", "s"],
    }  # fmt: skip
    write(tmp_path / "x.parquet", kinds)
    data = sources.load(tmp_path / "x.parquet")
    assert data.images.tolist() == [[1, 1, 0.5, 1, 1], [0, 2, 1.5, 2, 2]]
    assert (data.labels.tolist(), data.class_names) == ([0, -1], ("y",))


@pytest.mark.parametrize("name", ["x.parquet", "x.csv.gz"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_truncated(tmp_path, name, share):
    write(tmp_path / name, COLUMNS)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(InputError, match="empty, truncated or damaged") as info:
        sources.load(tmp_path / name)
    assert name in str(info.value)


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_size_is_checked_before_memory_is_taken(tmp_path, monkeypatch, name):
    write(tmp_path / name, {"id": np.arange(2000), **{f"c{i}": np.full(2000, 0.5) for i in range(50)}})
    monkeypatch.setattr(files, "memory_limit", lambda: 300_000)
    monkeypatch.setattr(np, "empty", lambda *a, **k: pytest.fail("memory was taken"))
    with pytest.raises(InputError, match=r"GiB of memory, the limit is .*--stream on"):
        sources.load(tmp_path / name)


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_streamed_by_batches(tmp_path, monkeypatch, name):
    """40 columns of 20000 rows: 3.2 MB of float32, some 128 kB at a time."""
    monkeypatch.setattr(arrow, "BATCH_BYTES", 1 << 17)
    columns = {f"c{i}": np.arange(20000) % 7 + i for i in range(40)}
    parquet.write_table(pa.table(columns), tmp_path / name) if ".p" in name else csv(tmp_path / name, columns)
    sources.tables.read(tmp_path / name, lambda shape: True)  # imports
    tracemalloc.start()
    found = sources.tables.read(tmp_path / name, lambda shape: True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    np.testing.assert_array_equal(found.images[:], np.stack(list(columns.values()), 1))


def test_auto_streams_by_the_table_s_shape(tmp_path, monkeypatch):
    write(tmp_path / "x.csv", COLUMNS)
    for memory, kind in ((500 * 12 * 8 - 1, LazyArray), (500 * 12 * 8, np.ndarray)):
        monkeypatch.setattr(sources.environment, "memory_for_data", lambda memory=memory: memory)
        assert type(sources.load(tmp_path / "x.csv", stream="auto").images) is kind


def test_a_tsv_is_separated_by_tabs(tmp_path):
    with pytest.raises(InputError, match=r"the header is one name \('a,b'\)"):
        load(tmp_path, "a,b\n1,2\n", "x.tsv")
    assert load(tmp_path, "a\tb\n1\t2\n", "x.tsv").images.tolist() == [[1, 2]]


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    refused(tmp_path, "a\n1\n", "pip install pyarrow")
