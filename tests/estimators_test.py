import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxclust
from jaxclust import InputError, RunExists, cli
from jaxclust.data import dataset
from jaxclust.estimators import DeepClusterer, MoEVAE
from tests import toy as toys

X, Y = toys.blobs(150)


@pytest.fixture
def Toy(toy, monkeypatch):  # noqa: N802
    class Toy(DeepClusterer, method="toy"):
        """The toy as an estimator: two lines, as for every method."""

    monkeypatch.setattr("jaxclust.estimators.classes.ESTIMATORS", (MoEVAE, Toy))
    return Toy


@pytest.fixture
def fitted(Toy):  # noqa: N803
    return Toy(seed=0).fit(X)


def agree(labels):
    """Whether labels are the three classes under other names."""
    return len({*zip(labels.tolist(), Y[: len(labels)].tolist(), strict=True)}) == 3


def test_fit_finds_the_clusters_and_has_every_attribute(fitted):
    assert fitted.n_clusters_ == 3
    assert agree(fitted.labels_)
    assert fitted.labels_.dtype == np.int32
    assert fitted.probabilities_.shape == (150, 3)
    np.testing.assert_allclose(fitted.probabilities_.sum(1), 1, atol=1e-5)
    assert fitted.embedding_.shape == (150, 2)
    assert fitted.noise_.dtype == bool
    assert fitted.noise_.shape == (150,)
    assert list(fitted.seconds_) == ["seeds", "centres"]
    assert fitted.summary_["latent_dim"] == 2
    np.testing.assert_array_equal(fitted.opinions_["reconstruction"], fitted.labels_)


def test_new_data(fitted):
    new, classes = toys.blobs(31, seed=5)
    probabilities = fitted.predict_proba(new)
    assert probabilities.shape == (31, 3)
    np.testing.assert_array_equal(fitted.predict(new), probabilities.argmax(1))
    assert agree(fitted.predict(new))
    assert (classes == Y[:31]).all()
    assert fitted.transform(new).shape == (31, 2)
    np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)
    assert fitted.reconstruct(new).shape == (31, 8, 8, 1)
    assert fitted.sample(4, cluster=1).shape == (4, 8, 8, 1)


def test_score_samples_tell_outliers_from_examples(Toy, fitted, tmp_path):  # noqa: N803
    typical = fitted.score_samples(X)
    np.testing.assert_allclose(typical, fitted.typicality_, atol=0.05)
    assert 0.02 <= (typical < 0.1).mean() <= 0.15
    assert fitted.score_samples(255 - X).max() < 0.01
    fitted.save(tmp_path / "model")
    loaded = jaxclust.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score_samples(X), typical)
    (tmp_path / "model/model/outliers.npz").unlink()  # as earlier versions saved it
    np.testing.assert_array_equal(jaxclust.load(tmp_path / "model").score_samples(X), typical)
    loaded.fitted_ = loaded.fitted_._replace(outliers=None)
    np.testing.assert_array_equal(loaded.score_samples(X), typical)


def test_y_is_ignored(Toy, fitted):  # noqa: N803
    other = Toy(seed=0).fit(X, np.random.default_rng(0).permutation(Y))
    np.testing.assert_array_equal(other.labels_, fitted.labels_)
    np.testing.assert_array_equal(other.probabilities_, fitted.probabilities_)
    np.testing.assert_array_equal(Toy(seed=0).fit_predict(X), fitted.labels_)


def test_the_seed_decides(Toy, fitted):  # noqa: N803
    assert not np.array_equal(Toy(seed=1).fit(X).probabilities_, fitted.probabilities_)


@pytest.mark.parametrize("data", [X[..., None], X.astype(np.float32) / 255, np.repeat(X[..., None], 3, -1)])
def test_images_may_have_channels_and_be_float(Toy, data):  # noqa: N803
    model = Toy().fit(data)
    assert agree(model.labels_)
    assert not hasattr(model, "n_features_in_")


