"""Data sets that are known by name: scikit-learn's own (offline), TensorFlow Datasets and OpenML (downloaded once)."""

import importlib.util
import logging
import os
import warnings
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data.readers.files import check_size
from jaxclust.data.readers.found import Found
from jaxclust.errors import InputError

log = logging.getLogger(__name__)


class BuiltIn(NamedTuple):
    """One line of `jaxclust data`.

    n: examples, train and test together. shape: (h, w, c) or (d,). origin: who made the data.
    how: where it comes from: 'scikit-learn (offline)', 'drawn (offline)', 'TFDS', 'OpenML' or 'TFDS or OpenML'.
    tfds: name in TensorFlow Datasets; label: its label feature. openml: data id; n_train: its first rows are the train
    part (0: it states none). planar: OpenML stores channels first.
    """

    name: str
    n: int
    shape: tuple[int, ...]
    n_classes: int
    origin: str
    how: str
    tfds: str | None = None
    label: str = "label"
    openml: int | None = None
    n_train: int = 0
    planar: bool = False


SK, TF, OM, EITHER = "scikit-learn (offline)", "TFDS", "OpenML", "TFDS or OpenML"
DRAWN = "drawn (offline)"
GREY28 = (28, 28, 1)
TOY = "toy set of scikit-learn's cluster comparison"

_ALL = (
    BuiltIn("digits", 1797, (8, 8, 1), 10, "UCI handwritten digits, the test part", SK),
    BuiltIn("iris", 150, (4,), 3, "Fisher 1936", SK),
    BuiltIn("wine", 178, (13,), 3, "UCI wine", SK),
    BuiltIn("breast_cancer", 569, (30,), 2, "UCI breast cancer Wisconsin", SK),
    BuiltIn("moons", 500, (2,), 2, TOY, SK),
    BuiltIn("circles", 500, (2,), 2, TOY, SK),
    BuiltIn("varied", 500, (2,), 3, TOY, SK),
    BuiltIn("anisotropic", 500, (2,), 3, TOY, SK),
    BuiltIn("blobs", 500, (2,), 3, TOY, SK),
    BuiltIn("no_structure", 500, (2,), 1, TOY, SK),
    BuiltIn("arcs", 10000, (2,), 5, "arcs of five circles, after Dilokthanakul et al. 2016", DRAWN),
    BuiltIn("mnist", 70000, GREY28, 10, "LeCun et al. 1998", EITHER, tfds="mnist", openml=554, n_train=60000),
    BuiltIn(
        "fashion_mnist", 70000, GREY28, 10, "Xiao et al. 2017", EITHER, "fashion_mnist", openml=40996, n_train=60000
    ),
    BuiltIn("kmnist", 70000, GREY28, 10, "Clanuwat et al. 2018", EITHER, "kmnist", openml=41982, n_train=60000),
    BuiltIn("emnist_balanced", 131600, GREY28, 47, "Cohen et al. 2017", TF, "emnist/balanced"),
    BuiltIn("emnist_letters", 103600, GREY28, 26, "Cohen et al. 2017", TF, "emnist/letters"),
    BuiltIn("emnist_digits", 280000, GREY28, 10, "Cohen et al. 2017", TF, "emnist/digits"),
    BuiltIn("cifar10", 60000, (32, 32, 3), 10, "Krizhevsky 2009", EITHER, "cifar10", openml=40927, planar=True),
    BuiltIn("cifar100", 60000, (32, 32, 3), 100, "Krizhevsky 2009", TF, "cifar100"),
    BuiltIn("stl10", 13000, (96, 96, 3), 10, "Coates et al. 2011, the labelled images", TF, "stl10"),
    BuiltIn("svhn", 99289, (32, 32, 3), 10, "Netzer et al. 2011, without the extra part", TF, "svhn_cropped"),
    BuiltIn("coil100", 7200, (128, 128, 3), 100, "Nene et al. 1996", TF, "coil100", label="object_id"),
    BuiltIn("smallnorb", 48600, (96, 96, 1), 5, "LeCun et al. 2004", TF, "smallnorb", label="label_category"),
    BuiltIn("mnist_784", 70000, GREY28, 10, "MNIST, always from OpenML", OM, openml=554, n_train=60000),
    BuiltIn("usps", 9298, (16, 16, 1), 10, "Hull 1994, USPS zip codes", OM, openml=41082, n_train=7291),
    BuiltIn("pendigits", 10992, (16,), 10, "Alimoglu and Alpaydin 1996, pen-based digits", OM, openml=32, n_train=7494),
)
BUILT_IN: dict[str, BuiltIn] = {entry.name: entry for entry in _ALL}


