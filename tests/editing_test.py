"""Clusters merged, split, named, and noise clustered again: in Python and as a command."""

import copy
import csv
import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import jaxclust
from jaxclust import cli, models, runs
from jaxclust.errors import InputError, RunExists
from jaxclust.estimators import DeepClusterer, MoEVAE
from jaxclust.host.clusters import Found
from jaxclust.runs import editing, edits, lifecycle
from jaxclust.runs.edits import Edits
from tests import toy as toys
from tests.contract_test import IMAGES

X, Y = toys.blobs(60)


class Toy(DeepClusterer):
    """Becomes the toy in `toys_at_hand`."""


@pytest.fixture
def at_hand(toy, monkeypatch, tmp_path):
    """The estimator, found by `jaxclust.load` too, and a working directory."""
    kind = type("Toy", (DeepClusterer,), {"__module__": __name__}, method="toy")
    monkeypatch.setattr("jaxclust.estimators.classes.ESTIMATORS", (MoEVAE, kind))
    monkeypatch.setattr(f"{__name__}.Toy", kind)
    monkeypatch.chdir(tmp_path)
    return kind


@pytest.fixture
def model(at_hand):
    return at_hand(n_clusters=4, epochs=2).fit(X)


# in Python


def test_merge(model):
    once = model.merge([0, 2])
    assert (model.n_clusters_, once.n_clusters_) == (4, 3)
    assert once.parent_ is model
    expected = model.predict_proba(X)[:, [0, 1, 3]] + model.predict_proba(X)[:, [2]] * [1, 0, 0]
    np.testing.assert_allclose(once.predict_proba(X), expected, atol=1e-6)
    np.testing.assert_allclose(once.probabilities_, expected, atol=1e-5)
    np.testing.assert_array_equal(once.labels_, once.predict(X))
    np.testing.assert_array_equal(once.typicality_, once.score_samples(X), err_msg="of the clusters that there are now")
    assert len(once.fitted_.outliers.mean) == 3
    assert once.sample(3, cluster=0).shape == (3, 8, 8, 1)
    assert [row["cluster"] for row in once.clusters_] == [0, 1, 2]
    twice = once.merge([[0, 1]])
    np.testing.assert_allclose(twice.predict_proba(X)[:, 0], expected[:, :2].sum(1), atol=1e-6)
    for other in (copy.deepcopy(twice), pickle.loads(pickle.dumps(twice))):
        np.testing.assert_array_equal(other.predict(X), twice.predict(X))
    assert set(model.merge((3, 1), (0, 2)).labels_) == {0, 1}


def test_names(model):
    named = model.rename({0: "cats", np.int64(2): " dogs "})
    assert named.cluster_names_ == ("cats", "", "dogs", "")
    np.testing.assert_array_equal(named.predict_proba(X), model.predict_proba(X))
    assert named.merge([0, 3]).cluster_names_ == ("cats", "", "dogs")
    assert named.merge([1, 2]).cluster_names_ == ("cats", "", "")
    assert named.rename({0: "", 2: ""}).cluster_names_ == ("",) * 4
    assert model.cluster_names_ == ("",) * 4


@pytest.mark.slow
def test_an_edited_estimator_is_saved_and_loaded(model, at_hand, tmp_path):
    made = model.rename({0: "cats"}).merge([1, 2])
    made.save(tmp_path / "run")
    loaded = at_hand.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.predict_proba(X), made.predict_proba(X))
    assert loaded.cluster_names_ == ("cats", "", "")
    assert (loaded.n_clusters_, loaded.parent_) == (3, None)
    np.testing.assert_array_equal(loaded.sample(4, cluster=1), made.sample(4, cluster=1))
    assert json.loads((tmp_path / "run/config.json").read_text())["parent"] == {"edits": {"merge": [[1, 2]]}}
    assert jaxclust.load(tmp_path / "run").merge([0, 1]).n_clusters_ == 2
    assert made.fit(X).n_clusters_ == 4
    assert made.parent_ is None