def test_features(Toy):  # noqa: N803
    data = X.reshape(150, -1)[:, :10].astype(np.float64) * 100
    model = Toy(learning_rate=0.05).fit(data)
    assert agree(model.labels_)
    assert model.n_features_in_ == 10
    assert model.reconstruct(data).shape == (150, 10)
    with pytest.raises(InputError, match="10 features"):
        model.predict(data[:, :9])
    assert agree(make_pipeline(StandardScaler(), Toy(learning_rate=0.05)).fit_predict(data))


def test_parameters_follow_scikit_learn(Toy):  # noqa: N803
    model = Toy(n_clusters=4, seed=3)
    assert model.get_params() == {
        "n_clusters": 4, "latent_dim": None, "epochs": None, "batch_size": None, "learning_rate": None, "noise": None,
        "likelihood": None, "only_one": None, "preset": "auto", "seed": 3, "verbose": False,
    }  # fmt: skip
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(epochs=2).epochs == 2
    assert repr(model) == "Toy(epochs=2, n_clusters=4, seed=3)"
    with pytest.raises(TypeError, match="colour"):
        Toy(colour="red")
    with pytest.raises(TypeError):
        Toy(3)


def test_parameters_left_out_have_the_preset_s_value(Toy):  # noqa: N803
    assert Toy()._request().config == toys.METHOD.presets["quick"]
    assert Toy(preset="paper", n_clusters=5)._request().config == toys.ToyConfig(n_clusters=5, epochs=400)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 1}, "at least 2"),
        ({"n_clusters": 200}, "only 150 examples"),
        ({"n_clusters": 2.5}, "n_clusters is 2.5: give a whole number | 'auto'"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'"),
        ({"epochs": "ten"}, "epochs is 'ten'"),
        ({"preset": "huge"}, "preset 'huge'"),
        ({"seed": -1}, "seed is -1"),
        ({"only_one": True}, "one cluster was found"),
    ],
)
def test_bad_parameters(Toy, parameters, message):  # noqa: N803
    model = Toy(**parameters)  # as in scikit-learn, looked at by fit
    with pytest.raises(InputError, match=message):
        model.fit(X)
    assert not hasattr(model, "labels_")


@pytest.mark.parametrize(
    "data", [np.full((9, 8, 8), np.nan), np.zeros((9, 8, 8)), X[:1], X[:0], np.zeros((2, 2, 2, 2, 2))]
)
def test_bad_data(Toy, data):  # noqa: N803
    with pytest.raises(InputError):
        Toy().fit(data)


def test_bad_new_data(fitted):
    new = X[:9] / 255
    new[4:6, 2] = np.nan
    with pytest.raises(InputError, match="array: 16 values in 2 examples are NaN or infinite, first in example 4"):
        fitted.predict(new)


