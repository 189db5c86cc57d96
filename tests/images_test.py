"""Image files on the command line: what fit made of them, predict makes too."""

import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxclust import cli
from tests import toy as toys

BITS = 12


@pytest.fixture
def here(toy, tmp_path, monkeypatch):
    """deep/: blobs of 12 bits in files of 16; shallow/: the same in 8 bits."""
    monkeypatch.chdir(tmp_path)
    images, labels = toys.blobs(60)
    share = images.reshape(len(images), 8, 8).astype(float) / images.max()
    for folder, top in (("deep", 2**BITS - 1), ("shallow", 255)):
        for i, (image, label) in enumerate(zip(share, labels, strict=True)):
            path = Path(folder, str(label), f"{i:02}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(top * image).astype(np.uint16 if top > 255 else np.uint8)).save(path)
    return tmp_path


def run(*arguments):
    assert cli.main([str(word) for word in arguments]) == 0


def labels(path):
    with open(path, newline="") as file:
        return {row["file"].removeprefix("deep/"): row["label"] for row in csv.DictReader(file)}


def test_predict_reads_files_on_the_range_that_was_fitted(here, capsys):
    run("fit", "toy", "deep", "--out", "run", "--no-figures")
    assert re.search(r"^ACC +100.0%$", capsys.readouterr().out, re.M)
    assert json.loads(Path("run/config.json").read_text())["depth"] == BITS
    fitted = labels("run/assignments.csv")
    run("predict", "run", "shallow", "--out", "shallow.csv")
    assert labels("shallow.csv") == fitted
    for name in ("0/00.png", min(name for name, label in fitted.items() if label != fitted["0/00.png"])):
        Path("one").mkdir(exist_ok=True)
        Path("one", name.replace("/", "-")).write_bytes(Path("deep", name).read_bytes())
    run("predict", "run", "one", "--out", "one.csv")
    assert {name.replace("-", "/"): label for name, label in labels("one.csv").items()}.items() <= fitted.items()
    with zipfile.ZipFile("deep.zip", "w") as file:
        for path in sorted(Path("deep").rglob("*.png"), reverse=True):
            file.write(path)
    run("predict", "run", "deep.zip", "--out", "zip.csv")
    assert labels("zip.csv") == fitted


def test_a_model_of_8_bits_sees_16_bits_as_8(here):
    run("fit", "toy", "shallow", "--out", "run", "--no-figures")
    for path in sorted(Path("shallow").rglob("*.png")):
        target = Path("sixteen", path.relative_to("shallow"))
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16) * 257).save(target)
    run("predict", "run", "sixteen", "--out", "sixteen.csv")
    assert labels("sixteen.csv") == labels("run/assignments.csv")


def test_large_scans_are_read_where_that_is_asked_for(here, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    sized = ("--image-size", "8")
    assert cli.main(["fit", "toy", "shallow", "--out", "run", *sized]) == 2
    assert "pass --max-pixels 64 where the file is to be trusted" in capsys.readouterr().err
    assert not Path("run").exists()
    run("fit", "toy", "shallow", "--out", "run", "--no-figures", *sized, "--max-pixels", "64")
    run("predict", "run", "shallow", "--out", "new.csv", "--max-pixels", "64")


PROGRAM = """
import sys, resource
from pathlib import Path
from jaxclust.data import sources
from PIL import Image

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) / 1024

Image.new("L", (8, 8)).save("small.png")
sources.load(".", image_size=16, skip_bad=True, max_pixels=100)  # all that is imported
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = status("VmRSS")
assert sources.load(".", image_size=16, max_pixels=10**8, skip_bad=False).images.shape == (2, 16, 16, int(sys.argv[1]))
print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a part")
@pytest.mark.parametrize(("mode", "suffix", "most"), [("1", "png", 130), ("RGB", "png", 460), ("RGB", "jpg", 120)])
def test_a_scan_takes_little_more_than_its_pixels(tmp_path, mode, suffix, most):
    Image.new(mode, (10000, 9000)).save(tmp_path / f"plan.{suffix}")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", PROGRAM, "1" if mode == "1" else "3"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < most
