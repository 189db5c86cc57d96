"""The mesh that is asked for, and where arrays lie on it. What it computes is in devices_test.py."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxclust.errors import InputError
from jaxclust.train import mesh
from jaxclust.train.batches import grouped, padded, shuffled

ONE = jax.devices()[:1]


def test_a_mesh_that_does_not_fit_is_an_error():
    with pytest.raises(InputError, match="expert=3 does not divide the 1 devices"):
        mesh.make_mesh(ONE, expert=3)
    with pytest.raises(InputError, match="devices is 99"):
        mesh.choose_mesh(99)
    with pytest.raises(InputError, match="devices is 0"):
        mesh.choose_mesh(0)
    with pytest.raises(InputError, match="takes 64 devices"):
        mesh.choose_mesh(None, "data=16,expert=4")


@pytest.mark.parametrize("shape", ["", "data", "data=0", "expert=2,expert=2", "rows=2", "data=2;expert=2"])
def test_a_shape_that_cannot_be_read_is_an_error(shape):
    with pytest.raises(InputError, match="write data=N,expert=M"):
        mesh.choose_mesh(None, shape)


def test_shapes_that_fit_one_device():
    for asked in ((None, None), (1, None), (1, "data=1"), (None, "expert=1"), (None, " data=1, expert=1")):
        assert dict(mesh.choose_mesh(*asked).shape)["expert"] == 1


def test_where_one_device_puts_a_state():
    shardings = mesh.of_state(
        mesh.make_mesh(ONE), {"a": jnp.ones((4, 2)), "b": jnp.ones(())}, lambda _: {"a": True, "b": True}
    )
    assert shardings["a"].spec == PartitionSpec("expert")
    assert shardings["b"].spec == PartitionSpec()


@pytest.mark.parametrize(("expert", "found"), [(1, None), (2, None), (3, 4), (8, 4)])
def test_networks_that_the_mesh_does_not_divide_are_counted(expert, found):
    state = {"experts": jnp.ones((4, 2)), "count": jnp.ones(()), "manager": jnp.ones((5, 2))}
    asked = types.SimpleNamespace(shape={"data": 1, "expert": expert})
    flags = {"experts": True, "count": False, "manager": False}
    assert mesh.undivided(asked, state, lambda _: flags) == found
    assert mesh.undivided(asked, state, None) is None


def test_rows_are_spread_only_where_a_mesh_is_set():
    rows = jnp.ones((4, 2))
    assert mesh.over_data(rows) is rows
    function = mesh.within(mesh.make_mesh(ONE), mesh.over_data)
    assert function(rows) is rows, "one device needs no mesh"
    with jax.set_mesh(mesh.make_mesh(ONE)):
        assert "sharding_constraint" in str(jax.make_jaxpr(mesh.over_data)(rows))


def test_padding_a_batch_by_hand():
    batches = padded(shuffled(7, 3, 0), 2)
    index, weight = batches.indices(0, 3)
    plain, ones = shuffled(7, 3, 0).indices(0, 3)
    assert batches.size == 4
    np.testing.assert_array_equal(index, np.concatenate([plain, plain[:, -1:]], 1))
    np.testing.assert_array_equal(weight, np.concatenate([ones, np.zeros((3, 1))], 1))
    assert padded(shuffled(7, 3, 0), 3).indices(0, 3)[0].shape == (3, 3)


def test_padding_keeps_the_turns_of_groups():
    groups = np.array([0, 0, 0, 1, 1, 1])
    batches = padded(grouped(groups, 2, 3, 0), 4)
    index, weight = batches.indices(0, 2)
    assert batches.size == 8
    np.testing.assert_array_equal(groups[index[:, :6]], [[0, 1] * 3] * 2)
    np.testing.assert_array_equal(weight, [[1] * 6 + [0] * 2] * 2)
