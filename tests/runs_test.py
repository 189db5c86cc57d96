import errno
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from jaxclust import models, runs
from jaxclust.data import sources
from jaxclust.errors import InputError, RunExists
from jaxclust.models import Request
from jaxclust.runs import lifecycle
from jaxclust.train import history
from jaxclust.train.progress import Silent
from tests import toy

CONFIG = toy.ToyConfig()
METRICS = {
    "method", "data", "split", "seed", "n_samples", "n_clusters", "effective_clusters", "noise_fraction", "latent_dim",
    "expert_latent_dims", "acc", "acc_labelled", "nmi", "ari", "silhouette", "phases", "first_steps", "seconds",
    "peak_memory_mb",
}  # fmt: skip


class StopAfter(Silent):
    """Like Ctrl-C, or like a full disk, after some chunks."""

    def __init__(self, chunks, error=KeyboardInterrupt):
        self.left, self.error = chunks, error

    def progress(self, done, total, examples_per_second, terms):
        self.left -= 1
        if self.left == 0:
            raise self.error


def dataset(n=150, labelled=True):
    images, labels = toy.blobs(n)
    return sources.load(images)._replace(labels=labels if labelled else None)


def fit(out, config=CONFIG, data=None, **kwargs):
    seed = kwargs.pop("seed", 0)
    return runs.fit(Request(toy.METHOD, config, seed), data or dataset(), out, **kwargs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A complete run, read only."""
    out = tmp_path_factory.mktemp("runs") / "run"
    fit(out, options={"split": "all", "preset": "quick"}, draw=draw)
    return out


def draw(out, result, images, preprocess, data):
    (out / "figures").mkdir(exist_ok=True)
    (out / "figures" / "map.png").write_bytes(b"png")


def state(out):
    return json.loads((out / "config.json").read_text())["state"]


def contents(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_a_run_holds_what_is_promised(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.json", "metrics.json", "assignments.csv", "clusters.csv", "embedding.npy", "probabilities.npy",
        "history.jsonl", "model", "figures",
    }  # fmt: skip
    assert history.read(finished)
    lines = (finished / "assignments.csv").read_text().splitlines()
    assert lines[0] == "index,label,probability,noise,label_by_reconstruction,typicality"
    assert len(lines) == 151
    assert np.load(finished / "embedding.npy").shape == (150, 2)


def test_metrics_have_every_key(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert set(metrics) >= METRICS
    assert metrics["method"] == "toy"
    assert metrics["n_samples"] == 150
    assert metrics["n_clusters"] == metrics["effective_clusters"] == 3
    assert metrics["acc"] == metrics["nmi"] == metrics["ari"] == 1.0
    assert list(metrics["phases"]) == ["seeds", "centres", "figures"]
    assert metrics["seconds"] >= metrics["phases"]["centres"]
    assert metrics["opinions"]["reconstruction"] == {"acc": 1.0, "nmi": 1.0, "ari": 1.0}


def test_config_states_everything(finished):
    config = json.loads((finished / "config.json").read_text())
    assert config["state"] == "complete"
    assert config["config"]["learning_rate"] == CONFIG.learning_rate  # a default
    assert config["versions"]["jax"]
    assert config["devices"]
    assert config["seed"] == 0
    assert config["split"] == "all"
    assert config["data_fingerprint"] == dataset().fingerprint
    assert config["preprocess"]["side"] == 8


def test_without_classes_the_scores_are_null(tmp_path):
    metrics = fit(tmp_path / "run", data=dataset(labelled=False))
    assert metrics["acc"] is metrics["acc_labelled"] is metrics["nmi"] is metrics["ari"] is None
    assert metrics["opinions"] == {}
    assert metrics["silhouette"] > 0.5


def test_unknown_classes_are_left_out_of_the_scores(tmp_path):
    data = dataset()
    data.labels[:10] = -1
    assert fit(tmp_path / "run", data=data)["acc"] == 1.0


def test_the_classes_never_reach_fitting(toy, tmp_path, finished):
    data = dataset()
    permuted = data._replace(labels=np.random.default_rng(0).permutation(data.labels))
    metrics = fit(tmp_path / "run", data=permuted)
    assert metrics["acc"] < 0.7
    for name in ("assignments.csv", "embedding.npy", "probabilities.npy"):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes()
    ours, theirs = (runs.load(out).model.arrays["centres"] for out in (tmp_path / "run", finished))
    np.testing.assert_array_equal(ours, theirs)


def test_a_loaded_model_labels_as_the_run_did(toy, finished):
    fitted = runs.load(finished)
    assigned = runs.load_assignments(finished)
    probabilities = models.predict_proba(fitted, dataset().images)
    np.testing.assert_array_equal(probabilities.argmax(1), assigned.labels)
    np.testing.assert_array_equal(probabilities, assigned.probabilities)
    np.testing.assert_array_equal(models.embed(fitted, dataset().images), assigned.embedding)


def test_predictions_do_not_depend_on_the_batch(toy, finished):
    fitted, images = runs.load(finished), dataset().images
    together = models.predict_proba(fitted, images)
    alone = np.concatenate([models.predict_proba(fitted, images[i : i + 1]) for i in range(20)])
    np.testing.assert_array_equal(together[:20], alone)


def test_samples_and_reconstructions_are_images(toy, finished):
    fitted = runs.load(finished)
    drawn = models.sample(fitted, 5, cluster=1, seed=3)
    assert drawn.shape == (5, 8, 8, 1)
    assert (models.predict_proba(fitted, (drawn * 255).astype(np.uint8)).argmax(1) == 1).all()
    np.testing.assert_array_equal(drawn, models.sample(fitted, 5, cluster=1, seed=3))
    assert models.reconstruct(fitted, dataset().images[:7]).shape == (7, 8, 8, 1)
    with pytest.raises(InputError, match="0 to 2"):
        models.sample(fitted, 5, cluster=3)


@pytest.mark.parametrize(("n", "cluster"), [(0, 0), (2.5, 0), ("3", 0), (True, 0), (3, 3), (3, "a"), (3, 1.0), (3, -1)])
def test_samples_that_cannot_be_drawn_are_one_line(toy, finished, n, cluster):
    with pytest.raises(InputError, match=r"n is .*: give a whole number of at least 1|choose one of 0 to 2"):
        models.sample(runs.load(finished), n, cluster)


def test_features_come_back_in_their_own_units(toy, tmp_path):
    images, labels = toy_features()
    data = sources.load(images)._replace(labels=labels)
    assert fit(tmp_path / "run", data=data)["acc"] == 1.0
    fitted = runs.load(tmp_path / "run")
    error = np.abs(models.reconstruct(fitted, images) - images).mean(0)
    assert (error < images.std(0)).all()


def toy_features():
    images, labels = toy.blobs(90)
    return images.reshape(90, -1)[:, :6].astype(np.float32) * 3 + 1000, labels


# what can go wrong


def test_a_directory_with_a_run_is_refused(finished):
    before = contents(finished)
    with pytest.raises(RunExists, match="--overwrite"):
        fit(finished)
    assert contents(finished) == before


def test_a_directory_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for kwargs in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(InputError, match="holds no run"):
            fit(tmp_path, **kwargs)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_overwriting_replaces_the_run_and_nothing_else(tmp_path):
    fit(tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    metrics = fit(tmp_path / "run", replace(CONFIG, n_clusters=4), overwrite=True)
    assert metrics["n_clusters"] == 4
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "run" / lifecycle.REPLACED).exists()


def bad_requests():
    return [
        ({"config": replace(CONFIG, n_clusters=1)}, "at least 2"),
        ({"config": replace(CONFIG, n_clusters=151)}, "only 150 examples"),
        ({"config": replace(CONFIG, n_clusters="many")}, "n_clusters is 'many'"),
        ({"config": replace(CONFIG, likelihood="poisson")}, "likelihood is 'poisson'"),
        ({"config": replace(CONFIG, only_one=True)}, "one cluster was found: .*--n-clusters"),
        ({"data": dataset()._replace(images=dataset().images[:1])}, "at least 2"),
        ({"data": dataset()._replace(images=np.zeros((9, 8, 8, 1), np.uint8))}, "constant"),
        ({"seed": -1}, "seed"),
    ]


@pytest.mark.parametrize(("kwargs", "message"), bad_requests())
def test_bad_input_writes_nothing(tmp_path, kwargs, message):
    with pytest.raises(InputError, match=message):
        fit(tmp_path / "run", **kwargs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kwargs", "message"), bad_requests())
def test_bad_input_loses_no_older_run(tmp_path, kwargs, message):
    fit(tmp_path / "run", replace(CONFIG, epochs=1))
    before = contents(tmp_path)
    with pytest.raises(InputError, match=message):
        fit(tmp_path / "run", overwrite=True, **kwargs)
    assert contents(tmp_path) == before


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, finished):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(out, report=StopAfter(3), options={"split": "all"})
    assert state(out) == "interrupted"
    with pytest.raises(InputError, match="interrupted, not complete"):
        runs.load(out)
    with pytest.raises(RunExists, match="--resume"):
        fit(out)
    fit(out, resume=True)
    assert state(out) == "complete"
    for name in ("assignments.csv", "embedding.npy", "probabilities.npy"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()


def test_an_interrupted_overwriting_gives_way_to_the_next(tmp_path):
    out = tmp_path / "run"
    fit(out)
    with pytest.raises(KeyboardInterrupt):
        fit(out, report=StopAfter(2), overwrite=True)
    assert (out / lifecycle.REPLACED / "metrics.json").exists()
    with pytest.raises(KeyboardInterrupt):
        fit(out, report=StopAfter(2), overwrite=True)
    assert (out / lifecycle.REPLACED / "metrics.json").exists()
    fit(out, resume=True)
    assert state(out) == "complete"
    assert not (out / lifecycle.REPLACED).exists()


def test_resuming_a_complete_run_does_nothing(tmp_path):
    first = fit(tmp_path / "run")
    before = contents(tmp_path)
    assert fit(tmp_path / "run", resume=True) == first
    assert contents(tmp_path) == before


def test_resuming_a_complete_run_deletes_what_a_kill_left(tmp_path):
    first = fit(tmp_path / "run")
    before = contents(tmp_path)
    for name in ("phases/centres/9/x", f"{lifecycle.REPLACED}/config.json", ".lock", ".123-456.tmp"):
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert fit(tmp_path / "run", resume=True) == first
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"config": replace(CONFIG, epochs=7)}, "epochs 40, not 7"),
        ({"seed": 5}, "seed 0, not 5"),
        ({"data": dataset(120)}, "data_fingerprint"),
    ],
)
def test_resuming_something_else_names_the_first_difference(tmp_path, kwargs, named):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", report=StopAfter(2))
    before = contents(tmp_path)
    with pytest.raises(InputError, match=named):
        fit(tmp_path / "run", resume=True, **kwargs)
    assert contents(tmp_path) == before


def test_a_full_disk_leaves_a_run_that_goes_on(tmp_path):
    out = tmp_path / "run"
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        fit(out, report=StopAfter(3, full))
    assert state(out) == "failed"
    assert fit(out, resume=True)["n_clusters"] == 3


def test_a_crash_while_drawing_keeps_the_work(tmp_path):
    def broken(*args):
        raise RuntimeError("no fonts")

    with pytest.raises(RuntimeError, match="no fonts"):
        fit(tmp_path / "run", draw=broken)
    assert state(tmp_path / "run") == "failed"
    log = StopAfter(1)  # a chunk of training would stop it
    assert fit(tmp_path / "run", resume=True, report=log, draw=draw)["n_clusters"] == 3


@pytest.mark.parametrize("name", ["config.json", "model/model.json", "model/arrays"])
def test_a_damaged_run_is_named(toy, tmp_path, name):
    with pytest.raises(InputError, match="holds no run"):
        runs.load(tmp_path)
    out = tmp_path / "run"
    fit(out, replace(CONFIG, epochs=1))
    path = out / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.write_text("{ this is not JSON")
    with pytest.raises(InputError, match=str(out)):
        runs.load(out)
