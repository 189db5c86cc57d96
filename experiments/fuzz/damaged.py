"""Damaged and wrong run directories, models and checkpoints, given to the commands and to `load`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.fuzz import place as made
from experiments.fuzz.judge import Case
from experiments.fuzz.place import N, Place

WRONG = (None, 7, -1, "x", [], {}, [1, 2], {"a": 1}, True, 1e300, "../../..")


def no_run(p: Place) -> Case:
    """Not the directory of a run."""
    (p.here / "empty").mkdir()
    p.file("other/notes.txt", b"mine")
    name = p.choose("none", "empty", "other", "file.txt", "other/notes.txt", "other/notes.txt/x")
    if name == "file.txt":
        p.file(name, b"text")
    return Case(_use(p, p.here / name), (name,))


def config(p: Place) -> Case:
    """config.json cut, of another form, without a key, with another value."""
    run = p.run(kind := p.choose("images", "features"))
    path = run / "config.json"
    value = json.loads(path.read_text())
    _damage(p, path, value, ("state", "method", "config"))
    return Case(_use(p, run, kind), ("run",))


def model(p: Place) -> Case:
    """The same of model.json."""
    run = p.run(kind := p.choose("images", "features"))
    path = run / "model" / "model.json"
    value = json.loads(path.read_text())
    _damage(p, path, value, ("format", "method", "n_clusters", "preprocess", "meta"))
    return Case(_load(p, run, kind), ("model",))


def meta(p: Place) -> Case:
    """One value below the meta or the preprocessing of a model is of another kind, or missing."""
    import jaxclust

    run = p.run(kind := p.choose("images", "features"))
    path = run / "model" / "model.json"
    value = json.loads(path.read_text())
    frame, preprocess = value["meta"]["frame"], value["preprocess"]
    parts = [value["meta"], frame, frame, preprocess, preprocess, preprocess, preprocess]
    parent, name = p.choose(*zip(parts, ("frame", "shape", "height", "kind", "high", "low", "n_features"), strict=True))
    if p.rng.random() < 0.4:
        del parent[name]
    else:
        parent[name] = p.choose([[]], {"x": {}}, "nonsense")
    path.write_text(json.dumps(value))
    call = ["predict", str(run), p.data(kind)]
    return Case(
        p.choose(call, lambda: jaxclust.load(run).predict(made.images() if kind == "images" else made.features())),
        ("model",),
    )


def origin(p: Place) -> Case:
    """config.json tells wrongly how the data of a run were read, which the page of the run asks."""
    run = p.run()
    path = run / "config.json"
    value = json.loads(path.read_text())
    key, wrong = p.choose(
        ("preprocess", None), ("preprocess", {}), ("preprocess", {"kind": "images"}), ("preprocess", [3]), ("data", 7),
        ("data", "none.npz"), ("data", None), ("data", ["a"]), ("data", {}), ("split", "no"), ("split", {}),
        ("image_size", "x"), ("image_size", -3), ("image_size", []), ("stream", "no"), ("stream", 5), ("split", 1),
        ("data_fingerprint", 3),
    )  # fmt: skip
    path.write_text(json.dumps({**value, key: wrong}))
    given = [p.data()] if key == "preprocess" else []
    return Case(["report", str(run), *given, "--out", str(p.here / "page.html")], ("run", "data", key))


def unfinished(p: Place) -> Case:
    """A run that is not complete is no model."""
    run = p.run()
    path = run / "config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "state": p.choose("running", "interrupted", "failed", "?")})
    )
    return Case(_load(p, run, "images"), ("run",))


def arrays(p: Place) -> Case:
    """Arrays of a model cut, changed by a bit, or gone."""
    run = p.run(kind := p.choose("images", "features"))
    place = run / "model" / "arrays"
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.stat().st_size)
    path = p.choose(*files)
    content = bytearray(path.read_bytes())
    how = p.choose("cut", "bit", "gone", "all", "step", "noise")
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "bit":
        content[int(p.rng.integers(len(content)))] ^= 1 << int(p.rng.integers(8))
        path.write_bytes(content)
    elif how == "gone":
        (path if path.name != "sums.json" else files[0]).unlink()
    elif how == "all":
        shutil.rmtree(place)
    elif how == "step":
        shutil.rmtree(place / "0")
    else:
        path.write_bytes(p.rng.bytes(300))
    return Case(_load(p, run, kind), ("model", "arrays"))


def kept(p: Place) -> Case:
    """What a run keeps about its examples is damaged: for `load`, which reads it."""
    import jaxclust

    run = p.run()
    csv = (run / "assignments.csv").read_text()
    p.choose(
        lambda: (run / "assignments.csv").write_text(csv[: len(csv) // 2]),
        lambda: (run / "assignments.csv").unlink(),
        lambda: (run / "assignments.csv").write_text(csv.replace("label", "lable", 1)),
        lambda: (run / "assignments.csv").write_text(csv.replace("\n1,", "\n1,9", 1)),
        lambda: (run / "assignments.csv").write_bytes(p.rng.bytes(500)),
        lambda: (run / "assignments.csv").write_text(""),
        lambda: (run / "probabilities.npy").write_bytes(made.npy(np.zeros((N, 2)))[:100]),
        lambda: np.save(run / "probabilities.npy", np.zeros((N - 1, 3), np.float32)),
        lambda: np.save(run / "probabilities.npy", np.zeros(N, np.float32)),
        lambda: np.save(run / "embedding.npy", np.zeros((3, 2), np.float32)),
        lambda: np.save(run / "embedding.npy", np.array([None] * N)),
        lambda: (run / "embedding.npy").write_bytes(b""),
        lambda: (run / "embedding.npy").unlink(),
    )()
    return Case(
        p.choose(lambda: jaxclust.load(run), ["report", str(run), "--no-data", "--out", str(p.here / "page.html")]),
        ("run",),
    )


def other_data(p: Place) -> Case:
    """Data that do not suit a model: of another size, of another kind, without classes."""
    images = made.images()
    name, content = p.choose(
        ("x.npz", made.npz(images=images[:, :6, :6])), ("x.npy", made.npy(images[..., None].repeat(3, 3))),
        ("x.npy", made.npy(made.features())),
        ("x.csv", made.csv(made.features())), ("x.npz", made.npz(images=np.repeat(images, 2, 1))),
    )  # fmt: skip
    argv = p.choose(["predict"], ["evaluate"])
    return Case([*argv, str(p.run()), p.file(name, content)], (name, "shape", "images", "x"))


def other_columns(p: Place) -> Case:
    x = made.features()
    name, content = p.choose(
        ("x.csv", made.csv(x[:, :4])), ("x.npy", made.npy(x[:, :1])), ("x.npy", made.npy(made.images())),
        ("x.csv", made.csv(np.hstack([x, x]))),
        ("x.npz", made.sparse(shape=np.array([N, 50]))), ("x.parquet", made.parquet({"a": np.ones(9)})),
    )  # fmt: skip
    return Case(
        [p.choose("predict", "evaluate"), str(p.run("features")), p.file(name, content)],
        (name, "features", "columns", "shape"),
    )


def no_classes(p: Place) -> Case:
    argv = p.choose(
        ["evaluate", str(p.run()), p.file("bare.npy", made.npy(made.images()))],
        ["evaluate", str(p.run()), p.file("bare.npy", made.npy(made.images())), "--out", str(p.here / "scores.json")],
        ["evaluate", str(p.run()), p.file("bare.npz", made.npz(images=made.images(), labels=np.full(N, -1)))],
    )  # fmt: skip
    return Case(argv, ("bare",))


def other_request(p: Place) -> Case:
    """A run is there already, or is gone on with by another method, seed, setting or data."""
    run, data = p.run(), p.data()
    options = ["--out", str(run), "--no-figures", "--resume"]
    argv, name = p.choose(
        (["fit", "igmm", data, "--n-clusters", "3", "--out", str(run)], "run"),
        (["fit", "kmeans", data, "--n-clusters", "3", *options], "method"),
        (["fit", "igmm", data, "--n-clusters", "4", *options], "n_clusters"),
        (["fit", "igmm", data, "--n-clusters", "3", "--seed", "5", *options], "seed"),
        (["fit", "igmm", p.file("a.npy", made.npy(made.images() + 1)), "--n-clusters", "3", *options],
        "data_fingerprint"),
        (["fit", "igmm", p.file("b.npy", made.npy(made.features())), "--n-clusters", "3", *options],
        "data_fingerprint"),
        (["fit", "igmm", p.file("c.npy", b"none"), "--n-clusters", "3", *options[:-1], "--overwrite"], "c.npy"),
        (["fit", "igmm", data, "--n-clusters", "99", *options[:-1], "--overwrite"], "n_clusters"),
    )  # fmt: skip
    return Case(argv, (name,))


def damaged_start(p: Place) -> Case:
    """A damaged run that fit shall go on with, or that is in its way."""
    run = p.run()
    path = run / "config.json"
    value = json.loads(path.read_text())
    _damage(p, path, value, ("method", "config"))
    argv = ["fit", "igmm", p.data(), "--n-clusters", "3", "--no-figures", "--out", str(run)]
    return Case([*argv, *p.choose(["--resume"], [])], ("run",))


def page(p: Place) -> Case:
    """The page of a run with data that are not its own, or of a run that cannot be read."""
    run = p.run()
    argv, name = p.choose(
        (["report", str(run), p.file("a.npy", made.npy(made.images(30)))], "a.npy"),
        (["report", str(run), p.file("b.npy", b"none")], "b.npy"),
        (["report", str(run), "none.npz"], "none.npz"), (["report", str(p.here)], p.here.name),
        (["report", str(p.here / "none")], "none"),
        (["report", str(run), p.file("c.npy", made.npy(made.features()))], "c.npy"),
    )  # fmt: skip
    return Case([*argv, "--out", str(p.here / "page.html")], (name,))


def _damage(p: Place, path: Path, value: dict[str, Any], keys: tuple[str, ...]) -> None:
    text = json.dumps(value)
    key = p.choose(*keys)
    rest = {name: item for name, item in value.items() if name != key}
    others = [wrong for wrong in WRONG if type(wrong) is not type(value[key]) or isinstance(wrong, str)]
    path.write_bytes(
        p.choose(
            b"", text[: int(len(text) * p.rng.uniform(0.1, 0.9))].encode(), b"[1, 2]", b"null", b"{}",
            b'{"a":' * 100_000, p.rng.bytes(200),
            text.replace('"', "'").encode(), json.dumps(rest).encode(), json.dumps(rest).encode(),
            json.dumps({**rest, key: p.choose(*others)}).encode(),
            json.dumps({**rest, key: p.choose(*others)}).encode(),
        )
    )  # fmt: skip


def _use(p: Place, run: Path, kind: str = "images") -> list[str]:
    """A command that reads a run."""
    return p.choose(
        ["predict", str(run), p.data(kind)], ["evaluate", str(run), p.data(kind)],
        ["report", str(run), "--no-data", "--out", str(p.here / "page.html")],
        ["sample", str(run), "--cluster", "0", "--out", str(p.here / "s.npy")],
    )  # fmt: skip


def _load(p: Place, run: Path, kind: str) -> list[str] | Callable[[], object]:
    """What reads the model of a run."""
    import jaxclust

    return p.choose(
        ["predict", str(run), p.data(kind)], ["evaluate", str(run), p.data(kind), "--out", str(p.here / "scores.json")],
        ["sample", str(run), "--cluster", "0", "--out", str(p.here / "s.npy")], lambda: jaxclust.load(run),
    )  # fmt: skip


MAKERS = (
    no_run,
    config,
    model,
    meta,
    origin,
    unfinished,
    arrays,
    kept,
    other_data,
    other_columns,
    no_classes,
    other_request,
    damaged_start,
    page,
)
