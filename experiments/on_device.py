"""What the library does on a GPU or TPU: `python -m experiments.on_device`, on a machine that has one.

Runs the numerical tests there, compares a network's loss and gradients with the host's CPU, and measures training
steps in float32 and bfloat16: time, share of the chip's matrix ceiling, memory. Writes all of it as one JSON file into
experiments/results/devices/, to be committed. Products of float32 numbers are rounded on these chips (TF32 on a GPU,
bfloat16 on a TPU) unless JAX is asked for 'highest', so the tests ask for it, with which the tolerances of the CPU
hold; the comparison tells what the chip's own rounding does; the measurements take the chip as it is.
"""

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bench import _cases as cases
from experiments.bench import _timing as timing
from jaxclust import losses
from jaxclust.errors import InputError
from jaxclust.methods.shared import autoencoder
from jaxclust.nn.apply import init, train_mode
from jaxclust.system import atomic, environment
from jaxclust.train.augment import NONE
from jaxclust.train.loop import chunk_program
from jaxclust.typing import Array, PyTree

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results" / "devices"
TESTS = (  # what computes on the device; metrics, files and reports are the host's
    "tests/nn", "tests/losses_test.py", "tests/numerics_test.py", "tests/train/augment_test.py",
    "tests/methods/shared_test.py", "tests/train/loop_test.py",
)  # fmt: skip
PRECISIONS = (  # name, compute type, JAX's precision of products, allowed relative error of the loss and of gradients
    ("float32, highest", jnp.float32, "highest", 1e-5, 1e-3),
    ("float32, as the chip does it", jnp.float32, None, 1e-3, 0.05),
    ("bfloat16", jnp.bfloat16, None, 1e-2, 0.2),
)
K = 10  # experts of the mixture that is measured


class Sizes(NamedTuple):
    """How large the measured things are; the tests make them small. product: rows of the large matrix product."""

    sides: Sequence[int] = (16, 32, 64)
    batches: Sequence[int] = (100, 1024)
    first: int = cases.FIRST
    widths: tuple[int, ...] = cases.WIDTHS
    mixture_side: int = 16
    product: int = 8192
    steps: int = 50
    rounds: int = 5


class Outcomes:
    """A pytest plugin that counts."""

    def __init__(self) -> None:
        self.passed, self.skipped, self.failed = 0, 0, list[str]()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest for each test's set-up, call and tear-down."""
        self.passed += report.when == "call" and report.passed
        self.skipped += report.skipped
        if report.failed:
            self.failed.append(report.nodeid)