def read(entry: BuiltIn) -> Found:
    """Reads a built-in data set, downloading it if this machine has not got it yet."""
    if entry.origin == TOY:
        return _make_toy(entry)
    if entry.how == DRAWN:
        return _draw_arcs(entry)
    if entry.how == SK:
        return _read_sklearn(entry.name)
    if entry.tfds is None:
        assert entry.openml is not None
        return _read_listed_openml(entry)
    if entry.openml is not None and not tensorflow_present() and not tfds_prepared(entry.tfds):
        log.warning(
            "%s: TensorFlow Datasets needs TensorFlow here, which is not installed: taking OpenML's copy (id %d)",
            entry.name,
            entry.openml,
        )
        return _read_listed_openml(entry)
    return read_tfds(entry.tfds, label=entry.label)


def tensorflow_present() -> bool:
    """Whether TensorFlow could be imported (it is not)."""
    return importlib.util.find_spec("tensorflow") is not None


def _read_sklearn(name: str) -> Found:
    from sklearn import datasets

    bunch: Any = getattr(datasets, f"load_{name}")()
    names = tuple(str(v) for v in bunch.target_names)
    if name == "digits":
        return Found(np.rint(bunch.images * (255.0 / 16.0)).astype(np.uint8)[..., None], bunch.target, names)
    return Found(bunch.data.astype(np.float32), bunch.target, names)


def _make_toy(entry: BuiltIn) -> Found:
    """The points of scikit-learn's example plot_cluster_comparison, with its seeds."""
    from sklearn.datasets import make_blobs, make_circles, make_moons

    n, seed, blob_seed = entry.n, 30, 170
    if entry.name == "moons":
        points, labels = make_moons(n, noise=0.05, random_state=seed)
    elif entry.name == "circles":
        points, labels = make_circles(n, factor=0.5, noise=0.05, random_state=seed)
    elif entry.name == "varied":
        points, labels = make_blobs(n, cluster_std=[1.0, 2.5, 0.5], random_state=blob_seed)
    elif entry.name == "anisotropic":
        points, labels = make_blobs(n, random_state=blob_seed)
        points = points @ np.array([[0.6, -0.6], [-0.4, 0.8]])
    elif entry.name == "blobs":
        points, labels = make_blobs(n, random_state=seed)
    else:
        points, labels = np.random.RandomState(seed).rand(n, 2), np.zeros(n, np.int64)
    return Found(points.astype(np.float32), labels, tuple(str(c) for c in range(entry.n_classes)))


def _draw_arcs(entry: BuiltIn) -> Found:
    """Five arcs of 120 degrees, equally many points on each: around unit circles whose centres lie on a circle of
    radius 2, each arc's middle turned outwards, with noise of deviation 0.05."""
    rng = np.random.default_rng(0)
    labels = np.arange(entry.n) % entry.n_classes
    outwards = 2 * np.pi * labels / entry.n_classes
    angle = outwards + rng.uniform(-np.pi / 3, np.pi / 3, entry.n)
    points = np.stack([2 * np.cos(outwards) + np.cos(angle), 2 * np.sin(outwards) + np.sin(angle)], 1)
    points += rng.normal(0, 0.05, points.shape)
    return Found(points.astype(np.float32), labels, tuple(str(c) for c in range(entry.n_classes)))


def _tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise InputError(
            f"tensorflow-datasets cannot be imported ({error}): pip install tensorflow-datasets"
        ) from error
    return tensorflow_datasets


def _data_dir() -> str | None:
    return os.environ.get("TFDS_DATA_DIR")  # tfds reads it only once, when imported


def tfds_prepared(name: str) -> bool:
    """Whether this machine holds the data set in a form that is read without TensorFlow."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        return False
    try:
        builder = _tfds().builder(name, data_dir=_data_dir())
        return builder.data_path.exists() and _random_access(builder)
    except Exception:  # tfds raises many kinds for names and folders that it does not know
        return False


def _random_access(builder: Any) -> bool:
    return bool({f.value for f in builder.info.available_file_formats()} & {"array_record", "parquet"})


def read_tfds(name: str, *, label: str | None = None) -> Found:
    """Reads a data set of TensorFlow Datasets: feature 'image', `label` (or its supervised key), train and test parts.

    Prepared as ArrayRecord it is read by `tfds.data_source`, without TensorFlow. Preparing it for the first time needs
    TensorFlow for nearly all data sets. The folder is TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    tfds = _tfds()
    try:
        builder = tfds.builder(name, data_dir=_data_dir())
        if not builder.data_path.exists():
            if _known(name) and not tensorflow_present():
                raise ImportError("it prepares this data set with TensorFlow", name="tensorflow")
            builder = tfds.builder(name, data_dir=_data_dir(), file_format="array_record")
            log.warning("%s: downloading and preparing by TensorFlow Datasets, once, in %s", name, builder.data_path)
            builder.download_and_prepare()
        if _random_access(builder):
            parts = {s: builder.as_data_source(split=s) for s in _splits(name, builder)}
        else:
            parts = {s: tfds.as_numpy(builder.as_dataset(split=s)) for s in _splits(name, builder)}
        return _collect(name, builder, parts, label)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{name}: TensorFlow Datasets needs {error.name or 'a package'} that is not installed ({error}): "
            f"pip install {error.name or 'tensorflow'}, "
            "or point TFDS_DATA_DIR at data prepared elsewhere as array_record"
        ) from error
    except tfds.core.registered.DatasetNotFoundError as error:
        raise InputError(f"{name}: TensorFlow Datasets does not know this name: see tensorflow.org/datasets") from error
    except Exception as error:
        raise InputError(
            f"{name}: TensorFlow Datasets failed ({_first_line(error)}): "
            f"check the network and the folder {_data_dir() or '~/tensorflow_datasets'}"
        ) from error


