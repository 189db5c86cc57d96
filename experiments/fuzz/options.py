"""Bad options of every command."""

import dataclasses
from typing import get_args, get_type_hints

from experiments.fuzz.judge import Case
from experiments.fuzz.place import Place
from jaxclust import methods
from jaxclust.methods.shared.settings import is_number


def unknown(p: Place) -> Case:
    argv, name = p.choose(
        (["fit", "kmeans", p.data(), "--n-cluster", "3"], "--n-cluster"),
        (["fit", "kmeans", p.data(), "--epohcs=3"], "--epohcs"),
        (["predict", str(p.run()), p.data(), "--levle", "3"], "--levle"),
        (["sample", str(p.run()), "--clusters", "0"], "--clusters"),
        (["evaluate", str(p.run()), p.data(), "--seed", "0"], "--seed"),
        (["report", str(p.run()), "--nodata"], "--nodata"),
        (["doctor", "--all"], "--all"), (["data", "--x"], "--x"), (["methods", "kmeans"], "kmeans"),
        (["report"], "RUN"),
        (["fit", "kmeans", p.data(), "-k", "3"], "-k"), (["report", str(p.run()), "--out"], "--out"),
        (["report", "a", "b", "c"], "c"),
    )  # fmt: skip
    return Case(argv, (name,))


def names(p: Place) -> Case:
    """Commands, methods, presets and choices that there are not."""
    argv, name = p.choose(
        (["fti", "kmeans", p.data()], "fti"), (["fit", "kmaens", p.data()], "kmaens"),
        (["fit", p.data()], "images.npz"),
        (_fit(p, "kmeans", "--preset", "fast"), "fast"), (_fit(p, "moe-vae", "--preset", "paper:mars"), "paper:mars"),
        (_fit(p, "kmeans", "--split", "validation"), "validation"), (_fit(p, "kmeans", "--stream", "yes"), "yes"),
        (_fit(p, "kmeans", "--scaling", "log"), "log"), (_fit(p, "gmm", "--start", "x"), "'x'"), ([""], "''"),
        (["-x"], "-x"),
        (_fit(p, "kmeans", "--mesh", "data=two"), "data=two"), (_fit(p, "kmeans", "--mesh", "cores=2"), "cores"),
        (["fit", "", p.data()], "''"), (["fit"], "METHOD"), (["fit", "--n-clusters", "3"], "'3'"),
        (["fit", "cm"], "DATA"),
    )  # fmt: skip
    return Case(argv, (name, name.replace("-", "_")))


def no_numbers(p: Place) -> Case:
    """Text, or nothing, where a number is expected."""
    method = p.choose(*methods.METHODS)
    config = methods.find(method).presets["quick"]
    fields = [
        f.name
        for f in dataclasses.fields(config)
        if is_number(getattr(config, f.name)) and not isinstance(getattr(config, f.name), tuple)
    ]
    name = p.choose("seed", *fields).replace("_", "-")
    value = p.choose("three", "", "1e", "0x10", "None", "1,5", "²", "--", "1 2")
    return Case(_fit(p, method, f"--{name}={value}"), (name, name.replace("-", "_")))


def out_of_bounds(p: Place) -> Case:
    """Numbers that a setting cannot have, for every method."""
    method = p.choose(*methods.METHODS)
    config = methods.find(method).presets["quick"]
    fields = {name: hint for name, hint in get_type_hints(type(config)).items() if name in vars(config)}
    numbers = [name for name, hint in fields.items() if float in (hint, *get_args(hint))]
    counts = [name for name, hint in fields.items() if int in (hint, *get_args(hint)) and name not in numbers]
    name = p.choose(*(numbers + counts))
    value = p.choose("-1", "-7", "nan") if name in numbers else p.choose("-1", "-3", "2.5", "-99999999999999999999")
    return Case(_fit(p, method, f"--{name.replace('_', '-')}={value}"), (name, name.replace("_", "-")))


