"""Scaling of features against scikit-learn's scalers, by hand, and example by example."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn import preprocessing

from jaxclust import models
from jaxclust.data import prepare, rows
from jaxclust.errors import InputError

X = (np.random.default_rng(0).normal(size=(301, 5)) * [1, 50, 1e-3, 0, 3] + [0, -1000, 5, 7, 0]).astype(np.float32)
X[7] = 0.0
PEERS = {
    "standard": preprocessing.StandardScaler,
    "minmax": preprocessing.MinMaxScaler,
    "maxabs": preprocessing.MaxAbsScaler,
    "unit": preprocessing.Normalizer,
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 400)


@pytest.mark.parametrize("scaling", PEERS)
def test_as_scikit_learn_does(scaling):
    p = prepare.plan(X, scaling=scaling)
    out = prepare.apply(p, X)
    assert (out.dtype, p.scaling) == (np.float32, scaling)
    np.testing.assert_allclose(out, PEERS[scaling]().fit_transform(X.astype(np.float64)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("standard", [[-1, -1, 0], [1, 1, 0]]),
        ("minmax", [[0, 0, 0], [1, 1, 0]]),
        ("maxabs", [[0.75, -1, 0], [1, 0, 0]]),
        ("unit", [[0.6, -0.8, 0], [1, 0, 0]]),
        ("none", [[3, -4, 0], [4, 0, 0]]),
    ],
)
def test_by_hand(scaling, expected):
    x = np.array([[3.0, -4.0, 0.0], [4.0, 0.0, 0.0]])
    np.testing.assert_array_equal(prepare.apply(prepare.plan(x, scaling=scaling), x), np.array(expected, np.float32))


@pytest.mark.parametrize("scaling", prepare.SCALINGS)
def test_each_row_alone_and_streamed_alike(scaling):
    p = prepare.plan(X, scaling=scaling)
    whole = prepare.apply(p, X)
    np.testing.assert_array_equal(np.concatenate([prepare.apply(p, X[i : i + 1]) for i in range(len(X))]), whole)
    assert prepare.plan(rows.of_array(X), scaling=scaling) == p
    np.testing.assert_array_equal(prepare.apply(p, rows.of_array(X))[:], whole)


@pytest.mark.parametrize("scaling", ["maxabs", "unit", "none"])
def test_zero_stays_zero(scaling):
    x = np.where(X > 0, X, 0)
    assert ((prepare.apply(prepare.plan(x, scaling=scaling), x) == 0) == (x == 0)).all()


@pytest.mark.parametrize("scaling", prepare.SCALINGS)
def test_json_round_trip_and_models_of_before(scaling):
    p = prepare.plan(X, scaling=scaling)
    assert prepare.from_json(prepare.to_json(p)) == p
    old = {name: value for name, value in asdict(p).items() if name != "scaling"}
    before = prepare.Preprocess(**json.loads(json.dumps(old)))
    assert (before == p) is (scaling == "standard")
    assert before.scaling == "standard"


def test_images_have_a_scale_of_their_own():
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)
    assert prepare.plan(images, scaling="unit") == prepare.plan(images)


def test_an_unknown_scaling_and_constant_data_are_refused():
    with pytest.raises(InputError, match="scaling 'robust' is unknown: choose standard, minmax, maxabs, unit or none"):
        prepare.plan(X, scaling="robust")
    for scaling in prepare.SCALINGS:
        with pytest.raises(InputError, match="constant"):
            prepare.plan(np.ones((5, 3)), scaling=scaling)


def test_columns_come_back_in_their_own_units():
    for scaling in ("standard", "minmax", "maxabs", "none"):
        p = prepare.plan(X, scaling=scaling)
        fitted = models.Fitted("m", {}, p, 2, None)
        np.testing.assert_allclose(models._raw(fitted, prepare.apply(p, X)), X, rtol=1e-5, atol=1e-3)
    unit = prepare.plan(X, scaling="unit")
    out = prepare.apply(unit, X)
    np.testing.assert_array_equal(models._raw(models.Fitted("m", {}, unit, 2, None), out), out)
    np.testing.assert_allclose(np.delete(np.linalg.norm(out, axis=1), 7), 1, rtol=1e-6)


def test_the_config_s_scaling_is_used():
    class Config:
        scaling = "minmax"

    preprocess, out = _prepared(Config())
    assert preprocess.scaling == "minmax"
    assert (out.min(), out.max()) == (0.0, 1.0)
    assert _prepared(object())[0].scaling == "standard"


def _prepared(config, monkey=pytest.MonkeyPatch):
    with monkey.context() as patch:
        patch.setattr(models, "check_config", lambda config: None)
        return models.prepared(config, X)
