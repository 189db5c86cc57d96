"""experiments.outliers: what is fitted and what is new, the table by hand, and a small campaign that goes on."""

import json

import numpy as np
import pytest

from experiments import outliers


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Files of 200 images, of ten kinds, and of 100 others."""
    labels, rng = np.arange(200) % 10, np.random.default_rng(0)
    kinds = np.random.default_rng(1).integers(30, 226, (10, 8, 8, 1))
    images = np.clip(kinds[labels] + rng.normal(0, 12, (200, 8, 8, 1)), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "mnist10k.npz", images=images, labels=labels)
    np.savez(tmp_path / "fmnist10k.npz", images=255 - images[:100], labels=labels[:100])
    monkeypatch.setenv("JAXCLUST_DATA", str(tmp_path))
    return images, labels


def test_a_digit_is_left_out_of_the_fit_and_a_tenth_of_the_others(data):
    images, labels = data
    made = outliers.trial("3", 200)
    assert [len(part) for part in made] == [162, 18, 20]
    np.testing.assert_array_equal(made.outliers, images[labels == 3])
    known = images[labels != 3]
    np.testing.assert_array_equal(made.others, known[::10])
    assert [len(part) for part in outliers.trial("fashion", 200)] == [180, 20, 20]
    assert [len(part) for part in outliers.trial("0", 100)] == [81, 9, 10]


def test_the_table_has_the_mean_over_digits():
    one = {"n_clusters": 9, "auroc": dict.fromkeys(outliers.SCORES, 0.9), "below": [0.05, 0.7]}
    two = {**one, "auroc": dict.fromkeys(outliers.SCORES, 0.8)}
    lines = outliers.table({"0": one, "1": two, "fashion": one}).splitlines()
    assert lines[-2] == "| mean of 2 |  | 0.850 | 0.850 | 0.850 | 0.850 | 0.050 | 0.700 |"
    assert lines[-1].startswith("| fashion | 9 | 0.900")
    assert len(lines) == 6


def test_strengths_are_low_far_from_the_clusters():
    rng = np.random.default_rng(0)
    train = np.concatenate([rng.normal(c, 0.1, (100, 2)) for c in (0, 5)])
    found = outliers.strengths(train, np.array([[0.0, 0.0], [5.0, 5.0], [50.0, -50.0]]))
    assert (found[:2] > 0.5).all()
    assert found[2] == 0


@pytest.mark.slow
def test_a_campaign_goes_on_where_it_was_cut(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(outliers, "in_map", lambda train, new: np.arange(len(new)))  # UMAP takes a minute
    command = ["--rows", "200", "--method", "kmeans", "--out", str(tmp_path / "out")]
    options = ["--", "--n-clusters", "9", "--quiet", "--no-figures"]
    assert outliers.main([*command, "--only", "3", *options]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("| 3 | 9 |")
    path = tmp_path / "out/3.json"
    found = json.loads(path.read_text())
    assert found["auroc"]["typicality"] > 0.9
    path.write_text(json.dumps({**found, "n_clusters": 77}))
    assert outliers.main([*command, "--only", "3", "4", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[2:4]] == ["77", "9"]
    assert outliers.main([*command, "--only", "5", "--", "--no-such-option"]) == 2
    assert "jaxclust fit ended with 2" in capsys.readouterr().err


def test_a_place_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert outliers.main(["--out", str(tmp_path / "file" / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("Not a directory: choose another --out")
