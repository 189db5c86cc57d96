import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxclust.errors import InputError
from jaxclust.train import history, loop
from jaxclust.train.phases import Phases, estimate
from jaxclust.train.progress import Silent
from tests import toy


class Log(Silent):
    """Remembers what it was told; `stop_after` chunks it behaves like Ctrl-C."""

    def __init__(self, stop_after=None):
        self.lines, self.chunks, self.stop_after = [], 0, stop_after

    def phase(self, name):
        self.lines.append(name)

    def note(self, text):
        self.lines.append(text)

    def compiling(self):
        self.lines.append("compiling")

    def progress(self, done, total, examples_per_second, terms):
        self.chunks += 1
        if self.chunks == self.stop_after:
            raise KeyboardInterrupt


IMAGES = toy.blobs(100)[0][..., None]
CHUNK, TOTAL = loop.chunk_steps(5), loop.total_steps(40, 5)
STEPS = list(range(CHUNK, TOTAL + 1, CHUNK))
CENTRES = IMAGES[:3].reshape(3, -1) / np.float32(255)
TRAINING = toy.make(toy.ToyConfig(), CENTRES)


def train(phases, epochs=40):
    return phases.train("centres", TRAINING, IMAGES, key=jax.random.key(0), epochs=epochs, batch_size=20)


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))]


def test_an_artefact_is_computed_once(tmp_path):
    calls = []

    def function():
        calls.append(1)
        return {"x": np.arange(3), "n": 7}

    first = Phases(tmp_path).compute("umap", function)
    log = Log()
    again = Phases(tmp_path, log).compute("umap", function)
    assert len(calls) == 1
    assert log.lines == ["umap: kept from before"]
    for arrays in (first, again):
        assert arrays["x"].tolist() == [0, 1, 2]
        assert arrays["n"].shape == ()
        assert arrays["n"] == 7


def test_without_a_directory_nothing_is_kept():
    phases = Phases()
    assert phases.compute("umap", lambda: {"x": np.ones(2)})["x"].sum() == 2
    assert int(train(phases).step) == TOTAL
    assert list(phases.seconds) == ["umap", "centres"]


@pytest.mark.parametrize("value", [np.array([{}], object), np.array([object()])])
def test_nothing_is_pickled(tmp_path, value):
    with pytest.raises(TypeError, match="pickle"):
        Phases(tmp_path).compute("umap", lambda: {"x": value})
    assert not (tmp_path / "phases" / "umap.npz").exists()


