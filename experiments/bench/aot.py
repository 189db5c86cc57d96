"""Compiles every method's training step for TPUs and GPUs, without having one: `python -m experiments.bench.aot`.

What is compiled is what the library runs: the chunk of steps of train/loop.py, its data set resident, its state
donated, its batches spread over the chips. A step fails if it does not fit into a chip's memory, is not sharded, is not
donated, computes its networks in float32 or its distances in less, or calls the host. What labels new examples is
compiled too, of every method, for one chip (predictions.py). Beside each target runs the same on programs with one such
fault each, which must be caught.

What follows from it: these programs compile, partition and fit. Nothing about speed: times are lower bounds computed
from XLA's counts and the data sheets, and are called estimates.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, gcd, prod
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from experiments.bench import _hlo, _targets, predictions
from experiments.bench._targets import Chip, Target
from experiments.bench.steps import IMAGES, STEPS, Step, step_of
from jaxclust import methods
from jaxclust.errors import InputError
from jaxclust.numerics import EXACT
from jaxclust.system import atomic
from jaxclust.train import loop
from jaxclust.train import mesh as meshes
from jaxclust.train.training import Batch
from jaxclust.typing import PyTree

MOST_REPEATED = 1.5  # work of all chips to that of the whole program: 4 if unsharded, near 1.4 on GPUs if sharded
CONTROL = "ae-cm-dense-32"  # the step that the controls spoil: it compiles in the shortest time
COUNTED = 4  # steps of the chunk in which bytes and operations are counted
EXPORTS = ("tpu", "cuda", "cpu")


class Fault(NamedTuple):
    """What a control does wrong, and the word of the failure that must catch it."""

    name: str
    caught_as: str


FAULTS = (
    Fault("unsharded batch", "not sharded"),
    Fault("no donation", "not donated"),
    Fault("float32", "float32"),
    Fault("batch too large", "does not fit"),
    Fault("calls the host", "host"),
    Fault("inexact distances", "fewer bits"),
)


class Row(NamedTuple):
    """What is known of one compiled step on one target; bytes and operations are of one chip and one step.

    memory: peak bytes, None where the compiler itself gave up for want of memory.  collectives: operations by kind.
    products: by type.  exact: those that decide about clusters, in full float32 and in fewer bits.
    float32_share: of the multiply-adds of all others.  most_float32: what the Step allows.
    repeated: products of all chips, as a multiple of the whole program's and, on GPUs, of what zeros add (Step.zeros).
    state, aliased: bytes of the state, and of those whose memory the new state takes over.
    flops, bytes: XLA's counts (see `counted`), None where it has none; told of one chip only.
    compute_bound_from: smallest batch at which arithmetic takes longer than memory traffic, inf if none does.
    """

    step: str
    target: str
    batch: int
    mesh: dict[str, int]
    capacity: int
    memory: int | None
    collectives: dict[str, int] = {}  # noqa: RUF012
    products: dict[str, int] = {}  # noqa: RUF012
    float32_share: float = 0.0
    most_float32: float = 0.05
    exact: tuple[int, int] = (0, 0)
    repeated: float = 1.0
    state: int = 0
    aliased: int = 0
    host_calls: int = 0
    flops: float | None = None
    bytes: float | None = None
    lower_bound: float | None = None
    compute_bound_from: float | None = None

    def failures(self) -> list[str]:
        """What is wrong with it, in words; best nothing."""
        if self.memory is None or self.memory > self.capacity:
            return ["does not fit"]
        found = []
        if prod(self.mesh.values()) > 1 and (self.repeated > MOST_REPEATED or "all-reduce" not in self.collectives):
            found.append(f"not sharded: the chips do {self.repeated:.2f} times the work")
        if self.aliased < self.state:
            found.append("not donated")
        if self.float32_share > self.most_float32:
            found.append(f"{self.float32_share:.0%} of the multiply-adds in float32")
        if self.exact[1]:
            found.append(f"{self.exact[1]} products of distances in fewer bits")
        if self.host_calls:
            found.append("calls the host")
        return found


def mesh_of(step: Step, target: Target) -> Mesh:
    """All chips: TPUs over `expert` where they divide the experts, by two at least over `data`; GPUs over `data`."""
    return meshes.make_mesh(
        target.devices(), gcd(max(1, target.count // 2), step.experts) if target.platform == "tpu" else 1
    )


def arguments(step: Step, mesh: Mesh, sharded: bool = True, steps: int | None = None) -> tuple[Any, ...]:
    """What the chunk program takes: state, images, index, weight, as shapes with the shardings of the loop.

    steps: of the chunk, and then there are no more images than it looks at; as many as the loop takes if None.
    """
    images = IMAGES if steps is None else steps * step.batch
    steps = steps or loop.chunk_steps(-(-IMAGES // step.batch))
    state = step.state()
    shardings = meshes.of_state(mesh, state, step.training().stacked)
    state = jax.tree.map(lambda a, place: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), state, shardings)
    everywhere = meshes.replicated(mesh)
    over = meshes.of_batches(mesh, shardings) if sharded else everywhere
    return (
        state,
        jax.ShapeDtypeStruct((images, *step.shape), jnp.uint8, sharding=everywhere),
        jax.ShapeDtypeStruct((steps, step.batch), jnp.int32, sharding=over),
        jax.ShapeDtypeStruct((steps, step.batch), jnp.float32, sharding=over),
    )


def lowered(
    step: Step, target: Target, fault: str = "", steps: int | None = None
) -> tuple[jax.stages.Lowered, Mesh, PyTree]:
    """The chunk program of the step for the target, its mesh and its state; `fault` is a control's name."""
    mesh = mesh_of(step, target)
    function = step.training().step
    if fault == "calls the host":
        function = _calling_the_host(function)
    if fault == "inexact distances":
        function = _inexact(function)
    given = arguments(step, mesh, fault != "unsharded batch", steps)
    as_it_was = jax.tree.map(lambda leaf: leaf.sharding, given[0])  # the new state lies where the old one did
    program = loop.chunk_program(target.platform, as_it_was)
    if fault == "no donation":
        program = jax.jit(program.__wrapped__, static_argnums=(0, 5, 6))  # type: ignore[attr-defined]
    lowered = meshes.within(mesh, program.lower)(function, *given, False, step.training().choose_rows)
    return lowered, mesh, given[0]