@pytest.fixture
def looks(monkeypatch):
    """What is done to all of the data: each time that they are made standard, or looked through for NaN."""
    found = []

    def counted(function):
        def call(*args, **kwargs):
            found.extend([function.__name__] if np.size(args[-1]) == X.size else [])
            return function(*args, **kwargs)

        return call

    for module, name in ((dataset, "standard"), (np, "isfinite")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return found


@pytest.mark.parametrize(
    ("data", "once"),
    [
        (X, ["standard"]),
        (X / 255, ["standard", "isfinite"]),
        (X.reshape(150, 64).astype(np.float32), ["standard", "isfinite"]),
    ],
    ids=["bytes", "shares", "features"],
)
def test_data_are_checked_once_on_their_way(Toy, looks, data, once, tmp_path, monkeypatch):  # noqa: N803
    model = Toy(epochs=1)
    for use in (model.fit, model.predict):
        use(data)
        assert looks == once, use.__name__
        looks.clear()
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", images=data, labels=Y)
    fit = "fit toy x.npz --out run --epochs 1 --quiet --no-figures"
    for command in (fit, "predict run x.npz", "evaluate run x.npz"):
        assert cli.main(command.split()) == 0
        assert looks == once, command
        looks.clear()


@pytest.mark.parametrize("name", ["predict", "predict_proba", "transform", "reconstruct", "score_samples", "save"])
def test_not_fitted(Toy, name, tmp_path):  # noqa: N803
    with pytest.raises(NotFittedError):
        getattr(Toy(), name)(tmp_path / "x" if name == "save" else X)
    with pytest.raises(NotFittedError):
        Toy().sample(3, cluster=0)


def test_copies_predict_alike(fitted):
    again = copy.deepcopy(fitted)  # by __getstate__, like pickle in tests/sklearn_test.py
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(again.sample(3, cluster=2), fitted.sample(3, cluster=2))


def test_what_is_known_of_columns_is_the_last_fit_s(Toy):  # noqa: N803
    model = Toy(epochs=1).fit(X[:, :, 0])
    assert model.n_features_in_ == 8
    with pytest.raises(InputError, match="constant"):
        model.fit(np.zeros((9, 3)))
    assert model.predict(X[:, :, 0]).shape == (150,)
    assert not hasattr(model.fit(X), "n_features_in_")
    assert model.predict(X).shape == (150,)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.ones((9, 2)) * 1j, "Complex data not supported: its type is complex128: give real numbers"),
        (np.arange(9.0), "X has shape (9,) where (n, d) is expected. Reshape your data: X.reshape(1, -1)"),
        (np.ones((9, 0)), "X has 0 feature(s) (shape=(9, 0)) while a minimum of 1 is required"),
        (np.ones((1, 9)), "X holds 1 sample (shape (1, 9)): clustering needs at least 2"),
        ([[1, "a"], [2, None]], "X holds objects, one of them no number: could not convert string to float: 'a'"),
        ([[1, {}], [2, None]], "X holds objects, one of them no number: float() argument must be"),
    ],
)
def test_errors_are_lines_of_ours(Toy, data, message):  # noqa: N803
    X = data if isinstance(data, np.ndarray) else np.array(data, object)  # noqa: N806
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Toy().fit(X)
    assert "\n" not in str(caught.value)


def test_save_and_load(Toy, fitted, tmp_path):  # noqa: N803
    model = Toy(n_clusters=3, seed=0).fit(X)
    model.save(tmp_path / "model")
    for loaded in (Toy.load(tmp_path / "model"), jaxclust.load(tmp_path / "model")):
        assert type(loaded) is Toy
        for name in ("labels_", "probabilities_", "embedding_", "noise_"):
            np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(loaded.sample(3, cluster=2), model.sample(3, cluster=2))
        assert loaded._request() == model._request()
        loaded.save(tmp_path / "again", overwrite=True)
    with pytest.raises(RunExists):
        model.save(tmp_path / "model")
    with pytest.raises(InputError, match="not of moe-vae"):
        MoEVAE.load(tmp_path / "model")


def test_nothing_saved_is_a_pickle(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert not path.read_bytes().startswith(b"\x80"), path  # every pickle since protocol 2
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)


def test_the_command_line_and_python_read_each_other(Toy, fitted, tmp_path, monkeypatch):  # noqa: N803
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", images=X)
    assert cli.main(["fit", "toy", "x.npz", "--out", "run", "--quiet", "--no-figures"]) == 0
    loaded = Toy.load("run")
    np.testing.assert_array_equal(loaded.labels_, fitted.labels_)
    np.testing.assert_array_equal(loaded.predict(X), fitted.labels_)
    assert loaded._request() == fitted._request()

    fitted.save("saved")
    assert json.loads(Path("saved/config.json").read_text())["state"] == "complete"
    assert cli.main(["predict", "saved", "x.npz", "--out", "labels.csv"]) == 0
    labels = np.loadtxt("labels.csv", delimiter=",", skiprows=1, usecols=1, dtype=int)
    np.testing.assert_array_equal(labels, fitted.labels_)


def test_verbose_draws_progress(Toy, capsys):  # noqa: N803
    Toy(verbose=True, epochs=1).fit(X)
    assert "centres: compiling" in capsys.readouterr().err
    Toy(epochs=1).fit(X)
    assert capsys.readouterr().err == ""
