"""`jaxclust doctor`: what it tells of a machine, whatever is missing or broken there."""

import re

import pytest

from jaxclust import cli
from jaxclust.system import environment


def test_doctor(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    for word in ("versions", "jax ", "umap-learn", "devices", "memory", "compile cache", str(tmp_path), "remarks"):
        assert word in text
    assert re.search(r"state +on\n", text)
    monkeypatch.setattr(environment, "has_compilation_cache", lambda: False)
    cli.main(["doctor"])
    assert "off (JAX_ENABLE_COMPILATION_CACHE)" in capsys.readouterr().out


def test_doctor_names_what_is_missing(capsys, monkeypatch):
    from jaxclust.cli import doctor

    monkeypatch.setattr(doctor.environment, "versions", lambda: {"jax": "1", "umap-learn": None})
    assert "not installed: umap-learn" in next(doctor.remarks())


def test_doctor_lives_through_anything(capsys, monkeypatch):
    from jaxclust.cli import doctor

    for name in ("versions", "devices", "machine_memory_mb", "cache_directory", "has_accelerator"):
        monkeypatch.setattr(doctor.environment, name, lambda name=name: {}[f"no {name}"])
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.count("cannot tell") == 7
    assert "KeyError: 'no devices'" in text


@pytest.mark.parametrize(
    ("settings", "said"),
    [({}, "takes 0.75 of it"), ({"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, "takes it as it is needed")],
)
def test_doctor_tells_how_to_share_a_gpu(monkeypatch, settings, said):
    from jaxclust.cli import doctor

    monkeypatch.setattr(doctor.environment, "devices", lambda: ["gpu: H200"])
    monkeypatch.setattr(doctor.environment, "has_accelerator", lambda: True)
    for name in ("XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    (line,) = [line for line in doctor.remarks() if line.startswith("memory of the GPU")]
    assert said in line
    assert "XLA_PYTHON_CLIENT_PREALLOCATE=false" in line
