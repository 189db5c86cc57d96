"""What a chunk of steps is fed: rows of a data set that is resident on the device, or images streamed from the host.

Either way the order of the examples is the same function of the step, so both give the same states.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from jax.sharding import Mesh, NamedSharding

from jaxclust.data.rows import Images, LazyArray, prefetched
from jaxclust.train import mesh as meshes
from jaxclust.train.batches import Batches
from jaxclust.typing import Array

PART_BYTES = 1 << 23  # of streamed images that are gathered at once: a chunk, or an equal part of one


class Part(NamedTuple):
    """A whole number of steps, on the devices.

    images:   the data set (n, ...); streamed, the images of these steps (steps, b, ...).
    index:    (steps, b) int32.
    weight:   (steps, b) float32.
    """

    images: Array
    index: Array  # type: ignore[assignment]  # tuple.index is not missed
    weight: Array
    streamed: bool


def part_steps(images: Images | Array, batch_size: int, chunk: int) -> int:
    """Steps of a part: all of a chunk; streamed, the most that divide it and fit into PART_BYTES, at least 1."""
    if not isinstance(images, LazyArray):
        return chunk
    batch_bytes = batch_size * images.dtype.itemsize * math.prod(images.shape[1:])
    return max(s for s in range(1, chunk + 1) if chunk % s == 0 and (s == 1 or s * batch_bytes <= PART_BYTES))


def parts(
    images: Images | Array, batches: Batches, firsts: range, mesh: Mesh, sharding: NamedSharding
) -> Iterator[Part]:
    """The parts that begin at steps `firsts`, each of `firsts.step` steps, with batches spread by `sharding`.

    Streamed ones are gathered by threads and put on the device while it computes those before.
    """
    if isinstance(images, LazyArray):
        rows = images

        def gather(first: int) -> Part:
            index, weight = batches.indices(first, firsts.step)
            chosen = rows[index.reshape(-1)].reshape(*index.shape, *rows.shape[1:])
            images, index, weight = meshes.put((chosen, index, weight), sharding)
            return Part(images, index, weight, True)

        yield from prefetched(gather, firsts)
        return
    resident = meshes.put(images, meshes.replicated(mesh))
    for first in firsts:
        index, weight = meshes.put(batches.indices(first, firsts.step), sharding)
        yield Part(resident, index, weight, False)