def run_tests(paths: Sequence[str] = TESTS) -> dict[str, Any]:
    """Run the tests in this process, which holds the device, with products in float32: passed, skipped, failed."""
    try:
        import pytest
    except ImportError:
        raise InputError("pytest is not installed: pip install '.[test]', or give --no-tests") from None
    outcomes = Outcomes()
    with jax.default_matmul_precision("highest"):
        code = pytest.main(
            ["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *(str(ROOT / path) for path in paths)],
            plugins=[outcomes],
        )  # fmt: skip
    return {"exit_code": int(code), **vars(outcomes)}


def agreement(side: int, first: int, batch: int = 100) -> list[dict[str, Any]]:
    """Loss and gradients of a convolutional autoencoder on the device, in both forms and each precision, against the
    host's CPU in float32: their relative errors and what is allowed."""
    try:
        cpu = jax.devices("cpu")[0]
    except RuntimeError:
        raise InputError("JAX_PLATFORMS leaves no CPU to compare with: add cpu to it, or unset it") from None
    image = np.random.default_rng(0).random((batch, side, side, 1), np.float32)
    with jax.default_device(cpu):
        variables = jax.device_get(_variables(side, first))
        exact = jax.device_get(_gradient("native", side, first, jnp.float32)(*jax.device_put((*variables, image), cpu)))
    found = []
    for form in ("native", "patches"):
        for name, dtype, precision, loss_limit, gradient_limit in PRECISIONS:
            with jax.default_matmul_precision(precision or "default"):
                got = jax.device_get(_gradient(form, side, first, dtype)(*variables, image))
            errors = [relative_error(mine, theirs) for mine, theirs in zip(got, exact, strict=True)]
            holds = errors[0] <= loss_limit and errors[1] <= gradient_limit
            found.append(
                {"form": form, "precision": name, "loss_error": errors[0], "loss_limit": loss_limit,
                 "gradient_error": errors[1], "gradient_limit": gradient_limit, "holds": holds}
            )  # fmt: skip
    return found


def _modules(form: str, side: int, first: int, dtype: Any) -> tuple[Any, Any]:
    spec = autoencoder.AutoencoderSpec(
        latent_dim=cases.LATENT, width=0.0, min_filters=first, augmentation=NONE, form=form, dtype=dtype
    )
    return autoencoder.modules(spec, (side, side, 1))


def _variables(side: int, first: int) -> tuple[PyTree, PyTree]:
    """Parameters and statistics of encoder and decoder."""
    inputs = (jnp.zeros((2, side, side, 1)), jnp.zeros((2, cases.LATENT)))
    keys = jax.random.split(jax.random.key(0))
    pairs = zip(_modules("native", side, first, jnp.float32), keys, inputs, strict=True)
    params, stats = zip(*(init(module, key, example) for module, key, example in pairs), strict=True)
    return params, stats


def _gradient(form: str, side: int, first: int, dtype: Any) -> Callable[..., tuple[Array, PyTree]]:
    """The compiled (params, stats, image) -> reconstruction loss and its gradients."""
    encoder, decoder = _modules(form, side, first, dtype)

    def loss(params: PyTree, stats: PyTree, image: Array) -> Array:
        weight = jnp.ones(len(image))
        (mean, _), _ = train_mode(encoder, params[0], stats[0], image, weight)
        output, _ = train_mode(decoder, params[1], stats[1], mean, weight)
        return losses.bernoulli_reconstruction(output, image).mean()

    return jax.jit(jax.value_and_grad(loss))


def relative_error(mine: PyTree, theirs: PyTree) -> float:
    """|mine - theirs| / |theirs| over all numbers of two trees."""
    ours, exact = (
        np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(tree)]) for tree in (mine, theirs)
    )
    return float(np.linalg.norm(ours - exact) / np.linalg.norm(exact))


def steps_of(sizes: Sizes, batch: int, dtype: Any) -> dict[str, cases.Case]:
    """The steps that are measured, by name."""
    side, first = sizes.mixture_side, sizes.first
    found = {f"conv VAE {s} x {s}": cases.conv_vae(s, batch, first, dtype) for s in sizes.sides}
    found[f"MLP autoencoder {'-'.join(map(str, sizes.widths))}"] = cases.mlp(sizes.widths, batch, dtype)
    for how, top in (("dense", K), ("routed to 2", 2)):
        found[f"mixture {side} x {side}, K = {K} {how}"] = cases.stage_one(K, top, side, batch, first, dtype)
    return found


def measure(case: cases.Case, sizes: Sizes, dtype: Any) -> dict[str, Any]:
    """Time of a step, its share of the ceiling in the same rounds, and what its program takes of the memory."""
    data = case.data(10 * case.batch)
    ceiling = timing.product(sizes.product, dtype=dtype)
    timers = {"step": timing.training(case.training, data, case.batch, sizes.steps), "ceiling": ceiling}
    seconds = timing.interleaved(timers, sizes.rounds, float("inf"))
    row = timing.share_row("", seconds, "step", case.flops, "ceiling", 2 * sizes.product**3)
    step = statistics.median(seconds["step"])
    return {
        "milliseconds": 1e3 * step, "examples_per_second": case.batch / step, "gflop": 1e-9 * case.flops,
        "tflops_per_second": 1e-3 * row.ours, "ceiling_tflops_per_second": 1e-3 * (row.peer or 0),
        "share_of_ceiling": row.ratio, "program_bytes": program_bytes(case, data, sizes.steps),
    }  # fmt: skip