def _calling_the_host(function: loop.Step) -> loop.Step:
    def step(state: Any, batch: Batch) -> Any:
        state, terms = function(state, batch)
        jax.debug.callback(print, terms)
        return state, terms

    return step


def _inexact(function: loop.Step) -> loop.Step:
    """The step with a product of examples in the device's default precision."""

    def step(state: Any, batch: Batch) -> Any:
        x = batch.image.reshape(len(batch.image), -1).astype(jnp.float32)
        new, terms = function(state, batch)
        with jax.named_scope(EXACT):
            return new, {**terms, "inexact": (x @ x.T).max()}

    return step


def measured(step: Step, target: Target, fault: str = "", steps: int | None = None) -> Row:
    """Compile the step for the target, in a chunk of so many, and read what came out."""
    program, mesh, state = lowered(step, target, fault, steps)
    row = Row(step.name, target.name, step.batch, dict(mesh.shape), target.chip.memory, None)
    try:
        compiled = program.compile(target.options())
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return row
    text = compiled.as_text()
    products, taken = _hlo.products(text), _hlo.aliased(text)
    whole = _hlo.products(program.as_text("hlo")).total
    sizes = [_bytes(leaf) for leaf in jax.tree.leaves(state)]
    counts = compiled.cost_analysis() or {}
    return row._replace(
        memory=compiled.memory_analysis().peak_memory_in_bytes,
        collectives=_hlo.collectives(text),
        products=products.count,
        float32_share=_hlo.products(text, (EXACT,)).share("f32"),
        most_float32=step.most_float32,
        exact=_hlo.exact(text, EXACT),
        repeated=products.total * prod(mesh.shape.values()) / whole / (step.zeros if target.platform == "cuda" else 1),
        state=sum(sizes),
        aliased=sum(size for number, size in enumerate(sizes) if number in taken),
        host_calls=_hlo.host_calls(text),
        flops=counts.get("flops"),
        bytes=counts.get("bytes accessed"),
    )


