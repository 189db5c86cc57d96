from pathlib import Path

import pytest

from jaxclust.errors import InputError
from jaxclust.system import paths


@pytest.mark.parametrize("name", ["gs://bucket/run", "s3://b/r", "https://example.org/run", "memory://run"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_place_elsewhere_is_refused(name, kind):
    with pytest.raises(InputError, match=rf"^{name}: .* this machine only"):
        paths.local(kind(name))


def test_a_null_character_is_refused():
    with pytest.raises(InputError, match=r"^'a\\x00': no name holds a null character"):
        paths.local("a\0")


@pytest.mark.parametrize("name", ["run", "a/b", "/tmp/run", "C:/runs", "C:\\runs", "with: colon", "ü/😀"])
def test_a_path_of_this_machine_stays(name):
    assert paths.local(name) == Path(name)


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.local("~/run") == tmp_path / "run"
    assert paths.local(Path("~")) == tmp_path


def test_no_home(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(InputError, match="~/run: no home directory is known"):
        paths.local("~/run")
    assert paths.local("run") == Path("run")
