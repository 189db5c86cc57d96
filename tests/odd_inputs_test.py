"""What newcomers give as X or as a parameter, by mistake: one line that names the remedy."""

import io
import math

import numpy as np
import pytest
from PIL import Image

import jaxclust
from jaxclust.errors import InputError, RunExists, WrongType


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "X is None: give an array"),
        (3, "X is 3: give an array"),
        ({1, 2}, "X is a set, which has no order: give a list"),
        ({"a": [1, 2]}, "X is a dictionary of 'a': give one of its values"),
        ([], "X is empty: give at least two examples"),
        (io.BytesIO(b"x"), "X is an open file: give its path"),
        ((np.eye(9), np.zeros(9)), r"is a pair of examples and their classes, \(X, y\): give X alone"),
    ],
)
def test_what_holds_no_examples_is_one_line(given, said):
    for call in (jaxclust.KMeans(n_clusters=2, seed=0).fit, jaxclust.load_data):
        with pytest.raises(InputError, match=said):
            call(given)


def test_values_of_a_dictionary_are_a_list():
    np.testing.assert_array_equal(jaxclust.load_data(dict(enumerate(np.eye(4))).values()).images, np.eye(4))


def test_positional_parameters_and_infinite_ones_are_refused():
    with pytest.raises(WrongType, match="KMeans takes its parameters by their names"):
        jaxclust.KMeans(2)
    with pytest.raises(InputError, match="pretrain_epochs is inf: give a finite number above 0"):
        jaxclust.AEKMeans(n_clusters=2, pretrain_epochs=math.inf).fit(np.eye(9))


def test_lines_of_save_are_pythons(tmp_path):
    model = jaxclust.KMeans(n_clusters=2, seed=0).fit(np.eye(9))
    model.save(tmp_path / "m")
    with pytest.raises(RunExists, match="already holds a run: give another directory, or overwrite=True"):
        model.save(tmp_path / "m")
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="is a file: give another directory"):
        model.save(tmp_path / "f")
    with pytest.raises(InputError, match="there is no level of 3 clusters: this model has none"):
        model.labels_at(3)


def test_bytes_of_files_are_images():
    pictures = [np.full((8, 8), 30 * i, np.uint8) for i in range(4)]
    files = []
    for picture in pictures:
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        files.append(stream)
    for given in (files, [stream.getvalue() for stream in files], iter(files)):
        np.testing.assert_array_equal(jaxclust.load_data(given).images[..., 0], pictures)
    files[1] = io.BytesIO(files[1].getvalue()[:40])
    with pytest.raises(InputError, match="list, example 1: cannot be read as an image"):
        jaxclust.load_data(files)
    found = jaxclust.load_data(files, skip_bad=True, names=list("abcd"))
    assert found.names.tolist() == ["a", "c", "d"]


def test_names_and_classes_that_are_none(tmp_path):
    for names in (3, "abcd"):
        with pytest.raises(InputError, match=r"names are .*: give a list, one for each of 4 examples"):
            jaxclust.load_data(np.eye(4), names=names)
    assert jaxclust.load_data(np.eye(4), names=(c for c in "abcd")).names.tolist() == list("abcd")
    for labels, said in (
        (np.array([0, np.inf, 1, 2]), "labels up to inf are too large"),
        (np.array([0, 2**64 - 1, 1, 2], np.uint64), "are too large to be classes"),
        (np.array([0, np.nan, 1, 2]), "give whole numbers, -1 where unknown, or strings"),
        (np.eye(4), r"give \(4,\), such as labels.argmax\(1\)"),
    ):
        np.savez(tmp_path / "x.npz", features=np.eye(4), labels=labels)
        with pytest.raises(InputError, match=said):
            jaxclust.load_data(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", features=np.eye(4), split=np.array(["Train", "TEST"] * 2))
    assert jaxclust.load_data(tmp_path / "x.npz").split.tolist() == [0, 1, 0, 1]
    with pytest.raises(InputError, match=r"https://a.b/c.png: is not on this machine: fetch it"):
        jaxclust.load_data(["https://a.b/c.png"])
    with pytest.raises(InputError, match="X is empty"):
        jaxclust.load_data(tmp_path.glob("*.png"))