def counted(step: Step, target: Target) -> Row:
    """The step with XLA's counts of a step and the seconds that follow from them, for one chip.

    In a short chunk with few images: XLA counts the body of the loop once, and beside it all that the program reads to
    take a chunk's images from the data set.
    """
    row = measured(step, target, steps=COUNTED)
    return row._replace(lower_bound=lower_bound(row, target.chip))


def _bytes(leaf: jax.ShapeDtypeStruct) -> int:
    """Of one device's part of an array."""
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
        return prod(leaf.shape) * leaf.dtype.itemsize
    return prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def lower_bound(row: Row, chip: Chip) -> float | None:
    """Seconds that a step of that row's counts takes a chip at least, at the data sheet's rates."""
    if row.flops is None or row.bytes is None:
        return None
    return max(row.flops / chip.flops, row.bytes / chip.bandwidth)


def compute_bound_from(row: Row, half: Row, target: Target) -> float | None:
    """The smallest batch at which the roofline says arithmetic, from counts at a batch and at half of it."""
    if None in (row.flops, row.bytes, half.flops, half.bytes):
        return None
    seconds = [(r.bytes / target.chip.bandwidth - r.flops / target.chip.flops) for r in (row, half)]  # type: ignore[operator]
    slope = (seconds[0] - seconds[1]) / (row.batch - half.batch)
    if seconds[0] <= 0 or slope < 0:
        return max(1, ceil(row.batch - seconds[0] / slope)) if slope else 1
    return float("inf")


def control(fault: Fault, target: Target, sound: Row) -> Row:
    """The control step with that fault. sound: the same step without."""
    step = step_of(CONTROL)
    if fault.name == "float32":
        step = step.in_precision("float32")
    if fault.name == "batch too large":
        assert sound.memory
        activations = sound.memory - sound.state - IMAGES * prod(step.shape)
        step = step.with_batch(step.batch * ceil(4 * target.chip.memory / activations))
    return measured(step, target, fault.name)


def exported(step: Step) -> int:
    """Bytes of the step's chunk, exported once for all of EXPORTS with jax.export."""
    from jax import export

    mesh = meshes.make_mesh(jax.devices("cpu")[:1])
    training = step.training()
    chunk = partial(loop.chunk_program("cpu").__wrapped__, training.step, choose_rows=training.choose_rows)  # type: ignore[attr-defined]
    program = jax.jit(chunk, donate_argnums=0)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments(step, mesh))
    return len(export.export(program, platforms=EXPORTS)(*shapes).mlir_module_serialized)


def chosen(only: Sequence[str] | None) -> tuple[list[Step], list[str]]:
    """The steps, and the methods whose labelling is compiled: all of both, or those that are named."""
    if only is None:
        return list(STEPS), list(methods.METHODS)
    named = [name.removeprefix(predictions.PREFIX) for name in only if name.startswith(predictions.PREFIX)]
    steps = [step_of(name) for name in only if not name.startswith(predictions.PREFIX)]
    return steps, [methods.find(name).name for name in named]


HEADER = (
    "step", "target", "data x expert", "peak MiB", "of MiB", "all-reduces", "other moves", "bf16 products",
    "f32 products (share)", "exact", "work", "aliased MiB", "host calls", "est. GFLOP", "est. GB", "est. ms at least",
    "est. compute-bound from batch", "verdict",
)  # fmt: skip


def cells(row: Row, verdict: str) -> list[str]:
    """One line of the table, in the order of HEADER."""

    def shown(value: float | None, unit: float = 1.0, digits: int = 1) -> str:
        return "-" if value is None else f"{value / unit:.{digits}f}"

    bound = row.compute_bound_from
    return [
        row.step,
        row.target,
        " x ".join(map(str, row.mesh.values())),
        shown(row.memory, 2**20, 0),
        shown(row.capacity, 2**20, 0),
        str(row.collectives.get("all-reduce", 0)),
        str(sum(row.collectives.values()) - row.collectives.get("all-reduce", 0)),
        str(row.products.get("bf16", 0)),
        f"{row.products.get('f32', 0)} ({row.float32_share:.1%})",
        f"{row.exact[0]} of {sum(row.exact)}",
        f"{row.repeated:.2f}",
        f"{row.aliased / 2**20:.1f} of {row.state / 2**20:.1f}",
        str(row.host_calls),
        shown(row.flops, 1e9),
        shown(row.bytes, 1e9, 2),
        shown(row.lower_bound, 1e-3, 2),
        "-" if bound is None else "none" if bound == float("inf") else f"{bound:.0f}",
        verdict,
    ]


