"""One mesh with the axes `data` (batches) and `expert` (stacked networks), from one chip to many hosts.

Parameters and images are on every device. A batch is spread over `data`, and stacked networks over `expert`; where a
training has none, the batch is spread over both. Everything else is jit's: the program of a mesh is the program of
one device, and batch norm sees the whole batch.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxclust.errors import InputError
from jaxclust.typing import Array, PyTree

AXES = ("data", "expert")
DATA, EXPERT = AXES


def make_mesh(devices: Sequence[jax.Device] | None = None, expert: int = 1) -> Mesh:
    """A mesh over `devices` (all by default), shape (number / expert, expert)."""
    devices = list(jax.devices() if devices is None else devices)
    if expert < 1 or len(devices) % expert:
        raise InputError(f"mesh expert={expert} does not divide the {len(devices)} devices: choose a divisor")
    return Mesh(np.array(devices).reshape(-1, expert), AXES)


def choose_mesh(count: int | None = None, shape: str | None = None) -> Mesh:
    """The mesh that the command line asks for: the first `count` devices, or a `shape` such as 'data=4,expert=2'.

    Neither: all devices over `data`. A shape that names one axis leaves the other to the remaining devices. Raises
    InputError for more devices than there are.
    """
    devices = jax.devices()
    if count is not None and not 1 <= count <= len(devices):
        raise InputError(f"devices is {count}: there are {len(devices)} ({devices[0].platform}), choose 1 to that many")
    devices = devices[:count]
    sizes = _sizes(shape)
    expert = sizes.get(EXPERT, 1)
    if DATA not in sizes:
        return make_mesh(devices, expert)
    wanted = sizes[DATA] * expert
    if wanted > len(devices) or (count is not None and wanted != count):
        raise InputError(f"mesh {shape} takes {wanted} devices: there are {len(devices)}: give fewer")
    return make_mesh(devices[:wanted], expert)


def _sizes(shape: str | None) -> dict[str, int]:
    parts = [] if shape is None else shape.split(",")
    found = [re.fullmatch(r"(data|expert)=([1-9][0-9]*)", part.strip()) for part in parts]
    sizes = {match[1]: int(match[2]) for match in found if match}
    if len(sizes) < len(parts):
        raise InputError(f"mesh is {shape!r}: write data=N,expert=M, each once")
    return sizes


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def of_state(mesh: Mesh, state: PyTree, stacked: Callable[[PyTree], PyTree] | None) -> PyTree:
    """The sharding of every leaf of `state`: over `expert` where `stacked(state)` is True and the axis fits, else none.

    stacked: a tree of bool like the state, True where a leaf's leading axis is that of stacked networks.
    """
    flags = jax.tree.map(lambda _: False, state) if stacked is None else stacked(state)

    def place(leaf: Any, flag: bool) -> NamedSharding:
        fits = flag and leaf.ndim > 0 and leaf.shape[0] % mesh.shape[EXPERT] == 0
        return NamedSharding(mesh, PartitionSpec(EXPERT) if fits else PartitionSpec())

    return jax.tree.map(place, state, flags)


def undivided(mesh: Mesh, state: PyTree, stacked: Callable[[PyTree], PyTree] | None) -> int | None:
    """How many stacked networks there are, if `expert` does not divide them: all devices share the batches then."""
    if stacked is None:
        return None
    flags = zip(jax.tree.leaves(state), jax.tree.leaves(stacked(state)), strict=True)
    counts = {leaf.shape[0] for leaf, flag in flags if flag}
    return next((count for count in counts if count % mesh.shape[EXPERT]), None)


def within(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, called with the mesh set, so that `over_data` knows it; one device needs none."""

    def called(*arguments: Any) -> Any:
        with jax.set_mesh(mesh):
            return function(*arguments)

    return function if mesh.size == 1 else called


def over_data(rows: Array, axis: int = 0) -> Array:
    """Inside a step: rows (b, ...) spread over `data`. What is picked from a whole batch would else be everywhere.

    axis: which one is the batch's.

    Does nothing where no mesh with that axis is set (`jax.set_mesh`); the loop does so for several devices.
    """
    if DATA not in jax.sharding.get_abstract_mesh().axis_names:
        return rows
    return jax.lax.with_sharding_constraint(rows, PartitionSpec(*[None] * axis, DATA))


def over_all(rows: Array) -> Array:
    """Inside a step: rows (b, ...) spread over all devices where they divide b, for a network that is not stacked: the
    devices along `expert` would else repeat its work."""
    mesh = jax.sharding.get_abstract_mesh()
    if EXPERT not in mesh.axis_names or len(rows) % mesh.size:
        return rows
    return jax.lax.with_sharding_constraint(rows, PartitionSpec(AXES))


def of_batches(mesh: Mesh, shardings: PyTree) -> NamedSharding:
    """Arrays (steps, b, ...): the second axis over `data`, and over `expert` too if no leaf of the state is there."""
    taken = mesh.shape[EXPERT] == 1 or any(s.spec == PartitionSpec(EXPERT) for s in jax.tree.leaves(shardings))
    return NamedSharding(mesh, PartitionSpec(None, DATA if taken else AXES))


def shards(sharding: NamedSharding) -> int:
    """Into how many parts `of_batches` splits a batch."""
    mesh = sharding.mesh
    return mesh.size if sharding.spec[1] == AXES else mesh.shape[DATA]


def put(tree: PyTree, shardings: PyTree) -> PyTree:
    """Arrays that every process holds whole, onto a mesh. shardings: one, or a tree like `tree`."""
    leaves = jax.tree.leaves(shardings)
    if all(sharding.is_fully_addressable for sharding in leaves):
        return jax.device_put(tree, shardings)
    if isinstance(shardings, NamedSharding):
        shardings = jax.tree.map(lambda _: shardings, tree)
    return jax.tree.map(_put_global, tree, shardings)


def _put_global(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        implementation = str(jax.random.key_impl(leaf))
        return jax.random.wrap_key_data(_put_global(jax.random.key_data(leaf), sharding), impl=implementation)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def collect(tree: PyTree) -> PyTree:
    """Arrays of a mesh as whole arrays on one device of each process."""
    return jax.tree.map(_collect, tree)


def _collect(leaf: jax.Array) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_collect(jax.random.key_data(leaf)), impl=str(jax.random.key_impl(leaf)))
    if leaf.is_fully_replicated:
        return leaf.addressable_data(0)
    if leaf.is_fully_addressable:
        return jax.device_put(leaf, jax.local_devices()[0])
    from jax.experimental import multihost_utils

    return jax.device_put(np.asarray(multihost_utils.process_allgather(leaf, tiled=True)), jax.local_devices()[0])
