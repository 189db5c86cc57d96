"""The data sets of `python -m experiments.clusters`: files of JAXCLUST_DATA, scikit-learn's, and made ones.

Images are vectors in [0, 1], features have mean 0 and variance 1, noise and codes are as they are. What is drawn at
random is the same every time. Labels make thinned sets, and are otherwise used for scores alone.
"""

from collections.abc import Callable
from functools import partial
from math import isqrt
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from experiments.data_files import path as path_of
from experiments.turntable import turntable
from jaxclust.data import sources
from jaxclust.data.dataset import Dataset
from jaxclust.data.rows import LazyArray
from jaxclust.errors import InputError
from jaxclust.system import atomic

MNIST_ROWS = 20_000
FASHION = Path("/usr/share/datasets/fashion-mnist")  # of the Debian package dataset-fashion-mnist
NOISE_ROWS = 2000


class Data(NamedTuple):
    """Rows (n, d) float32 and their classes (n,), where there are any."""

    x: np.ndarray
    labels: np.ndarray | None


def stored(name: str, most: int | None = None) -> Data:
    """A file of the directory JAXCLUST_DATA, its first `most` rows. Raises InputError for one that is no such file."""
    path = path_of(f"{name}.npz")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            labels = file["labels"][:most]
            if "images" in file:
                return Data((file["images"][:most] / np.float32(255)).reshape(len(labels), -1), labels)
            return Data(standardised(file["features"][:most]), labels)
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise InputError(f"{path}: give a file .npz of `labels` and `images` or `features` ({error})") from error


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns of x (n, d) with mean 0 and variance 1, in float32; those without variance are 0."""
    centred = x - x.mean(0, dtype=np.float64)
    deviation = centred.std(0)
    return (centred / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def of_sklearn(name: str) -> Data:
    """A set that scikit-learn ships; digits are images."""
    from sklearn import datasets

    x, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    return Data((x / 16).astype(np.float32) if name == "digits" else standardised(x), labels)


def with_counts(data: Data, wanted: Callable[[np.ndarray], np.ndarray], seed: int = 0) -> Data:
    """Random rows, in order: of each class as many as `wanted` makes of the numbers (k,) that there are."""
    assert data.labels is not None
    random, counts = np.random.default_rng(seed), np.bincount(data.labels)
    rows = [
        random.choice(np.flatnonzero(data.labels == c), count, replace=False)
        for c, count in enumerate(np.round(wanted(counts)).astype(int))
    ]
    kept = np.sort(np.concatenate(rows))
    return Data(data.x[kept], data.labels[kept])


def first_digits(count: int) -> Data:
    """mnist10k's digits below `count`."""
    return with_counts(stored("mnist10k"), lambda counts: counts * (np.arange(len(counts)) < count))


def mnist_thin() -> Data:
    """mnist10k with a tenth of the rows of the digits 5 to 9."""
    return with_counts(stored("mnist10k"), lambda counts: counts * np.where(np.arange(len(counts)) < 5, 1, 0.1))


def mnist_1percent() -> Data:
    """mnist10k, but the digits 8 and 9 have 1 % of all rows each."""
    return with_counts(stored("mnist10k"), lambda counts: np.append(counts[:8], [counts[:8].sum() * 0.01 / 0.98] * 2))


def mnist_ones(others: int) -> Data:
    """mnist10k's 1127 ones of 10,000, and `others` of each other digit: 125 make the ones half of all, 292 30 %."""
    return with_counts(stored("mnist10k"), lambda counts: np.where(np.arange(len(counts)) == 1, 1127, others))


def digits_300() -> Data:
    """300 random rows of digits."""
    data = of_sklearn("digits")
    kept = np.sort(np.random.default_rng(0).choice(len(data.x), 300, replace=False))
    return Data(data.x[kept], data.labels[kept])


def digits_28() -> Data:
    """digits, their images resized to 28 x 28."""
    return flattened(sources.load("digits", image_size=28))