def _known(name: str) -> bool:
    return any(entry.tfds == name for entry in _ALL)


def _splits(name: str, builder: Any) -> list[str]:
    splits = [s for s in ("train", "test") if s in builder.info.splits]
    if not splits:
        raise InputError(f"{name}: has neither a train nor a test part (it has {', '.join(builder.info.splits)})")
    return splits


def _collect(name: str, builder: Any, parts: dict[str, Any], label: str | None) -> Found:
    features, info = builder.info.features, builder.info
    keys = info.supervised_keys or ("image", "label")
    label = label if label in features else keys[1]
    if "image" not in features:
        raise InputError(f"{name}: has no feature 'image' (it has {', '.join(features)})")
    shape = features["image"].shape
    if None in shape:
        raise InputError(f"{name}: images differ in size: save them as a folder and pass --image-size N")
    n = sum(info.splits[s].num_examples for s in parts)
    check_size(name, n * int(np.prod(shape)))
    images, labels = np.empty((n, *shape), features["image"].np_dtype), np.full(n, -1, np.int64)
    split = np.concatenate([np.full(info.splits[s].num_examples, s == "test", np.int8) for s in parts])
    row = 0
    for source in parts.values():
        for example in source:
            images[row] = example["image"]
            if label in example:
                labels[row] = example[label]
            row += 1
    names = tuple(features[label].names) if label in features and getattr(features[label], "names", None) else None
    if name.startswith("emnist"):
        images = images.transpose(0, 2, 1, 3)  # stored with rows and columns exchanged
    return Found(images, labels if label in features else None, names, split if len(parts) == 2 else None)


def read_openml(name: str | int) -> Found:
    """Reads a data set of OpenML by its name or id as features; its cache is scikit-learn's (SCIKIT_LEARN_DATA)."""
    from sklearn.datasets import fetch_openml

    chosen: dict[str, Any] = {"data_id": name} if isinstance(name, int) else {"name": name, "version": "active"}
    try:
        with warnings.catch_warnings():  # a retry or a note on another version is not the user's concern
            warnings.simplefilter("ignore")
            bunch = fetch_openml(**chosen, as_frame=False, parser="liac-arff", n_retries=1)
    except Exception as error:  # URLError, HTTPError, OpenMLError, ValueError for text columns, ...
        raise InputError(
            f"OpenML {name!r} cannot be read ({_first_line(error)}): check the name and the network"
        ) from error
    data = bunch.data.toarray() if hasattr(bunch.data, "toarray") else bunch.data
    if data.dtype == object:
        raise InputError(f"OpenML {name!r} has columns that are not numbers: choose another data set")
    labels = bunch.target if bunch.target is not None and bunch.target.ndim == 1 else None
    return Found(data.astype(np.float32), None if labels is None else labels.astype(str))


def _read_listed_openml(entry: BuiltIn) -> Found:
    assert entry.openml is not None
    found = read_openml(entry.openml)
    if found.images.shape != (entry.n, int(np.prod(entry.shape))) or found.labels is None:
        raise InputError(
            f"{entry.name}: OpenML data {entry.openml} has shape {found.images.shape}, not the one expected: "
            "its cache may be damaged; remove it from ~/scikit_learn_data and try again"
        )
    split = (np.arange(entry.n) >= entry.n_train).astype(np.int8) if entry.n_train else None
    codes = found.labels.astype(float).astype(np.int64)
    codes -= codes.min()  # USPS counts from 1
    names = tuple(str(c) for c in range(entry.n_classes))
    images = _as_images(np.asarray(found.images), entry) if len(entry.shape) == 3 else found.images
    return Found(images, codes, names, split)


def _as_images(rows: np.ndarray, entry: BuiltIn) -> np.ndarray:
    """(n, h * w * c) grey levels in 0..255, or in another range such as USPS's -1..1, to (n, h, w, c) uint8."""
    height, width, channels = entry.shape
    low, high = float(rows.min()), float(rows.max())
    if low < 0.0 or high <= 1.0:
        rows = np.rint((rows - low) / (high - low) * 255.0)
    values = rows.astype(np.uint8)
    if entry.planar:
        return values.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    return values.reshape(-1, height, width, channels)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
