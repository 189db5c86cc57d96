"""The benchmark of clusters and their number: what the sets hold, what is run, and what is printed."""

import json
import os

import numpy as np
import pytest

from experiments import cluster_sets, clusters, configs
from experiments.cluster_sets import Data
from jaxclust.data import sources
from jaxclust.errors import InputError

COUNTS = np.arange(60, 160, 10)  # rows of each digit of a made-up mnist10k


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A directory JAXCLUST_DATA with a made-up mnist10k and isolet."""
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat(np.arange(10), COUNTS))
    images = random.integers(0, 256, (len(labels), 2, 3, 1), dtype=np.uint8)
    np.savez(tmp_path / "mnist10k.npz", images=images, labels=labels)
    features = np.float32([[1, 5, 2], [3, 5, 2], [5, 5, 8]])
    np.savez(tmp_path / "isolet.npz", features=features, labels=np.arange(3))
    return images, labels


@pytest.fixture
def found_by_rows(monkeypatch):
    """Instead of UMAP: as many clusters as there are columns, the rows in turn; and a peer that calls a half noise."""

    def find(views, n_clusters, seed, *, draws):
        x = views["inputs"]
        labels = np.arange(len(x)) % x.shape[1]
        member = np.eye(x.shape[1], dtype=np.float32)[labels]
        told = {"n_clusters": x.shape[1], "clear": seed > 0, "excess": seed / 4}
        return clusters.clusters.Found(labels, member, labels[None], told)

    def half(x):
        return np.where(np.arange(len(x)) < len(x) // 2, 0, -1), x

    monkeypatch.setattr(clusters.clusters, "find", find)
    monkeypatch.setattr(clusters, "PEERS", {"half": ("numpy", half), "absent": ("no_such_package", half)})


def lines(text):
    """Cells of the first column, and the lines between tables."""
    return [line.strip("|").split("|")[0].strip() for line in text.splitlines() if line and "---" not in line]


# sets


def test_images_are_vectors_and_features_are_standardised(stored):
    images, labels = stored
    data = cluster_sets.SETS["mnist10k"]()
    np.testing.assert_allclose(data.x, images.reshape(-1, 6) / 255, rtol=1e-6)
    assert data.x.dtype == np.float32
    np.testing.assert_array_equal(data.labels, labels)
    root = np.sqrt(1.5)
    expected = [[-root, 0, -root / np.sqrt(3)], [0, 0, -root / np.sqrt(3)], [root, 0, root * 2 / np.sqrt(3)]]
    np.testing.assert_allclose(cluster_sets.SETS["isolet"]().x, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("mnist_2", COUNTS[:2]),
        ("mnist_3", COUNTS[:3]),
        ("mnist_5", COUNTS[:5]),
        ("mnist_thin", [*COUNTS[:5], 11, 12, 13, 14, 15]),
        ("mnist_1percent", [*COUNTS[:8], 8, 8]),  # 760 rows are 98 % of 775.5
    ],
)
def test_made_sets_have_the_stated_classes(stored, name, counts):
    first, again = (cluster_sets.SETS[name]() for _ in range(2))
    np.testing.assert_array_equal(np.bincount(first.labels), counts)
    np.testing.assert_array_equal(first.x, again.x)
    images, labels = stored
    whole = {(*row, label) for row, label in zip(images.reshape(-1, 6).tolist(), labels.tolist(), strict=True)}
    kept = np.round(first.x * 255).astype(int).tolist()
    assert {(*row, label) for row, label in zip(kept, first.labels.tolist(), strict=True)} <= whole


def test_what_is_made_without_files():
    digits = cluster_sets.SETS["digits"]()
    assert (digits.x.shape, digits.x.min(), digits.x.max()) == ((1797, 64), 0, 1)
    few = cluster_sets.SETS["digits_300"]()
    assert few.x.shape == (300, 64)
    assert len(few.labels) == 300
    for name, d in {"normal_10": 10, "normal_64": 64, "uniform_2": 2, "uniform_10": 10, "one_gaussian": 10}.items():
        data = cluster_sets.SETS[name]()
        assert data.x.shape == (2000, d)
        assert data.labels is None
        assert cluster_sets.group(name) == "noise"
    values = np.linalg.eigvalsh(np.cov(data.x.T))
    assert 7 < np.sqrt(values[-1] / values[0]) < 13


def test_a_made_set_is_a_file_that_fit_reads(tmp_path):
    row = configs.find("moe_vae_digits_300_found")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configs, "OUT", tmp_path)
        data = sources.load(configs.data_of(row))
    assert (data.images.shape, data.images.dtype) == ((300, 8, 8, 1), np.uint8)
    whole = sources.load("digits")
    known = {(*row, label) for row, label in zip(whole.images.reshape(-1, 64).tolist(), whole.labels, strict=True)}
    assert {
        (*row, label) for row, label in zip(data.images.reshape(-1, 64).tolist(), data.labels, strict=True)
    } <= known
    noise = sources.load(str(cluster_sets.file("uniform_2", tmp_path)))
    assert (noise.images.shape, noise.labels) == ((2000, 2), None)


def test_fashion_mnist_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_sets, "FASHION", tmp_path / "none")
    with pytest.raises(InputError, match="install the Debian package dataset-fashion-mnist"):
        cluster_sets.file("fmnist", tmp_path)


def test_every_file_of_the_data_is_a_set_and_four_were_chosen_on():
    groups = {name: cluster_sets.group(name) for name in cluster_sets.SETS}
    assert {name for name in groups if groups[name] == "chosen on"} == {"digits", "fmnist10k", "palm_16", "isolet"}
    assert groups["mnist_thin"] == groups["cifar10k"] == groups["digits_300"] == "confirmed on"
    directory = configs.ROOT.parent / "shared" / "data"
    if not directory.is_dir():
        pytest.skip(f"{directory} is not here")
    assert {path.stem for path in directory.glob("*.npz")} <= set(groups)


# what is printed


def test_the_cells_of_a_set(found_by_rows, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(clusters, "on_one_core", lambda options: {"iris": 5})
    out = tmp_path / "out.json"
    assert clusters.main(["--sets", "iris", "--seeds", "0", "1", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    (line,) = (line for line in printed.splitlines() if line.startswith("| iris"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # 150 rows in turn to 4 clusters: two of them have 13 rows of a class, and 3 * 13 / 150 are right
    assert cells[:4] == ["iris", "150, 4", "3", "4 4"]
    assert cells[4] == "26.0 ± 0.0"
    assert cells[5] == "no 0.00, yes 0.25"
    assert cells[7:9] == ["4", "5"]
    assert cells[9].startswith("1, 33.3 (33.3), ")  # the first 75 rows are 50 of class 0
    assert cells[10] == "-"
    (one,) = json.loads(out.read_text())["sets"]
    assert (one["peers"]["half"]["noise"], one["runs"][1]["seed"], one["one_core"]) == (0.5, 1, 5)


def test_groups_are_printed_apart_and_codes_are_served(found_by_rows, tmp_path, capsys):
    codes = tmp_path / "codes.npz"
    np.savez(codes, features=np.random.default_rng(0).normal(size=(20, 2)), labels=np.arange(20) % 2)
    asked = ["--sets", "normal_10", "iris", "digits", "--codes", str(codes), "--seeds", "0", "--no-checks"]
    assert clusters.main(asked) == 0
    first = lines(capsys.readouterr().out)
    expected = ["chosen on:", "data", "digits", "confirmed on:", "data", "iris", "noise:", "data", "normal_10"]
    assert first[:-1] == [*expected, "saved codes:", "data", "codes"]
    assert clusters.main(["--codes", str(codes), "--seeds", "0", "--no-checks", "--no-peers"]) == 0
    printed = capsys.readouterr().out
    assert lines(printed)[:-1] == ["saved codes:", "data", "codes"]
    assert "| codes | 20, 2 | 2 | 2 | 100.0 | no 0.00 |" in printed


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--sets", "iriss"], "set 'iriss' is unknown: choose one of iris"),
        (["--sets", "usps"], "usps.npz: is missing: set JAXCLUST_DATA to the directory that holds usps.npz"),
        (["--seeds", "-1"], "give seeds of at least 0 and at least one draw"),
        (["--json", "no/such/out.json"], "no/such: is missing: make the directory of --json"),
        (["--codes", "no_such.npz"], "no_such.npz: give a file .npz that holds `features`"),
    ],
)
def test_bad_input_is_one_line(asked, told, stored, found_by_rows, capsys):
    assert clusters.main(asked) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("experiments.clusters: error: ")
    assert told in line


# what is run


def test_jitter_is_tiny_and_leaves_constant_columns():
    x = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32) * np.float32([1, 100, 0])
    moved = clusters.jittered(x) - x
    np.testing.assert_allclose(moved.std(0)[:2] / x.std(0)[:2], 1e-5, rtol=0.2)
    assert not moved[:, 2].any()


def test_peers_without_clusters_and_with_noise(monkeypatch):
    labels = np.array([0, 0, 1, 1, -1, -1])
    x = np.float32([[0], [1], [10], [11], [2], [12]])
    data = Data(x, np.array([0, 0, 1, 1, 0, 1]))
    monkeypatch.setattr(clusters, "PEERS", {"some": ("numpy", lambda x: (labels, x))})
    found = clusters.of_peers(data)["some"]
    assert (found["n_clusters"], found["acc"], found["acc_filled"]) == (2, pytest.approx(4 / 6), 1.0)
    monkeypatch.setattr(clusters, "PEERS", {"none": ("numpy", lambda x: (np.full(6, -1), x))})
    found = clusters.of_peers(data)["none"]
    assert (found["n_clusters"], found["acc"], found["acc_filled"], found["noise"]) == (0, 0.0, 0.5, 1.0)


def test_a_peer_that_fails_is_told_and_stops_nothing(found_by_rows, monkeypatch, capsys):
    def fails(x):
        raise ValueError("no")

    monkeypatch.setattr(clusters, "PEERS", {"some": ("numpy", fails)})
    assert clusters.main(["--sets", "iris", "--seeds", "0", "--no-checks"]) == 0
    assert "| - | - | fails |" in capsys.readouterr().out


def test_one_core_is_one_core_and_is_given_back(monkeypatch):
    cores, seen = [{2, 3}], []
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores[-1], raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, some: cores.append(some), raising=False)

    def run(command, env, **kwargs):
        seen.append((cores[-1], env["OMP_NUM_THREADS"], env["NUMBA_NUM_THREADS"]))
        out = command[command.index("--json") + 1]
        with open(out, "w") as file:
            json.dump({"sets": [{"runs": [{"n_clusters": 7}]}, {"runs": [{"n_clusters": 8}]}]}, file)
        return clusters.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(clusters.subprocess, "run", run)
    options = clusters.parsed(["--sets", "iris", "wine"])
    assert clusters.on_one_core(options) == {"iris": 7, "wine": 8}
    assert seen == [({3}, "1", "1")]
    assert cores[-1] == {2, 3}


def test_where_affinity_cannot_be_set_there_is_a_dash(found_by_rows, monkeypatch, capsys):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert clusters.main(["--sets", "iris", "--seeds", "0", "--no-peers"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("| iris"))
    assert [cell.strip() for cell in line.strip("|").split("|")][8] == "-"


@pytest.mark.slow
def test_a_tiny_run(monkeypatch, capsys):
    monkeypatch.setitem(cluster_sets.SETS, "normal_10", lambda: Data(cluster_sets.noise(10).x[:100], None))
    asked = ["--sets", "iris", "normal_10", "--seeds", "0", "--draws", "2", "--no-peers", "--no-checks"]
    assert clusters.main(asked) == 0
    printed = capsys.readouterr().out
    assert lines(printed)[:-1] == ["confirmed on:", "data", "iris", "noise:", "data", "normal_10"]
    (line,) = (line for line in printed.splitlines() if line.startswith("| iris"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert int(cells[3]) >= 2
    assert float(cells[4]) > 33.3


@pytest.mark.slow
def test_the_peers_find_clusters():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 100)
    data = Data((random.normal(size=(300, 4)) + 20 * np.eye(4)[labels]).astype(np.float32), labels)
    for found in clusters.of_peers(data).values():
        assert found["n_clusters"] >= 2
        assert found["acc_filled"] > 0.3
