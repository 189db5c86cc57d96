"""The training loop: chunks of steps in one compiled scan, with the data set resident on the device or streamed."""

import time
from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxclust.data.rows import Images, LazyArray, blocks
from jaxclust.errors import Diverged
from jaxclust.train import feed, hosts
from jaxclust.train import mesh as meshes
from jaxclust.train.batches import Batches, padded
from jaxclust.train.programs import options
from jaxclust.train.training import Batch, TrainState
from jaxclust.typing import Array, PyTree

Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]
ChooseRows = Callable[[TrainState, Array, int], Array]
MAX_CHUNK = 32  # steps between two looks of the host: the longest wait of a progress bar


class Progress(NamedTuple):
    """What the host learns between two chunks.

    terms: means over the chunk's steps, by name.  examples: how many were trained on in the chunk, padding included.
    """

    state: TrainState
    terms: dict[str, float]
    steps_done: int
    n_steps: int
    examples: int
    seconds: float


def run_chunk(
    step: Step,
    state: TrainState,
    images: np.ndarray | Array,
    index: Array,
    weight: Array,
    streamed: bool = False,
    choose_rows: ChooseRows | None = None,
) -> tuple[TrainState, PyTree]:
    """`index.shape[0]` steps as one program: index (steps, b) int32, weight (steps, b) -> state, mean terms.

    images: the whole data set (n, ...), or streamed those of the chunk (steps, b, ...).
    choose_rows: what chooses the examples of each step instead (`train.training.Training.choose_rows`).
    The state is donated. One compilation for a step function and shapes.
    """
    return chunk_program(jax.default_backend())(step, state, images, index, weight, streamed, choose_rows)


def chunk_program(platform: str, shardings: PyTree = None) -> Callable[..., tuple[TrainState, PyTree]]:
    """The compiled form of a chunk for a platform: 'cpu', 'gpu', 'tpu'.

    shardings: of the state's leaves, which they keep; None on one device.
    """
    leaves, treedef = jax.tree.flatten(shardings)
    return _chunk_program(platform, tuple(leaves), treedef)


@cache
def _chunk_program(platform: str, leaves: tuple[NamedSharding, ...], treedef: Any) -> Callable[..., Any]:
    def chunk(
        step: Step,
        state: TrainState,
        images: Array,
        index: Array,
        weight: Array,
        streamed: bool = False,
        choose_rows: ChooseRows | None = None,
    ) -> tuple[TrainState, PyTree]:
        if choose_rows is not None:
            chosen = chosen_rows(choose_rows, index.shape[1], state, state.step + jnp.arange(len(index)))
            index = meshes.over_data(chosen, axis=1)

        def body(state: TrainState, batch: tuple[Array, ...]) -> tuple[TrainState, dict[str, Array]]:
            return step(state, Batch(*batch))

        # rows are picked before the scan, so that its body, and how it rounds, is the same where images are streamed
        state, terms = lax.scan(body, state, (images if streamed else images[index], index, weight))
        return state, jax.tree.map(lambda values: values.mean(0), terms)

    out = (treedef.unflatten(leaves), NamedSharding(leaves[0].mesh, PartitionSpec())) if leaves else None
    return jax.jit(
        chunk,
        static_argnums=(0, 5, 6),
        donate_argnums=1,
        out_shardings=out,
        compiler_options=options(platform=platform),
    )


def chosen_rows(choose_rows: ChooseRows, size: int, state: TrainState, steps: Array) -> Array:
    """The examples that a training chooses for itself: steps (s,) -> (s, size) int32."""
    return jax.vmap(lambda step: choose_rows(state, step, size))(steps)


