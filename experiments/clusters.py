"""From data to clusters and their number, K never given: `python -m experiments.clusters`, an hour or two.

Runs host/clusters.py alone, without networks, on raw data or on saved codes (--codes), once for each seed, and prints
Markdown tables: the sets on which its settings were chosen, those that only confirm them, and noise. Labels are used
for ACC alone. What the sets are: cluster_sets.py.

    ACC           of the most likely cluster of every row; mean and standard deviation over seeds
    clear         whether it says that there are clear clusters, and the mean excess that says so; by seed
    seconds       by seed, without what numba compiles at the first use: that stands below the tables
    K, jitter     with the first seed, after normal noise of 1e-5 of each column's deviation
    K, one core   with the first seed, in a process that has one core and one thread; '-' where that cannot be set
    UMAP + HDBSCAN, EVoC   the packages' defaults, random_state 0: K, ACC (ACC where noise follows its nearest row that
                           is none: in UMAP's map, or in EVoC's data), seconds; '-': not installed; 'fails': it raises
"""

import argparse
import difflib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments import cluster_sets, configs
from experiments.cluster_sets import SETS, Data
from experiments.table import spread
from jaxclust.errors import InputError
from jaxclust.host import clusters
from jaxclust.host.memberships import filled
from jaxclust.methods.shared.first_clusters import ClustersConfig
from jaxclust.metrics.clustering import accuracy
from jaxclust.runs.lifecycle import read_json
from jaxclust.system import atomic, environment

JITTER = 1e-5  # of a column's standard deviation
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
HEADER = ("data", "n, d", "true K", "K by seed", "ACC %", "clear", "seconds", "K, jitter", "K, one core")

Peer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # x -> labels (n,), -1 is noise; where rows are near


# peers


def umap_hdbscan(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) of UMAP and HDBSCAN with their defaults, and the map."""
    import hdbscan
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        map = np.nan_to_num(UMAP(random_state=0).fit_transform(x))
        return hdbscan.HDBSCAN().fit_predict(map), map


def evoc(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) of EVoC with its defaults, and x."""
    import evoc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evoc.EVoC(random_state=0).fit_predict(x), x


PEERS: dict[str, tuple[str, Peer]] = {"UMAP + HDBSCAN": ("hdbscan", umap_hdbscan), "EVoC": ("evoc", evoc)}


def of_peers(data: Data) -> dict[str, dict[str, Any]]:
    """What each peer that is installed finds, by its name."""
    found = {}
    for name, (package, peer) in PEERS.items():
        if importlib.util.find_spec(package) is None:
            continue
        start = time.perf_counter()
        try:
            labels, near = peer(data.x)
        except Exception as error:  # other people's code: EVoC 0.3.2 takes no rows of two numbers
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
            continue
        seconds = time.perf_counter() - start
        whole = filled(near, labels) if (labels >= 0).any() else np.zeros(len(labels), int)
        found[name] = {
            "n_clusters": int(labels.max()) + 1,
            "acc": score(labels, data),
            "acc_filled": score(whole, data),
            "noise": float((labels < 0).mean()),
            "seconds": seconds,
        }
    return found


# measuring


def score(labels: np.ndarray, data: Data) -> float | None:
    """ACC of labels (n,), where the classes are known."""
    return None if data.labels is None else accuracy(labels, data.labels)


def one_run(data: Data, seed: int, draws: int) -> dict[str, Any]:
    """What is found with a seed: its number, ACC, seconds, and what the component tells."""
    start = time.perf_counter()
    found = clusters.find({"inputs": data.x}, "auto", seed, draws=draws)
    seconds = time.perf_counter() - start
    acc = score(found.memberships.argmax(1), data)
    noise_share = float((found.labels < 0).mean())
    return {"seed": seed, "acc": acc, "noise": noise_share, "seconds": seconds, **found.told}


def jittered(x: np.ndarray) -> np.ndarray:
    """x (n, d) float32 with normal noise of JITTER times the deviation of each column."""
    random = np.random.default_rng(0)
    return (x + random.normal(size=x.shape) * JITTER * x.std(0, dtype=np.float64)).astype(np.float32)