def general(p: Place) -> Case:
    """Numbers of what is not the method's."""
    name, value = p.choose(
        ("--n-clusters", "0"), ("--n-clusters", "1"), ("--n-clusters", "61"), ("--n-clusters", "-3"), ("--seed", "-1"),
        ("--seed", "4294967296"),
        ("--image-size", "0"), ("--image-size", "-4"), ("--max-pixels", "0"), ("--max-pixels", "-1"),
        ("--devices", "0"), ("--devices", "99"),
        ("--devices", "-1"), ("--mesh", "data=99"), ("--split", "train"), ("--image-size", "1000000"),
        ("--seed", "1.5"), ("--n-clusters", "2.5"),
        ("--mesh", "data=0"), ("--mesh", ""), ("--wait", "x"), ("--process-id", "one"),
    )  # fmt: skip
    argv = [part for part in _fit(p, p.choose("kmeans", "cm", "igmm")) if part not in ("--n-clusters", "3")]
    return Case([*argv, name, value], (name, name[2:].replace("-", "_"), "data="))


def exclusive(p: Place) -> Case:
    argv, name = p.choose(
        (_fit(p, "kmeans", "--overwrite", "--resume"), "--resume"),
        (["report", str(p.run()), p.data(), "--no-data"], "--no-data"),
        (_fit(p, "kmeans", "--coordinator", "localhost:1"), "coordinator"),
        (_fit(p, "kmeans", "--processes", "2"), "processes"),
        (["sample", str(p.run()), "--out", str(p.here / "x.jpg")], "x.jpg"),
        (["sample", str(p.run("features")), "--cluster", "0"], "features"),
    )  # fmt: skip
    return Case(argv, (name,))


def outs(p: Place) -> Case:
    """Where a run cannot be made."""
    data, other = p.data(), p.file("file.txt", b"text")
    p.file("full/notes.txt", b"mine")
    name = p.choose(
        other,
        f"{other}/below",
        str(p.here / "full"),
        "gs://bucket/run",
        "s3://b/r",
        str(p.here / ("x" * 300)),
        "run",
        "/proc/x",
        "nul\0",
    )
    if name == "run":
        name = str(p.run())
    return Case(
        ["fit", "kmeans", data, "--n-clusters", "3", "--no-figures", "--out", name], (name, name[:200], "'nul\\x00'")
    )


def outs_of_use(p: Place) -> Case:
    """Where what predict, evaluate, sample and report write cannot be."""
    name = p.choose(
        str(p.here),
        str(p.here / "none" / "x"),
        "gs://bucket/x.csv",
        p.file("file.txt", b"text") + "/x",
        str(p.here / ("y" * 300)),
    )
    run, data = str(p.run()), p.data()
    argv = p.choose(
        ["predict", run, data, "--out", name], ["evaluate", run, data, "--out", name],
        ["report", run, data, "--out", name],
        ["sample", run, "--cluster", "0", "--out", f"{name}.png" if name != str(p.here) else name],
    )  # fmt: skip
    return Case(argv, (name, name[:200]))


def clusters(p: Place) -> Case:
    """Clusters, levels and numbers of samples that a model does not have."""
    out = ["--out", str(p.here / "s.npy")]
    argv, name = p.choose(
        (["sample", str(p.run()), "--cluster", "3", *out], "3"),
        (["sample", str(p.run()), "--cluster", "-1", *out], "-1"),
        (["sample", str(p.run()), "--cluster", "0", "-n", "0", *out], "0"),
        (["sample", str(p.run()), "--cluster", "0", "-n", "-5", *out], "-5"),
        (["sample", str(p.run()), *out], "cluster"), (["predict", str(p.run()), p.data(), "--level", "7"], "7"),
        (["sample", str(p.run()), "--cluster", "0", "--seed", "-1", *out], "-1"),
        (["sample", str(p.run()), "--cluster", "x", *out], "x"),
        (["predict", str(p.run()), p.data(), "--level", "many"], "many"),
        (["predict", str(p.run()), p.data(), "--split", "test"], "split"),
        (["sample", str(p.run()), "--cluster", "99999999999999999999", *out], "99999999999999999999"),
        (["sample", str(p.run()), "--cluster", "0", "--seed", "99999999999999999999", *out], "seed"),
    )  # fmt: skip
    return Case(argv, (name,))


def _fit(p: Place, method: str, *more: str) -> list[str]:
    return ["fit", method, p.data(), "--out", str(p.here / "out"), "--no-figures", "--n-clusters", "3", *more]


MAKERS = (unknown, names, no_numbers, out_of_bounds, general, exclusive, outs, outs_of_use, clusters)
