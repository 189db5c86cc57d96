"""Killed at a chosen moment and resumed, does a fit end as a straight one does? `python -m experiments.kill --out DIR`.

Each method is fitted once straight, then again and again: SIGKILL when the run directory or the output shows that a
phase, a checkpoint or the final writes are under way, then --resume. Labels, all arrays and the history must be those
of the straight run, bit by bit. DIR/kills.jsonl keeps a line a kill, so that the command goes on where it was cut.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxclust.runs import lifecycle
from jaxclust.system import atomic
from jaxclust.train import checkpoint, history

SETTINGS = {  # a fit of the three blobs takes seconds
    "moe-vae": "--clusterer gmm --draws 1 --batch-size 30 --search-latent-dim 8 --width 0.1 --min-filters 4 "
    "--expert-width 0.1 --expert-min-filters 4 --epochs 10 --search-epochs 2 --manager-epochs 10 --mixture-epochs 2 "
    "--expert-epochs 1",
    "hrwae-gan": "--groups 2 --width 0.1 --min-filters 4 --latent-dim 4 --critic-widths 16 --epochs 4 "
    "--attention-epochs 2 --min-steps 100 --batch-size 30 --draws 1 --learning-rate 0.01",
    "hc-mgan": "--width 0.05 --epochs 1 --min-steps 96 --max-steps 96 --batch-size 30",
    "ae-cm": "--start pretrained --alpha 5 --beta 0.5 --hidden 16 --latent-dim 2 --epochs 20 "
    "--pretrain-epochs 20 --module-epochs 10 --batch-size 20 --learning-rate 0.01",
    "vc": "--width 0.1 --min-filters 4 --latent-dim 4 --batch-size 30 --draws 1 --epochs 4 --pretrain-epochs 4 "
    "--guided-epochs 4 --min-steps 60 --restarts 2 --learning-rate 0.01",
}
KINDS = ("phase", "checkpoint", "final")
FINAL = (
    "embedding.npy", "probabilities.npy", "assignments.csv", "model", "model/arrays/0", "model/model.json",
    "metrics.json", "complete",
)  # fmt: skip
SAVE_EVERY = 0.2  # seconds between two checkpoints
LONGEST = 900.0  # seconds for a fit, on a machine that does much else
LOOK = 0.001  # seconds between two looks at the run directory
PRELOADED = ["jaxclust.cli.fit", "jaxclust.estimators", "umap", "optax", "orbax.checkpoint"]


@dataclass(frozen=True)
class Moment:
    """When to kill: some seconds after `place` is seen.

    kind: one of KINDS.  place: the phase, or a file of FINAL.  which: the checkpoint of that phase, from 1.
    """

    kind: str
    place: str
    which: int
    delay: float


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 1 where a resumed run differs from the straight one."""
    parser = argparse.ArgumentParser(prog="python -m experiments.kill", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where runs and kills.jsonl go")
    parser.add_argument("--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--times", type=int, default=20, help="kills of each method")
    options = parser.parse_args(argv)
    if options.times < 1:
        parser.error(f"--times is {options.times}: give at least 1")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot be made ({error.strerror}): choose another directory")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str((options.out / "compiled").resolve()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    for method in options.methods:
        campaign(method, options.out, options.times)
    rows = [row for row in read(options.out) if row["method"] in options.methods]
    print(table(rows))
    return int(not all(row["held"] for row in rows))


def campaign(method: str, out: Path, times: int) -> None:
    """The kills of one method that are not in kills.jsonl yet."""
    done = {row["number"] for row in read(out) if row["method"] == method}
    missing = [number for number in range(times) if number not in done]
    if not missing:
        return
    straight = out / method / "straight"
    if not (straight / "config.json").is_file() or lifecycle.read_config(straight)["state"] != lifecycle.COMPLETE:
        shutil.rmtree(straight, ignore_errors=True)
        if code := _ended(_start(method, straight, "--overwrite")):
            raise SystemExit(f"{straight}: the straight run ended with {code}: see {_log(straight)}")
    for number in missing:
        row = {"method": method, "number": number, **kill(method, out / method, number)}
        with open(out / "kills.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        outcome = "held" if row["held"] else row["differs"]
        print(f"{method} {number}: {row['kind']} {row['place']}: {outcome}", flush=True)


def kill(method: str, place: Path, number: int) -> dict[str, Any]:
    """One kill and what came of it. A fit that ended before the moment came is begun again, for another moment."""
    kind, begun = KINDS[number % len(KINDS)], time.perf_counter()
    rng = random.Random(f"{method} {number}")
    run, straight = place / str(number), place / "straight"
    for attempt in range(1, 21):  # noqa: B007
        moment = choose(rng, kind, straight)
        shutil.rmtree(run, ignore_errors=True)
        process = _start(method, run)
        _wait_for(moment, run, process)
        process.kill()
        process.join()
        seen = where(run)
        if seen == kind and process.exitcode == -9:
            break
    else:
        raise SystemExit(f"{run}: 20 fits ended elsewhere than in a {kind}, the last one in: {seen}")
    paths = [path for pattern in ("*", "phases/*", "phases/*/*") for path in run.glob(pattern)]
    left = sorted(path.relative_to(run).as_posix() for path in paths)
    code = _ended(_start(method, run, "--resume"))
    wrong = [f"exit code {code}"] if code else differences(straight, run)
    if not wrong:
        shutil.rmtree(run)
    return {
        "kind": kind, "place": moment.place, "which": moment.which, "left": left, "attempts": attempt,
        "held": not wrong, "differs": wrong, "seconds": round(time.perf_counter() - begun, 1),
    }  # fmt: skip


def choose(rng: random.Random, kind: str, straight: Path) -> Moment:
    """A moment of that kind, in a fit that takes as long as the straight one."""
    seconds = json.loads((straight / "metrics.json").read_text())["phases"]
    if kind == "phase":
        name = rng.choice(list(seconds))
        return Moment(kind, name, 0, rng.uniform(0, seconds[name]))
    if kind == "checkpoint":
        name = rng.choice(sorted({row["phase"] for row in history.read(straight)}))
        return Moment(kind, name, rng.choice((1, 1, 2, 3)), rng.uniform(0, 0.05))
    return Moment(kind, rng.choice(FINAL), 0, rng.uniform(0, 0.01))


def where(run: Path) -> str:
    """What was under way when a process was killed, told from what it left: one of KINDS, 'start' or 'end'."""
    config = run / "config.json"
    if not config.is_file():
        return "start"
    if lifecycle.read_config(run)["state"] == lifecycle.COMPLETE:
        return "final" if (run / "phases").exists() else "end"
    if (run / "embedding.npy").exists() or (run / "assignments.csv").exists():
        return "final"
    if any(_unfinished(training) for training in (run / "phases").glob("*/")):
        return "checkpoint"
    return "phase" if (run / "phases").is_dir() else "start"


def _unfinished(training: Path) -> bool:
    """Whether a checkpoint of that training is half there: not in place, without its sums, or beside an older one."""
    names = [path.name for path in training.iterdir()]
    steps = [int(name) for name in names if name.isdigit()]
    if len(steps) > 1 or any(not name.isdigit() and name != checkpoint.SUMS for name in names):
        return True
    sums = training / checkpoint.SUMS
    return bool(steps) and (not sums.exists() or json.loads(sums.read_text())["step"] != steps[0])


def differences(straight: Path, run: Path) -> list[str]:
    """What of a run is not as in the straight one; times do not count."""
    wrong = [
        name
        for name in ("assignments.csv", "embedding.npy", "probabilities.npy", "model/model.json")
        if (run / name).read_bytes() != (straight / name).read_bytes()
    ]
    for name in ("levels.npz", "model/levels.npz"):
        kept = [atomic.read_arrays(of / name) if (of / name).exists() else {} for of in (straight, run)]
        wrong += [] if _same(*kept) else [name]
    ours, theirs = (checkpoint.load_dicts(of / "model" / "arrays") for of in (run, straight))
    wrong += [] if _same(_flat(ours), _flat(theirs)) else ["model/arrays"]
    wrong += [] if _rows(run) == _rows(straight) else ["history"]
    timed = {"phases", "first_steps", "seconds", "peak_memory_mb"}
    ours, theirs = (json.loads((of / "metrics.json").read_text()) for of in (run, straight))
    wrong += [name for name in theirs if name not in timed and ours.get(name) != theirs[name]]
    wrong += [f"left: {name}" for name in _names(run) ^ _names(straight)]
    return wrong


def _same(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> bool:
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == array.dtype and ours[name].shape == array.shape and ours[name].tobytes() == array.tobytes()
        for name, array in theirs.items()
    )


def _flat(tree: Any) -> dict[str, np.ndarray]:
    import jax

    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _rows(run: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.read(run)]


def _names(run: Path) -> set[str]:
    return {path.name for path in run.iterdir()}


def _wait_for(moment: Moment, run: Path, process: Any) -> None:
    """Until the moment has come, or the process has ended."""
    seen = _seen(moment, run)
    while process.is_alive() and not seen():
        time.sleep(LOOK)
    time.sleep(moment.delay)


def _seen(moment: Moment, run: Path) -> Callable[[], bool]:
    """Asked again and again: whether the place of a moment is there."""
    log, training, newest = _log(run), run / "phases" / moment.place, set[str]()

    def phase() -> bool:
        return log.exists() and f"\n{moment.place}\n" in log.read_text()

    def writing() -> bool:
        try:
            newest.update(name for name in os.listdir(training) if "tmp" in name)
        except FileNotFoundError:
            return False
        return len(newest) >= moment.which

    def final() -> bool:
        if moment.place != "complete":
            return (run / moment.place).exists()
        config = run / "config.json"
        return config.exists() and '"state": "complete"' in config.read_text()

    return {"phase": phase, "checkpoint": writing, "final": final}[moment.kind]


def _start(method: str, run: Path, *more: str) -> Any:
    """A process that fits; its modules are loaded already."""
    run.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    data = run.parent / "blobs.npz"
    if not data.exists():
        images, labels = blobs()
        atomic.write_arrays(data, {"images": images, "labels": labels})
    options = [*SETTINGS[method].split(), "--n-clusters", "3", "--out", str(run), "--no-figures", *more]
    process = context.Process(target=_fit, args=(["fit", method, str(data), *options], _log(run)))
    process.start()
    return process


def _fit(argv: list[str], log: Path) -> None:
    """What that process does: `jaxclust fit`, with checkpoints often enough to be met."""
    from jaxclust import cli
    from jaxclust.runs import fitting
    from jaxclust.train.phases import Phases

    with open(log, "wb") as file:
        file.write(b"\n")
        file.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    fitting.Phases = partial(Phases, save_every=SAVE_EVERY)  # type: ignore[assignment, misc]
    sys.exit(cli.main(argv))


def _ended(process: Any) -> int:
    """Its exit code; it is killed where it takes longer than LONGEST."""
    process.join(LONGEST)
    if process.is_alive():
        process.kill()
        process.join()
    return int(process.exitcode)


def _log(run: Path) -> Path:
    return run.with_suffix(".log")


def blobs(n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8, 8, 1) uint8 images of three kinds, and their classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    noisy = rng.integers(30, 226, (3, 8, 8))[labels] + rng.normal(0, 12, (n, 8, 8))
    return np.clip(noisy, 0, 255).astype(np.uint8)[..., None], labels


def read(out: Path) -> list[dict[str, Any]]:
    """The kills so far."""
    path = out / "kills.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many held of how many, by method and kind, as Markdown."""

    def held(method: str, kind: str | None) -> str:
        chosen = [row["held"] for row in rows if row["method"] == method and kind in (None, row["kind"])]
        return f"{sum(chosen)} of {len(chosen)}"

    methods = list(dict.fromkeys(row["method"] for row in rows))
    header = ("method", *KINDS, "all")
    lines = [header, ("---",) * len(header), *((m, *(held(m, k) for k in KINDS), held(m, None)) for m in methods)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