def measured(name: str, data: Data, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about a set but what one core finds."""
    result: dict[str, Any] = {
        "name": name,
        "group": cluster_sets.group(name),
        "n": data.x.shape[0],
        "d": data.x.shape[1],
    }
    result["true"] = None if data.labels is None else len(np.unique(data.labels))
    result["runs"] = [one_run(data, seed, options.draws) for seed in options.seeds]
    if options.checks:
        shaken = Data(jittered(data.x), data.labels)
        result["jittered"] = one_run(shaken, options.seeds[0], options.draws)["n_clusters"]
    result["peers"] = of_peers(data) if options.peers else {}
    return result


def first_use() -> float:
    """Seconds of the first use in this process, on 200 rows of noise: imports, and what numba compiles."""
    start = time.perf_counter()
    clusters.find({"inputs": cluster_sets.noise(4).x[:200]}, "auto", 0, draws=1)
    return time.perf_counter() - start


def on_one_core(options: argparse.Namespace) -> dict[str, int]:
    """The numbers that a process with one core and one thread finds, by set; none where that cannot be set."""
    if not hasattr(os, "sched_setaffinity") or len(cores := os.sched_getaffinity(0)) < 2:
        return {}
    here = {**os.environ, **ONE_THREAD}
    if here.get("JAXCLUST_DATA"):
        here["JAXCLUST_DATA"] = str(Path(here["JAXCLUST_DATA"]).resolve())
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "one_core.json"
        command = [sys.executable, "-m", "experiments.clusters", "--no-peers", "--no-checks", "--json", str(out)]
        command += ["--seeds", str(options.seeds[0]), "--draws", str(options.draws)]
        command += ["--sets", *options.sets] if options.sets else []
        command += ["--codes", *(str(Path(path).resolve()) for path in options.codes)] if options.codes else []
        try:
            os.sched_setaffinity(0, {max(cores)})  # a child has its parent's
            ended = subprocess.run(command, env=here, cwd=configs.ROOT, capture_output=True, text=True, check=False)
        except OSError:
            return {}
        finally:
            os.sched_setaffinity(0, cores)
        if ended.returncode:
            note(f"the run on one core failed: {(ended.stderr.strip().splitlines() or ['?'])[-1]}")
            return {}
        sets = read_json(out)["sets"]
    names = dict.fromkeys([*options.sets, *options.codes])
    return {name: one["runs"][0]["n_clusters"] for name, one in zip(names, sets, strict=True)}


# output


def cells(result: Mapping[str, Any]) -> list[str]:
    """One line of a table, in the order of HEADER, and the peers."""
    runs = result["runs"]
    return [
        Path(result["name"]).stem,
        f"{result['n']}, {result['d']}",
        _known(result["true"]),
        " ".join(str(run["n_clusters"]) for run in runs),
        spread((run["acc"] for run in runs), lambda share: f"{100 * share:.1f}"),
        ", ".join(f"{'yes' if run['clear'] else 'no'} {run['excess']:.2f}" for run in runs),
        " ".join(f"{run['seconds']:.1f}" for run in runs),
        _known(result.get("jittered")),
        _known(result.get("one_core")),
        *(_of_peer(result["peers"].get(name)) for name in PEERS),
    ]


def _of_peer(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    if "failed" in found:
        return "fails"
    scores = [] if found["acc"] is None else [f"{100 * found['acc']:.1f} ({100 * found['acc_filled']:.1f})"]
    return ", ".join([str(found["n_clusters"]), *scores, f"{found['seconds']:.1f} s"])


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def tables(results: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table for each group of which there are sets."""
    parts = []
    for title in cluster_sets.GROUPS:
        rows = [cells(result) for result in results if result["group"] == title]
        if rows:
            header = [*HEADER, *PEERS]
            lines = [header, ["---"] * len(header), *rows]
            parts.append(f"{title}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


def note(text: str) -> None:
    """A line for who waits."""
    print(text, file=sys.stderr, flush=True)


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; raises InputError for sets, seeds and draws that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m experiments.clusters", description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", metavar="NAME", help=f"of {', '.join(SETS)}")
    parser.add_argument("--codes", nargs="+", metavar="FILE", default=[], help=".npz with `features` and `labels`")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the component")
    parser.add_argument("--draws", type=int, default=ClustersConfig().draws, help="of UMAP, for each seed")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="run the other packages")
    parser.add_argument("--checks", action=argparse.BooleanOptionalAction, default=True, help="jitter and one core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything that was measured")
    options = parser.parse_args(argv)
    if options.sets is None:
        options.sets = [] if options.codes else list(SETS)
    for name in options.sets:
        if name not in SETS:
            near = difflib.get_close_matches(name, SETS) or SETS
            raise InputError(f"set {name!r} is unknown: choose one of {', '.join(near)}")
    if min(options.seeds) < 0 or options.draws < 1:
        raise InputError("give seeds of at least 0 and at least one draw")
    if options.json and not options.json.absolute().parent.is_dir():
        raise InputError(f"{options.json.parent}: is missing: make the directory of --json")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    results: list[dict[str, Any]] = []
    try:
        options = parsed(argv)
        report = {"seeds": options.seeds, "draws": options.draws, "versions": environment.versions(), "sets": results}
        report["first_use_seconds"] = first_use()
        named = [(name, SETS[name]) for name in options.sets] + [
            (p, partial(cluster_sets.saved_codes, p)) for p in options.codes
        ]
        for name, load in named:
            results.append(measured(name, load(), options))
            note(f"{name}: {' '.join(str(run['n_clusters']) for run in results[-1]['runs'])}")
            if options.json:
                atomic.write_json(options.json, report)
        alone = on_one_core(options) if options.checks else {}
    except InputError as error:
        print(f"experiments.clusters: error: {error}", file=sys.stderr)
        return 2
    for result in results:
        result["one_core"] = alone.get(result["name"])
    if options.json:
        atomic.write_json(options.json, report)
    print(tables(results), end="\n\n")
    print(f"First use in a process: {report['first_use_seconds']:.0f} s more.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
