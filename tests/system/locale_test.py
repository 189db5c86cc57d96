"""Names of files of any bytes, and a locale that knows ASCII alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}


def jaxclust(*arguments, code=0):
    """The command where the locale is C."""
    done = subprocess.run(
        [sys.executable, "-m", "jaxclust", *arguments],
        env={**os.environ, **ASCII},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_names_of_any_bytes_in_a_locale_of_ascii(tmp_path):
    here = os.fsencode(tmp_path)
    images = os.path.join(here, "bildér 😀".encode())
    for i in range(12):
        folder = os.path.join(images, (b"\xff\xfe", "é".encode())[i % 2])
        os.makedirs(folder, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 90, (8, 8), np.uint8) + np.uint8(150 * (i % 2))
        with open(os.path.join(folder, f"{i} 😀.png".encode()), "wb") as file:
            Image.fromarray(pixels).save(file, "PNG")
    out, labels = os.path.join(here, b"run"), os.path.join(here, b"labels \xff.csv")
    jaxclust("fit", "kmeans", images, "--n-clusters", "2", "--out", out, "--quiet")
    jaxclust("predict", out, images, "--out", labels)
    jaxclust("predict", out, images)
    jaxclust("evaluate", out, images)
    refused = jaxclust("fit", "kmeans", images, "--n-clusters", "2", "--out", os.path.join(here, b"\xff"), code=2)
    assert refused.endswith(
        b"the name is not UTF-8, which that of a run has to be: choose another, or set PYTHONUTF8=1\n"
    )
    assert len(refused.splitlines()) == 1
    with open(os.path.join(out, b"config.json"), "rb") as file:
        assert json.load(file)["state"] == "complete"
    with open(labels, "rb") as file:
        assert len(file.read().splitlines()) == 13