def chunk_steps(per_epoch: int) -> int:
    """Steps in a chunk: an epoch in equal parts of at most MAX_CHUNK steps, or several epochs if they are short."""
    if per_epoch >= MAX_CHUNK:
        return -(-per_epoch // -(-per_epoch // MAX_CHUNK))
    return per_epoch * (MAX_CHUNK // per_epoch)


def total_steps(epochs: float, per_epoch: int) -> int:
    """Steps of a training of that many epochs, rounded up to whole chunks so that every chunk has one shape."""
    chunk = chunk_steps(per_epoch)
    return -(-max(1, round(epochs * per_epoch)) // chunk) * chunk


def run(
    step: Step,
    state: TrainState,
    images: Images | Array,
    batches: Batches,
    n_steps: int,
    *,
    on_chunk: Callable[[Progress], None] | None = None,
    mesh: Mesh | None = None,
    stacked: Callable[[TrainState], PyTree] | None = None,
    choose_rows: ChooseRows | None = None,
) -> TrainState:
    """Train until `state.step` is n_steps, compiling once.

    Args:
      step: the training's update. It must be the same object for every call that shall share a compilation.
      state: where to start; it is donated. A restored state goes on where it was.
      images: (n, ...) uint8 or float32, put on the device once; `LazyArray` chunk by chunk.
      batches: the order of the examples, a pure function of the step.
      n_steps: from `total_steps`, a whole number of chunks.
      on_chunk: called between chunks, for progress, history and checkpoints.
      mesh: devices to use, all by default. A batch that they cannot share equally is padded.
      stacked: which leaves of the state are of stacked networks (`train.training.Training.stacked`).
      choose_rows: what chooses the examples of each step, instead of `batches` (`train.training.Training.choose_rows`).

    Returns: the last state, on one device of each process.

    Raises:
      Diverged: a term of the loss is not finite; the message names it and the step.
    """
    mesh = mesh or meshes.make_mesh()
    if meshes.undivided(mesh, state, stacked):
        mesh = meshes.make_mesh(list(mesh.devices.flat))
    shardings = meshes.of_state(mesh, state, stacked)
    if choose_rows is not None and isinstance(images, LazyArray):  # the host has to know them
        batches, choose_rows = chosen_before(choose_rows, state, batches), None
    of_batches = meshes.of_batches(mesh, shardings)
    program = meshes.within(mesh, chunk_program(jax.default_backend(), shardings if mesh.size > 1 else None))
    state = meshes.put(state, shardings)
    examples, batches = batches.size, padded(batches, meshes.shards(of_batches))
    done, chunk = int(state.step), chunk_steps(batches.per_epoch)
    steps = feed.part_steps(images, batches.size, chunk)
    parts = feed.parts(images, batches, range(done, n_steps, steps), mesh, of_batches)
    while done < n_steps:
        start = time.perf_counter()
        state, terms = run_parts(partial(program, step), state, islice(parts, chunk // steps), choose_rows)
        done += chunk
        values = {name: float(value) for name, value in jax.device_get(terms).items()}
        _check(values, done)
        if on_chunk:
            on_chunk(Progress(state, values, done, n_steps, chunk * examples, time.perf_counter() - start))
    return meshes.collect(state)


def run_parts(
    program: Callable[..., tuple[TrainState, PyTree]],
    state: TrainState,
    parts: Iterable[feed.Part],
    choose_rows: ChooseRows | None = None,
) -> tuple[TrainState, PyTree]:
    """The parts of one chunk, of equally many steps -> state, mean terms. program: `chunk_program`'s, of a step."""
    found = []
    for part in parts:
        state, terms = program(state, *part, choose_rows)
        wait(terms)
        found.append(terms)
    return state, jax.tree.map(lambda *terms: sum(terms) / len(terms), *found) if len(found) > 1 else found[0]


def chosen_before(choose_rows: ChooseRows, state: TrainState, batches: Batches) -> Batches:
    """The same batches with the examples that the training chooses."""
    kept, program = jax.device_get(state), jax.jit(partial(chosen_rows, choose_rows, batches.size))

    def indices(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        _, weight = batches.indices(first, count)
        return np.asarray(program(kept, np.arange(first, first + count, dtype=np.int32))), weight

    return batches._replace(indices=indices)


def wait(tree: PyTree) -> None:
    """Wait for the device in Python, so that Ctrl-C is answered at once."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "is_ready")]
    pause = 1e-4
    while not all(leaf.is_ready() for leaf in leaves):
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _check(terms: dict[str, float], step: int) -> None:
    bad = [name for name, value in terms.items() if not np.isfinite(value)]
    if bad:
        raise Diverged(f"training diverged by step {step}: {', '.join(bad)} not finite; lower --learning-rate")


def in_batches(
    function: Callable[..., PyTree], images: Images | Array, batch_size: int = 500, together: bool = True
) -> PyTree:
    """`function(images)` over all rows in batches of one static shape: (n, ...) -> NumPy arrays (n, ...).

    The last batch is padded with its first row, so the result for a row does not depend on the others. Of several
    processes each computes all, and takes what the first one found; `together` is False where one calls this alone.
    """
    whole: PyTree = None
    for first, block in blocks(images, batch_size):
        rows = np.asarray(block)
        padding = batch_size - len(rows)
        out = function(np.concatenate([rows, np.repeat(rows[:1], padding, 0)]))
        wait(out)
        if whole is None:
            whole = jax.tree.map(lambda a: np.empty((len(images), *a.shape[1:]), a.dtype), out)
        for kept, leaf in zip(jax.tree.leaves(whole), jax.tree.leaves(out), strict=True):
            kept[first : first + batch_size] = np.asarray(leaf)[: batch_size - padding]
    return hosts.shared_tree(whole, lambda: whole) if together else whole
