"""clusters.csv and the table of an estimator."""

import csv
from pathlib import Path

import numpy as np
import pandas
import pytest

from jaxclust import cli, runs
from jaxclust.data import dataset
from jaxclust.errors import InputError
from jaxclust.estimators.base import DeepClusterer
from jaxclust.models import Assignments
from jaxclust.runs import cluster_table
from tests import toy as toys

X, Y = toys.blobs(60)


def by_hand():
    """Three clusters on a line, the last of them empty."""
    embedding = np.array([[0.0], [0.2], [1.0], [9.0], [9.6]], np.float32)
    probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.5, 0.5, 0], [0.3, 0.7, 0], [0, 1, 0]], np.float32)
    noise = np.array([0, 0, 1, 0, 0], bool)
    names = np.array(["a.png", "b\n\x1b[31m.png", "c.png", "d.png", "e.png"], object)
    return Assignments(np.array([0, 0, 0, 1, 1]), probabilities, noise, embedding, None, names, "file")


def test_a_table_by_hand():
    first, second, empty = cluster_table.table(by_hand(), ("cats", "", ""), np.array([1, 1, 0, -1, 0]), ("x", "y"))
    distances = np.array([0.4, 0.2, 0.6, 0.3, 0.3])
    assert first == {
        "cluster": 0, "name": "cats", "size": 3, "certainty": pytest.approx(2.2 / 3, abs=1e-6),
        "noise": pytest.approx(1 / 3, abs=1e-6),
        "density": pytest.approx(distances.mean() / distances[:3].mean(), abs=1e-5), "nearest": 1,
        "medoid": "b\n\x1b[31m.png", "exemplar_1": "a.png", "exemplar_2": "c.png", "exemplar_3": "", "exemplar_4": "",
        "exemplar_5": "", "class x": 1, "class y": 2,
    }  # fmt: skip
    assert (second["size"], second["class x"], second["class y"]) == (2, 1, 0)
    assert (empty["size"], empty["certainty"], empty["density"], empty["nearest"]) == (0, None, None, None)
    assert (empty["medoid"], empty["class x"]) == ("", 0)


def test_without_names_and_classes_rows_stand_for_examples():
    first = cluster_table.table(by_hand()._replace(names=None), (), np.full(5, -1))[0]
    assert (first["name"], first["medoid"], first["exemplar_1"]) == ("", 1, 0)
    assert not [title for title in first if title.startswith("class ")]


def test_what_a_terminal_shows_is_one_line_a_cluster():
    table = cluster_table.table(by_hand(), (), np.array([1, 1, 0, -1, 0]), ("x", "y"))
    lines = cluster_table.text(table).splitlines()
    assert lines[0].split() == [
        "cluster",
        "size",
        "certainty",
        "noise",
        "density",
        "nearest",
        "medoid",
        "largest",
        "class",
    ]
    assert len(lines) == 4
    assert "b\\n\\x1b[31m.png" in lines[1]
    assert lines[1].endswith("y 67%")
    assert repr(table) == "\n".join(lines)
    assert cluster_table.text(table, most=2) == ""
    assert "<td>b\\n\\x1b[31m.png</td>" in table._repr_html_()
    table[0]["medoid"] = "<script>"
    assert "<script>" not in table._repr_html_()


def test_fit_writes_and_prints_it(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("train.npz", images=X, labels=Y)
    assert cli.main(["fit", "toy", "train.npz", "--epochs", "5", "--no-figures", "--out", "run"]) == 0
    out = capsys.readouterr().out
    with open("run/clusters.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cluster"] for row in rows] == ["0", "1", "2"]
    assert sum(int(row["size"]) for row in rows) == 60
    for row in rows:
        assert sorted(int(row[f"class {c}"]) for c in range(3)) == [0, 0, 20]
        assert f"\n{row['cluster']} " in out
    assert "largest class" in out
    assert runs.read_clusters(Path("run"))[2]["size"] == int(rows[2]["size"])
    Path("run/clusters.csv").write_text("cluster,name\n0,a\n7,b\n")
    with pytest.raises(InputError, match=r"clusters.csv: is damaged"):
        runs.read_clusters(Path("run"))


def test_an_estimator_has_it_and_saves_it(toy, tmp_path):
    class Toy(DeepClusterer, method="toy"):
        """The toy."""

    given = dataset.build("blobs", X, Y, ("cats", "dogs", "birds"), names=[f"{i}.png" for i in range(60)])
    model = Toy(epochs=5).fit(given)
    frame = pandas.DataFrame(model.clusters_)
    assert frame["size"].tolist() == np.bincount(model.labels_).tolist()
    assert frame[["class birds", "class cats", "class dogs"]].to_numpy().max(1).tolist() == [20, 20, 20]
    assert frame["medoid"].str.endswith(".png").all()
    model.save(tmp_path / "run")
    assert runs.read_clusters(tmp_path / "run") == model.clusters_
    assert "class cats" not in Toy().fit(X).clusters_[0]
    again = Toy.load(tmp_path / "run").clusters_
    assert [row["medoid"] for row in again] == frame["medoid"].tolist()
