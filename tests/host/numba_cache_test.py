"""Places and damage of numba's cache, by a small function that it compiles."""

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from jaxclust.errors import InputError
from jaxclust.host import numba_cache

ROOT = Path(__file__).parents[2]
MODULE = "import numba\n@numba.njit(cache=True)\ndef double(x):\n    return 2 * x\n"


def python(tmp_path, text, **settings):
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "NUMBA_CACHE_DIR": str(tmp_path / "numba"), **settings}
    program = [sys.executable, "-c", textwrap.dedent(text)]
    return subprocess.run(program, env=env, capture_output=True, text=True, timeout=120, check=True)


HEALED = """
    from jaxclust.host import numba_cache
    from compiled import double
    print(numba_cache.healed(lambda: double(21)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "damage"),
    [(".nbc", b"not a cache"), (".nbi", b""), (".nbc", b"")],
)
def test_a_damaged_cache_is_emptied_and_compiled_anew(tmp_path, suffix, damage):
    (tmp_path / "compiled.py").write_text(MODULE)
    assert python(tmp_path, HEALED).stderr == ""
    (path,) = (tmp_path / "numba").rglob(f"*{suffix}")
    path.write_bytes(damage)
    done = python(tmp_path, HEALED)
    assert done.stdout == "42\n"
    assert done.stderr.count("numba's cache was damaged") == len(done.stderr.splitlines()) == 1
    assert str(path.parent) in done.stderr
    assert python(tmp_path, HEALED).stderr == ""


def test_other_errors_are_nobody_s_cache(caplog):
    def broken():
        raise EOFError("of the function's own")

    with pytest.raises(EOFError), caplog.at_level(logging.WARNING):
        numba_cache.healed(broken)
    assert caplog.text == ""


def test_what_cannot_be_deleted_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.nbi").touch()

    def unlink(self, missing_ok=False):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(InputError, match=f"{tmp_path}: numba's cache is damaged .*set NUMBA_CACHE_DIR"):
        numba_cache._emptied(tmp_path)


def test_a_place_of_its_own_is_left_to_numba(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    numba_cache.place()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "chosen")


def test_without_any_place_there_is_a_temporary_one_until_the_end(tmp_path):
    """As numba finds it where packages are read only and the user is unknown."""
    done = python(
        tmp_path,
        """
        import os, pwd
        from pathlib import Path
        from jaxclust.host import numba_cache
        def unknown(uid): raise KeyError(uid)
        pwd.getpwuid = unknown
        numba_cache._are_writable = lambda places: False
        numba_cache.place()
        import numba
        print(os.environ["NUMBA_CACHE_DIR"], numba.config.CACHE_DIR, Path(numba.config.CACHE_DIR).is_dir())
        """,
        NUMBA_CACHE_DIR="",
        HOME="",
    )
    chosen, known, there = done.stdout.split()
    assert (chosen, there) == (known, "True")
    assert not Path(chosen).exists()
