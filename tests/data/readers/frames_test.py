"""Data frames, tables of pyarrow, data sets of Hugging Face and AnnData: read as tables of files are."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse as sp

from jaxclust import load_data
from jaxclust.data import sources
from jaxclust.data.readers import files, frames, memory
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError
from jaxclust.estimators import inputs

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
WIDE = {f"f{i}": X[:, i].tolist() for i in range(3)}
PATHS = [f"{i}.jpg" for i in range(6)]


def pandas(columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def polars(columns):
    return pytest.importorskip("polars").DataFrame(columns)


class Hub:
    """As much of a `datasets.Dataset` as is looked at."""

    def __init__(self, columns):
        self.table = pa.table(columns)
        self.column_names, self.shape = self.table.column_names, self.table.shape

    def with_format(self, kind):
        assert kind == "arrow"
        return self.table

    def __len__(self):
        return len(self.table)


Hub.__module__ = "datasets.arrow_dataset"
MAKERS = [pandas, polars, pa.table, Hub]


@pytest.mark.parametrize("make", MAKERS)
def test_a_frame_of_numbers(make):
    data = sources.load(make({"a": [1, 2], "b": [0.5, 1.0], "c": [True, False]}))
    assert data.images.tolist() == [[1, 0.5, 1], [2, 1, 0]]
    assert data.images.dtype == np.float32
    assert data.names is None


@pytest.mark.parametrize("make", MAKERS)
def test_text_names_the_examples_and_lists_are_features(make):
    data = sources.load(make({"path": PATHS, **WIDE}))
    np.testing.assert_array_equal(data.images, X)
    assert data.names.tolist() == PATHS
    data = sources.load(make({"path": PATHS, "embedding": X.tolist(), "width": [1] * 6}))
    np.testing.assert_array_equal(data.images, X)
    assert data.names.tolist() == PATHS


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1, 2], "b": [[1], [1, 2]]}, "column 'b' holds 2 numbers in row 1 where row 0 has 1"),
        ({"a": [1.0, None]}, "column 'a' has no value in row 1"),
        ({"a": [1.0, 1e300]}, r"column 'a' holds 1e\+300 in row 1, beyond float32"),
        ({"a": ["x", "y"]}, "no columns of numbers .* 'a' holds text"),
        ({}, "empty, 0 x 0"),
    ],
)
def test_bad_frames_are_refused(make, columns, words):
    with pytest.raises(InputError, match=words) as info:
        sources.load(make(columns))
    assert "\n" not in str(info.value)


def test_classes_are_kept_aside_in_a_data_set_and_refused_in_a_frame():
    columns = {"embedding": X.tolist(), "Target": ["u", "v", "u", "v", "u", "v"], "split": ["train"] * 5 + ["test"]}
    data = sources.load(Hub(columns), split="train")
    np.testing.assert_array_equal(data.images, X[:5])
    assert data.labels.tolist() == [0, 1, 0, 1, 0]
    for make in (pandas, polars, pa.table):
        with pytest.raises(InputError, match="column 'Target' has a name that classes have"):
            sources.load(make(columns))
        with pytest.raises(InputError, match="column 'Target' has a name that classes have"):
            inputs.as_input(make(columns))


def test_types_of_pandas():
    pd = pytest.importorskip("pandas")
    good = pd.DataFrame(
        {
            "a": [1, 2], 3: pd.array([1, 2], "Int64"), "c": [True, False], "d": pd.Categorical([5, 6]),
            "e": pd.arrays.SparseArray([0, 7]), "f": pd.array([1.5, 2.5], "double[pyarrow]"),
            "g": np.array([1, 2], object), "h": np.array([0.5, 1.5], np.float16),
        },
        index=["x", "y"],
    )  # fmt: skip
    assert sources.load(good).images.tolist() == [[1, 1, 1, 5, 0, 1.5, 1, 0.5], [2, 2, 0, 6, 7, 2.5, 2, 1.5]]
    np.testing.assert_array_equal(sources.load(pd.DataFrame({"v": list(X)})).images, X)
    np.testing.assert_array_equal(sources.load(pd.Series(list(X))).images, X)
    with pytest.raises(InputError, match="column 'a' has no value in row 1"):
        sources.load(pd.DataFrame({"a": pd.array([1, None], "Int64")}))
    with pytest.raises(InputError, match="column 'a' is there 2 times"):
        sources.load(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    for bad in ([1j, 2j], [object(), 1], [X, X]):
        with pytest.raises(InputError, match=r"column 'a' holds (complex128|object), not numbers|holds lists of lists"):
            sources.load(pd.DataFrame({"a": pd.Series(bad)}))


def test_types_of_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {"v": pl.Series(X, dtype=pl.Array(pl.Float32, 3)), "k": pl.Series(list("ababab"), dtype=pl.Categorical)}
    )
    np.testing.assert_array_equal(sources.load(frame).images, X)
    with pytest.raises(InputError, match=r"a LazyFrame is not an array: call collect\(\) first"):
        sources.load(frame.lazy())


def test_record_batches():
    np.testing.assert_array_equal(sources.load(pa.record_batch(WIDE)).images, X)


@pytest.mark.parametrize("make", MAKERS)
def test_estimators_compare_the_columns_that_are_features(make):
    kept = inputs.features(make({"path": PATHS, **WIDE}), make({"path": PATHS, **WIDE}))
    assert kept["n_features_in_"] == 3
    listed = inputs.features(make({"path": PATHS, "v": X.tolist()}), make({"path": PATHS, "v": X.tolist()}))
    assert listed == {"n_features_in_": 3}
    if make is pandas or "feature_names_in_" in kept:  # scikit-learn 1.6 does not know the names of polars
        assert kept["feature_names_in_"].tolist() == list(WIDE)


@pytest.mark.parametrize("make", MAKERS)
def test_an_estimator_takes_them(make):
    from jaxclust import KMeans

    blobs = np.random.default_rng(0).normal(size=(30, 4)) + 9 * np.repeat(np.eye(3, 4), 10, 0)
    frame = make({"id": list("abcdefghijklmnopqrstuvwxyz0123"), "embedding": blobs.tolist()})
    fitted = KMeans(n_clusters=3, restarts=1, seed=0).fit(frame)
    np.testing.assert_array_equal(fitted.predict(frame), fitted.labels_)
    np.testing.assert_array_equal(fitted.predict(blobs), fitted.labels_)


def test_a_real_data_set_of_hugging_face():
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"id": PATHS, "embedding": X.tolist(), "label": [0, 1] * 3})
    found = load_data(data.select([4, 2]))
    np.testing.assert_array_equal(found.images, X[[4, 2]])
    assert found.names.tolist() == [PATHS[4], PATHS[2]]
    with pytest.raises(InputError, match="a DatasetDict is not an array: give one of its parts"):
        load_data(datasets.DatasetDict({"train": data}))
    with pytest.raises(InputError, match="without streaming=True"):
        load_data(data.to_iterable_dataset())


class Annotated:
    """As much of an `anndata.AnnData` as is looked at."""

    def __init__(self, matrix):
        self.X, self.obs_names, self.shape = matrix, PATHS, X.shape


Annotated.__module__ = "anndata._core.anndata"


@pytest.mark.parametrize("make", [np.array, sp.csr_array, sp.csc_matrix])
def test_annotated_data(make):
    data = Annotated(make(X))
    assert memory.is_table(data)
    assert not frames.is_frame(data)
    found = sources.load(data)
    np.testing.assert_array_equal(found.images, X)
    assert found.names.tolist() == PATHS
    assert isinstance(sources.load(data, stream="on").images, LazyArray)
    assert inputs.features(data, inputs.as_input(data)) == {"n_features_in_": 3}


def test_annotated_data_without_x_and_too_large(monkeypatch):
    with pytest.raises(InputError, match="has no X: give an array"):
        sources.load(Annotated(None))
    monkeypatch.setattr(files, "memory_limit", lambda: 10)
    for matrix in (X, sp.csr_array(X)):
        with pytest.raises(InputError, match="GiB of memory"):
            sources.load(Annotated(matrix))


@pytest.mark.parametrize("make", [np.array, sp.csr_array, sp.csc_array])
def test_h5ad(tmp_path, make):
    anndata = pytest.importorskip("anndata")
    data = anndata.AnnData(make(X))
    data.obs_names = PATHS
    data.write_h5ad(tmp_path / "x.h5ad")
    for stream in ("off", "on"):
        found = sources.load(tmp_path / "x.h5ad", stream=stream)
        np.testing.assert_array_equal(found.images[:], X)
        assert found.names.tolist() == PATHS
    (tmp_path / "x.h5ad").write_bytes((tmp_path / "x.h5ad").read_bytes()[:3000])
    with pytest.raises(InputError, match="truncated, damaged or no AnnData"):
        sources.load(tmp_path / "x.h5ad")


def test_h5ad_without_anndata(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "anndata", None)
    (tmp_path / "x.h5ad").write_bytes(b"x")
    with pytest.raises(InputError, match="pip install anndata"):
        sources.load(tmp_path / "x.h5ad")
