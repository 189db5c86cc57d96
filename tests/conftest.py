"""Shared by all tests: the toy method in the registry and float64, where a test asks; a cache of compiled programs."""

import gc
import os
import tempfile
import time
from pathlib import Path

import pytest

MAPS = Path("/proc/self/maps")  # Linux ends a process that has more than 65530 by a segmentation fault


AS_THE_LIBRARY = "--xla_cpu_use_fusion_emitters=false"  # see train/programs.py
QUICKLY = f"{AS_THE_LIBRARY} --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def pytest_configure(config):
    """One cache of compiled programs for all workers of a session, and for the processes that tests start.

    Fast tests run each program a few times: without optimisation it compiles in half the time. Few of theirs are met
    again: keeping them would cost more time than it saves.
    """
    flags = QUICKLY if fast(config) else AS_THE_LIBRARY
    if flags not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        directory = tempfile.TemporaryDirectory(prefix="jaxclust-tests-")
        config.add_cleanup(directory.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = directory.name
    os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # nobody looks at a program's lines here
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "10" if fast(config) else "0.1")


def fast(config):
    """Whether slow tests are left out."""
    return config.option.markexpr == "not slow"


LEFT_OUT = pytest.StashKey[int]()


def pytest_deselected(items):
    """Counted, because workers tell the terminal nothing of them."""
    if items:
        stash = items[0].config.stash
        stash[LEFT_OUT] = stash.get(LEFT_OUT, 0) + len(items)


def pytest_sessionfinish(session):
    """A worker hands its count on; each has collected all tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """The count of a worker."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter, config):
    """Says what was left out."""
    count = config.stash.get(LEFT_OUT, 0)
    if count and fast(config):
        terminalreporter.write_line(f"{count} slow tests were left out: pytest -m slow runs them")


def pytest_collection_finish():
    """Tracing makes many objects that live: without this a tenth of the time goes into looking through them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture(autouse=True)
def _few_programs():
    """Every compiled program holds memory maps, of which a process has only so many: they go before there are too many.

    At 20000, a third of what Linux allows, because a single test adds some thousands. A short test compiles little.
    """
    start = time.perf_counter()
    yield
    if time.perf_counter() - start > 0.2 and MAPS.exists() and len(MAPS.read_bytes().splitlines()) > 20_000:
        import jax

        jax.clear_caches()


@pytest.fixture
def toy(monkeypatch):
    """The toy method, found by its name like any other."""
    from jaxclust import methods
    from tests import toy as module

    monkeypatch.setitem(methods.METHODS, "toy", "tests.toy")
    return module.METHOD


@pytest.fixture
def float64():
    """Arrays of float64 within the test."""
    import jax

    if hasattr(jax, "enable_x64"):
        switch = jax.enable_x64
    else:  # before 0.8
        from jax.experimental import enable_x64 as switch
    with switch(True):
        yield
