"""Tables that list image files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jaxclust.data import sources
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (6, 8, 8, 1), dtype=np.uint8)
NAMES = [f"pics/{9 - i}.png" for i in range(6)]  # not in the order of the names


@pytest.fixture
def here(tmp_path, monkeypatch):
    """pics/ below the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pics").mkdir()
    for name, image in zip(NAMES, IMAGES, strict=True):
        Image.fromarray(image[..., 0]).save(tmp_path / name)
    return tmp_path


def table(path, columns):
    """A CSV or Parquet file."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        lines = [",".join(columns)] + [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("stream", ["off", "on"])
def test_images_classes_and_split_of_the_rows(here, suffix, stream):
    columns = {
        "photo": NAMES, "patient_id": range(6), "label": ["cat", "", "dog", "cat", "dog", "dog"],
        "caption": ["a", "b", "c", "d", "e", "f"], "split": ["train", "test"] * 3,
    }  # fmt: skip
    path = table(here / f"list.{suffix}", columns)
    found = sources.load(path, stream=stream)
    assert isinstance(found.images, LazyArray) == (stream == "on")
    np.testing.assert_array_equal(found.images[:], IMAGES)
    assert found.names.tolist() == NAMES
    assert found.named == "photo"
    assert found.labels.tolist() == [0, -1, 1, 0, 1, 1]
    assert found.class_names == ("cat", "dog")
    assert found.split.tolist() == [0, 1] * 3
    assert sources.load(path, split="test").names.tolist() == NAMES[1::2]


def test_what_is_left_out_takes_its_class_with_it(here):
    (here / NAMES[1]).write_bytes(b"broken")
    (here / NAMES[3]).unlink()
    path = table(here / "list.csv", {"": range(6), "file": NAMES, "class": range(6)})
    with pytest.raises(InputError, match=r"6\.png: there is no such file"):
        sources.load(path)
    found = sources.load(path, skip_bad=True)
    assert found.names.tolist() == [NAMES[i] for i in (0, 2, 4, 5)]
    assert found.labels.tolist() == [0, 2, 4, 5]
    np.testing.assert_array_equal(found.images, IMAGES[[0, 2, 4, 5]])
    assert [file for file, _ in found.skipped] == [NAMES[3], NAMES[1]]


def test_paths_are_relative_to_the_table_or_to_the_current_directory(here):
    (here / "lists").mkdir()
    for place, names in (
        (here / "lists/a.csv", NAMES),
        (here / "pics/b.csv", [name.removeprefix("pics/") for name in NAMES]),
        (here / "lists/c.csv", [str(here / name) for name in NAMES]),
    ):
        np.testing.assert_array_equal(sources.load(table(place, {"path": names})).images, IMAGES)


def test_sizes_that_differ(here):
    Image.fromarray(IMAGES[0][:6, :, 0]).save(here / NAMES[2])
    path = table(here / "list.csv", {"path": NAMES})
    with pytest.raises(InputError, match="differ in size"):
        sources.load(path)
    assert sources.load(path, image_size=4).images.shape == (6, 4, 4, 1)


def test_unclear_tables_are_refused(here):
    for columns, message in (
        ({"image": NAMES, "mask": NAMES}, "the columns 'image' and 'mask' both list files"),
        ({"image": [*NAMES[:5], ""], "label": range(6)}, "column 'image' has no path in row 7"),
        ({"image": NAMES, "split": ["train"] * 5 + ["dev"]}, "'split' must hold"),
        ({"image": ["gone.png"] * 6}, "gone.png: there is no such file"),
    ):
        with pytest.raises(InputError, match=message):
            sources.load(table(here / "list.csv", columns))


def test_a_table_with_numbers_is_features(here):
    found = sources.load(table(here / "x.csv", {"width": [1.0, 2.0], "height": [3.0, 4.0]}))
    assert found.images.tolist() == [[1, 3], [2, 4]]
    for text in ("a" * 300, "~nobody/a", "a" * 5000):  # no names of files
        with pytest.raises(InputError, match=r"x\.csv"):
            sources.load(table(here / "x.csv", {"text": [text]}))
    found = sources.load(table(here / "x.csv", {"file": NAMES, "width": range(6)}))
    assert (found.images.tolist(), found.names.tolist()) == ([[i] for i in range(6)], list(NAMES))
    assert found.named == "file"
