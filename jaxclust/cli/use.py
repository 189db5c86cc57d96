"""`jaxclust predict`, `sample` and `evaluate`: what a fitted run is good for."""

import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from jaxclust import models, outliers, runs
from jaxclust.cli.options import read_on_run
from jaxclust.cli.tables import columns, plain_log, score_rows
from jaxclust.data import sources
from jaxclust.data.dataset import Dataset
from jaxclust.errors import InputError, nearest
from jaxclust.levels import check_level, labels_at
from jaxclust.runs import lifecycle
from jaxclust.system import atomic, environment

Run = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
Data = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
WITHOUT = "no typicality: the run has no statistics of its examples, nor embedding.npy and probabilities.npy"
SHOWN = 20  # files that were left out
SMALL, ENLARGED = 32, 4  # images up to this side are enlarged that many times in a grid


@dataclass(frozen=True)
class _OnData:
    run: Run
    """Directory that fit made."""
    data: Data
    """New data in any form that fit takes, of the size that the model was fitted to."""
    out: File = None
    split: Literal["all", "train", "test"] = "all"
    """Part of the data, where it states its parts."""
    image_size: Annotated[int | None, tyro.conf.arg(metavar="SIDE")] = None
    """Resize images to SIDE x SIDE; the run's own value if not given."""
    max_pixels: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Refuse image files of more pixels; about 89 million if not given."""
    skip_bad: bool = False
    """Leave out images that cannot be read, and list them."""
    stream: Literal["auto", "on", "off"] = "auto"
    """Read images from disk part by part, in bounded memory; 'auto' does where they would take more than an eighth of
    the memory."""


@dataclass(frozen=True)
class Predict(_OnData):
    """Label new data: one line an example, with index, label, probability, typicality (near 0 an outlier, 1 the middle
    of a cluster) and, where it has one, its file or name."""

    out: File = None
    """CSV to write; standard output if not given."""
    level: Annotated[int | None, tyro.conf.arg(metavar="K")] = None
    """Label by the coarser or finer level of K clusters, of those that the run found (levels in metrics.json); then
    without probabilities."""
    noise_below: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """Label -1 what has a typicality below X: of data like those of the fit, about a share X."""


@dataclass(frozen=True)
class Evaluate(_OnData):
    """Compare a fitted model's labels with the known classes of some data."""

    out: File = None
    """JSON to write, beside the table that is printed."""


@dataclass(frozen=True)
class Sample:
    """Draw new examples, of one cluster or of the model's prior."""

    run: Run
    """Directory that fit made."""
    cluster: str | None = None
    """Which cluster, from 0, or its name; without it the prior, where the method has one for all clusters together."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
    """How many."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("samples.png")
    """A .png of all in a grid, or an .npy of the arrays (always so for features)."""
    seed: int = 0


def predict(argv: list[str]) -> None:
    """The command `jaxclust predict`."""
    options = read_on_run(Predict, "predict", argv)
    if options.noise_below is not None and not 0 < options.noise_below < 1:
        raise InputError(f"--noise-below is {options.noise_below:g}: give a share between 0 and 1, such as 0.05")
    fitted = _load(options.run)
    if options.level is not None:
        check_level(fitted.levels, options.level)
    known = fitted.outliers if options.noise_below is None else models.known_outliers(fitted)
    probabilities, dataset, embedding = _predicted(fitted, options, embed=True)
    assert embedding is not None
    labels = probabilities.argmax(1)
    typicality = None if known is None else outliers.typicality(known, embedding, probabilities)
    if line := WITHOUT if typicality is None else outliers.unlike(typicality):
        print(line, file=sys.stderr)
    if options.level is not None:
        labels = labels_at(fitted.levels, options.level, labels, embedding)
    if typicality is not None and options.noise_below is not None:
        labels = np.where(typicality < options.noise_below, -1, labels)
    names = None if options.level is not None else fitted.cluster_names
    highest = None if options.level is not None else probabilities.max(1)
    _write_labels(options, labels, highest, typicality, names, dataset)


def _write_labels(
    options: Predict,
    labels: np.ndarray,
    highest: np.ndarray | None,
    typicality: np.ndarray | None,
    cluster_names: Sequence[str] | None,
    dataset: Dataset,
) -> None:
    """The listing that `predict` gives, to a file or to standard output."""
    cells: dict[str, Iterable[object]] = {"index": range(len(labels)), "label": labels}
    if highest is not None:
        cells["probability"] = (f"{p:.6f}" for p in highest)
    if typicality is not None:
        cells["typicality"] = (f"{share:.4g}" for share in typicality)
    if cluster_names:
        cells["cluster_name"] = [cluster_names[k] if k >= 0 else "" for k in labels]
    if dataset.names is not None:
        cells[runs.title_of_names(dataset.named)] = dataset.names
    header, rows = tuple(cells), zip(*cells.values(), strict=True)
    if options.out is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors=runs.ERRORS)  # the bytes that --out would have
        runs.print_table(sys.stdout, header, rows)
        return
    runs.write_table(options.out, header, rows)
    marked = f", {(labels < 0).sum()} of them -1" if options.noise_below is not None else ""
    print(f"{len(labels)} labels in {options.out}{marked}", file=sys.stderr)


