"""What the benchmarks share: rounds that interleave the rivals, ratios within a round, rows, tables and exponents.

Other programs share the machine, so times of different rounds are not compared: whatever is compared ran in turn in
each round, and the median over the rounds' ratios is what counts.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust.train.batches import shuffled
from jaxclust.train.loop import run_chunk
from jaxclust.train.training import Training
from jaxclust.typing import Array

Timer = Callable[[], float]  # runs once, returns seconds a step
Seconds = Mapping[str, Sequence[float]]  # seconds a step of each round, by timer


class Row(NamedTuple):
    """One line of a table; the name says the unit. peer and ratio are None where the peer is not installed."""

    name: str
    ours: float
    peer: float | None
    ratio: float | None


def training(training: Training, data: np.ndarray, batch: int, steps: int) -> Timer:
    """A timer of `steps` training steps in the library's loop, data (n, ...) resident on the device."""
    state = training.init(jax.random.key(0), (batch, *data.shape[1:]))
    images, batches = jax.device_put(data), shuffled(len(data), batch, 0)

    def timer() -> float:
        nonlocal state
        index, weight = jax.device_put(batches.indices(int(state.step), steps))
        start = time.perf_counter()
        state, terms = run_chunk(training.step, state, images, index, weight, choose_rows=training.choose_rows)
        jax.block_until_ready((state, terms))
        return (time.perf_counter() - start) / steps

    return timer


def product(n: int, repeats: int = 4, dtype: Any = jnp.float32) -> Timer:
    """A timer of one product of two matrices (n, n), 2 n^3 operations: the machine's ceiling."""
    a = jax.random.normal(jax.random.key(0), (n, n), dtype)

    @jax.jit
    def repeated(x: Array) -> Array:
        return jax.lax.fori_loop(0, repeats, lambda _, x: (x @ a) * (1 / n**0.5), x)

    def timer() -> float:
        start = time.perf_counter()
        jax.block_until_ready(repeated(a))
        return (time.perf_counter() - start) / repeats

    return timer


def interleaved(timers: Mapping[str, Timer], rounds: int, limit: float) -> dict[str, list[float]]:
    """Run every timer once (compilation), then in rounds until `limit` seconds are over; at least two rounds."""
    for timer in timers.values():
        timer()
    seconds: dict[str, list[float]] = {name: [] for name in timers}
    start = time.perf_counter()
    for done in range(rounds):
        if done >= 2 and time.perf_counter() - start > limit:
            break
        for name, timer in timers.items():
            seconds[name].append(timer())
    return seconds


def best(seconds: Seconds, names: Sequence[str]) -> list[float]:
    """The least time of `names` in each round."""
    return [min(values) for values in zip(*(seconds[name] for name in names), strict=True)]


def ratio(seconds: Seconds, slow: Sequence[str], fast: str) -> float:
    """Return how many times `fast` is as fast as the best of `slow`: the median of the rounds' ratios."""
    return statistics.median(b / f for b, f in zip(best(seconds, slow), seconds[fast], strict=True))


def rate_row(name: str, seconds: Seconds, ours: str, peers: Sequence[str], amount: float) -> Row:
    """`amount` a second of `ours` beside the best of `peers`, medians, and the median of the rounds' ratios."""
    rate = amount / statistics.median(seconds[ours])
    if not peers:
        return Row(name, rate, None, None)
    return Row(name, rate, amount / statistics.median(best(seconds, peers)), ratio(seconds, peers, ours))


def share_row(name: str, seconds: Seconds, ours: str, flops: float, ceiling: str, most: float) -> Row:
    """GFLOP/s of `ours`, a step of `flops` operations, beside those of `ceiling`, of `most`; the ratio is the share."""
    pairs = zip(seconds[ours], seconds[ceiling], strict=True)
    share = statistics.median((flops / step) / (most / top) for step, top in pairs)
    achieved, possible = flops / statistics.median(seconds[ours]), most / statistics.median(seconds[ceiling])
    return Row(name, 1e-9 * achieved, 1e-9 * possible, share)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope e of the least-squares line through log sizes and log values: values grow as sizes^e."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def line(*cells: Any) -> str:
    """One row of a Markdown table: numbers with three digits, '-' for None."""
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def header(*cells: str) -> str:
    """The two lines above the rows of a Markdown table."""
    return line(*cells) + "\n" + line(*("---" for _ in cells))


def _cell(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return str(cell)
