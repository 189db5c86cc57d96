"""Tables whose cells hold image files, and frames in memory that hold or list them."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jaxclust import KMeans
from jaxclust.data import sources
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (6, 8, 8, 1), dtype=np.uint8)
NAMES = [f"pics/{9 - i}.png" for i in range(6)]


def file(image):
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, "PNG")
    return stream.getvalue()


FILES = [file(image) for image in IMAGES]
LABELS = [0, 1, 0, 1, 2, 2]


def cells(files, paths=None):
    """A column as Hugging Face writes it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": f, "path": p} for f, p in zip(files, paths or [None] * len(files), strict=True)], kind)


def parquet(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.mark.parametrize("stream", ["off", "on"])
def test_files_in_a_column_of_bytes_and_path(tmp_path, stream):
    path = parquet(tmp_path, image=cells(FILES, NAMES), label=LABELS, width=[8] * 6)
    found = sources.load(path, stream=stream)
    assert isinstance(found.images, LazyArray) == (stream == "on")
    np.testing.assert_array_equal(found.images[:], IMAGES)
    assert (found.names.tolist(), found.named, found.labels.tolist()) == (NAMES, "image", LABELS)


def test_names_are_paths_or_ids_or_rows(tmp_path):
    found = sources.load(parquet(tmp_path, jpg=FILES, image_id=range(10, 16)))
    assert (found.named, found.names.tolist()) == ("image_id", [str(i) for i in range(10, 16)])
    found = sources.load(parquet(tmp_path, image=cells(FILES, ["same.png"] * 6)))
    assert (found.named, found.names.tolist()) == ("row", list("012345"))


def test_cells_without_bytes_name_files(tmp_path):
    (tmp_path / "pics").mkdir()
    for name, data in zip(NAMES, FILES, strict=True):
        (tmp_path / name).write_bytes(data)
    path = parquet(tmp_path, image=cells([None, *FILES[1:]], NAMES))
    np.testing.assert_array_equal(sources.load(path).images, IMAGES)


def test_cells_that_cannot_be_read(tmp_path):
    path = parquet(tmp_path, image=cells([*FILES[:2], b"junk", None, *FILES[4:]]), label=LABELS)
    with pytest.raises(InputError, match=r"t\.parquet, row 3: cannot be read as an image .*: mend it, or pass --skip"):
        sources.load(path)
    found = sources.load(path, skip_bad=True)
    np.testing.assert_array_equal(found.images, IMAGES[[0, 1, 4, 5]])
    assert (found.names.tolist(), found.labels.tolist()) == (list("0145"), [0, 1, 2, 2])
    assert [name for name, _ in found.skipped] == ["2", "3"]
    with pytest.raises(InputError, match="the columns 'a' and 'b' both hold image files"):
        sources.load(parquet(tmp_path, a=cells(FILES), b=FILES))
    with pytest.raises(InputError, match="'sound' holds files that are no images: give features of them"):
        sources.load(parquet(tmp_path, sound=cells([b"RIFF....WAVE"] * 6)))


def test_features_beside_files_are_the_features_where_they_are_lists(tmp_path):
    path = parquet(tmp_path, image=cells(FILES), embedding=[[1.0, i] for i in range(6)])
    assert sources.load(path).images.shape == (6, 2)


@pytest.mark.parametrize("read", [pd.read_parquet, pl.read_parquet, pq.read_table])
def test_frames_that_hold_files(tmp_path, read):
    found = sources.load(read(parquet(tmp_path, image=cells(FILES, NAMES), label=LABELS)))
    np.testing.assert_array_equal(found.images, IMAGES)
    assert (found.names.tolist(), found.labels.tolist()) == (NAMES, LABELS)


def test_frames_that_list_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pics").mkdir()
    for name, data in zip(NAMES, FILES, strict=True):
        (tmp_path / name).write_bytes(data)
    frames = (
        pd.DataFrame({"photo": NAMES, "label": LABELS}),
        pd.DataFrame({"photo": [Path(name) for name in NAMES]}),
        pd.DataFrame({"photo": pd.Categorical(NAMES), "patient_id": range(6)}),
        pl.DataFrame({"photo": NAMES}),
    )
    for frame in frames:
        found = sources.load(frame)
        np.testing.assert_array_equal(found.images, IMAGES)
        assert (found.names.tolist(), found.named) == (NAMES, "photo")
    assert KMeans(n_clusters=2, seed=0).fit(frames[0]).names_.tolist() == NAMES
    for objects in ([Image.new("L", (8, 8))] * 2, [IMAGES[0], IMAGES[1]]):
        with pytest.raises(InputError, match=r"'photo' holds object, not numbers: give list\(data\['photo'\]\)"):
            sources.load(pd.DataFrame({"photo": objects}))
