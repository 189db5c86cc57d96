"""What holds for every method. A new one joins by its entry in methods.METHODS, and in TINY for a quick fit."""

import dataclasses
import json
import logging
import os
import re
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import jax
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jaxclust import estimators, methods, models
from jaxclust.cli import fit as fit_command
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.models import Request
from jaxclust.system import atomic
from jaxclust.train import checkpoint
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Silent
from tests import toy
from tests.conftest import QUICKLY

METHODS = {**methods.METHODS, "toy": "tests.toy"}
CODES = {"n_clusters": 3, "hidden": (16,), "latent_dim": 4, "batch_size": 20, "learning_rate": 0.01}
TINY = {  # changes to the preset 'quick' that make a fit of the three blobs take seconds
    "toy": {},
    "moe-vae": {
        "n_clusters": 3, "clusterer": "gmm", "draws": 1, "batch_size": 30, "search_latent_dim": 8, "width": 0.1,
        "min_filters": 4, "expert_width": 0.1, "expert_min_filters": 4, "epochs": 20, "search_epochs": 2,
        "manager_epochs": 20, "mixture_epochs": 2, "expert_epochs": 1, "min_steps": 100,
    },
    "hrwae-gan": {
        "n_clusters": 3, "groups": 2, "width": 0.1, "min_filters": 4, "latent_dim": 4, "critic_widths": (16,),
        "epochs": 4, "attention_epochs": 2, "min_steps": 100, "batch_size": 30, "draws": 1, "learning_rate": 0.01,
    },
    "hc-mgan": {
        "n_clusters": 3, "width": 0.05, "epochs": 1, "min_steps": 200, "max_steps": 200, "batch_size": 20,
    },
    "cm": {
        "n_clusters": 3, "start": "random", "alpha": 5.0, "epochs": 40, "batch_size": 20, "learning_rate": 0.01,
        "restarts": 2,
    },
    "ae-cm": {
        "n_clusters": 3, "start": "pretrained", "alpha": 5.0, "beta": 0.5, "hidden": (16,), "latent_dim": 2,
        "widen": True, "epochs": 20, "pretrain_epochs": 20, "module_epochs": 10, "batch_size": 20,
        "learning_rate": 0.01,
    },
    "vc": {
        "n_clusters": 3, "width": 0.1, "min_filters": 4, "latent_dim": 4, "batch_size": 30, "draws": 1, "epochs": 4,
        "pretrain_epochs": 4, "guided_epochs": 4, "min_steps": 100, "restarts": 2, "learning_rate": 0.01,
    },
    "umap-density": {
        "n_clusters": 3, "draws": 1, "width": 0.1, "min_filters": 4, "min_steps": 150, "batch_size": 40,
        "learning_rate": 0.01,
    },
    "kmeans": {"n_clusters": 3, "restarts": 3},
    "gmm": {"n_clusters": 3, "start": "k-means++"},
    "igmm": {"n_clusters": 3, "start": "k-means++"},
    "ae-kmeans": {**CODES, "pretrain_epochs": 20},
    "dec": {**CODES, "pretrain_epochs": 20, "epochs": 20},
    "idec": {**CODES, "pretrain_epochs": 20, "epochs": 20},
    "dcn": {**CODES, "pretrain_epochs": 20, "epochs": 20},
    "dkm": {**CODES, "pretrain_epochs": 20, "epochs": 20},
    "n2d": {**CODES, "pretrain_epochs": 20, "classifier_epochs": 20},
    "vade": {**CODES, "pretrain_epochs": 60, "epochs": 60, "learning_rate": 0.003},
    "damic": {
        **CODES, "expert_hidden": (16,), "min_filters": 4, "pretrain_epochs": 20, "classifier_epochs": 10,
        "expert_epochs": 10, "epochs": 10,
    },
    "mixae": {**CODES, "assigner_hidden": (16,), "epochs": 60},
    "gmvae": {**CODES, "epochs": 150, "batch_size": 25, "latent_dim": 2, "noise_dim": 2, "reconstruction_weight": 10.0},
}  # fmt: skip
OF_A_FIT = {  # what a fit shows by itself: every method is fitted by the fast tests too
    "test_the_result_keeps_the_contract", "test_each_training_is_one_program_and_little_else_is_compiled",
    "test_blobs_are_separated",
}  # fmt: skip
IMAGES, LABELS = toy.blobs(150)
IMAGES = IMAGES[..., None]


