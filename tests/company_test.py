"""A model in company: settings of JAX for other code, threads, worker processes, a running event loop."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxclust import AEKMeans, load, models, runs
from jaxclust.errors import InputError
from jaxclust.models import Request
from jaxclust.system import environment
from tests import toy as toys
from tests.runs_test import dataset, fit

ROOT = Path(__file__).parents[1]
X = np.concatenate([np.random.default_rng(0).normal(m, 0.1, (20, 3)) for m in (-1, 0, 1)]).astype(np.float32)
SETTINGS = {"n_clusters": 3, "hidden": (8,), "latent_dim": 2, "pretrain_epochs": 2, "batch_size": 20, "seed": 0}


def fitted(data=X, **settings):
    return AEKMeans(**{**SETTINGS, **settings}).fit(data)


@pytest.fixture(scope="module")
def model():
    return fitted()


def all_of(estimator):
    """What a fit gives, and what it says about data."""
    arrays = (estimator.labels_, estimator.probabilities_, estimator.embedding_)
    return (*arrays, estimator.predict_proba(X), estimator.transform(X), estimator.reconstruct(X))


def same(first, second):
    for one, other in zip(all_of(first), all_of(second), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"jax_enable_x64": True}, marks=pytest.mark.slow),
        pytest.param({"jax_numpy_dtype_promotion": "strict"}, marks=pytest.mark.slow),
        pytest.param({"jax_numpy_rank_promotion": "raise"}, marks=pytest.mark.slow),
        {"jax_debug_nans": True},
        {"jax_enable_x64": True, "jax_numpy_dtype_promotion": "strict", "jax_numpy_rank_promotion": "raise"},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_settings_of_jax_for_other_code_change_nothing(model, settings):
    with ExitStack() as stack:
        for name, value in settings.items():
            stack.callback(jax.config.update, name, getattr(jax.config, name))
            jax.config.update(name, value)
        same(fitted(X.astype(np.float64)), model)
        assert model.sample(2, cluster=1).dtype == np.float32
        for name, value in settings.items():
            assert getattr(jax.config, name) == value  # left to the other code


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("jax_default_prng_impl", "rbg"), ("jax_threefry_partitionable", False)])
def test_other_random_numbers_are_others_but_serve(name, value, tmp_path):
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        estimator = fitted()
        assert estimator.labels_.shape == (60,)
        estimator.save(tmp_path / "model")
        same(load(tmp_path / "model"), estimator)
    finally:
        jax.config.update(name, before)


def test_a_run_under_strict_settings(toy, tmp_path):
    fit(tmp_path / "one")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_enable_x64", True)
    try:
        metrics = fit(tmp_path / "other")
        assert metrics["acc"] == 1.0
        models.predict_proba(runs.load(tmp_path / "other"), dataset().images)
    finally:
        jax.config.update("jax_enable_x64", False)
        jax.config.update("jax_numpy_dtype_promotion", "standard")
    for name in ("assignments.csv", "embedding.npy", "probabilities.npy"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.slow
def test_fits_in_two_threads_are_those_of_one(toy, tmp_path, model):
    found, errors = {}, []

    def one(name):
        try:
            found[name] = fitted()
            runs.fit(Request(toys.METHOD, toys.ToyConfig(), 0), dataset(), tmp_path / name)
            found[name].save(tmp_path / f"{name} saved")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for name in "ab":
        same(found[name], model)
        same(load(tmp_path / f"{name} saved"), model)
    assert (tmp_path / "a/embedding.npy").read_bytes() == (tmp_path / "b/embedding.npy").read_bytes()


def test_inside_a_running_event_loop(model, tmp_path):
    """As every cell of a notebook is."""

    async def cell():
        fitted().save(tmp_path / "model")
        found = load(tmp_path / "model")
        same(found, model)
        await asyncio.sleep(0)
        return found

    same(asyncio.run(cell()), model)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_worker_says_why_it_cannot(model):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        with pytest.raises(InputError, match=r"was forked from one that runs JAX.*spawn"):
            pool.apply_async(model.predict, (X,)).get(60)
        with pytest.raises(InputError, match="was forked"):
            pool.apply_async(environment.devices).get(60)
    assert len(model.predict(X)) == 60  # the parent is as before


@pytest.mark.slow
def test_a_child_that_is_forked_before_jax_starts_works():
    program = f"""
import multiprocessing
import numpy as np
from jaxclust import AEKMeans
def fit(seed):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    return len(AEKMeans(**{ {**SETTINGS, "pretrain_epochs": 1}!r}).fit(x).predict(x))
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply_async(fit, (0,)).get(100))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "60\n", done.stderr


@pytest.mark.slow
def test_spawned_workers_and_joblib_predict(model):
    from joblib import Parallel, delayed

    parts = [X[::2], X[1::2]]
    expected = [model.predict(part).tolist() for part in parts]
    assert [p.tolist() for p in Parallel(2)(delayed(model.predict)(part) for part in parts)] == expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert [p.tolist() for p in pool.map(model.predict, parts)] == expected
