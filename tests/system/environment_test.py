import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxclust.system import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nobody(monkeypatch):
    """A user whom the machine does not know."""
    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])


def jaxclust(*arguments, **settings):
    """The command in a process of its own: exit code, and what it prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    program = [sys.executable, "-m", "jaxclust", *arguments]
    done = subprocess.run(program, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def test_without_a_home_compiled_programs_are_not_kept(nobody, monkeypatch):
    kept, notes = {}, []
    monkeypatch.setattr("jax.config.update", lambda name, value: kept.update({name: value}))
    monkeypatch.setattr(environment, "has_compilation_cache", lambda: True)
    assert environment.cache_directory() is None
    environment.enable_compilation_cache(notes.append)
    assert kept == {"jax_compilation_cache_dir": None}
    assert notes == [environment.NO_CACHE]


def test_a_home_that_cannot_be_written_is_none(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert environment.cache_directory() is None


def test_a_home_that_is_not_there_is_not_made(monkeypatch, tmp_path):
    for name in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    assert environment.cache_directory() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["gs://bucket/cache", "/somewhere"])
def test_a_chosen_cache_is_taken_as_it_is(monkeypatch, place):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", place)
    assert environment.cache_directory() == place


@pytest.mark.parametrize("platform", ["nonsense", pytest.param("cuda", marks=pytest.mark.slow)])
def test_a_platform_that_is_not_there_is_one_line(tmp_path, platform):
    out = str(tmp_path / "run")
    code, _, error = jaxclust("fit", "kmeans", "iris", "--n-clusters", "3", "--out", out, JAX_PLATFORMS=platform)
    assert code == 2
    (line,) = error.splitlines()
    assert f"JAX_PLATFORMS is '{platform}', which JAX cannot start here" in line
    assert line.endswith("unset it, or set JAX_PLATFORMS=cpu")
    assert not (tmp_path / "run").exists()


def test_doctor_lives_through_it(tmp_path):
    code, text, _ = jaxclust("doctor", JAX_PLATFORMS="nonsense")
    assert code == 0
    assert "JAX_PLATFORMS is 'nonsense'" in text
    for section in ("versions", "devices", "memory", "compile cache", "remarks"):
        assert f"{section}\n" in text
    assert "machine" in text  # what can be told is told