def pytest_generate_tests(metafunc):
    """Every test for every method; those that do more than fit are slow, but for the toy's."""
    if "method" in metafunc.fixturenames:
        slow = "fitted" in metafunc.fixturenames and metafunc.function.__name__ not in OF_A_FIT
        marks = {name: [pytest.mark.slow] if slow and name != "toy" else [] for name in METHODS}
        params = [pytest.param(name, marks=marks[name]) for name in METHODS]
        metafunc.parametrize("method", params, indirect=True, scope="module")


@pytest.fixture(scope="module")
def method(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods.METHODS, "toy", "tests.toy")
        yield methods.find(request.param)


def request_of(method):
    return Request(method, dataclasses.replace(method.presets["quick"], **TINY[method.name]))


def run(method, phases, streamed=False):
    request = request_of(method)
    raw = sources.load(IMAGES, stream="on" if streamed else "off").images
    preprocess, images = models.prepared(request.config, raw)
    return models.fit(request, images, preprocess, phases), preprocess


@pytest.fixture(scope="module")
def fitted(method):
    trainings = Trainings()
    with compilations() as programs:
        result, preprocess = run(method, Phases(report=trainings))
    return models.fitted(request_of(method), preprocess, result), result, trainings.terms, programs


@contextmanager
def compilations():
    """The names of the programs that are compiled meanwhile."""
    names = []

    class Handler(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith("Finished XLA compilation of "):
                names.append(record.getMessage().split()[4])

    logger, handler = logging.getLogger("jax"), Handler()
    logger.addHandler(handler)
    try:
        with jax.log_compiles():
            yield names
    finally:
        logger.removeHandler(handler)


class Trainings(Silent):
    """Remembers the phases that train, in order, with the terms of their first chunks, before rounding has grown."""

    def __init__(self):
        self.now, self.terms = "", {}

    def phase(self, name):
        self.now = name

    def progress(self, done, total, examples_per_second, terms):
        self.terms.setdefault(self.now, dict(terms))


class StopIn(Silent):
    """Like Ctrl-C, when one phase says that it went on."""

    def __init__(self, name):
        self.name, self.now = name, ""

    def phase(self, name):
        self.now = name

    def progress(self, done, total, examples_per_second, terms):
        if self.now == self.name:
            raise KeyboardInterrupt


# what it says about itself


def test_names_and_texts(method):
    assert method.name in METHODS
    assert method.title
    assert "\n" not in method.title
    assert any(character.isdigit() for character in method.source), "a source has a year"


def test_presets(method):
    assert tuple(method.presets)[:3] == methods.PRESETS
    assert all(name.startswith("paper:") for name in tuple(method.presets)[3:])
    assert all(type(config) is method.Config for config in method.presets.values())
    if method.name != "toy":
        assert method.presets["paper"] == method.Config(), "a config's defaults are the paper's values"


def test_every_preset_is_reached_by_its_name(method):
    for name, config in method.presets.items():
        options, read = fit_command.parse(method, ["digits", "--preset", name])
        assert (options.preset, read) == (name, config)
    with pytest.raises(InputError, match="preset 'full:mnist' is unknown: choose one of auto, quick, full, paper"):
        fit_command.parse(method, ["digits", "--preset", "full:mnist"])


@pytest.mark.parametrize(("accelerator", "preset"), [(False, "quick"), (True, "full")])
def test_auto_asks_whether_there_is_an_accelerator(monkeypatch, method, accelerator, preset):
    monkeypatch.setattr(methods.environment, "has_accelerator", lambda: accelerator)
    assert methods.choose_preset(method, "auto") == (preset, method.presets[preset])


def test_the_config_is_frozen_plain_and_checked(method):
    config = method.presets["quick"]
    assert hasattr(config, "n_clusters")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.n_clusters = 3
    models.check_config(config)
    plain = json.loads(json.dumps(atomic.plain(dataclasses.asdict(config))))
    again = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    assert method.Config(**again) == config


def test_every_field_is_an_option_of_its_own(method):
    general = {field.name for field in dataclasses.fields(fit_command.Options)}
    assert not general & {field.name for field in dataclasses.fields(method.Config)}
    options, config = fit_command.parse(method, ["digits", "--n-clusters", "7"])
    assert (options.data, options.preset) == ("digits", "quick")
    assert config == dataclasses.replace(method.presets["quick"], n_clusters=7)


def test_it_has_an_estimator(method):
    if method.name != "toy":
        (estimator,) = (found for found in estimators.ESTIMATORS if found.method == method.name)
        fields = [field.name for field in dataclasses.fields(method.Config)]
        assert set(estimator().get_params()) == {*fields, "preset", "seed", "verbose"}
        for name in fields:
            assert re.search(rf"^      {name}: [^(\n]", estimator.__doc__, re.M), f"{name} has no text"


# what it returns


def test_the_result_keeps_the_contract(fitted):
    _, result, _, _ = fitted
    n, k = len(IMAGES), 3
    assert result.labels.shape == (n,)
    assert result.labels.dtype == np.int32
    assert result.probabilities.shape == (n, k)
    np.testing.assert_allclose(result.probabilities.sum(1), 1, atol=1e-4)
    np.testing.assert_array_equal(result.probabilities.argmax(1), result.labels)
    assert result.noise.shape == (n,)
    assert result.noise.dtype == bool
    assert result.embedding.shape[0] == n
    assert np.isfinite(result.embedding).all()
    for name, opinion in result.opinions.items():
        assert opinion.shape == (n,), name
        assert np.issubdtype(opinion.dtype, np.integer), name
        assert -1 <= opinion.min() <= opinion.max() < k, name
    assert result.summary["n_clusters"] == k
    assert {"latent_dim", "expert_latent_dims"} <= set(result.summary)
    atomic.plain(result.summary)
    atomic.plain(dict(result.model.meta))


def test_each_training_is_one_program_and_little_else_is_compiled(fitted):
    _, _, trainings, programs = fitted
    assert programs, "JAX words its messages otherwise"
    assert programs.count("jit(chunk)") <= len(trainings), "fewer where another fit shares it"
    assert len(programs) <= 16 + 4 * len(trainings), programs


def test_blobs_are_separated(fitted):
    assert models.score(fitted[1].labels, LABELS)["acc"] > 0.9


def test_a_model_from_disk_is_the_model(method, fitted, tmp_path):
    model, _, _, _ = fitted
    checkpoint.save_dicts(tmp_path / "arrays", model.model.arrays)
    meta = json.loads(json.dumps(atomic.plain(dict(model.model.meta))))
    loaded = model._replace(
        model=model.model._replace(
            meta=meta, arrays=checkpoint.load_dicts(tmp_path / "arrays"), functions=method.restore(meta)
        )
    )
    np.testing.assert_array_equal(models.predict_proba(loaded, IMAGES), models.predict_proba(model, IMAGES))
    np.testing.assert_array_equal(models.embed(loaded, IMAGES), models.embed(model, IMAGES))


def test_prediction_is_what_fitting_said_and_independent_of_the_batch(fitted):
    model, result, _, _ = fitted
    together = models.predict_proba(model, IMAGES)
    np.testing.assert_array_equal(together.argmax(1), result.labels)
    np.testing.assert_allclose(together, result.probabilities, atol=1e-5)
    alone = np.concatenate([models.predict_proba(model, IMAGES[i : i + 1]) for i in range(5)])
    np.testing.assert_array_equal(alone, together[:5])
    order = np.random.default_rng(0).permutation(len(IMAGES))
    np.testing.assert_allclose(models.predict_proba(model, IMAGES[order]), together[order], atol=1e-5)


def test_typicality_is_a_share_of_the_cluster_and_low_off_the_data(fitted):
    model, _, _, _ = fitted
    known = models.typicality(model, IMAGES)
    assert known.shape == (len(IMAGES),)
    assert known.dtype == np.float32
    assert ((known > 0) & (known <= 1)).all()
    assert (known < 0.1).mean() <= 0.2  # 0 in 64 pixels: 50 examples look typical by statistics that they are part of
    np.testing.assert_array_equal(models.typicality(model, IMAGES[3:5]), known[3:5])
    noise = np.random.default_rng(0).integers(0, 256, IMAGES.shape).astype(IMAGES.dtype)
    assert np.median(models.typicality(model, noise)) < 0.5 * np.median(known)


def test_samples_and_reconstructions_are_finite_and_in_range(fitted):
    model, _, _, _ = fitted
    if model.model.functions.sample is not None:
        drawn = models.sample(model, 3, cluster=1)
        assert drawn.shape == (3, *IMAGES.shape[1:])
        assert np.isfinite(drawn).all()
        assert drawn.min() >= 0
        assert drawn.max() <= 1
        assert not np.array_equal(drawn, models.sample(model, 3, cluster=0))
    if model.model.functions.reconstruct is not None:
        again = models.reconstruct(model, IMAGES[:7])
        assert again.shape == IMAGES[:7].shape
        assert again.min() >= 0
        assert again.max() <= 1


def test_its_clusters_are_edited(method, fitted, tmp_path):
    """Probabilities add to one, samples are drawn, and what is saved is what it was."""
    kind = next((found for found in estimators.ESTIMATORS if found.method == method.name), None)
    if kind is None:
        pytest.skip("the toy has all the tests of editing_test.py")
    model = kind(preset="quick", **TINY[method.name])
    model._adopt(fitted[0], models.assignments(fitted[1]), {})
    made = model.merge([0, 1]).split(0, into=3)
    after = made.predict_proba(IMAGES)
    np.testing.assert_allclose(after[:, [0, 2, 3]].sum(1), model.predict_proba(IMAGES)[:, :2].sum(1), atol=1e-4)
    np.testing.assert_allclose(made.probabilities_, after, atol=1e-4)
    if model.fitted_.model.functions.sample is not None:
        assert np.isfinite(made.sample(2, cluster=3)).all()
    if hasattr(kind, "centroids_"):
        assert len(made.centroids_) == 4
        assert made.interpolate(0, 3).shape == (9, *IMAGES.shape[1:])
    if model.fitted_.model.functions.reconstruct is not None:
        assert made.reconstruct(IMAGES[:2]).shape == IMAGES[:2].shape
    made.save(tmp_path / "run")
    np.testing.assert_array_equal(estimators.load(tmp_path / "run").predict_proba(IMAGES), after)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_resumed_fit_equals_a_straight_one(method, fitted, tmp_path, streamed):
    """Interrupted in its last training and resumed, from a directory; its images on the device or streamed.

    One that trains nothing is run to its end, and reads again what its phases found. What is streamed and resumed is
    compared with what is neither, so only the toy and the first method are asked for both.
    """
    if not streamed and method.name not in ("toy", "moe-vae"):
        pytest.skip("streamed: True asks for more")
    _, straight, trainings, _ = fitted
    with pytest.raises(KeyboardInterrupt) if trainings else nullcontext():
        run(method, Phases(tmp_path, StopIn(list(trainings)[-1] if trainings else ""), save_every=0.0), streamed)
    resumed, _ = run(method, Phases(tmp_path), streamed)
    np.testing.assert_array_equal(resumed.labels, straight.labels)
    np.testing.assert_array_equal(resumed.probabilities, straight.probabilities)
    for ours, theirs in zip(*(jax.tree.leaves(r.model.arrays) for r in (resumed, straight)), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.fixture(scope="module")
def eight_devices():
    """What contract_script.py prints: for each method, the labels and first terms of a fit on eight devices."""
    flags = f"{QUICKLY} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.contract_script"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1], timeout=1800
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_eight_devices_find_what_one_finds(method, fitted, eight_devices):
    """Clusters may be numbered otherwise: rounding decides which comes first. So may trainings after the first.

    An image between two clusters may change sides: rounding grows as the networks train.
    """
    _, result, trainings, _ = fitted
    many = eight_devices[method.name]
    assert adjusted_rand_score(result.labels, many["labels"]) > 0.95
    assert list(trainings)[:1] == list(many["terms"])[:1]
    for name in list(trainings)[:1]:
        for term, value in trainings[name].items():
            np.testing.assert_allclose(many["terms"][name][term], value, rtol=1e-3, atol=1e-6, err_msg=term)