def line(values: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(values)} |"


def compile_all(steps: Sequence[Step], targets: Sequence[Target], say: Callable[[str], None]) -> tuple[list[Row], int]:
    """Compile every step for every target, tell each row as it is known: the rows, and how many failed."""
    for head in (HEADER, ["---"] * len(HEADER)) if steps else ():
        say(line(head))
    rows = []
    for target in targets:
        for step in steps:
            row = measured(step, target)._replace(flops=None, bytes=None)
            if target.count == 1:
                whole, half = (counted(step.with_batch(batch), target) for batch in (step.batch, step.batch // 2))
                row = row._replace(flops=whole.flops, bytes=whole.bytes, lower_bound=whole.lower_bound)
                row = row._replace(compute_bound_from=compute_bound_from(whole, half, target))
            say(line(cells(row, "; ".join(row.failures()) or "good")))
            rows.append(row)
    return rows, sum(bool(row.failures()) for row in rows)


def applies(fault: Fault, target: Target) -> bool:
    """Whether the fault can be made: one chip shares nothing, and JAX lowers no callback to a GPU that is not there."""
    return not (
        (fault.name == "unsharded batch" and target.count == 1)
        or (fault.name == "calls the host" and target.platform == "cuda")
    )


def run_controls(targets: Sequence[Target], rows: Sequence[Row], say: Callable[[str], None]) -> int:
    """Compile the faulty steps for every target: how many faults were not caught. rows: what was compiled without."""
    missed = 0
    for target in targets:
        known = [row for row in rows if (row.step, row.target) == (CONTROL, target.name)]
        sound = known[0] if known else measured(step_of(CONTROL), target)
        for fault in FAULTS:
            if not applies(fault, target):
                continue
            found = control(fault, target, sound).failures()
            caught = any(fault.caught_as in failure for failure in found)
            say(f"control on {target.name}, {fault.name}: {'caught: ' + '; '.join(found) if caught else 'NOT CAUGHT'}")
            missed += not caught
    return missed


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code: 1 for a step that failed or a control that did not, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.bench.aot", description=__doc__.splitlines()[0])
    parser.add_argument("--target", action="append", help="repeatable; all by default")
    what = f"a step, or {predictions.PREFIX}METHOD; repeatable; all by default"
    parser.add_argument("--only", action="append", metavar="PROGRAM", help=what)
    parser.add_argument("--no-exports", action="store_true", help="an export is the same for all targets")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    options = parser.parse_args(argv)
    say = partial(print, flush=True)
    try:
        targets = [_targets.find(name) for name in options.target or [t.name for t in _targets.TARGETS]]
        steps, labelling = chosen(options.only)
        _targets.prepare()
        for target in targets:
            target.devices()
        rows, failed = compile_all(steps, targets, say)
        for source in dict.fromkeys(target.chip.source for target in targets):
            say(f"rates and memory: {source}")
        failed += predictions.compile_all(labelling, targets, say)
        missed = run_controls(targets, rows, say) if steps else 0
        for step in () if options.no_exports else steps:
            say(f"exported {step.name} for {', '.join(EXPORTS)}: {exported(step) / 1e6:.1f} MB")
    except InputError as error:
        print(f"experiments.bench.aot: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        atomic.write_json(options.json, [row._asdict() | {"failures": row.failures()} for row in rows])
    say(f"{len(rows) + len(labelling) * len(targets)} programs compiled, {failed} failed; {missed} controls missed")
    return int(failed + missed > 0)


if __name__ == "__main__":
    sys.exit(main())
