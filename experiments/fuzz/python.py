"""Bad input from Python: estimators and `load_data` raise InputError."""

from typing import Any

import numpy as np

import jaxclust
from experiments.fuzz import place as made
from experiments.fuzz.judge import Case
from experiments.fuzz.place import COLUMNS, SIDE, N, Place


def given(p: Place) -> Case:
    """X that cannot be clustered."""
    import pandas
    from scipy.sparse import csr_matrix

    x, images = made.features(), made.images()
    broken = x.copy()
    broken[p.rng.integers(N), p.rng.integers(COLUMNS)] = p.choose(np.nan, np.inf, -np.inf)
    data: Any = p.choose(
        broken, csr_matrix(broken), x[:1], x[:0], x[:, :0], x[:, 0], images[None, None], x + 1j, x.astype(str),
        np.array(5), None, 7, "none.npz",
        {"a": 1}, [], [[1, 2], [3]], [[1, "a"], [2, "b"]] * 9, np.array([{}] * 9), images.astype("datetime64[s]"),
        np.zeros((N, SIDE, SIDE, 7)),
        np.ma.masked_array(x, x > 4), pandas.DataFrame({"a": ["x", "y"] * 9}),
        pandas.DataFrame({"a": [1.0, None] * 9}), np.ones((N, 3)), object(), [images[0], images[1][:4]],
        [*x.tolist()[:-1], ["x"] * COLUMNS], np.full((N, 3), 1e300), lambda: x, {1.0, 2.0},
        b"bytes", [None] * 5,
    )  # fmt: skip
    kind = p.choose(jaxclust.KMeans, jaxclust.GaussianMixture, jaxclust.ClusteringModule)
    return Case(
        lambda: kind(n_clusters=3).fit(data),
        ("X", "data", "list", "none.npz", "n_clusters", "array", "image", "frame", "column", "table"),
    )


def settings(p: Place) -> Case:
    """Parameters of estimators that are wrong."""
    name, value = p.choose(
        ("n_clusters", "three"), ("n_clusters", 1), ("n_clusters", 2.5), ("n_clusters", N + 1), ("n_clusters", -1),
        ("n_clusters", [3]), ("n_clusters", True),
        ("seed", -1), ("seed", 1.5), ("seed", "x"), ("seed", 2**40), ("preset", "fast"), ("preset", 3), ("preset", []),
        ("epochs", -1),
        ("epochs", float("nan")), ("epochs", "many"), ("batch_size", 0), ("batch_size", 2.5), ("learning_rate", -0.1),
        ("learning_rate", "x"), ("learning_rate", np.array([1.0, 2.0])),
        ("restarts", 0), ("scaling", "log"), ("scaling", 3), ("alpha", {}), ("epochs", np.nan),
        ("restarts", None.__class__), ("random_state", 3), ("n_cluster", 3),
    )  # fmt: skip
    kind = p.choose(jaxclust.ClusteringModule, jaxclust.AECM)
    return Case(lambda: kind(**{"n_clusters": 3, name: value}).fit(made.features()), (name,))


def given_to_fitted(p: Place) -> Case:
    """X that does not suit a fitted estimator, and questions that it has no answer to."""
    run, x = p.run("features"), made.features()
    fitted, text = jaxclust.load(run), p.file("f.txt", b"x")
    broken = x.copy()
    broken[3, 1] = np.nan
    call, name = p.choose(
        (lambda: fitted.predict(x[:, :3]), "features"), (lambda: fitted.predict(x[0]), "shape"),
        (lambda: fitted.predict(broken), "NaN"),
        (lambda: fitted.transform(made.images()), "images"), (lambda: fitted.predict_proba(x[:0]), "0"),
        (lambda: fitted.predict("none.csv"), "none.csv"),
        (lambda: fitted.sample(3, cluster=3), "cluster"), (lambda: fitted.sample(0, cluster=0), "n"),
        (lambda: fitted.sample(3, cluster=-1), "cluster"),
        (lambda: fitted.sample(3, cluster=0, seed=-1), "seed"), (lambda: fitted.predict_at(x, 9), "9"),
        (lambda: fitted.labels_at(9), "9"),
        (lambda: fitted.predict(None), "array"), (lambda: fitted.predict([["a"] * COLUMNS]), "array"),
        (lambda: fitted.reconstruct(x[:, :2]), "features"),
        (lambda: fitted.save(run), "run"), (lambda: fitted.save(text), "f.txt"),
        (lambda: jaxclust.GaussianMixture.load(run), "run"),
        (lambda: fitted.sample(2.5, cluster=0), "n"), (lambda: fitted.sample(3, cluster="a"), "cluster"),
        (lambda: fitted.save("gs://b/x"), "gs://b/x"),
    )  # fmt: skip
    return Case(call, (name,))


def reading(p: Place) -> Case:
    """`load_data` with options that it does not have."""
    data = p.data()
    call, name = p.choose(
        (lambda: jaxclust.load_data(data, split="validation"), "validation"),
        (lambda: jaxclust.load_data(data, split="train"), "split"),
        (lambda: jaxclust.load_data(data, image_size=0), "image_size"),
        (lambda: jaxclust.load_data(data, image_size="8"), "image_size"),
        (lambda: jaxclust.load_data(data, stream="maybe"), "maybe"),
        (lambda: jaxclust.load_data(data, max_pixels=-1), "max_pixels"),
        (lambda: jaxclust.load_data(data, names=["a"]), "names"),
        (lambda: jaxclust.load_data(made.images(), names=["a"]), "names"),
        (lambda: jaxclust.load_data(made.features(), image_size=8), "image_size"),
        (lambda: jaxclust.load_data(None), "array"),
        (lambda: jaxclust.load_data(data, image_size=2.5), "image_size"), (lambda: jaxclust.load_data(""), "''"),
        (lambda: jaxclust.load_data([]), "array"),
        (lambda: jaxclust.load_data(data, stream=True), "stream"),
        (lambda: jaxclust.load_data(data, split=None), "split"),
    )  # fmt: skip
    return Case(call, (name,))


MAKERS = (given, settings, given_to_fitted, reading)