def test_a_loaded_estimator_counts_classes(at_hand, tmp_path):
    np.savez(tmp_path / "data.npz", images=X, labels=Y)
    made = at_hand(n_clusters=4, epochs=1).fit(jaxclust.load_data(tmp_path / "data.npz"))
    made.save(tmp_path / "once")
    loaded = at_hand.load(tmp_path / "once")
    loaded.save(tmp_path / "twice")
    for other in (loaded, jaxclust.load(tmp_path / "twice"), copy.deepcopy(loaded)):
        assert other.clusters_ == made.clusters_
        assert sum(row["class 1"] for row in other.clusters_) == (Y == 1).sum()
    assert "class 1" not in loaded.merge([0, 1]).clusters_[0], "of a merged cluster they are not known"


def halves(views, n_clusters, seed, **other):
    """In place of UMAP: two or more parts along the first column, the middle row of all noise."""
    codes = views["codes"]
    k = 2 if n_clusters == "auto" else n_clusters
    place = np.argsort(np.argsort(codes[:, 0], kind="stable"), kind="stable") * k // len(codes)
    member = np.eye(k, dtype=np.float32)[place]
    labels = place.astype(np.int32)
    labels[len(labels) // 2] = -1
    return Found(labels, member, np.zeros((0, len(codes)), np.int32), {"clear": n_clusters != "auto"})


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(editing.clusters, "find", halves)
    monkeypatch.setattr(editing, "STEPS", 60)


@pytest.mark.slow
def test_split(model, quick, at_hand, tmp_path):
    k = int(np.bincount(model.labels_).argmax())
    rest = [other for other in range(4) if other != k]
    made = model.rename({k: "cats"}).split(k, into=2)
    assert made.n_clusters_ == 5
    assert (made.cluster_names_[k], made.cluster_names_[4]) == ("cats 1", "cats 2")
    sizes = np.bincount(made.labels_[model.labels_ == k], minlength=5)
    assert sizes[rest].sum() == 0
    assert min(sizes[k], sizes[4]) >= 5
    before, after = model.predict_proba(X), made.predict_proba(X)
    np.testing.assert_allclose(after[:, k] + after[:, 4], before[:, k], atol=1e-6)
    np.testing.assert_allclose(after[:, rest], before[:, rest], atol=1e-6)
    np.testing.assert_allclose(made.probabilities_, after, atol=1e-5)
    codes = model.embedding_[:, 0]
    by_code = [codes[made.labels_ == of].mean() for of in (k, 4)]
    drawn = [made.sample(12, cluster=of, seed=1).reshape(12, -1)[:, 0].mean() for of in (k, 4)]
    assert (drawn[0] < drawn[1]) == (by_code[0] < by_code[1]), "samples of a part look like it"
    made.save(tmp_path / "run")
    np.testing.assert_array_equal(at_hand.load(tmp_path / "run").predict_proba(X), after)
    np.testing.assert_allclose(made.merge([k, 4]).predict_proba(X), before, atol=1e-6)


@pytest.mark.slow
def test_noise_is_clustered_again(model, quick):
    model.noise_ = model.noise_.copy()
    model.noise_[:] = model.labels_ == 3
    made = model.recluster()
    assert made.n_clusters_ == 6
    after = made.predict_proba(X)
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-5)
    new = made.labels_ >= 4
    assert new[model.noise_].mean() > 0.7
    assert new[~model.noise_].mean() < 0.1
    assert not made.noise_[new].any()
    np.testing.assert_array_equal(made.noise_, model.noise_ & ~new)
    assert made.sample(2, cluster=5).shape == (2, 8, 8, 1)
    with pytest.raises(InputError, match="noise: 0 examples are noise"):
        quiet(model).recluster()


def quiet(model):
    """The same without noise."""
    model.noise_ = np.zeros(len(model.noise_), bool)
    return model