def objects_20() -> Data:
    """20 made solids on a turntable, 72 images of each, 32 x 32."""
    images, labels = turntable(20, 72, 32, seed=0)
    return Data(images.reshape(len(images), -1), labels)


def fashion() -> Data:
    """All 70,000 images of Fashion-MNIST."""
    if not FASHION.is_dir():
        raise InputError(f"{FASHION} is missing: install the Debian package dataset-fashion-mnist")
    return flattened(sources.load(FASHION))


def flattened(found: Dataset) -> Data:
    """Images in memory as vectors in [0, 1]."""
    assert not isinstance(found.images, LazyArray)
    return Data((found.images / np.float32(255)).reshape(len(found.images), -1), found.labels)


def noise(d: int, uniform: bool = False) -> Data:
    """Independent numbers of the normal distribution, or of the uniform one."""
    random = np.random.default_rng(0)
    x = random.random((NOISE_ROWS, d)) if uniform else random.normal(size=(NOISE_ROWS, d))
    return Data(x.astype(np.float32), None)


def one_gaussian(d: int = 10) -> Data:
    """One normal distribution, ten times as wide one way as another, not along the axes."""
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(d, d)))[0]
    return Data((random.normal(size=(NOISE_ROWS, d)) * np.geomspace(1, 0.1, d) @ axes).astype(np.float32), None)


def saved_codes(path: str) -> Data:
    """`features` and, where there are any, `labels` of a file .npz."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Data(np.asarray(file["features"], np.float32), file.get("labels"))
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise InputError(f"{path}: give a file .npz that holds `features` ({error})") from error


FILES = ("usps", "mnist10k", "fmnist10k", "cifar10k", "orl_32", "palm_16", "isolet", "segment", "pendigits")
SHIPPED = ("digits", "iris", "wine", "breast_cancer")
NO_CLUSTERS: dict[str, Callable[[], Data]] = {
    "normal_10": partial(noise, 10),
    "normal_64": partial(noise, 64),
    "uniform_2": partial(noise, 2, uniform=True),
    "uniform_10": partial(noise, 10, uniform=True),
    "one_gaussian": one_gaussian,
}
IMAGES: dict[str, Callable[[], Data]] = {
    **{f"mnist_{count}": partial(first_digits, count) for count in (2, 3, 5)},
    "mnist_thin": mnist_thin,
    "mnist_1percent": mnist_1percent,
    "mnist_ones_50": partial(mnist_ones, 125),
    "mnist_ones_30": partial(mnist_ones, 292),
    "digits_300": digits_300,
    "objects_20": objects_20,
}
WHOLE: dict[str, Callable[[], Data]] = {"fmnist": fashion, "digits_28": digits_28}  # for whole fits alone
MADE = {**IMAGES, **WHOLE, **NO_CLUSTERS}
SETS: dict[str, Callable[[], Data]] = {
    **{name: partial(stored, name) for name in FILES},
    "mnist": partial(stored, "mnist", MNIST_ROWS),
    **{name: partial(of_sklearn, name) for name in SHIPPED},
    **IMAGES,
    **NO_CLUSTERS,
}


def file(name: str, out: Path) -> Path:
    """A made set as the file NAME.npz, for a whole fit; written to `out` unless it is there."""
    path = out / f"{name}.npz"
    if not path.is_file():
        x, labels = MADE[name]()
        arrays = {} if labels is None else {"labels": labels}
        if name in IMAGES or name in WHOLE:
            side = isqrt(x.shape[1])
            arrays["images"] = np.round(255 * x).astype(np.uint8).reshape(-1, side, side)
        else:
            arrays["features"] = x
        out.mkdir(parents=True, exist_ok=True)
        atomic.write_arrays(path, arrays)
    return path


CHOSEN_ON = ("digits", "fmnist10k", "palm_16", "isolet")
GROUPS = ("chosen on", "confirmed on", "noise", "saved codes")


def group(name: str) -> str:
    """The table in which a set, or else a file of codes, stands."""
    if name not in SETS:
        return "saved codes"
    return "chosen on" if name in CHOSEN_ON else "noise" if name in NO_CLUSTERS else "confirmed on"
