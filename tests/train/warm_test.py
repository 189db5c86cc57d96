"""`init_from`: trainings begin with the networks of a fitted model, where names and shapes suit."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust import AEKMeans, KMeans, cli, runs
from jaxclust.errors import InputError, WrongType
from jaxclust.train import warm
from jaxclust.train.training import TrainState
from tests import toy as toys

TINY = {"n_clusters": 2, "hidden": (4,), "latent_dim": 2, "batch_size": 20, "pretrain_epochs": 1}
X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
MODEL = {
    "params": {"encoder": {"kernel": np.ones((3, 2)), "bias": np.full(2, 2.0)}, "decoder": {"kernel": np.ones((4, 3))}},
    "stats": {"encoder": {"mean": np.full(2, 7.0)}},
    "network": {"params": {"logits": np.full(5, 3.0)}},
    "centroids": np.ones((2, 2)),
}


def state(params, extra):
    is_shape = lambda leaf: isinstance(leaf, tuple) and isinstance(leaf[0], int)  # noqa: E731
    params, extra = (jax.tree.map(jnp.zeros, tree, is_leaf=is_shape) for tree in (params, extra))
    return TrainState(jnp.int32(0), params, {}, extra, jax.random.key(0))


def begun(name, params, extra):
    found, taken, others = warm.begun(warm.Start.of("a", MODEL), name, state(params, extra))
    return jax.tree.map(np.asarray, found.params), jax.tree.map(np.asarray, found.extra), taken, others


def test_arrays_of_the_same_name_and_shape_are_taken():
    params, extra, taken, others = begun(
        "autoencoder",
        {"encoder": {"kernel": (3, 2), "bias": (2,)}, "decoder": {"kernel": (4, 9)}},
        {"stats": {"encoder": {"mean": (2,)}}, "centroids": (2, 2)},
    )
    assert taken == 3
    assert others == ["decoder.kernel"]
    assert (params["encoder"]["kernel"] == 1).all()
    assert (params["encoder"]["bias"] == 2).all()
    assert (params["decoder"]["kernel"] == 0).all()
    assert (extra["stats"]["encoder"]["mean"] == 7).all()
    assert (extra["centroids"] == 0).all()  # of what is no parameter only statistics


def test_a_tuple_of_trees_stacked_networks_and_a_network_by_its_trainings_name():
    params, _, taken, _ = begun("autoencoder", ({"encoder": {"bias": (2,)}}, {}), {})
    assert taken == 1
    assert (params[0]["encoder"]["bias"] == 2).all()
    params, _, taken, _ = begun("autoencoder", {"encoder": {"kernel": (6, 3, 2)}}, {})
    assert taken == 1
    assert params["encoder"]["kernel"].shape == (6, 3, 2)
    assert (params["encoder"]["kernel"] == 1).all()
    params, _, taken, _ = begun("clustering-network", {"logits": (5,)}, {})
    assert taken == 1
    assert (params["logits"] == 3).all()
    assert begun("head", {"logits": (5,)}, {})[2] == 0


def test_lines_tell_what_is_taken_and_what_is_not():
    start = warm.Start.of("runs/a", MODEL)
    assert warm.line(start, "ae", 3, []) == "ae: begins with 3 arrays of runs/a"
    assert warm.line(start, "ae", 3, list("abcd")).endswith(
        "; a, b and 2 others have other shapes or are not there, and begin anew"
    )
    assert "begins anew: no array of runs/a" in warm.line(start, "ae", 0, ["a"])


@pytest.mark.slow
def test_an_estimator_begins_with_the_networks_of_a_fitted_one(tmp_path, caplog):
    before = AEKMeans(**TINY, seed=0).fit(X)
    still = dict(TINY, learning_rate=1e-12)
    model = AEKMeans(**still, seed=1).fit(X, init_from=before)
    same = jax.tree.map(
        lambda a, b: np.allclose(a, b, atol=1e-5), *(m.fitted_.model.arrays["params"] for m in (model, before))
    )
    assert all(jax.tree.leaves(same))
    assert not caplog.records
    before.save(tmp_path / "run")
    again = AEKMeans(**still, seed=1).fit(X, init_from=tmp_path / "run")
    np.testing.assert_array_equal(again.embedding_, model.embedding_)
    assert not np.allclose(AEKMeans(**still, seed=1).fit(X).embedding_, model.embedding_, atol=1e-3)
    with caplog.at_level(logging.WARNING):
        AEKMeans(**dict(TINY, latent_dim=3)).fit(X, init_from=before)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("autoencoder: begins with 5 arrays of AEKMeans; decoder.Dense_0.kernel")


@pytest.mark.slow
def test_what_cannot_be_begun_with_is_refused(tmp_path):
    before = AEKMeans(**TINY).fit(X)
    with pytest.raises(InputError, match="KMeans: kmeans has no networks to begin with: leave init_from out"):
        AEKMeans(**TINY).fit(X, init_from=KMeans(n_clusters=2, seed=0).fit(X))
    with pytest.raises(InputError, match="kmeans has no networks"):
        KMeans(n_clusters=2).fit(X, init_from=before)
    with pytest.raises(InputError, match="was fitted to features of 5 columns, the data are features of 4 columns"):
        AEKMeans(**TINY).fit(X[:, :4], init_from=before)
    with pytest.raises(InputError, match="holds no run"):
        AEKMeans(**TINY).fit(X, init_from=tmp_path)
    with pytest.raises(WrongType, match="init_from is 3: give a fitted estimator, or the directory of a run"):
        AEKMeans(**TINY).fit(X, init_from=3)
    for name in ("init_from", "warm_start"):
        with pytest.raises(WrongType, match=r"fit\(X, init_from=...\)"):
            AEKMeans(**{name: before})


@pytest.mark.slow
def test_the_command_begins_with_a_run_and_resumes_with_that_alone(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images, _ = toys.blobs(60)
    np.savez("x.npz", images=images)
    fit = ["fit", "toy", "x.npz", "--no-figures", "--quiet", "--learning-rate", "1e-12", "--epochs", "1"]
    assert cli.main([*fit, "--seed", "0", "--out", "a"]) == 0
    assert cli.main([*fit, "--seed", "7", "--out", "b"]) == 0
    assert cli.main([*fit, "--seed", "7", "--out", "warm", "--init-from", "a"]) == 0
    centres = {name: np.asarray(runs.load(tmp_path / name).model.arrays["centres"]) for name in ("a", "b", "warm")}
    assert np.allclose(centres["warm"], centres["a"], atol=1e-4)
    assert not np.allclose(centres["b"], centres["a"])
    assert json.loads((tmp_path / "warm/config.json").read_text())["init_from"].startswith("a (")
    capsys.readouterr()
    assert cli.main([*fit, "--seed", "7", "--out", "warm", "--resume"]) == 2
    assert "was begun with init_from 'a (" in capsys.readouterr().err
    assert cli.main([*fit, "--seed", "7", "--out", "warm", "--resume", "--init-from", "a"]) == 0
    assert cli.main([*fit, "--out", "a", "--overwrite", "--init-from", "a"]) == 2
    assert "init_from a: is the run that is to be written: choose another --out" in capsys.readouterr().err
    assert (tmp_path / "a/model/model.json").exists()
