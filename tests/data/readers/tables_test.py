"""Tables: which columns are features, numbers as they are written, and one clear line for what is not so."""

import gzip
import random
import shutil
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import feather, parquet

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
    elif path.suffix == ".feather":
        feather.write_feather(pa.table(columns), path, chunksize=170)
    elif path.suffix == ".arrow":  # a stream, as Hugging Face keeps data sets
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, pa.table(columns).schema) as writer:
            writer.write_table(pa.table(columns), max_chunksize=170)
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


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.csv.gz", "x.TSV.gz", "x.parquet", "x.feather", "x.arrow"])
@pytest.mark.usefixtures("small_batches")
def test_all_kinds_hold_the_same(tmp_path, name, caplog):
    write(tmp_path / name, COLUMNS)
    for split, keep in (("all", np.full(500, True)), ("test", np.arange(500) % 3 == 0)):
        data = sources.load(tmp_path / name, split=split)
        np.testing.assert_array_equal(data.images, X[keep])
        assert data.images.dtype == np.float32
        np.testing.assert_array_equal(data.labels, 1 - np.arange(500)[keep] % 2)
        assert data.names.tolist() == [str(i) for i in np.arange(500)[keep]]
        assert data.class_names == ("a", "b")
        streamed = sources.load(tmp_path / name, split=split, stream="on")
        assert isinstance(streamed.images, LazyArray)
        np.testing.assert_array_equal(streamed.images[:], data.images)
        assert streamed.fingerprint == data.fingerprint
        plan = prepare.plan(data.images)
        assert prepare.plan(streamed.images) == plan
    assert "column 'id' names the examples: it is not a feature" in caplog.text


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
        ("a,id\n1,10\n3,2\n", [[1], [3]]),
        ("user_id,a\n5,1\n5,2\n", [[1], [2]]),
        ("a,kind\n1,u\n3,\n", [[1], [3]]),
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
        ('a,b\n1,"0,5"\n2,"1,5"\n', "column 'b' is not numeric, '0,5' in row 2"),
        ("a,b\n1,12 %\n", "column 'b' is not numeric, '12 %'"),
        ("a,b\n1,red\n2,7\n", "column 'b' is not numeric: beside words it holds '7' in row 3"),
        ('a,b\n1,"[0.5, 1]"\n', "column 'b' holds lists as text, .* lists into a .parquet file"),
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
        ("id,label\n1,2\n", "no columns of numbers beside classes and split, 'id' holds names"),
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
        ({"a": ["1", "2"]}, "no columns of numbers .*'a' holds text"),
        ({"a": pa.array(["1", "2"], pa.large_string())}, "no columns of numbers .*'a' holds text"),
        ({"a": pa.array([1, 2], pa.timestamp("s"))}, "'a' holds values of type timestamp"),
        ({"a": [[[1.0]], [[2.0]]]}, "column 'a' holds lists of lists: give each row one list"),
        ({"a": [["x"], ["y"]]}, "'a' holds lists of type string"),
        ({"a": [{"bytes": b"", "path": ""}] * 2}, "column 'a' holds files that are no images"),
        ({"a": pa.nulls(2)}, "'a' holds no values"),
        ({"a": ["[1, 2]", "[3, 4]"]}, "column 'a' holds lists as text"),
        ({"a": [[1.0, 2.0], [3.0]]}, "column 'a' holds 1 numbers in row 2 where row 1 has 2: give all rows as many"),
        ({"a": [[1.0, 2.0], None]}, "column 'a' has no value in row 2"),
        ({"a": [None, [1.0, 2.0]]}, "column 'a' has no value in row 1"),
        ({"a": [[1.0, 2.0], [3.0, None]]}, "column 'a' has no value in row 2"),
        ({"a": [[1.0, 2.0], [3.0, 1e300]]}, r"column 'a' holds 1e\+300 in row 2, beyond float32"),
        ({"a": [[], []]}, "empty"),
        ({"a": [[1], [2]], "b": [[1], [2]]}, "the columns 'a' and 'b' hold lists of numbers: keep one, or call it"),
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


