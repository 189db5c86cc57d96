"""One mesh with the axes `data` (batches) and `expert` (stacked networks), from one chip to many."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxclust.errors import InputError

AXES = ("data", "expert")


def make_mesh(devices: Sequence[jax.Device] | None = None, expert: int = 1) -> Mesh:
    """A mesh over `devices` (all by default), shape (number / expert, expert)."""
    devices = list(jax.devices() if devices is None else devices)
    if len(devices) % expert:
        raise InputError(f"mesh expert={expert} does not divide the {len(devices)} devices: choose a divisor")
    return Mesh(np.array(devices).reshape(-1, expert), AXES)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batches(mesh: Mesh) -> NamedSharding:
    """Arrays (steps, b, ...) whose second axis is spread over `data`."""
    return NamedSharding(mesh, PartitionSpec(None, "data"))


def largest_mesh(batch_size: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh of the most devices whose number divides `batch_size`, so that every device gets equal shards."""
    devices = list(jax.devices() if devices is None else devices)
    count = max(d for d in range(1, len(devices) + 1) if batch_size % d == 0)
    return make_mesh(devices[:count])
