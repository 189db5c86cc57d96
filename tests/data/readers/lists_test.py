"""Lists of paths, of PIL images and of arrays."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from jaxclust.data import sources
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError

RNG = np.random.default_rng(0)
COLOUR = [RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(6)]
MIXED = [RNG.integers(0, 255, (8 + i, 6, 3), dtype=np.uint8) for i in range(6)]


@pytest.fixture
def paths(tmp_path):
    """Files whose order is not that of their names."""
    found = [tmp_path / f"{i % 2}/{9 - i}.png" for i in range(6)]
    for path, image in zip(found, COLOUR, strict=True):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return found


def test_every_form_holds_the_same_images(paths, monkeypatch):
    monkeypatch.chdir(paths[0].parent)
    relative = [os.path.relpath(path) for path in paths]
    opened = [Image.open(path) for path in paths]
    forms = [
        paths, [str(path) for path in paths], tuple(map(os.fsencode, paths)), np.array([str(path) for path in paths]),
        np.array(paths, object), iter(paths), relative, COLOUR, iter(COLOUR), [Image.fromarray(a) for a in COLOUR],
        opened,
    ]  # fmt: skip
    for form in forms:
        found = sources.load(form)
        np.testing.assert_array_equal(found.images, np.stack(COLOUR))
        assert found.labels is None
        assert found.split is None
    assert sources.load(paths).names.tolist() == [*map(str, paths)]
    assert sources.load(relative).names.tolist() == relative
    assert sources.load(opened).names.tolist() == [*map(str, paths)]
    assert sources.load(COLOUR).names is None
    assert sources.load(COLOUR, names=list("abcdef")).names.tolist() == list("abcdef")


def test_a_series_of_paths_whatever_its_index(paths):
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(list(map(str, paths)), index=range(5, 11))
    np.testing.assert_array_equal(sources.load(series).images, np.stack(COLOUR))


def test_paths_are_streamed(paths):
    found = sources.load(paths, stream="on")
    assert isinstance(found.images, LazyArray)
    np.testing.assert_array_equal(found.images[:], np.stack(COLOUR))
    assert found.names.tolist() == [*map(str, paths)]


def test_a_path_twice_and_unreadable_ones(paths):
    paths[2].write_bytes(b"broken")
    paths[4].unlink()
    names = list("abcdefgh")
    chosen = [*paths, paths[0], paths[2]]
    with pytest.raises(InputError, match=r"5.png: there is no such file"):
        sources.load(chosen)
    found = sources.load(chosen, skip_bad=True)
    assert found.names.tolist() == [str(chosen[i]) for i in (0, 1, 3, 5, 6)]
    np.testing.assert_array_equal(found.images, np.stack([COLOUR[i] for i in (0, 1, 3, 5, 0)]))
    assert [file for file, _ in found.skipped] == [str(chosen[i]) for i in (4, 2, 7)]
    assert found.skipped[0][1] == "there is no such file"
    with pytest.raises(InputError, match="7 names do not match 8 examples"):
        sources.load(chosen, names=names[:7], skip_bad=True)
    assert sources.load(chosen, names=names, skip_bad=True).names.tolist() == list("abdfg")
    with pytest.raises(InputError, match="no such file"):
        sources.load([paths[4]], skip_bad=True)


def test_several_sizes_need_image_size(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(6)]
    for path, image in zip(files, MIXED, strict=True):
        Image.fromarray(image).save(path)
    pictures = [Image.fromarray(image) for image in MIXED]
    for form in (MIXED, pictures, files):
        with pytest.raises(InputError, match=r"differ in size.*load_data\(..., image_size=N\)"):
            sources.load(form)
        found = sources.load(form, image_size=8).images
        assert found.shape == (6, 8, 8, 3)
        of_files = sources.load(files, image_size=8).images  # arrays keep within their own highest value, 254
        np.testing.assert_array_equal(found, np.minimum(of_files, 254) if form is MIXED else of_files)
    floats = sources.load([image / 255.0 for image in MIXED], image_size=8).images
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, of_files / 255.0, atol=0.05)  # whole numbers are clipped between the two axes
    with pytest.raises(InputError, match="example 2: 1 values in 1 examples are NaN"):
        sources.load([*MIXED[:2], np.full((1, 8, 3), [[[np.nan, 0, 0]] + [[0, 0, 0]] * 7])], image_size=8)


def test_grey_among_colour_becomes_colour():
    grey = COLOUR[1][..., 0]
    for among in (grey, grey[..., None]):
        found = sources.load([COLOUR[0], among]).images
        np.testing.assert_array_equal(found, np.stack([COLOUR[0], np.repeat(grey[..., None], 3, 2)]))
    pictures = [Image.fromarray(COLOUR[0]), Image.fromarray(grey)]
    np.testing.assert_array_equal(sources.load(pictures).images, found)
    assert sources.load([grey, grey]).images.shape == (2, 8, 8, 1)


def test_what_is_no_list_of_images_is_said():
    damaged = io.BytesIO()
    Image.fromarray(COLOUR[0]).save(damaged, "JPEG")
    broken = Image.open(io.BytesIO(damaged.getvalue()[:-60]))
    for data, message in (
        ([COLOUR[0], "a.png"], "example 1 is of type str where example 0 is an array"),
        ([COLOUR[0], np.zeros((8, 8, 4), np.uint8)], "example 0 has 3 channels where others have 4"),
        ([np.zeros((8, 8, 4), np.uint8)] * 2, "drop the alpha channel"),
        ([Image.fromarray(COLOUR[0]), broken], "example 1 cannot be read as an image"),
        ([Image.fromarray(np.eye(8, dtype=np.float32))], "example 0 cannot be read as an image"),
        ([{"image": COLOUR[0], "label": 1}], r"dictionaries of 'image', 'label'.*row\['image'\]"),
        (["/tmp", "/usr"], "/tmp: is a folder among files"),
        (["a" * 300], "a: there is no such file"),
        (["a\0b"], "there is no such file"),
        (["~nobody/a.png"], "~nobody/a.png: there is no such file"),
        (["nowhere.png"], "nowhere.png: there is no such file"),
        ([[1, 2], [1, 2, 3]], "example 0 holds 2 values and example 1 3: give all one shape"),
        ([[1, 2], 3], "example 0 holds 2 values and example 1 1"),
        ([[[1, 2], [1]], [[1, 2], [1, 2]]], "examples differ in shape"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            sources.load(data)
        assert "\n" not in str(caught.value)


def test_rows_of_numbers_are_no_images():
    for data in ([[1.0, 2.0], [3.0, 4.0]], [np.arange(2.0), np.arange(2.0)], (row for row in np.eye(2))):
        assert sources.load(data).images.shape == (2, 2)
