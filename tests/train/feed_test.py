"""Streamed images train as resident ones do, bit by bit, whatever the size of the parts and wherever it was stopped."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxclust.data import rows
from jaxclust.train import feed, history, loop, mesh
from jaxclust.train.batches import Batches, grouped, shuffled
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Silent
from tests import toy

IMAGES = toy.blobs(100)[0][..., None]
TRAINING = toy.make(toy.ToyConfig(), IMAGES[:3].reshape(3, -1) / np.float32(255))


def train(phases, images):
    return phases.train("centres", TRAINING, images, key=jax.random.key(0), epochs=40, batch_size=30)


def start(batch_size):
    return TRAINING.init(jax.random.key(0), (batch_size, 8, 8, 1))


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))]


def check_same(ours, theirs):
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("part_bytes", [feed.PART_BYTES, 30 * 64 * 8, 30 * 64, 1])
def test_streamed_equals_resident(tmp_path, monkeypatch, part_bytes):
    """Whole chunks of 32 steps, and parts of 8, 1 and 1 steps."""
    resident = train(Phases(tmp_path / "resident"), IMAGES)
    monkeypatch.setattr(feed, "PART_BYTES", part_bytes)
    streamed = train(Phases(tmp_path / "streamed"), rows.of_array(IMAGES))
    check_same(streamed, resident)
    ours, theirs = (history.read(tmp_path / name) for name in ("streamed", "resident"))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    np.testing.assert_allclose([r["inertia"] for r in ours], [r["inertia"] for r in theirs], rtol=1e-6)


def test_streamed_equals_resident_in_groups():
    groups = np.random.default_rng(0).integers(0, 3, 100)
    batches = grouped(groups, 3, 8, 0)
    total = loop.total_steps(5, batches.per_epoch)
    resident = loop.run(TRAINING.step, start(24), IMAGES, batches, total)
    check_same(loop.run(TRAINING.step, start(24), rows.of_array(IMAGES), batches, total), resident)


def test_another_order_gives_another_state():
    """The test above can fail."""
    ours = loop.run(TRAINING.step, start(30), rows.of_array(IMAGES), shuffled(100, 30, 0), 32)
    theirs = loop.run(TRAINING.step, start(30), IMAGES, shuffled(100, 30, 1), 32)
    assert not np.array_equal(ours.params["centres"], theirs.params["centres"])


KILLED = """
import os, signal
from tests.train import feed_test as t

class Kill(t.Silent):
    chunks = 0
    def progress(self, *args):
        self.chunks += 1
        if self.chunks == 3:
            os.kill(os.getpid(), signal.SIGKILL)

t.train(t.Phases(t.Path({directory!r}), Kill(), save_every=0.0), t.rows.of_array(t.IMAGES))
"""


@pytest.mark.slow
def test_a_killed_streamed_training_goes_on_bit_by_bit(tmp_path):
    """Killed while streaming; then resumed while streaming, and resumed with resident images."""
    program = KILLED.format(directory=str(tmp_path / "run"))
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    assert done.returncode == -signal.SIGKILL
    assert history.read(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    straight = train(Phases(), IMAGES)
    notes = []

    class Log(Silent):
        def note(self, text):
            notes.append(text)

    check_same(train(Phases(tmp_path / "run", Log()), rows.of_array(IMAGES)), straight)
    check_same(train(Phases(tmp_path / "again", Log()), IMAGES), straight)
    assert sum("goes on from step" in note for note in notes) == 2


def test_one_compilation_while_streaming():
    traces = []

    def step(state, batch):
        traces.append(batch.image.shape)
        return TRAINING.step(state, batch)

    loop.run(step, start(30), rows.of_array(IMAGES), shuffled(100, 30, 0), 96)
    assert traces == [(30, 8, 8, 1)]


@pytest.mark.parametrize(
    ("side", "batch", "chunk", "steps"),
    [(32, 100, 32, 32), (32, 1024, 32, 8), (224, 256, 32, 1), (64, 64, 31, 31), (64, 128, 31, 1), (128, 32, 24, 12)],
)
def test_a_part_is_the_most_that_fits_and_divides_the_chunk(side, batch, chunk, steps):
    images = rows.LazyArray((10_000, side, side, 1), np.uint8, lambda numbers: None)
    assert feed.part_steps(images, batch, chunk) == steps
    assert feed.part_steps(np.zeros((2, side)), batch, chunk) == chunk


def test_only_the_rows_of_the_next_parts_are_read():
    asked = []

    def read(numbers):
        asked.append(len(numbers))
        return IMAGES[numbers]

    images = rows.LazyArray(IMAGES.shape, IMAGES.dtype, read)
    batches = shuffled(100, 10, 0)
    one = mesh.make_mesh(jax.devices()[:1])
    found = feed.parts(images, batches, range(0, 1000, 5), one, mesh.of_batches(one, mesh.replicated(one)))
    part = next(found)
    found.close()
    assert part.images.shape == (5, 10, 8, 8, 1)
    assert isinstance(batches, Batches)
    index, weight = batches.indices(0, 5)
    np.testing.assert_array_equal(part.images, IMAGES[index])
    np.testing.assert_array_equal(part.index, index)
    np.testing.assert_array_equal(part.weight, weight)
    assert set(asked) == {50}
    assert len(asked) <= 2 + rows.AHEAD


@pytest.mark.parametrize("n", [1, 9, 10, 37])
def test_outputs_are_the_same(n):
    twice = loop.in_batches(lambda x: {"double": 2.0 * x}, IMAGES[:n], 10)["double"]
    streamed = loop.in_batches(lambda x: {"double": 2.0 * x}, rows.of_array(IMAGES[:n]), 10)["double"]
    np.testing.assert_array_equal(streamed, twice)
    np.testing.assert_array_equal(twice, 2.0 * IMAGES[:n])
    assert type(streamed) is np.ndarray
