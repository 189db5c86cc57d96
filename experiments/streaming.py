"""Time and memory of `fit` against the number of examples, streamed: `python -m experiments.streaming --json FILE`

Fashion-MNIST's 10,000 images, repeated with small random shifts, are written block by block to an .npy file of N
images. `jaxclust fit moe-vae` clusters it in a process of its own: four clusters by a Gaussian mixture of a small
sample, one epoch a phase, few filters, everything the same for each N. Compiling takes memory too, so each fit compiles
everything itself, in a cache of its own. Prints a Markdown table: seconds, peak resident memory, and the exponent with
which the seconds of training without the compiler grow (1 is linear).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import configs
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.system import atomic
from jaxclust.train import history

SIZES = (10_000, 70_000, 280_000)
SETTINGS = (
    "--preset", "quick", "--n-clusters", "4", "--clusterer", "gmm", "--draws", "1", "--max-samples", "2000",
    "--epochs", "1", "--search-epochs", "1", "--manager-epochs", "1", "--mixture-epochs", "1", "--expert-epochs", "1",
    "--min-steps", "0", "--width", "0.1", "--min-filters", "4", "--expert-width", "0.1", "--expert-min-filters", "2",
    "--search-latent-dim", "20",
)  # fmt: skip
TRAINED = ("search-autoencoder", "autoencoder", "mixture", "experts")  # phases that train on all examples
SHIFT = 2  # pixels either way
BLOCK = 10_000


def write(path: Path, images: np.ndarray, n: int, seed: int = 0) -> None:
    """n of the images (m, h, w) uint8, again and again, each time at other small shifts, one block in memory."""
    rng = np.random.default_rng(seed)
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (n, *images.shape[1:]))
    for start in range(0, n, BLOCK):
        block = images[np.arange(start, min(start + BLOCK, n)) % len(images)]
        if start >= len(images):
            shifts = rng.integers(-SHIFT, SHIFT + 1, (len(block), 2))
            block = np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(block, shifts, strict=True)])
        out[start : start + len(block)] = block
        out.flush()


def measure(n: int, stream: str, images: np.ndarray, directory: Path) -> dict[str, Any]:
    """One fit: n, stream, seconds in all, of training and by phase, peak memory in MB, the size of the file in MB."""
    data, out = directory / f"{n}.npy", directory / f"{n}-{stream}"
    if not data.exists():
        write(data, images, n)
    command = ["fit", "moe-vae", str(data), "--out", str(out), "--stream", stream, "--no-figures", "--quiet", *SETTINGS]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(directory / f"{n}-{stream}-cache")}
    subprocess.run([sys.executable, "-m", "jaxclust", *command], check=True, stdout=subprocess.DEVNULL, env=environment)
    metrics = json.loads((out / "metrics.json").read_text())
    size = round(data.stat().st_size / 1e6, 1)
    kept = {name: metrics[name] for name in ("seconds", "peak_memory_mb", "phases")}
    seconds = training_seconds(history.read(out))
    return {"n": n, "stream": stream, "file_mb": size, "training_seconds": round(seconds, 3), **kept}


def training_seconds(rows: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of the steps of TRAINED from the rows of a history: the first chunk, which compiles, counts as others."""
    total = 0.0
    for name in TRAINED:
        seconds = [row["seconds"] for row in rows if row["phase"] == name]
        total += (seconds[-1] - seconds[0]) * len(seconds) / (len(seconds) - 1)
    return total


def growth(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Exponent e of training seconds ~ N^e, by least squares; None for fewer than two sizes."""
    if len({row["n"] for row in rows}) < 2:
        return None
    seconds = np.log([row["training_seconds"] for row in rows])
    return float(np.polyfit(np.log([row["n"] for row in rows]), seconds, 1)[0])


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown, with the growth of each mode below."""
    lines = ["| N | stream | file MB | peak memory MB | seconds | training seconds |", "|" + " ---: |" * 6]
    lines += [
        f"| {row['n']:,} | {row['stream']} | {row['file_mb']:.0f} | {row['peak_memory_mb']:.0f} "
        f"| {row['seconds']:.1f} | {row['training_seconds']:.1f} |"
        for row in rows
    ]
    for stream in dict.fromkeys(row["stream"] for row in rows):
        exponent = growth([row for row in rows if row["stream"] == stream])
        if exponent is not None:
            lines.append(f"\nstream {stream}: training seconds grow as N^{exponent:.2f}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.streaming", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), metavar="N")
    parser.add_argument("--stream", nargs="+", choices=("on", "off"), default=["on"], help="off: resident, to compare")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    options = parser.parse_args(argv)
    try:
        if min(options.sizes) < 2000:
            raise InputError(f"--sizes has {min(options.sizes)}: give at least 2000, the size of the sample")
        images = sources.load(configs.data_of(configs.find("moe_vae_fmnist10k"))).images[..., 0]
    except InputError as error:
        print(f"experiments.streaming: error: {error}", file=sys.stderr)
        return 2
    rows = []
    with tempfile.TemporaryDirectory(prefix="jaxclust-streaming-") as directory:
        for n in sorted(options.sizes):
            for stream in options.stream:
                rows.append(measure(n, stream, images, Path(directory)))
                print(f"N = {n:,}, stream {stream}: {rows[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
                if options.json:
                    atomic.write_json(options.json, rows)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
