"""Networks of a fitted model with which trainings begin, instead of random ones (`init_from`)."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.train.training import TrainState
from jaxclust.typing import Array, PyTree

KINDS = ("params", "stats")  # parts of a path that are no names of networks
SHOWN = 2  # arrays that a line names


class Start(NamedTuple):
    """Arrays of a fitted model by their names: parameters, and the statistics of its batch norms.

    origin: what lines call the model.
    """

    origin: str
    params: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]

    @classmethod
    def of(cls, origin: str, arrays: PyTree) -> Self:
        """From the arrays of a model: what lies below 'stats' are statistics."""
        params: dict[str, np.ndarray] = {}
        stats: dict[str, np.ndarray] = {}
        for name, parts, leaf in _named(arrays):
            (stats if "stats" in parts else params)[name] = np.asarray(leaf)
        return cls(origin, params, stats)

    def sum(self) -> int:
        """CRC-32 of its arrays."""
        total = 0
        for name, array in sorted([*self.params.items(), *self.stats.items()], key=lambda item: item[0]):
            total = zlib.crc32(np.ascontiguousarray(array).tobytes(), zlib.crc32(name.encode(), total))
        return total


def begun(start: Start, name: str, state: TrainState) -> tuple[TrainState, int, list[str]]:
    """A fresh state with the arrays of `start` that have its names and shapes; how many these are; the other names.

    name: of the training. A model that keeps several networks calls that of a training 'clustering-network' by the last
    word, 'network'.
    Where a state holds several networks stacked, each gets a copy of an array that is of one. Step, key and the
    optimiser's state remain those of a fresh training.
    """
    others: list[str] = []
    network = name.rpartition("-")[2]
    params, taken = _filled(state.params, start.params, network, others)
    extra, of_stats = _filled(state.extra, start.stats, network, [])
    return state._replace(params=params, extra=extra), taken + of_stats, others


def line(start: Start, name: str, taken: int, others: list[str]) -> str:
    """What a training has of it: 'autoencoder: begins with 8 arrays of runs/a; mean.bias and 3 others begin anew'."""
    shown = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} others" if len(others) > SHOWN else "")
    if not taken:
        return f"{name}: begins anew: no array of {start.origin} has a name and shape of its own ({shown})"
    anew = f"; {shown} have other shapes or are not there, and begin anew" if others else ""
    return f"{name}: begins with {taken} arrays of {start.origin}{anew}"


def _filled(tree: PyTree, arrays: dict[str, np.ndarray], network: str, others: list[str]) -> tuple[PyTree, int]:
    taken, leaves = 0, []
    for name, _, leaf in _named(tree):
        value = _suited(arrays.get(name, arrays.get(f"{network}.{name}")), leaf)
        leaves.append(leaf if value is None else value)
        taken += value is not None
        if value is None:
            others.append(name)
    return jax.tree.unflatten(jax.tree.structure(tree), leaves), taken


def _suited(array: np.ndarray | None, leaf: Array) -> Array | None:
    """The array as `leaf` is, or a copy of it for each of several networks; None where it has another shape."""
    if array is None or not leaf.ndim or array.shape not in (leaf.shape, leaf.shape[1:]):
        return None
    return jnp.array(jnp.broadcast_to(array, leaf.shape), leaf.dtype)


def _named(tree: PyTree) -> Iterator[tuple[str, list[str], Array]]:
    """Each leaf with its name and the parts of its path: networks, layers, arrays; of a tuple of trees the first."""
    for path, leaf in jax.tree.flatten_with_path(tree)[0]:
        if path and isinstance(path[0], jax.tree_util.SequenceKey):
            path = path[1:]
        parts = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path]
        yield ".".join(part for part in parts if part not in KINDS), parts, leaf
