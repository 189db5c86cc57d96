"""Which file is row 3: the name of each example, from where it is read to every listing."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxclust
from jaxclust import InputError, cli, load_data, runs
from jaxclust.data import dataset
from jaxclust.estimators import DeepClusterer, MoEVAE
from jaxclust.models import Assignments
from tests import toy as toys

X, Y = toys.blobs(60)
ODD = [
    "a,b.png",
    'a"b.png',
    "a\nb.png",
    "a\rb.png",
    " a.png",
    "\N{CAT FACE}.png",
    "näm.png",
    os.fsdecode(b"\xff\xe9.png"),
]


def rows(path):
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def pictures(folder, names, images=X):
    """The first images as files, and the pixels of each by its name."""
    for name, image in zip(names, images, strict=False):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, "PNG")
    return dict(zip(names, images, strict=False))


def is_right(found, expected):
    """Whether the names stand beside the images that have them."""
    assert len(found.names) == len(found.images)
    for name, image in zip(found.names, found.images, strict=True):
        np.testing.assert_array_equal(image[..., 0], expected[name])


@pytest.fixture
def here(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def Toy(toy, monkeypatch):  # noqa: N802
    class Toy(DeepClusterer, method="toy"):
        """The toy as an estimator."""

    monkeypatch.setattr("jaxclust.estimators.classes.ESTIMATORS", (MoEVAE, Toy))
    return Toy


@pytest.mark.parametrize("stream", ["off", "on"])
def test_names_go_with_what_is_left_out_and_with_splits(tmp_path, stream):
    names = [f"{part}/{kind}/{i}.png" for part in ("train", "test") for kind in "ab" for i in range(4)]
    expected = pictures(tmp_path, names)
    for bad in ("train/a/1.png", "test/b/0.png"):
        (tmp_path / bad).write_bytes(b"broken")
        del expected[bad]
    (tmp_path / "train/a/.hidden.png").write_bytes(b"x")
    for split in ("all", "train", "test"):
        found = load_data(tmp_path, skip_bad=True, stream=stream, split=split)
        is_right(found, expected)
        assert sorted(found.names) == [name for name in sorted(expected) if split in ("all", name.split("/")[0])]
    assert found.named == "file"


@pytest.mark.parametrize("stream", ["off", "on"])
def test_names_in_npz_files_and_shards(tmp_path, stream):
    names = [f"p{i}" for i in range(6)]
    np.savez(tmp_path / "1.npz", images=X[:4], names=names[:4], split=[0, 1, 0, 1])
    assert load_data(tmp_path / "1.npz", stream=stream, split="test").names.tolist() == ["p1", "p3"]
    np.savez(tmp_path / "2.npz", images=X[4:6], names=names[4:], split=[1, 1])
    found = load_data(tmp_path, stream=stream)
    assert found.names.tolist() == names
    assert found.named == "name"
    assert load_data(tmp_path, stream=stream, split="test").names.tolist() == ["p1", "p3", "p4", "p5"]
    for names in (["cat", "dog"], np.array(list("abcd"), object), np.zeros(4)):  # those of classes; a pickle; numbers
        np.savez(tmp_path / "1.npz", images=X[:4], names=names, split=[0, 1, 0, 1])
        assert load_data(tmp_path / "1.npz", stream=stream).names is None
        assert load_data(tmp_path, stream=stream).names is None


def test_listings_name_files_whatever_they_are_called(here, capsysbinary):
    """Bytes that are no UTF-8 too; and the run that is loaded knows them."""
    names = sorted([f"2023/{name}" for name in ODD] + [f"{i}.png" for i in range(22)], key=lambda n: n.split("/"))
    pictures("pics", names)
    Path("pics/1.png").write_bytes(b"broken")
    names.remove("1.png")
    assert cli.main(["fit", "toy", "pics", "--skip-bad", "--epochs", "1", "--no-figures", "--out", "run"]) == 0
    assert cli.main(["predict", "run", "pics", "--skip-bad", "--out", "labels.csv"]) == 0
    capsysbinary.readouterr()
    assert cli.main(["predict", "run", "pics", "--skip-bad"]) == 0
    assert capsysbinary.readouterr().out == Path("labels.csv").read_bytes()
    for listing in ("run/assignments.csv", "labels.csv"):
        found = rows(listing)
        assert [row["file"] for row in found] == names
        assert [row["index"] for row in found] == [str(i) for i in range(len(names))]
        assert all(Path("pics", row["file"]).is_file() for row in found)
    loaded = runs.load_assignments(Path("run"))
    assert loaded.names.tolist() == names
    assert loaded.named == "file"
    assert [row["file"] for row in rows("run/skipped.csv")] == ["1.png"]


def test_runs_without_names_load(tmp_path):
    half = np.full((2, 2), 0.5, np.float32)
    assigned = Assignments(np.array([0, 1], np.int32), half, np.zeros(2, bool), half, None)
    runs.artefacts.write_assignments(tmp_path, assigned)
    assert (tmp_path / "assignments.csv").read_text().splitlines()[1] == "0,0,0.500000,0,,"
    assert runs.load_assignments(tmp_path).names is None
    for named, title in (("patient", "patient"), ("label", "name"), ("", "name")):
        runs.artefacts.write_assignments(tmp_path, assigned._replace(names=np.array(["x", "y"], object), named=named))
        loaded = runs.load_assignments(tmp_path)
        assert loaded.names.tolist() == ["x", "y"]
        assert loaded.named == title


def test_estimators_keep_names(Toy, tmp_path):  # noqa: N803
    names = [f"p{i}" for i in range(len(X))]
    model = Toy(epochs=1).fit(X, names=names)
    assert model.names_.tolist() == names
    model.save(tmp_path / "model")
    assert [row["name"] for row in rows(tmp_path / "model/assignments.csv")] == names
    assert jaxclust.load(tmp_path / "model").names_.tolist() == names
    assert Toy(epochs=1).fit(X).names_ is None
    with pytest.raises(InputError, match="2 names do not match 60 examples"):
        Toy(epochs=1).fit(X, names=["a", "b"])


def test_estimators_take_what_load_data_takes(Toy, tmp_path):  # noqa: N803
    names = [f"{i:02}.png" for i in range(len(X))]
    pictures(tmp_path, names)
    paths = [tmp_path / name for name in names]
    straight = Toy(epochs=1).fit(X)
    for data, called in ((paths, [*map(str, paths)]), (tmp_path, names), (load_data(tmp_path), names)):
        model = Toy(epochs=1).fit(data)
        np.testing.assert_array_equal(model.labels_, straight.labels_)
        np.testing.assert_array_equal(model.predict(data), straight.labels_)
        assert model.names_.tolist() == called
    with pytest.raises(InputError, match="neither a file or folder"):
        model.fit("nowhere")


def test_names_that_cannot_be_written_are_refused_before_fitting():
    with pytest.raises(InputError, match=r"the names hold .*ud800.*no character"):
        dataset.build("x", X, names=["a\ud800"] * len(X))
    with pytest.raises(InputError, match="names of their own"):
        load_data("digits", names=["a"])
