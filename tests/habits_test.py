"""What users of scikit-learn do with its estimators, done with ours."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxclust import InputError, methods
from tests.sklearn_test import SETTINGS, Toy
from tests.toy import blobs

X = blobs(60)[0].reshape(60, -1)[:, :6].astype(np.float32)


@pytest.fixture(autouse=True)
def _registered(toy):
    """The toy is found by its name while a test runs."""


@pytest.fixture(scope="module")
def fitted():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods.METHODS, "toy", "tests.toy")
        return made().fit(X)


def made(**parameters):
    return Toy(**{**SETTINGS["toy"], "batch_size": 20, **parameters})


def confidence(model, x, y=None):
    return float(model.predict_proba(x).max(1).mean())


def test_parameters_may_be_numpy_s(fitted):
    model = made(
        n_clusters=np.int64(3), learning_rate=np.float64(0.1), epochs=np.int32(5), seed=np.uint8(0),
        only_one=np.bool_(False),
    )  # fmt: skip
    np.testing.assert_array_equal(model.fit(X).labels_, fitted.labels_)
    assert type(model._request().config.only_one) is bool
    assert model.get_params()["n_clusters"] == 3


def test_names_of_what_transform_gives(fitted):
    assert fitted.get_feature_names_out().tolist() == ["toy0", "toy1"]
    with pytest.raises(NotFittedError):
        made().get_feature_names_out()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_transform_gives_frames(library):
    pytest.importorskip(library)
    model = made().set_output(transform=library)
    frame = model.fit_transform(X)
    assert type(frame).__module__.startswith(library)
    assert list(frame.columns) == ["toy0", "toy1"]
    np.testing.assert_array_equal(np.asarray(frame), model.set_output(transform="default").transform(X))


def test_in_a_pipeline(fitted):
    pipeline = make_pipeline(StandardScaler(), made())
    assert pipeline.fit_predict(X).shape == (60,)
    assert pipeline.get_feature_names_out().tolist() == ["toy0", "toy1"]
    assert pipeline.set_params(toy__n_clusters=4)[-1].n_clusters == 4


@pytest.mark.slow
def test_searches_and_scores():
    search = GridSearchCV(made(), {"n_clusters": [2, np.int64(3)]}, scoring=confidence, cv=2, error_score="raise")
    assert search.fit(X).best_params_["n_clusters"] in (2, 3)
    assert np.isfinite(cross_val_score(made(), X, scoring=confidence, cv=2)).all()


def test_clones_of_a_fitted_one_are_not_fitted(fitted):
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        again.predict(X)


def test_a_pickle_of_a_fitted_one_predicts(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "m.joblib")
    for again in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "m.joblib")):
        np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_threads_of_joblib_fit_alike(fitted):
    labels = joblib.Parallel(n_jobs=2, prefer="threads")(joblib.delayed(made().fit_predict)(X) for _ in range(2))
    for each in labels:
        np.testing.assert_array_equal(each, fitted.labels_)


def test_names_of_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = made().fit(frame)
    assert model.feature_names_in_.tolist() == list("abcdef")
    assert model.n_features_in_ == 6
    with pytest.raises(InputError, match="feature names"):
        model.predict(frame[list("fedcba")])


def test_fit_predict_takes_what_fit_takes():
    names = [f"row {i}" for i in range(len(X))]
    model = made()
    assert model.fit_predict(X, names=names).tolist() == model.labels_.tolist()
    assert model.names_.tolist() == names
    with pytest.raises(TypeError, match="sample_weight"):
        made().fit_predict(X, sample_weight=np.ones(len(X)))