WIDE = {f"f{i}": X[:, i] for i in range(3)}
PATHS = [f"img/{i:03}.jpg" for i in range(500)]


def fixed(values):
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


LISTS = {
    "list": pa.array(X.tolist(), pa.list_(pa.float32())),
    "large_list": pa.array(X.tolist(), pa.large_list(pa.float64())),
    "fixed_size_list": fixed(X),
    "sliced": fixed(np.concatenate([X[:7], X]))[7:],
    "float16": fixed(X.astype(np.float16)),
}


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.usefixtures("small_batches")
def test_a_column_of_lists_is_the_features(tmp_path, caplog, kind, suffix):
    columns = {"image_path": PATHS, "width": np.arange(500), "embedding": LISTS[kind], "label": ["a", "b"] * 250}
    write(tmp_path / f"x.{suffix}", columns)
    wanted = X.astype(np.float16).astype(np.float32) if kind == "float16" else X
    for stream in ("off", "on"):
        data = sources.load(tmp_path / f"x.{suffix}", stream=stream)
        np.testing.assert_array_equal(data.images[:], wanted)
        assert data.names.tolist() == PATHS
        assert data.class_names == ("a", "b")
    assert "column 'width' holds numbers: left out (the lists of 'embedding' are the features)" in caplog.text


def test_of_several_columns_of_lists_one_is_called_embedding(tmp_path):
    write(tmp_path / "x.parquet", {"box": [[1, 2]] * 500, "embedding": LISTS["list"]})
    np.testing.assert_array_equal(sources.load(tmp_path / "x.parquet").images, X)


