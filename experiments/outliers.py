"""How well outliers are told from examples: `python -m experiments.outliers`, eleven fits of preset quick, some hours.

A fit sees nine tenths of mnist10k without one digit; the outliers are that digit, the others the tenth that it did not
see. `fashion`: all digits are fitted, and outliers are Fashion-MNIST's images. Labels make the sets and are otherwise
used for scores alone. Each fit is `jaxclust fit` into DIR/NAME, and what is measured of it DIR/NAME.json: the same
command goes on where it was cut. Options after `--` are those of `jaxclust fit`.

    typicality            of `jaxclust predict`, AUROC
    largest probability   the same model's, AUROC
    hdbscan, codes        strength of hdbscan's approximate_predict in the same model's embedding, 0 for noise, AUROC
    UMAP + hdbscan        the same in UMAP's map of the pixels, which transforms new images (random_state 0), AUROC
    below .05             shares of the others and of the outliers whose typicality is below .05

HDBSCAN has min_cluster_size 1 % of the rows, else defaults. Means over digits stand in the last line but one.
"""

import argparse
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from experiments import configs, data_files
from jaxclust import models, runs
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.outliers import RARE
from jaxclust.runs import lifecycle
from jaxclust.system import atomic

NAMES = (*map(str, range(10)), "fashion")
SCORES = {
    "typicality": "typicality",
    "probability": "largest probability",
    "codes": "hdbscan, codes",
    "map": "UMAP + hdbscan",
}
HEADER = ("outliers", "K", *SCORES.values(), "below .05: others", "outliers")


class Trial(NamedTuple):
    """What is fitted (n, h, w, 1) uint8, what is like it but was not seen, and outliers."""

    train: np.ndarray
    others: np.ndarray
    outliers: np.ndarray


def trial(name: str, rows: int) -> Trial:
    """The first `rows` rows of mnist10k, less a digit where `name` is one; every tenth is kept from the fit."""
    with np.load(data_files.path("mnist10k.npz"), allow_pickle=False) as file:
        images, labels = file["images"][:rows], file["labels"][:rows]
    if name == "fashion":
        with np.load(data_files.path("fmnist10k.npz"), allow_pickle=False) as file:
            known, new = images, file["images"][: rows // 10]
    else:
        known, new = images[labels != int(name)], images[labels == int(name)]
    seen = np.arange(len(known)) % 10 > 0
    return Trial(known[seen], known[~seen], new)


def fit(name: str, images: np.ndarray, options: argparse.Namespace) -> Path:
    """The complete run of a trial. Raises InputError where `jaxclust fit` fails."""
    out = options.out / name
    if not (out / "config.json").is_file() or lifecycle.read_config(out)["state"] != lifecycle.COMPLETE:
        data = options.out / "data" / f"{name}.npz"
        data.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_arrays(data, {"images": images})
        command = ["fit", options.method, str(data), "--out", str(out), "--resume", "--preset", "quick", *options.fit]
        print(f"{name}: jaxclust {' '.join(command)}", file=sys.stderr, flush=True)
        ended = subprocess.run([sys.executable, "-m", "jaxclust", *command], cwd=configs.ROOT, stdin=subprocess.DEVNULL)
        if ended.returncode:
            raise InputError(f"{out}: jaxclust fit ended with {ended.returncode}: give the same command to go on")
    return out


def strengths(train: np.ndarray, new: np.ndarray) -> np.ndarray:
    """How strongly hdbscan gives new rows (m, d) to the clusters of others (n, d): (m,), 0 is noise."""
    import hdbscan

    model = hdbscan.HDBSCAN(min_cluster_size=max(5, len(train) // 100), prediction_data=True).fit(train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no clusters
        labels, found = hdbscan.approximate_predict(model, new)
    return np.where(labels < 0, 0.0, found)


def in_map(train: np.ndarray, new: np.ndarray) -> np.ndarray:
    """`strengths` in UMAP's map of images."""
    from umap import UMAP

    flat, flat_new = (images.reshape(len(images), -1) / np.float32(255) for images in (train, new))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        map = UMAP(random_state=0).fit(flat)
        return strengths(map.embedding_.astype(float), map.transform(flat_new).astype(float))


def measured(run: Path, data: Trial) -> dict[str, Any]:
    """AUROC of each score, by its name in SCORES, and how often typicality is below RARE."""
    fitted = runs.load(run)
    new = sources.load(np.concatenate([data.others, data.outliers])).images
    outlier = np.arange(len(new)) >= len(data.others)
    probabilities, codes = models.predict_proba(fitted, new), models.embed(fitted, new)
    typicality = models.typicality(fitted, new, probabilities)
    embedding = runs.load_assignments(run).embedding
    scores = {
        "typicality": typicality,
        "probability": probabilities.max(1),
        "codes": strengths(embedding.astype(float), codes.astype(float)),
        "map": in_map(data.train, new[:]),
    }
    return {
        "n_clusters": fitted.n_clusters,
        "n": [len(data.train), len(data.others), len(data.outliers)],
        "auroc": {name: float(roc_auc_score(outlier, -score)) for name, score in scores.items()},
        "below": [float((typicality[rows] < RARE).mean()) for rows in (~outlier, outlier)],
    }


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a line a trial, and the mean over digits."""
    rows = [(name, str(one["n_clusters"]), _numbers(one)) for name, one in found.items() if name != "fashion"]
    lines = [[name, k, *map("{:.3f}".format, numbers)] for name, k, numbers in rows]
    if rows:
        mean = np.mean([numbers for _, _, numbers in rows], 0)
        lines.append([f"mean of {len(rows)}", "", *map("{:.3f}".format, mean)])
    if "fashion" in found:
        one = found["fashion"]
        lines.append(["fashion", str(one["n_clusters"]), *map("{:.3f}".format, _numbers(one))])
    return "\n".join(f"| {' | '.join(line)} |" for line in [HEADER, ["---"] * len(HEADER), *lines])


def _numbers(one: Mapping[str, Any]) -> list[float]:
    return [*(one["auroc"][name] for name in SCORES), *one["below"]]


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m experiments.outliers", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="some of them")
    parser.add_argument("--method", default="moe-vae")
    parser.add_argument("--rows", type=int, default=10_000, help="the first so many of mnist10k")
    parser.add_argument("--out", type=Path, default=configs.OUT / "outliers", metavar="DIR")
    given = list(sys.argv[1:] if argv is None else argv)
    at = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:at])
    options.fit, options.out = given[at + 1 :], options.out.absolute()
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for bad input."""
    options, found = parsed(argv), {}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for name in options.only:
            path = options.out / f"{name}.json"
            if not path.is_file():
                data = trial(name, options.rows)
                atomic.write_json(path, measured(fit(name, data.train, options), data))
            found[name] = lifecycle.read_json(path)
    except OSError as error:
        print(f"experiments.outliers: error: {error.filename}: {error.strerror}: choose another --out", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"experiments.outliers: error: {error}", file=sys.stderr)
        return 2
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