def program_bytes(case: cases.Case, data: np.ndarray, steps: int) -> int | None:
    """Memory of a chunk's program, state and data included, as the compiler plans it; None where it does not tell."""
    state = jax.eval_shape(lambda key: case.training.init(key, (case.batch, *case.shape)), jax.random.key(0))
    index, weight = (jax.ShapeDtypeStruct((steps, case.batch), kind) for kind in (jnp.int32, jnp.float32))
    lowered = chunk_program(jax.default_backend()).lower(case.training.step, state, data, index, weight)
    plan = lowered.compile().memory_analysis()
    if plan is None:
        return None
    passed_through = plan.output_size_in_bytes - plan.alias_size_in_bytes
    return plan.argument_size_in_bytes + plan.temp_size_in_bytes + passed_through


def main(argv: Sequence[str] | None = None, sizes: Sizes | None = None) -> int:
    """The command; returns the exit code: 1 where a test fails or an error is larger than allowed, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.on_device", description=__doc__.splitlines()[0])
    parser.add_argument("--allow-cpu", action="store_true", help="go on without an accelerator, to try the script")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where to write <device>.json")
    options = parser.parse_args(argv)
    try:
        if not (environment.has_accelerator() or options.allow_cpu):
            raise InputError("no GPU or TPU here: give --allow-cpu to try the script on this CPU")
        environment.enable_compilation_cache()
        report = examine(sizes or Sizes(), tests=not options.no_tests)
    except InputError as error:
        print(f"experiments.on_device: error: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{file_name(report['device'])}.json"
    print(f"\nwritten: {atomic.write_json(path, report)}")
    tested = report["tests"] is None or report["tests"]["exit_code"] == 0
    return 0 if tested and all(row["holds"] for row in report["agreement"]) else 1


def examine(sizes: Sizes, tests: bool) -> dict[str, Any]:
    """Everything in order, printed as it comes; returns the report."""
    device = jax.devices()[0]
    print(f"{device.device_kind}, {jax.device_count()} device(s), jax {jax.__version__}")
    report: dict[str, Any] = {
        "device": device.device_kind, "platform": device.platform, "count": jax.device_count(),
        "date": time.strftime("%Y-%m-%d"), "versions": environment.versions(),
        "tests": run_tests() if tests else None,
    }  # fmt: skip
    report["agreement"] = agreement(min(sizes.sides), sizes.first)
    print("\n" + timing.header("form", "precision", "error of loss", "of gradients", "holds"))
    for row in report["agreement"]:
        cells = (row["form"], row["precision"], row["loss_error"], row["gradient_error"], row["holds"])
        print(timing.line(*cells))
    print("\n" + timing.header("step", "type", "batch", "ms", "examples/s", "TFLOP/s", "of the ceiling", "program MB"))
    report["steps"] = []
    for dtype in ("float32", "bfloat16"):
        for batch in sizes.batches:
            for name, case in steps_of(sizes, batch, jnp.dtype(dtype)).items():
                row = {"name": name, "dtype": dtype, "batch": batch, **measure(case, sizes, jnp.dtype(dtype))}
                report["steps"].append(row)
                megabytes = None if row["program_bytes"] is None else 1e-6 * row["program_bytes"]
                print(
                    timing.line(
                        name, dtype, batch, row["milliseconds"], row["examples_per_second"],
                        row["tflops_per_second"], row["share_of_ceiling"], megabytes,
                    ), flush=True,
                )  # fmt: skip
    return {**report, "memory": environment.device_memory()}


def file_name(device_kind: str) -> str:
    """'NVIDIA H100 80GB HBM3' -> 'nvidia-h100-80gb-hbm3'."""
    return re.sub(r"[^a-z0-9]+", "-", device_kind.lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
