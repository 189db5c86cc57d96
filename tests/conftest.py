"""Shared by all tests: the toy system in the registry, where a test asks for it."""

import pytest


@pytest.fixture
def toy(monkeypatch):
    """The toy system, found by its name like any other."""
    from jaxclust import methods
    from tests import toy as module

    monkeypatch.setitem(methods.SYSTEMS, "toy", "tests.toy")
    return module.SYSTEM
