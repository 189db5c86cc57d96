"""AnnData's files: what is damaged is one line, and soon."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from jaxclust.data import sources
from jaxclust.data.readers import annotated, hdf5_check
from jaxclust.errors import InputError


def test_a_reading_that_does_not_end_is_ended(tmp_path, monkeypatch):
    path = tmp_path / "x.h5ad"
    path.write_bytes(b"damaged")
    for program, line in (
        ("import time; time.sleep(60)", "not read after 1 s"),
        ("import os; os.abort()", "reading it ends a process, -6"),
        ("import sys; sys.exit('bad heap')", "bad heap"),
    ):
        (tmp_path / "check.py").write_text(program)
        monkeypatch.setattr(annotated.hdf5_check, "__file__", str(tmp_path / "check.py"))
        monkeypatch.setattr(annotated, "LEAST", 1.0 if "sleep" in program else 30.0)
        with pytest.raises(InputError, match=rf"x\.h5ad: is truncated, damaged or no AnnData \({line}"):
            annotated._check(path)


def test_every_value_of_a_file_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/b"] = np.arange(20).reshape(10, 2)
        file["c"] = 3.0
        file.create_dataset("d", data=np.arange(4000), chunks=(100,), fletcher32=True)
    hdf5_check.read(str(tmp_path / "x.h5"))
    data = bytearray((tmp_path / "x.h5").read_bytes())
    place = data.index(np.arange(3900, 4000).tobytes())
    data[place] ^= 1
    (tmp_path / "x.h5").write_bytes(data)
    done = subprocess.run([sys.executable, "-P", hdf5_check.__file__, tmp_path / "x.h5"], capture_output=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_damaged_files_of_anndata_are_one_line(tmp_path):
    anndata = pytest.importorskip("anndata")
    path = tmp_path / "x.h5ad"
    anndata.AnnData(sparse.random(60, 40, 0.2, "csr", np.float32, random_state=0)).write_h5ad(path)
    assert sources.load(path).images.shape == (60, 40)
    whole = path.read_bytes()
    for seed in (1, 4, 8):
        rng, data = np.random.default_rng(seed), bytearray(whole)
        for place in rng.integers(0, len(data), 30):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"x\.h5ad: is truncated, damaged or no AnnData"):
            sources.load(path)
