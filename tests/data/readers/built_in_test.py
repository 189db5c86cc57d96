import gzip
import hashlib
import json
import os
import subprocess
import sys
from urllib.error import URLError

import numpy as np
import pytest

from jaxclust.data import sources
from jaxclust.data.readers import built_in
from jaxclust.errors import InputError


def test_digits_are_eight_bits_and_offline():
    from sklearn.datasets import load_digits

    data = sources.load("digits")
    assert data.images.shape == (1797, 8, 8, 1)
    assert data.images.dtype == np.uint8
    np.testing.assert_array_equal(data.images[..., 0], np.round(load_digits().images * 255 / 16))
    np.testing.assert_array_equal(data.labels, load_digits().target)
    assert data.images.max() == 255
    assert data.class_names == tuple("0123456789")
    assert data.name == "digits"


TOYS = ["moons", "circles", "varied", "anisotropic", "blobs", "no_structure"]


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast_cancer", "arcs", *TOYS])
def test_the_table_is_true_of_what_is_offline(name):
    entry, data = sources.BUILT_IN[name], sources.load(name)
    assert data.images.shape == (entry.n, *entry.shape)
    assert len(data.class_names) == entry.n_classes
    assert sorted(set(data.labels)) == list(range(entry.n_classes))


@pytest.mark.parametrize("name", ["arcs", *TOYS])
def test_toy_sets_are_the_same_each_time(name):
    first, again = sources.load(name), sources.load(name)
    assert first.images.dtype == np.float32
    assert first.fingerprint == again.fingerprint


def test_toy_sets_have_the_shapes_that_they_are_known_for():
    toys = {name: (sources.load(name).images, sources.load(name).labels) for name in TOYS}
    points, labels = toys["circles"]
    radius = np.hypot(*points.T)
    assert radius[labels == 1].max() < 0.75 < radius[labels == 0].min()  # 1 is the inner circle
    points, labels = toys["moons"]
    off = points - np.where(labels == 0, 0.0, 1.0)[:, None] * [1.0, 0.5]  # each from the centre of its half circle
    assert np.abs(np.hypot(*off.T) - 1).max() < 0.25
    points, labels = toys["varied"]
    spreads = [points[labels == k].std(0).mean() for k in range(3)]
    np.testing.assert_allclose(spreads, [1.0, 2.5, 0.5], rtol=0.15)
    points, labels = toys["anisotropic"]
    spread = np.linalg.svd(points[labels == 0] - points[labels == 0].mean(0), compute_uv=False)
    assert spread[0] > 3 * spread[1]
    assert np.bincount(toys["blobs"][1]).tolist() == [167, 167, 166]
    assert 0 <= toys["no_structure"][0].min() < toys["no_structure"][0].max() <= 1


def test_arcs_lie_on_five_circles():
    data = sources.load("arcs")
    turn = 2 * np.pi * data.labels / 5
    from_centre = data.images - 2 * np.stack([np.cos(turn), np.sin(turn)], 1)
    radius = np.hypot(*from_centre.T)
    np.testing.assert_allclose([radius.mean(), radius.std()], [1, 0.05], rtol=0.02)
    outwards = np.cos(np.arctan2(from_centre[:, 1], from_centre[:, 0]) - turn)
    assert outwards.min() > 0.3  # 60 degrees either way, where it is 0.5, and noise


def test_unknown_names_offer_close_ones():
    with pytest.raises(InputError, match=r"did you mean mnist.*`jaxclust data`"):
        sources.load("minst")
    with pytest.raises(InputError, match="neither a file or folder nor a built-in"):
        sources.load("qqqqqqqqq")
    with pytest.raises(InputError):
        sources.load("")


def test_a_built_in_name_wins_over_a_file_unless_given_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert len(sources.load("digits").images) == 1797
    with pytest.raises(InputError, match="no images"):
        sources.load("./digits")


@pytest.mark.slow
def test_importing_and_loading_digits_needs_neither_tensorflow_nor_tfds():
    code = (
        "import sys; from jaxclust.data import sources; sources.load('digits');"
        "assert not {'tensorflow', 'tensorflow_datasets', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


TINY_BUILDER = """
import io, sys
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

class JaxclustTiny(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(6, 5, 1)),
            "label": tfds.features.ClassLabel(names=["even", "odd"]),
            "coarse": tfds.features.ClassLabel(num_classes=4),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 12), "test": self._generate_examples(12, 20)}

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            png = io.BytesIO()  # arrays would be encoded by TensorFlow
            Image.fromarray(np.full((6, 5), i, np.uint8)).save(png, "PNG")
            png.seek(0)
            yield i, {"image": png, "label": i % 2, "coarse": i % 4}

JaxclustTiny(data_dir=sys.argv[1], file_format="array_record").download_and_prepare()
"""


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    """A data set of TensorFlow Datasets, prepared as ArrayRecord by a real builder in another process."""
    pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tfds")
    script = folder / "build.py"
    script.write_text(TINY_BUILDER)
    done = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_tfds_without_tensorflow(tfds_folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))
    data = sources.load("tfds:jaxclust_tiny")
    assert "tensorflow" not in sys.modules or built_in.tensorflow_present()  # TFDS uses it where it is installed
    assert data.images.shape == (20, 6, 5, 1)
    assert data.images.dtype == np.uint8
    value = data.images[:, 0, 0, 0]
    assert sorted(value) == list(range(20))
    assert (data.images == value[:, None, None, None]).all()
    np.testing.assert_array_equal(data.labels, value % 2)
    np.testing.assert_array_equal(data.split, value >= 12)
    assert data.class_names == ("even", "odd")
    assert sorted(sources.load("tfds:jaxclust_tiny", split="test").images[:, 0, 0, 0]) == list(range(12, 20))
    assert sources.load("tfds:jaxclust_tiny").fingerprint == data.fingerprint


