"""Examples of a run as folders and tables."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from jaxclust import cli, runs
from jaxclust.models import Assignments
from jaxclust.report import export
from jaxclust.runs import edited_run
from jaxclust.runs.edits import Edits
from tests import toy as toys

X, Y = toys.blobs(24)
ODD = ["a b.png", "c/a b.png", "'; rm -rf.png", "😀.png", os.fsdecode(b"\xff.png"), "x\ny.png"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of a folder of images, one of the same as an array, and one of features."""
    place = tmp_path_factory.mktemp("export")
    names = [*ODD, *(f"{i:02d}.png" for i in range(len(ODD), 24))]
    for name, image in zip(names, X, strict=True):
        (place / "pics" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / "pics" / name, "PNG")
    np.savez(place / "array.npz", images=X, labels=Y)
    np.save(place / "features.npy", X.reshape(24, -1)[:, :5].astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        from jaxclust import methods

        patch.setitem(methods.METHODS, "toy", "tests.toy")
        patch.chdir(place)
        for data, out in (("pics", "run"), ("array.npz", "of-array"), ("features.npy", "of-features")):
            fit = ["fit", "toy", data, "--epochs", "2", "--no-figures", "--out", out, "--quiet"]
            assert cli.main(fit) == 0
        asked = edited_run.Asked(Edits(names={1: "cats / <dogs>"}), "test")
        edited_run.make(Path("run"), asked, Path("named"), None)
    return place


@pytest.fixture
def here(finished, toy, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path):
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("how", [[], ["--copy"]])
def test_each_image_lies_in_the_folder_of_its_cluster(here, capsys, how):
    assert cli.main(["export", "run", "out", *how]) == 0
    assert "24 examples in out, images in 3 folders" in capsys.readouterr().err
    assigned = runs.load_assignments(Path("run"))
    for k in range(3):
        own = [name for name, label in zip(assigned.names, assigned.labels, strict=True) if label == k]
        files = sorted(Path("out", str(k)).iterdir())
        assert {path.is_symlink() for path in files} == {not how}
        assert sorted(path.read_bytes() for path in files) == sorted(Path("pics", name).read_bytes() for name in own)
    names = {path.name for path in Path("out").glob("*/*")}
    assert "😀.png" in names
    told = rows("out/examples.csv")
    assert [row["file"] for row in told] == assigned.names.tolist()
    assert [int(row["cluster"]) for row in told] == assigned.labels.tolist()
    assert Path("out/clusters.csv").read_bytes() == Path("run/clusters.csv").read_bytes()
    assert {path.name for path in Path("out").iterdir()} == {"0", "1", "2", "examples.csv", "clusters.csv"}


def test_names_that_several_files_have_are_told_apart(here):
    """'a b.png' and 'c/a b.png', in one folder."""
    assigned = runs.load_assignments(Path("run"))
    own = {int(k) for k, name in zip(assigned.labels, assigned.names, strict=True) if name.endswith("a b.png")}
    asked = edited_run.Asked(Edits({0: "x"}, merge=(tuple(own),) if len(own) == 2 else ()), "test")
    edited_run.make(Path("run"), asked, Path("merged"), None)
    assert cli.main(["export", "merged", "out", "--table", "parquet"]) == 0
    found = [path.name for path in Path("out").glob("*/*a b.png")]
    assert len(set(found)) == 2
    assert "a b.png" not in found
    assert len(list(Path("out").glob("*/*"))) == 24
    told = parquet.read_table("out/examples.parquet").to_pydict()
    assert told["index"] == list(range(24))
    assert "\\udcff.png" in told["file"]


def test_images_of_an_array_become_files(here):
    assert cli.main(["export", "of-array", "out", "--only", "2"]) == 0
    labels = runs.load_assignments(Path("of-array")).labels
    files = sorted(Path("out/2").iterdir())
    assert [path.name for path in files] == [f"{row:06d}.png" for row in np.flatnonzero(labels == 2)]
    np.testing.assert_array_equal(np.asarray(Image.open(files[0])), X[labels == 2][0])
    assert {row["class"] for row in rows("out/examples.csv")} == {str(Y[labels == 2][0])}


def test_features_are_a_table(here, capsys):
    np.savez("of-features/map.npz", index=np.arange(24), points=np.arange(48).reshape(24, 2).astype(np.float32))
    assert cli.main(["export", "of-features", "out"]) == 0
    assert capsys.readouterr().err == "24 examples in out\n"
    assert sorted(path.name for path in Path("out").iterdir()) == ["clusters.csv", "examples.csv"]
    third = rows("out/examples.csv")[2]
    assert (third["index"], third["x"], third["y"]) == ("2", "4.000000", "5.000000")
    assert set(third) == {"index", "x", "y", "cluster", "probability", "noise", "typicality"}


def test_a_named_cluster_is_asked_for_by_its_name(here, capsys):
    assert cli.main(["export", "named", "out", "--only", "cats / <dogs>", "--only", "0,noise"]) == 0
    assert sorted(path.name for path in Path("out").iterdir() if path.is_dir()) == ["0", "1-cats-dogs", "noise"]
    assert list(Path("out/noise").iterdir()) == []
    assert {row["cluster_name"] for row in rows("out/examples.csv")} == {"", "cats / <dogs>"}


def test_noise_and_what_is_uncertain():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    noise = np.array([True, False, False])
    assigned = Assignments(np.array([0, 0, 1]), probabilities, noise, np.zeros((3, 2)), None)
    found = export.selected(assigned, (), ["noise", "uncertain", "1"], (), 0.7)
    assert {name: rows.tolist() for name, rows in found.items()} == {"noise": [0], "uncertain": [1], "1": [2]}
    rest = export.selected(assigned, (), (), ["noise", "1"], 0.7)
    assert {name: rows.tolist() for name, rows in rest.items()} == {"0": [1]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("export run pics", "pics: is there already, and not empty"),
        ("export run out --only 7", "--only 7: there is no such cluster: give 0 to 2, noise, uncertain"),
        ("export run out --only nois", "did you mean noise?"),
        ("export run out --but 7", "--but 7: there is no such cluster: give 0 to 2, noise, uncertain"),
        ("export run out --but 0,1,2", "--but 0,1,2: leaves nothing to export: leave out less"),
        ("export run no/such/out", "the directory no/such does not exist"),
        ("export run out --below 2", "--below is 2.0: give a probability"),
        ("export run out --data array.npz --no-data", "exclude each other"),
        ("export run out --data features.npy", "is not what run was fitted to"),
        ("export nowhere out", "nowhere: holds no run"),
        ("export run out --table xlsx", "'csv'"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_writes_nothing(here, capsys, arguments, said):
    before = sorted(Path().rglob("*"))
    assert cli.main(arguments.split()) == 2
    assert said in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_links_that_cannot_be_made_leave_nothing(here, capsys, monkeypatch):
    def refuse(path, target):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    before = sorted(Path().rglob("*"))
    assert cli.main(["export", "run", "out"]) == 2
    assert "holds no links (Operation not permitted): give --copy" in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before