@pytest.mark.parametrize("name", ["kmeans-3", "ae-cm"])
def test_models_of_earlier_versions_are_edited(name):
    model = jaxclust.load(Path(__file__).parent / "saved" / name)
    before = model.predict_proba(IMAGES[:20])
    after = model.merge([0, 2]).rename({1: "cats"}).predict_proba(IMAGES[:20])
    np.testing.assert_allclose(after, np.stack([before[:, 0] + before[:, 2], before[:, 1]], 1), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.merge([0, 9]), "cluster 9 does not exist: choose of 0 to 3"),
        (lambda m: m.merge([0]), r"\[0\] is one cluster"),
        (lambda m: m.merge([0, 1], [1, 2]), "cluster 1 is in several merges"),
        (lambda m: m.merge([0, 1, 2, 3]), "one cluster would be left"),
        (lambda m: m.merge(0, 1), '"merge" is .*give lists of clusters'),
        (lambda m: m.merge(), "holds no edits"),
        (lambda m: m.merge(["cats", 1]), "'cats' is no cluster"),
        (lambda m: m.split(7), "cluster 7 does not exist"),
        (lambda m: m.split(True), "True is no cluster"),
        (lambda m: m.split(0, into=1), "cannot be split into 1"),
        (lambda m: m.rename({0: 5}), "name 5 is no text"),
        (lambda m: m.rename({0: "x" * 81}), "has 81 characters: give at most 80"),
        (lambda m: m.rename({0: "\ud800"}), "is no text"),
        (lambda m: m.rename(["cats"]), '"names" is .*give an object'),
        (lambda m: m.recluster("all"), '"recluster" is .*give'),
        (lambda m: m.edit({"merges": []}), "'merges' is unknown"),
        (lambda m: m.edit("nowhere.json"), "there is no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(call, said):
    class Only(jaxclust.estimators.editing.Clusters):
        seed, verbose = 0, False

        def _fitted(self):
            return models.Fitted("toy", {}, None, 4, None)

    with pytest.raises(InputError, match=said) as error:
        call(Only())
    assert "\n" not in str(error.value)


def test_a_cluster_has_two_examples_for_each_part(model):
    with pytest.raises(InputError, match=r"^cluster 0 has \d+ examples: it takes 100 to split one into 50 parts$"):
        model.split(0, into=50)


# as a command


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the toy with figures, and its data."""
    place = tmp_path_factory.mktemp("edit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(jaxclust.methods.METHODS, "toy", "tests.toy")
        patch.chdir(place)
        np.savez("train.npz", images=X, labels=Y)
        fit = [
            "fit",
            "toy",
            "train.npz",
            "--n-clusters",
            "4",
            "--epochs",
            "2",
            "--no-figures",
            "--out",
            "run",
            "--quiet",
        ]
        assert cli.main(fit) == 0
        np.savez("run/map.npz", index=np.arange(60), points=np.random.default_rng(0).normal(size=(60, 2)))
        yield place


@pytest.fixture
def here(finished, at_hand, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def asked(**changes):
    config = json.loads(Path("run/config.json").read_text())
    run = {name: config[name] for name in ("method", "data", "data_fingerprint", "seed")} | {"n_clusters": 4}
    Path("edits.json").write_text(
        json.dumps({"format": 1, "run": run, "names": {}, "merge": [], "split": [], **changes})
    )


@pytest.mark.slow
def test_a_new_run_knows_its_parent_and_is_used_as_any(here, capsys):
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    asked(names={"0": "cats", "3": "<b>&amp;</b> 😀"}, merge=[[1, 2]])
    assert cli.main(["edit", "run", "edits.json", "--out", "new", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before
    assert "1        1, 2" in out
    config = lifecycle.read_config(Path("new"))
    assert config["state"] == "complete"
    assert config["parent"]["run"] == str(here / "run")
    assert config["parent"]["edits"] == {"names": {"0": "cats", "3": "<b>&amp;</b> 😀"}, "merge": [[1, 2]]}
    assert config["parent"]["clusters"] == [[0], [1, 2], [3]]
    assert [row["name"] for row in runs.read_clusters(Path("new"))] == ["cats", "", "<b>&amp;</b> 😀"]
    metrics = json.loads(Path("new/metrics.json").read_text())
    assert metrics["n_clusters"] == 3
    assert metrics["acc"] == models.score(runs.load_assignments(Path("new")).labels, Y)["acc"] < 0.7
    old, new = runs.load(Path("run")), runs.load(Path("new"))
    images = X[..., None]
    probabilities = models.predict_proba(old, images)
    np.testing.assert_allclose(models.predict_proba(new, images)[:, 1], probabilities[:, 1:3].sum(1), atol=1e-6)
    np.testing.assert_array_equal(
        models.predict_proba(new, images).argmax(1), runs.load_assignments(Path("new")).labels
    )
    assert json.loads(page_about(Path("new/report.html")))["parent"] == str(here / "run")
    for command in ("predict new train.npz --out x.csv", "evaluate new train.npz", "sample new --cluster cats -n 4"):
        assert cli.main(command.split()) == 0
    with open("x.csv", newline="") as file:
        named = {(row["label"], row["cluster_name"]) for row in csv.DictReader(file)}
    assert named <= {("0", "cats"), ("1", ""), ("2", "<b>&amp;</b> 😀")}
    capsys.readouterr()
    assert cli.main(["sample", "new", "--cluster", "cat"]) == 2
    said = "--cluster is 'cat': give a number from 0 to 2, or a name (did you mean cats?)"
    assert said in capsys.readouterr().err
    assert {path.name for path in Path("new/figures").iterdir()} >= {"map.png", "gallery.png", "samples.png"}
    assert json.loads(page_about(Path("new/report.html")))["names"] == ["cats", "", "<b>&amp;</b> 😀"]
    assert cli.main(["edit", "new", "--merge", "0,1", "--no-figures", "--quiet"]) == 0
    assert runs.load(Path("new-edited")).n_clusters == 2


def page_about(path):
    return re.search(r'<script type="application/json" id="about">(.*?)</script>', path.read_text(), re.S)[1]


@pytest.mark.slow
def test_options_do_what_a_file_does(here, quick, capsys):
    command = ["edit", "run", "--merge", "1,2", "--split", "0", "--into", "2", "--rename", "0=a=b", "--rename", "3=d"]
    assert cli.main([*command, "--no-data", "--no-figures", "--out", "new"]) == 0
    out, err = capsys.readouterr()
    assert "clusters 1 and 2 are one\ncluster 0 is 2 clusters" in err
    assert "class" not in out
    assert runs.load(Path("new")).cluster_names == ("a=b 1", "", "d", "a=b 2")
    table = Path("run/clusters.csv").read_text().replace("\n1,,", "\n1,dogs,")
    Path("names.csv").write_text(f"\ufeff{table}")
    assert cli.main(["edit", "run", "names.csv", "--no-data", "--no-figures", "--out", "named"]) == 0
    assert runs.load(Path("named")).cluster_names == ("", "dogs", "", "")
    Path("names.csv").write_text("cluster;name;size\n1;cats, dogs;20\n")
    assert edits.read(Path("names.csv"))[0].names == {1: "cats, dogs"}


def test_the_levels_of_a_tree_stay(here, capsys):
    """Of a run that cuts a tree: leaf 0 divided, then its first part, then leaf 1's."""
    metrics = json.loads(Path("run/metrics.json").read_text())
    metrics["summary"]["tree"] = {"splits": [0, 1, 2], "masses": []}
    Path("run/metrics.json").write_text(json.dumps(metrics))
    probabilities = runs.load_assignments(Path("run")).probabilities
    levels = runs.read_levels(Path("run"), metrics, probabilities)
    assert list(levels) == [2, 3]
    assert cli.main(["edit", "run", "--merge", "0,1", "--no-data", "--no-figures", "--out", "once"]) == 0
    assert cli.main(["edit", "once", "--rename", "0=cats", "--no-data", "--no-figures", "--out", "twice"]) == 0
    for run in map(Path, ("once", "twice")):
        after = json.loads((run / "metrics.json").read_text())
        assert "tree" not in after["summary"], "which is of the clusters that there were"
        kept = runs.read_levels(run, after, runs.load_assignments(run).probabilities)
        for k, labels in levels.items():
            np.testing.assert_array_equal(kept[k], labels)
    Path("twice/levels.npz").write_bytes(b"PK\x03\x04")
    assert cli.main(["edit", "twice", "--merge", "0,1", "--no-data", "--no-figures", "--out", "thrice"]) == 2
    assert "levels.npz: is damaged" in capsys.readouterr().err
    assert not Path("thrice").exists()


def test_a_run_saved_in_python_is_edited(model, here, capsys):
    model.save("saved")
    assert cli.main(["edit", "saved", "--merge", "0,1", "--quiet"]) == 2
    assert "saved: does not say what data it was fitted to: give --data DATA, or --no-data" in capsys.readouterr().err
    assert not Path("saved-edited").exists()
    assert cli.main(["edit", "saved", "--merge", "0,1", "--data", "train.npz", "--no-figures"]) == 0
    assert jaxclust.load("saved-edited").n_clusters_ == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("edit run", "jaxclust edit: holds no edits"),
        ("edit run nowhere.json", "nowhere.json: there is no such file"),
        ("edit run train.npz", "train.npz: is no edits.json"),
        ("edit run --merge 1,2 --out run", "run: is the run that is to be edited"),
        ("edit run --merge 1,2 --out run --overwrite", "run: is the run that is to be edited"),
        ("edit run --merge 1,x", "--merge: 'x' is no cluster: give its number, from 0"),
        ("edit run --merge 1,2 --split 2", "cluster 2 is to be merged and to be split"),
        ("edit run --merge 1 2", "2: is no file of edits: write clusters with commas"),
        ("edit run --rename cats", "--rename is 'cats': give a number and a name"),
        ("edit run --recluster all", "--recluster is 'all': give noise"),
        ("edit run --into 3", "--into is for --split"),
        ("edit run --merge 1,2 --no-data --data x", "exclude each other"),
        ("edit run --merg 1,2", "option --merg is unknown (did you mean --merge?)"),
        ("edit nowhere --merge 1,2", "nowhere: holds no run"),
        ("edit run edits.json", "edits.json: is for a run with seed 7, run has 0"),
    ],
)
def test_bad_edits_are_one_line_and_write_nothing(here, capsys, arguments, said):
    Path("edits.json").write_text(json.dumps({"format": 1, "run": {"seed": 7}, "merge": [[0, 1]]}))
    before = sorted(Path().rglob("*"))
    assert cli.main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert sorted(Path().rglob("*")) == before


def test_a_run_that_is_there_is_replaced_only_where_it_is_asked_for(here, capsys):
    command = ["edit", "run", "--merge", "1,2", "--no-data", "--no-figures", "--quiet", "--out", "new"]
    assert cli.main(command) == 0
    assert cli.main(command) == 2
    assert "new: already holds a run: choose another --out, or --overwrite it" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite"]) == 0
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("mine")
    assert cli.main([*command[:-1], "full"]) == 2
    assert "is not empty and holds no run" in capsys.readouterr().err
    with pytest.raises(RunExists):
        runs_edited(Path("run"), Path("new"))


def runs_edited(run, out):
    from jaxclust.runs import edited_run

    return edited_run.make(run, edited_run.Asked(Edits(merge=((0, 1),)), "test"), out, None)


@pytest.mark.parametrize("value", [{"format": 2}, {"names": []}, {"merge": 3}, {"split": {}}, {"merge": [3]}])
def test_damaged_edits_are_named(tmp_path, value):
    path = tmp_path / "edits.json"
    path.write_text(json.dumps({"format": 1, **value}))
    with pytest.raises(InputError, match=r"edits\.json"):
        edits.read(path)
