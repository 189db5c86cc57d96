"""Whole fits beside a peer's: `jaxclust fit` and ClustPy's DDC, one after the other, each in a process of its own.

    python -m experiments.bench.peers_fit usps mnist10k        # nothing else should run meanwhile

DDC (Ren et al. 2020, as in ClustPy 0.0.3) sees flattened pixels in [0, 1], with pretrain_epochs=50, and finds how many
clusters there are too. Seconds are those of whole processes, imports and compilation included. ClustPy needs PyTorch:
extra 'bench', or another interpreter by --peer-python.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments import configs
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.metrics.clustering import accuracy

PROGRAM = """
import sys, warnings
import numpy as np
warnings.simplefilter("ignore")
from clustpy.deep import DDC
x = np.load(sys.argv[1], allow_pickle=False)
labels = DDC(random_state=int(sys.argv[3]), pretrain_epochs=50).fit(x).labels_
np.save(sys.argv[2], np.asarray(labels, np.int64))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments.bench.peers_fit", description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", metavar="DATA", help="what jaxclust fit takes, or a file of the data folder")
    parser.add_argument("--method", default="moe-vae")
    parser.add_argument("--rows", type=int, help="only so many rows, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has clustpy and torch")
    options = parser.parse_args(argv)
    print("| data | n | ours: K | ACC % | seconds | DDC: K | ACC % | seconds | ours / DDC |")
    print("|---|---|---|---|---|---|---|---|---|")
    try:
        for name in options.sets:
            print(line(name, options), flush=True)
    except InputError as error:
        print(f"experiments.bench.peers_fit: error: {error}", file=sys.stderr)
        return 2
    return 0


def line(name: str, options: argparse.Namespace) -> str:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        labels = written(name, options.rows, folder)
        ours, metrics = timed_ours(folder, options)
        peer, found = timed_ddc(folder, options)
    left = f"| {name} | {len(labels)} | {metrics['n_clusters']} | {100 * metrics['acc']:.1f} | {ours:.0f} "
    right = f"| {found.max() + 1} | {100 * accuracy(found, labels):.1f} | {peer:.0f} | {ours / peer:.2f} |"
    return left + right


def written(name: str, rows: int | None, folder: Path) -> np.ndarray:
    """Writes the set, or some of its rows, for both programs; returns its classes (n,)."""
    directory = Path(os.environ.get("JAXCLUST_DATA") or configs.ROOT.parent / "shared" / "data")
    path = directory / f"{name}.npz"
    dataset = sources.load(str(path) if path.is_file() else name)
    if dataset.labels is None:
        raise InputError(f"{name}: has no classes to compare with")
    chosen = np.arange(len(dataset.images))
    if rows is not None:
        chosen = np.sort(np.random.default_rng(0).choice(len(chosen), min(rows, len(chosen)), replace=False))
    images, labels = np.asarray(dataset.images[chosen]), dataset.labels[chosen]
    kind = "images" if images.ndim > 2 else "features"
    np.savez(folder / "data.npz", **{kind: images, "labels": labels})
    flat = images.reshape(len(images), -1).astype(np.float32)
    np.save(folder / "flat.npy", flat / (255 if images.dtype == np.uint8 else 1))
    return labels


def timed_ours(folder: Path, options: argparse.Namespace) -> tuple[float, dict[str, float]]:
    """Seconds of the whole command, and its metrics; compiled programs are not kept from earlier runs."""
    command = [sys.executable, "-m", "jaxclust", "fit", options.method, str(folder / "data.npz"), "--quiet"]
    command += ["--seed", str(options.seed), "--out", str(folder / "run")]
    start = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    )
    seconds = time.perf_counter() - start
    return seconds, json.loads((folder / "run" / "metrics.json").read_text())


def timed_ddc(folder: Path, options: argparse.Namespace) -> tuple[float, np.ndarray]:
    """Seconds of the whole process, and DDC's labels (n,)."""
    if shutil.which(options.peer_python) is None:
        raise InputError(f"peer-python is {options.peer_python}: give an interpreter that has clustpy and torch")
    place = [str(folder / "flat.npy"), str(folder / "labels.npy"), str(options.seed)]
    start = time.perf_counter()
    done = subprocess.run([options.peer_python, "-c", PROGRAM, *place], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
        raise InputError(f"DDC failed ({last}): install the extra 'bench', or give --peer-python")
    return time.perf_counter() - start, np.load(folder / "labels.npy", allow_pickle=False)


if __name__ == "__main__":
    sys.exit(main())
