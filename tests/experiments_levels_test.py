"""The rules for levels beside each other: what is printed, and what is refused."""

import numpy as np
import pytest

from experiments import cluster_sets, levels
from experiments.cluster_sets import Data


def test_all_rules_find_blobs(monkeypatch, capsys):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    x = (8 * np.eye(3, 6)[labels] + rng.normal(0, 0.3, (60, 6))).astype(np.float32)
    monkeypatch.setitem(cluster_sets.SETS, "digits_300", lambda: Data(x, labels))
    options = ["--sets", "digits_300", "--seeds", "0", "--draws", "2"]
    assert levels.main([*options, "--rules", *levels.RULES]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| digits_300")]
    as_they_are = "| digits_300 | as they are | 3" + len(levels.RULES) * " | 3 | 100.0 | 100.0" + " |"
    assert lines == [as_they_are, as_they_are.replace("as they are", "whitened")]


def test_bad_options_are_one_line(capsys):
    assert levels.main(["--sets", "nope"]) == 2
    assert levels.main(["--sets", "normal_10"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("experiments.levels: error: set 'nope' is unknown: choose of ")
    assert told[1].startswith("experiments.levels: error: normal_10: has no class for each row")


@pytest.mark.parametrize(
    ("features", "labels", "said"),
    [
        (np.zeros((0, 3)), [], "0 examples are too few to find clusters: give at least 4"),
        (np.full((30, 3), np.nan), [0] * 30, "codes are not finite"),
        (np.ones((30, 3)), [0] * 30, "all examples have the same code"),
        (np.ones((30, 3)), [0] * 29, "has no class for each row: give `labels` beside `features`"),
        (None, None, "give a file .npz that holds `features`"),
    ],
)
def test_bad_codes_are_one_line(tmp_path, capsys, features, labels, said):
    path = tmp_path / "codes.npz"
    if features is not None:
        np.savez(path, features=features, labels=np.array(labels, int))
    assert levels.main(["--sets", "--codes", str(path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert said in told[0]
