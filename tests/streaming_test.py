"""A data set larger than the memory that a process may take is clustered in bounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxclust import cli, load_data
from jaxclust.estimators import DeepClusterer
from tests import toy as toys

ROOM = 256 << 20  # bytes, beyond what JAX and the compiled programs take
PROGRAM = """
import json, resource, sys
from pathlib import Path
import numpy as np
from jaxclust import models
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.train.phases import Phases
from tests import toy

directory, mode, room = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
SIDE, EPOCH = 64, 32 * 256  # examples of whole chunks: the large file needs no compilation of its own

def write(name, n):
    '''Mostly holes, so that it is quick: three kinds of images, one of them black.'''
    array = np.lib.format.open_memmap(directory / name, "w+", np.uint8, (n, SIDE, SIDE))
    array[::50], array[1::50] = 250, np.arange(SIDE, dtype=np.uint8)
    return directory / name

def fit(path, mode):
    data = sources.load(path, stream=mode)
    request = models.Request(toy.METHOD, toy.ToyConfig(epochs=1, batch_size=256))
    preprocess, images = models.prepared(request.config, data.images)
    return models.fit(request, images, preprocess, Phases())

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024

if mode == "on":
    fit(write("small.npy", EPOCH), mode)  # compiles
before, limit = status("VmRSS"), status("VmData") + room
large = write("large.npy", EPOCH * (1 + limit // (EPOCH * SIDE**2)))
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
try:
    result = fit(large, mode)
    found = {"labels": len(result.labels), "kinds": len(set(result.labels.tolist()))}
except InputError as error:
    found = {"error": str(error)}
print(json.dumps({**found, "file": large.stat().st_size, "limit": limit, "grown": status("VmHWM") - before}))
"""


def fit_within(directory, mode):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, str(directory), mode, str(ROOM)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits and tells a process's memory")
def test_a_file_larger_than_the_memory_limit_is_clustered(tmp_path):
    found = fit_within(tmp_path, "on")
    assert found["file"] > found["limit"]
    assert found["labels"] == found["file"] // 64**2
    assert found["kinds"] > 1
    assert found["grown"] < ROOM, (
        f"{found['grown'] >> 20} MiB more resident than before, file {found['file'] >> 20} MiB"
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits and tells a process's memory")
def test_the_limit_is_one(tmp_path):
    """Resident, the same file does not fit."""
    assert "does not fit into this machine's memory: pass --stream on" in fit_within(tmp_path, "off")["error"]


@pytest.fixture
def here(toy, tmp_path, monkeypatch):
    """Three shards with labels, as one .npz too, in the working directory."""
    monkeypatch.chdir(tmp_path)
    images, labels = toys.blobs(90)
    np.savez("all.npz", images=images, labels=labels)
    Path("shards").mkdir()
    for i in range(3):
        np.savez_compressed(f"shards/{i}.npz", images=images[30 * i : 30 * i + 30], labels=labels[30 * i : 30 * i + 30])
    return tmp_path


@pytest.mark.slow
def test_the_commands_give_the_same_files(here, capsys):
    """fit, predict and evaluate of streamed shards, and of the same images in memory; with all the figures."""
    for out, data, stream in (("on", "shards", "on"), ("off", "all.npz", "off")):
        options = ["--stream", stream]
        assert cli.main(["fit", "toy", data, "--out", out, *options]) == 0
        assert cli.main(["predict", out, data, "--out", f"{out}.csv", *options]) == 0
        assert cli.main(["evaluate", out, data, "--out", f"{out}.json", *options]) == 0
    assert "streamed" in capsys.readouterr().err
    for name in ("assignments.csv", "probabilities.npy", "embedding.npy"):
        assert Path("on", name).read_bytes() == Path("off", name).read_bytes()
    assert Path("on.csv").read_bytes() == Path("off.csv").read_bytes()
    scores = [{**json.loads(Path(f"{out}.json").read_text()), "data": ""} for out in ("on", "off")]
    assert scores[0] == scores[1]
    assert scores[0]["acc"] > 0.9
    pictures = [sorted(path.name for path in Path(out, "figures").iterdir()) for out in ("on", "off")]
    assert pictures[0] == pictures[1]
    assert {"gallery.png", "reconstructions.png"} <= set(pictures[0])
    for name in pictures[0]:
        assert Path("on/figures", name).read_bytes() == Path("off/figures", name).read_bytes() or name == "training.png"


@pytest.mark.slow
def test_a_run_begun_in_memory_goes_on_streamed(here, monkeypatch):
    """The data are known by their fingerprint, however they are read."""
    from jaxclust.train.progress import Terminal

    def stop(self, done, total, *rest):
        if done > total // 2:
            raise KeyboardInterrupt

    assert cli.main(["fit", "toy", "all.npz", "--out", "straight", "--quiet"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Terminal, "progress", stop)
        assert cli.main(["fit", "toy", "all.npz", "--out", "run", "--stream", "off"]) == 130
    assert cli.main(["fit", "toy", "shards", "--out", "run", "--stream", "on", "--resume"]) == 0
    assert Path("run/assignments.csv").read_bytes() == Path("straight/assignments.csv").read_bytes()


@pytest.mark.slow
def test_an_estimator_takes_what_stays_on_disk(here):
    class Toy(DeepClusterer, method="toy"):
        """The toy, streamed."""

    streamed, resident = load_data("shards", stream="on").images, load_data("all.npz").images
    ours, theirs = Toy(epochs=3).fit(streamed), Toy(epochs=3).fit(resident)
    np.testing.assert_array_equal(ours.probabilities_, theirs.probabilities_)
    np.testing.assert_array_equal(ours.predict(streamed), ours.labels_)
    np.testing.assert_array_equal(ours.transform(streamed), ours.embedding_)
