"""What newcomers give as X or as a parameter, by mistake: one line that names the remedy."""

import io
import math

import numpy as np
import pytest

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