def test_a_listed_tfds_name_uses_its_own_label(tfds_folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))
    entry = built_in.BuiltIn("t", 20, (6, 5, 1), 4, "", built_in.EITHER, "jaxclust_tiny", label="coarse", openml=1)
    monkeypatch.setitem(sources.BUILT_IN, "t", entry)
    data = sources.load("t")  # prepared, so OpenML's copy is not asked for
    np.testing.assert_array_equal(data.labels, data.images[:, 0, 0, 0] % 4)


def test_tfds_errors_name_the_remedy(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(built_in, "tensorflow_present", lambda: False)
    with pytest.raises(InputError, match=r"stl10: .*pip install tensorflow"):
        sources.load("stl10")
    with pytest.raises(InputError, match="does not know this name"):
        sources.load("tfds:no_such_data_set")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match="pip install tensorflow-datasets"):
        sources.load("tfds:mnist")


def openml_cache(home, data_id, features, labels):
    """What scikit-learn's fetch_openml leaves in its cache after a download."""
    n, d = features.shape
    columns = [f"@ATTRIBUTE p{i} NUMERIC" for i in range(d)]
    classes = sorted(set(labels), key=int)
    lines = ["@RELATION tiny", *columns, f"@ATTRIBUTE class {{{','.join(classes)}}}", "@DATA"]
    lines += [",".join([*(repr(float(v)) for v in row), label]) for row, label in zip(features, labels, strict=True)]
    arff = ("\n".join(lines) + "\n").encode()

    def feature(i, name, kind):
        flags = {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
        target = "true" if name == "class" else "false"
        return {"index": str(i), "name": name, "data_type": kind, "is_target": target, **flags}

    listed = [feature(i, f"p{i}", "numeric") for i in range(d)]
    listed.append({**feature(d, "class", "nominal"), "nominal_value": classes})
    description = {
        "id": str(data_id), "name": "tiny", "version": "1", "format": "ARFF", "status": "active", "description": "-",
        "file_id": "7", "url": "https://www.openml.org/data/v1/download/7",
        "md5_checksum": hashlib.md5(arff).hexdigest(),
    }  # fmt: skip
    quality = [{"name": "NumberOfInstances", "value": str(float(n))}]
    found = {"data": {"dataset": [{"did": data_id, "name": "tiny", "version": 1, "status": "active"}]}}
    pages = {
        f"api/v1/json/data/{data_id}": {"data_set_description": description},
        f"api/v1/json/data/features/{data_id}": {"data_features": {"feature": listed}},
        f"api/v1/json/data/qualities/{data_id}": {"data_qualities": {"quality": quality}},
        "api/v1/json/data/list/data_name/tiny/limit/2/status/active/": found,
        "data/v1/download/7": arff,
    }
    for path, page in pages.items():
        target = home / "openml" / "openml.org" / (path + ".gz")
        os.makedirs(target.parent, exist_ok=True)
        target.write_bytes(gzip.compress(page if isinstance(page, bytes) else json.dumps(page).encode()))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network in tests")

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", refuse)


def test_openml_by_listed_name(tmp_path, monkeypatch, no_network):
    """USPS's form: values in -1..1, classes counted from 1, the train part first."""
    levels = np.random.default_rng(0).integers(0, 256, (20, 12))
    levels[0, :2] = 0, 255
    labels = [str(1 + i % 10) for i in range(20)]
    openml_cache(tmp_path, 41082, levels / 127.5 - 1.0, labels)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    entry = sources.BUILT_IN["usps"]._replace(n=20, shape=(4, 3, 1), n_train=15)
    monkeypatch.setitem(sources.BUILT_IN, "usps", entry)
    data = sources.load("usps")
    np.testing.assert_array_equal(data.images, levels.reshape(20, 4, 3, 1))
    assert data.images.dtype == np.uint8
    assert data.labels.tolist() == [i % 10 for i in range(20)]
    assert data.split.tolist() == [0] * 15 + [1] * 5
    monkeypatch.setitem(sources.BUILT_IN, "usps", entry._replace(n=21))
    with pytest.raises(InputError, match="not the one expected"):
        sources.load("usps")


def test_openml_colour_is_stored_channels_first(tmp_path, monkeypatch, no_network):
    images = np.random.default_rng(1).integers(2, 256, (6, 2, 2, 3), dtype=np.uint8)
    rows = images.transpose(0, 3, 1, 2).reshape(6, 12).astype(float)
    openml_cache(tmp_path, 40927, rows, [str(i % 2) for i in range(6)])
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(built_in, "tensorflow_present", lambda: False)
    monkeypatch.setitem(sources.BUILT_IN, "cifar10", sources.BUILT_IN["cifar10"]._replace(n=6, shape=(2, 2, 3)))
    data = sources.load("cifar10")  # neither TensorFlow nor prepared data: OpenML's copy
    np.testing.assert_array_equal(data.images, images)
    assert data.split is None


def test_openml_by_id_and_by_name(tmp_path, monkeypatch, no_network):
    values = np.random.default_rng(2).normal(size=(8, 3))
    openml_cache(tmp_path, 4711, values, list("01230123"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    data = sources.load("openml:4711")
    assert sources.load("openml:tiny").fingerprint == data.fingerprint
    np.testing.assert_allclose(data.images, values, rtol=1e-6)
    assert data.labels.tolist() == [0, 1, 2, 3] * 2
    assert data.images.dtype == np.float32


@pytest.mark.slow
def test_openml_without_network_is_one_clear_line(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    with pytest.raises(
        InputError, match=r"OpenML 41082 cannot be read .*no network in tests.*check the name and the net"
    ):
        sources.load("usps")
