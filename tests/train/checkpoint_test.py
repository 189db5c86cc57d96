import errno
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxclust.train import checkpoint
from jaxclust.train.checkpoint import Checkpoints
from jaxclust.train.training import TrainState


def state(seed=0):
    params = {"a": jax.random.normal(jax.random.key(seed), (3, 2)), "b": {"c": jnp.ones(4, jnp.bfloat16)}}
    optimiser = optax.chain(optax.clip(1.0), optax.adam(1e-3))
    return TrainState(jnp.int32(seed), params, optimiser.init(params), {}, jax.random.key(seed + 7))


def same(x, y):
    assert jax.tree.structure(x) == jax.tree.structure(y)
    for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
        assert a.dtype == b.dtype
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_a_training_state_comes_back_bit_by_bit(tmp_path):
    with Checkpoints(tmp_path / "x") as checkpoints:
        assert checkpoints.latest is None
        checkpoints.save(3, state(3))
    with Checkpoints(tmp_path / "x") as checkpoints:
        assert checkpoints.latest == 3
        restored = checkpoints.restore(state(0))
    same(restored, state(3))
    assert isinstance(restored, TrainState)
    assert jax.random.uniform(restored.key) == jax.random.uniform(state(3).key)


def test_only_the_newest_is_kept(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 5):
            checkpoints.save(step, state(step))
        checkpoints.save(5, state(5))
        assert checkpoints.latest == 5
        same(checkpoints.restore(state()), state(5))
    assert {path.name for path in tmp_path.iterdir()} == {"5", checkpoint.SUMS}


def test_dicts_need_no_template(tmp_path):
    arrays = {"net": {"w": jnp.arange(6.0).reshape(2, 3), "empty": {}}, "n": jnp.int32(3)}
    checkpoint.save_dicts(tmp_path / "arrays", arrays)
    same(checkpoint.load_dicts(tmp_path / "arrays"), arrays)


@pytest.mark.parametrize("tree", [{"a": [jnp.ones(1)]}, {"a": 1.0}, {"k": jax.random.key(0)}, {"s": "text"}])
def test_a_model_holds_nothing_but_dicts_of_arrays(tmp_path, tree):
    with pytest.raises(TypeError, match="nested dicts of plain arrays"):
        checkpoint.save_dicts(tmp_path / "arrays", tree)


def test_a_path_that_is_no_utf8(tmp_path):
    """As all that is not ASCII is in the C locale."""
    directory = tmp_path / os.fsdecode(b"run\xff")
    checkpoint.save_dicts(directory, {"a": np.arange(3, dtype=np.int32)})
    same(checkpoint.load_dicts(directory), {"a": np.arange(3, dtype=np.int32)})
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]
    with pytest.raises(FileNotFoundError):
        checkpoint.load_dicts(tmp_path / os.fsdecode(b"none\xff"))


def test_missing_arrays_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.load_dicts(tmp_path / "arrays")


@pytest.mark.slow
def test_arrays_saved_on_eight_devices_load_on_one(tmp_path):
    """The mesh of the machine that fitted need not exist where the model is used."""
    program = f"""
import jax, jax.numpy as jnp
from pathlib import Path
from jax.sharding import NamedSharding, PartitionSpec
from jaxclust.train import checkpoint
mesh = jax.make_mesh((8,), ("data",))
split, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
arrays = {{"w": jax.device_put(jnp.arange(16.0), split), "b": jax.device_put(jnp.ones(3), whole)}}
checkpoint.save_dicts(Path({str(tmp_path)!r}) / "arrays", arrays)
"""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=root)
    arrays = checkpoint.load_dicts(tmp_path / "arrays")
    np.testing.assert_array_equal(arrays["w"], np.arange(16.0))
    assert len(arrays["w"].devices()) == 1


def test_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:

        def full(*args, **kwargs):
            raise ValueError("UNKNOWN: writing: No space left on device [OS error 28]")

        monkeypatch.setattr(checkpoints.manager, "save", full)
        with pytest.raises(OSError) as raised:
            checkpoints.save(1, state())
    assert raised.value.errno == errno.ENOSPC