def test_a_resumed_training_equals_a_straight_one_bit_by_bit(tmp_path):
    straight = train(Phases())
    log = Log(stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        train(Phases(tmp_path, log, save_every=0.0))
    assert log.lines[:2] == ["centres", "compiling"]
    assert re.fullmatch(r"first steps after \d+\.\d s, compilation included", *log.lines[2:])
    steps = [row["step"] for row in history.read(tmp_path)]
    log = Log()
    resumed = train(Phases(tmp_path, log))
    assert log.lines[2] == f"centres: goes on from step {steps[-1]} of {TOTAL}"
    assert log.chunks == len(STEPS) - 2  # the second was the last that was saved
    for a, b in zip(leaves(straight), leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_killed_before_its_first_checkpoint_begins_anew(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Phases(tmp_path, Log(stop_after=3), save_every=1e9))
    assert len(history.read(tmp_path)) == 2
    resumed = train(Phases(tmp_path))
    assert [row["step"] for row in history.read(tmp_path)] == STEPS
    for a, b in zip(leaves(train(Phases())), leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_history_has_every_chunk_once_over_resumes(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Phases(tmp_path, Log(stop_after=4), save_every=0.0))
    train(Phases(tmp_path))
    rows = history.read(tmp_path)
    assert [row["step"] for row in rows] == STEPS
    assert rows[0]["epoch"] == pytest.approx(CHUNK / 5)
    assert rows[-1]["inertia"] < rows[0]["inertia"]
    assert all(a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(rows))


def test_a_finished_training_is_only_read(tmp_path):
    first = leaves(train(Phases(tmp_path)))
    log = Log()
    phases = Phases(tmp_path, log)
    for a, b in zip(first, leaves(train(phases)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [log.lines[i] for i in (0, 1, -1)] == ["centres", "compiling", "centres: kept from before"]
    assert phases.seconds["centres"] > 0


def test_seconds_add_up_over_resumes(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Phases(tmp_path, Log(stop_after=3), save_every=0.0))
    timings = tmp_path / "phases" / "seconds.json"
    before = json.loads(timings.read_text())["centres"]
    phases = Phases(tmp_path)
    train(phases)
    assert phases.seconds["centres"] > before > 0
    assert json.loads(timings.read_text()) == phases.seconds


def test_many_chunks_are_one_compilation():
    program = loop.chunk_program(jax.default_backend())
    before = program._cache_size()
    training = toy.make(toy.ToyConfig(learning_rate=0.017), CENTRES)
    Phases().train("a", training, IMAGES, key=jax.random.key(0), epochs=40, batch_size=20)
    assert program._cache_size() == before + 1


@pytest.mark.slow
def test_a_long_training_is_announced_with_its_time_and_memory(monkeypatch):
    log = Log()
    train(Phases(report=log))
    assert not any(line.startswith("about") for line in log.lines)
    monkeypatch.setattr("jaxclust.train.phases.LONG", 0.0)
    train(Phases(report=log))
    (told,) = [line for line in log.lines if line.startswith("about")]
    assert re.fullmatch(r"about 0 min for this training, [\d,]+ MB of memory up to now: .* --batch-size .*", told)
    assert "about 25 min" in estimate(1500.0)


@pytest.mark.slow
def test_eight_devices_train_as_one_does(tmp_path):
    program = f"""
import numpy as np
from tests.train import phases_test as t
state = t.Phases().train("a", t.TRAINING, t.IMAGES, key=t.jax.random.key(0), epochs=10, batch_size=40)
assert len(t.jax.devices()) == 8
np.save({str(tmp_path / "centres.npy")!r}, np.asarray(state.params["centres"]))
"""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=root)
    alone = Phases().train("a", TRAINING, IMAGES, key=jax.random.key(0), epochs=10, batch_size=40)
    np.testing.assert_allclose(np.load(tmp_path / "centres.npy"), alone.params["centres"], atol=1e-5)


@pytest.mark.parametrize("name", ["../evil", "", "a/b", "Big"])
def test_names_are_file_names(name):
    with pytest.raises(ValueError, match="file names"):
        Phases().compute(name, dict)


def test_a_name_is_used_once():
    phases = Phases()
    phases.compute("a", dict)
    with pytest.raises(ValueError, match="used once"):
        phases.compute("a", dict)


def test_the_last_batch_of_an_epoch_is_no_smaller_than_the_others():
    """100 examples, at most 33 a batch: four batches of 25, not three of 33 and one of a single example."""
    seen = []

    class Terms(Silent):
        def progress(self, done, total, examples_per_second, terms):
            seen.append(terms["squared"])

    def step(state, batch):
        state, terms = TRAINING.step(state, batch)
        return state, {**terms, "squared": batch.weight.sum() ** 2}

    Phases(report=Terms()).train(
        "a", TRAINING._replace(step=step), IMAGES, key=jax.random.key(0), epochs=8, batch_size=33
    )
    assert seen
    np.testing.assert_allclose(seen, 25**2)


def test_what_does_not_fit_into_memory_ends_with_one_line(monkeypatch):
    monkeypatch.setattr(loop, "run", lambda *args, **kwargs: jax.numpy.ones(1 << 44))
    with pytest.raises(InputError, match=r"'centres' does not fit into the device's mem.*70368744177664.*--batch"):
        train(Phases())
    monkeypatch.setattr(loop, "run", lambda *args, **kwargs: jax.numpy.ones(2) @ jax.numpy.ones(3))
    with pytest.raises(TypeError):
        train(Phases())
