"""The campaign of kills: what it tells apart, and a short form of it."""

import json
import shutil

import numpy as np
import pytest

from experiments import kill
from jaxclust.system import atomic
from tests.runs_test import fit


@pytest.mark.parametrize(
    ("state", "files", "place"),
    [
        (None, [], "start"),
        ("running", [], "start"),
        ("running", ["phases/seconds.json"], "phase"),
        ("running", ["phases/centres/9/state", "phases/centres/sums.json"], "phase"),
        ("running", ["phases/centres/19/state", "phases/centres/sums.json"], "checkpoint"),  # without its sums
        ("running", ["phases/centres/9/state"], "checkpoint"),
        ("running", ["phases/centres/9.orbax-checkpoint-tmp/state", "phases/centres/sums.json"], "checkpoint"),
        ("running", ["phases/centres/8/state", "phases/centres/9/state", "phases/centres/sums.json"], "checkpoint"),
        ("running", ["phases/seconds.json", "embedding.npy"], "final"),
        ("complete", ["phases/seconds.json", "embedding.npy"], "final"),
        ("complete", ["embedding.npy"], "end"),
    ],
)
def test_what_was_under_way_is_told_from_what_is_left(tmp_path, state, files, place):
    if state is not None:
        atomic.write_json(tmp_path / "config.json", {"state": state, "method": "toy", "config": {}})
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"step": 9, "files": {}}))
    assert kill.where(tmp_path) == place


CHANGES = {
    "assignments.csv": lambda run: (run / "assignments.csv").write_text("index,label\n"),
    "probabilities.npy": lambda run: np.save(run / "probabilities.npy", np.load(run / "probabilities.npy") + 1e-7),
    "history": lambda run: (run / "history.jsonl").write_text(""),
    "n_clusters": lambda run: atomic.write_json(
        run / "metrics.json", {**json.loads((run / "metrics.json").read_text()), "n_clusters": 4}
    ),
    "left: phases": lambda run: (run / "phases").mkdir(),
    "levels.npz": lambda run: atomic.write_arrays(run / "levels.npz", {"3": np.zeros(3)}),
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    out = tmp_path_factory.mktemp("kill") / "straight"
    fit(out)
    return out


@pytest.mark.parametrize("name", CHANGES)
def test_a_difference_is_named(straight, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(straight, run)
    assert kill.differences(straight, run) == []
    CHANGES[name](run)
    assert name in kill.differences(straight, run)


@pytest.mark.slow
def test_a_killed_fit_goes_on_to_the_same_end(tmp_path, capsys):
    """The short form: one kill of each kind. The line of a kill that is there is not made again."""
    assert kill.main(["--out", str(tmp_path), "--methods", "ae-cm", "--times", "3"]) == 0
    assert capsys.readouterr().out.endswith("| ae-cm | 1 of 1 | 1 of 1 | 1 of 1 | 3 of 3 |\n")
    rows = kill.read(tmp_path)
    assert kill.main(["--out", str(tmp_path), "--methods", "ae-cm", "--times", "3"]) == 0
    assert kill.read(tmp_path) == rows
    (tmp_path / "kills.jsonl").write_text(json.dumps({**rows[0], "held": False}) + "\n")
    assert kill.main(["--out", str(tmp_path), "--methods", "ae-cm", "--times", "1"]) == 1
