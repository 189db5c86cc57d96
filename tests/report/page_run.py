"""A small run with a page, whose names and classes are what nobody should write into a page as they are."""

import numpy as np

from jaxclust import methods, runs
from jaxclust.data import dataset
from jaxclust.models import Request
from jaxclust.system import atomic
from tests import toy

HOSTILE = (
    "<script>window.hacked = 1</script>.png",
    "</script><img src=x onerror='window.hacked=1'>.png",
    "\"quoted\" & 'quoted'.png",
    "תמונה של כלב.png",
    "😀 {{about}} line\u2028break.png",
    "<!-- <script>.png",
)
CLASSES = ("<b onclick='window.hacked=1'>cats</b>", 'dogs & "birds"', "טלה")
NAME = 'photos/<i>holiday</i> "2024"'
N = 150


def data(n=N, names=True):
    """Images of three kinds, with their classes."""
    images, labels = toy.blobs(n)
    called = [*HOSTILE, *(f"img_{i:03d}.png" for i in range(len(HOSTILE), n))] if names else None
    return dataset.build(NAME, images, labels, CLASSES, names=called)


def features(n=60):
    """Rows of 12 numbers about three centres; example 4 stands out in column 7."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n, 12)) + 6 * (np.arange(n) % 3)[:, None]
    values[4, 7] = 300.0
    return dataset.build("table", values.astype(np.float32), names=[f"row {i}" for i in range(n)])


def make(directory, given, monkeypatch):
    """A complete run of the toy method on a data set, with a coarser level."""
    monkeypatch.setitem(methods.METHODS, "toy", "tests.toy")
    runs.fit(Request(toy.METHOD, toy.ToyConfig(epochs=20)), given, directory)
    labels = runs.load_assignments(directory).labels
    atomic.write_arrays(directory / "levels.npz", {"2": np.minimum(labels, 1)})
    return directory