def evaluate(argv: list[str]) -> None:
    """The command `jaxclust evaluate`."""
    options = read_on_run(Evaluate, "evaluate", argv)
    probabilities, dataset, embedding = _predicted(_load(options.run), options, embed=True)
    if dataset.labels is None or dataset.labels.max() < 0:
        raise InputError(f"{options.data}: has no classes to compare with: jaxclust predict labels it")
    scores = models.score(probabilities.argmax(1), dataset.labels, None, embedding)
    scores = {"data": dataset.name, "split": options.split, "n_samples": len(probabilities), **scores}
    rows = [("examples", scores["n_samples"]), ("clusters in use", scores["n_clusters"]), *score_rows(scores)]
    print(columns(rows))
    if options.out is not None:
        atomic.write_json(options.out, scores)


def sample(argv: list[str]) -> None:
    """The command `jaxclust sample`."""
    options = read_on_run(Sample, "sample", argv)
    fitted = _load(options.run)
    suffix = options.out.suffix.lower()
    if suffix not in (".png", ".npy"):
        raise InputError(f"--out {options.out}: give a name that ends in .png or .npy")
    if suffix == ".png" and fitted.preprocess.kind == "features":
        raise InputError(f"{options.run}: clusters features, which make no picture: give --out FILE.npy")
    cluster = None if options.cluster is None else _cluster(fitted, options.cluster)
    drawn = models.sample(fitted, options.n, cluster, options.seed)
    if suffix == ".npy":
        atomic.write_array(options.out, drawn)
    else:
        _write_grid(options.out, drawn)
    of = "the prior" if cluster is None else f"cluster {cluster}"
    print(f"{options.n} samples of {of} in {options.out}", file=sys.stderr)


def _cluster(fitted: models.Fitted, word: str) -> int:
    """A cluster's number, of its number or name. Raises InputError where several are called so, or none."""
    if word.isascii() and word.removeprefix("-").isdigit():
        return int(word)  # whether it exists is looked at where it is used
    called = [k for k, name in enumerate(fitted.cluster_names) if name == word]
    if len(called) > 1:
        raise InputError(f"--cluster {word}: clusters {', '.join(map(str, called))} are called so: give a number")
    if called:
        return called[0]
    near = nearest(word, [name for name in fitted.cluster_names if name])
    raise InputError(f"--cluster is {word!r}: give a number from 0 to {fitted.n_clusters - 1}, or a name{near}")


def _load(run: Path) -> models.Fitted:
    environment.start_jax()
    environment.enable_compilation_cache()
    return runs.load(run)


def _predicted(
    fitted: models.Fitted, options: _OnData, embed: bool = False
) -> tuple[np.ndarray, Dataset, np.ndarray | None]:
    config = lifecycle.read_config(options.run)
    with plain_log():
        dataset = sources.load(
            options.data,
            split=options.split,
            image_size=options.image_size or config.get("image_size"),
            skip_bad=options.skip_bad,
            stream=options.stream,
            max_pixels=options.max_pixels,
            depth=config.get("depth") or (8 if fitted.preprocess.high <= 255 else None),
        )
    for path, reason in dataset.skipped[:SHOWN]:
        print(f"skipped: {path!r}: {reason}", file=sys.stderr)
    if dataset.skipped[SHOWN:]:
        print(f"skipped: {len(dataset.skipped) - SHOWN} more", file=sys.stderr)
    embedding = models.embed(fitted, dataset.images) if embed else None
    return models.predict_proba(fitted, dataset.images), dataset, embedding


def _write_grid(out: Path, images: np.ndarray) -> None:
    """images (n, h, w, c) in [0, 1] as one PNG, in rows of about as many as there are rows, a pixel apart."""
    from PIL import Image

    n, height, width, channels = images.shape
    across = int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    grid = np.ones((down * (height + 1) + 1, across * (width + 1) + 1, channels), np.float32)
    for i, image in enumerate(images):
        top, left = i // across * (height + 1) + 1, i % across * (width + 1) + 1
        grid[top : top + height, left : left + width] = image
    pixels = np.rint(np.clip(grid, 0.0, 1.0) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    if max(height, width) <= SMALL:
        picture = picture.resize((picture.width * ENLARGED, picture.height * ENLARGED), Image.Resampling.NEAREST)
    atomic.write(out, lambda file: picture.save(file, format="PNG"))