@pytest.mark.usefixtures("small_batches")
def test_the_row_of_a_list_is_counted_over_batches(tmp_path):
    write(tmp_path / "x.parquet", {"a": [[1.0, 2.0]] * 4000 + [[1.0]] + [[1.0, 2.0]] * 10})
    for stream in ("off", "on"):
        with pytest.raises(InputError, match="column 'a' holds 1 numbers in row 4001 where row 1 has 2"):
            sources.load(tmp_path / "x.parquet", stream=stream)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"file": PATHS, "kind": ["u", "v"] * 250}, PATHS),
        ({"kind": ["u", "v"] * 250, "file": PATHS}, PATHS),
        ({"patient_id": [7, 8] * 250, "image_path": PATHS}, PATHS),
        ({"remark": PATHS, "kind": ["u", "v"] * 250}, PATHS),
        ({"kind": ["u", "v"] * 250}, None),
        ({"id": np.arange(500) * 3}, [str(3 * i) for i in range(500)]),
        ({"": np.arange(500) + 1}, [str(i + 1) for i in range(500)]),
        ({"file": [*PATHS[:-1], ""]}, None),
        ({"name": ["", "12", *PATHS[2:]]}, None),
        ({"file": range(500)}, [str(i) for i in range(500)]),
        ({"kind": ["u", "v"] * 250, "word": PATHS}, None),
    ],
)
@pytest.mark.usefixtures("small_batches")
def test_what_names_the_examples(tmp_path, caplog, suffix, columns, names):
    write(tmp_path / f"x.{suffix}", {**columns, **WIDE})
    data = sources.load(tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(data.images, X)
    assert (None if data.names is None else data.names.tolist()) == names
    for name in columns:
        assert repr(name) in caplog.text or "without a name counts the rows" in caplog.text


def test_what_has_no_numbers_is_left_out_and_said(tmp_path, caplog):
    columns = {
        "when": pa.array(np.arange(500).astype("datetime64[D]")),
        "kind": pa.array(["u", "v"] * 250).dictionary_encode(),
        "empty": pa.nulls(500), "tags": [["x"]] * 500, "raw": [b"1"] * 500, "box": [{"x": 1}] * 500,
    }  # fmt: skip
    write(tmp_path / "x.parquet", {**columns, **WIDE})
    np.testing.assert_array_equal(sources.load(tmp_path / "x.parquet").images, X)
    for name in columns:
        assert f"column '{name}' holds" in caplog.text


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_text_that_is_not_utf8(tmp_path, suffix):
    bad = pc.cast(pa.array([b"\xff"] * 500), options=pc.CastOptions(pa.string(), allow_invalid_utf8=True))
    write(tmp_path / f"x.{suffix}", {"path": bad, **WIDE})
    with pytest.raises(InputError, match="not UTF-8"):
        sources.load(tmp_path / f"x.{suffix}")
    write(tmp_path / f"x.{suffix}", {"a_long_name": X[:, 0], "b": X[:, 1]})
    raw = (tmp_path / f"x.{suffix}").read_bytes()
    (tmp_path / f"x.{suffix}").write_bytes(raw.replace(b"a_long_name", b"a_long_nam\xff"))
    with pytest.raises(InputError, match=r"not UTF-8|damaged"):
        sources.load(tmp_path / f"x.{suffix}")


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_damaged_bytes_are_one_line(tmp_path, suffix):
    write(tmp_path / f"x.{suffix}", {"path": PATHS[:50], "v": X[:50].tolist(), "label": ["a", "b"] * 25})
    raw, lines = (tmp_path / f"x.{suffix}").read_bytes(), []
    for seed in range(40):
        draw, damaged = random.Random(seed), bytearray(raw)
        for _ in range(1 if seed % 2 else 12):
            damaged[draw.randrange(len(raw))] = draw.randrange(256)
        (tmp_path / f"x.{suffix}").write_bytes(damaged)
        try:
            sources.load(tmp_path / f"x.{suffix}")
        except InputError as error:
            lines.append(str(error))
    assert len(lines) > 15
    assert not any("\n" in line for line in lines)


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


@pytest.mark.parametrize("stream", [pytest.param("on", marks=pytest.mark.slow), "off"])
@pytest.mark.parametrize("name", ["x.csv.gz", "x.parquet", "lists.parquet", "text.parquet"])
def test_bombs_are_refused_before_memory_is_taken(tmp_path, monkeypatch, name, stream):
    """Small files that unpack to more than memory, or to more than the disk for temporary files."""
    n, path = 200_000, tmp_path / name
    if name == "text.parquet":
        write(path, {"name": pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["x" * 1000]), "a": np.zeros(n)})
    elif name == "lists.parquet":
        write(path, {"a": fixed(np.zeros((n, 20), np.float32))})
    else:
        write(path, {f"c{i}": np.zeros(n, int) for i in range(20)})
    assert path.stat().st_size < 10**5
    monkeypatch.setattr(files, "memory_limit", lambda: 2_000_000)
    monkeypatch.setattr(sources.shards.shutil, "disk_usage", lambda where: shutil._ntuple_diskusage(10**9, 0, 10**6))
    monkeypatch.setattr(sources.shards, "temporary", lambda pieces: pytest.fail("the disk was taken"))
    pool = pa.default_memory_pool()
    with pytest.raises(InputError, match=r"GiB of memory|cannot hold the unpacked data") as info:
        sources.load(path, stream=stream)
    assert "\n" not in str(info.value)
    assert pool.bytes_allocated() < 10**8


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_streamed_by_batches(tmp_path, monkeypatch, name):
    """40 columns of 20000 rows: 3.2 MB of float32, some 128 kB at a time."""
    monkeypatch.setattr(arrow, "BATCH_BYTES", 1 << 17)
    columns = {f"c{i}": np.arange(20000) % 7 + i for i in range(40)}
    parquet.write_table(pa.table(columns), tmp_path / name) if ".p" in name else csv(tmp_path / name, columns)
    sources.tables.read_table(sources.arrow.open_table(tmp_path / name), lambda shape: True)  # imports
    tracemalloc.start()
    found = sources.tables.read_table(sources.arrow.open_table(tmp_path / name), lambda shape: True)
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
