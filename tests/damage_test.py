"""A run with damaged files goes on: the damaged phase is done again, or one line names the file and the remedy."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxclust
from jaxclust import outliers
from jaxclust.errors import InputError
from jaxclust.runs import lifecycle
from jaxclust.system import atomic
from jaxclust.train import checkpoint, history
from jaxclust.train.kept import Kept
from tests.runs_test import Silent, fit
from tests.train.phases_test import Log, Phases, leaves, train


def cut(path: Path, to: int = 0) -> None:
    path.write_bytes(path.read_bytes()[:to])


def flip(path: Path) -> None:
    """One bit, in the middle."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 16
    path.write_bytes(raw)


def change(path: Path, name: str, value: object) -> None:
    """One value of a JSON object."""
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))


def data_of(training: Path) -> list[Path]:
    """Files of numbers."""
    return sorted(path for path in training.rglob("*") if path.is_file() and path.parent.name == "d")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run killed when all its phases were done, and what a straight one holds."""
    out = tmp_path_factory.mktemp("damage") / "run"

    def stop(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(out, draw=stop)
    return out


ARRAYS = {
    "empty": lambda run: cut(run / "phases/seeds.npz"),
    "cut": lambda run: cut(run / "phases/seeds.npz", 200),
    "a bit": lambda run: flip(run / "phases/seeds.npz"),
    "a pickle": lambda run: (run / "phases/seeds.npz").write_bytes(b"\x80\x04K\x01."),
    "another format": lambda run: shutil.copy(run / "embedding.npy", run / "phases/seeds.npz"),
    "a folder": lambda run: ((run / "phases/seeds.npz").unlink(), (run / "phases/seeds.npz").mkdir()),
}
CHECKPOINTS = {
    "all cut": lambda training: [cut(path, 7) for path in training.rglob("*") if path.is_file()],
    "no metadata": lambda training: [path.unlink() for path in training.rglob("*METADATA*")],
    "no data": lambda training: [path.unlink() for path in data_of(training)],
    "a bit": lambda training: flip(data_of(training)[0]),
    "no step": lambda training: [shutil.rmtree(path) for path in training.iterdir() if path.is_dir()],
    "no sums": lambda training: cut(training / checkpoint.SUMS, 3),
    "a file": lambda training: (shutil.rmtree(training), training.write_bytes(b"")),
}


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def resumed(whole, out, damage):
    """The notes about damage of a run that goes on after it; it ends as the straight one does."""
    shutil.copytree(whole, out)
    damage(out)
    notes = Notes()
    fit(out, resume=True, report=notes)
    assert lifecycle.read_config(out)["state"] == "complete"
    straight = whole.parent / "straight"
    if not straight.exists():
        fit(straight)
    for name in ("assignments.csv", "embedding.npy", "probabilities.npy"):
        assert (out / name).read_bytes() == (straight / name).read_bytes(), name
    return [line for line in notes.lines if "damaged" in line]


@pytest.mark.parametrize("damage", ARRAYS)
def test_a_damaged_result_is_computed_again(whole, tmp_path, damage):
    line = "seeds: what was kept of it is damaged: it is done again, and what came after it"
    assert resumed(whole, tmp_path / "run", ARRAYS[damage]) == [line]


@pytest.mark.slow
@pytest.mark.parametrize("damage", CHECKPOINTS)
def test_a_damaged_training_is_done_again(whole, tmp_path, damage):
    line = "centres: what was kept of it is damaged: it is done again, and what came after it"
    assert resumed(whole, tmp_path / "run", lambda run: CHECKPOINTS[damage](run / "phases/centres")) == [line]


def test_what_came_after_a_damaged_phase_is_done_again_too(tmp_path):
    """It was made from what may now come out otherwise."""
    phases = Phases(tmp_path)
    phases.compute("a", lambda: {"x": np.ones(3)})
    train(phases)
    phases.compute("b", lambda: {"x": np.ones(3)})
    cut(tmp_path / "phases/a.npz", 30)
    log = Log()
    phases = Phases(tmp_path, log)
    assert phases.compute("a", lambda: {"x": np.zeros(3)})["x"].sum() == 0
    train(phases)
    assert not phases.known("b")
    assert phases.compute("b", lambda: {"x": np.zeros(3)})["x"].sum() == 0
    assert not [line for line in log.lines if "kept from before" in line]
    assert Phases(tmp_path).compute("b", dict)["x"].sum() == 0


def test_what_is_known_is_whole(tmp_path):
    """hc-mgan asks, and then leaves its trainings out."""
    Phases(tmp_path).compute("splits-1", lambda: {"x": np.ones(3)})
    assert Phases(tmp_path).known("splits-1")
    cut(tmp_path / "phases/splits-1.npz", 30)
    assert not Phases(tmp_path).known("splits-1")


def test_a_damaged_checkpoint_of_an_earlier_version_is_named(tmp_path):
    """It has no checksums: what orbax says goes into the line."""
    train(Phases(tmp_path))
    training = tmp_path / "phases/centres"
    (training / checkpoint.SUMS).unlink()
    for path in training.rglob("_METADATA"):
        path.unlink()
    with pytest.raises(InputError, match=r"centres: the checkpoint cannot be read \(.*\): delete it, and --resume"):
        train(Phases(tmp_path))
    shutil.rmtree(training)
    train(Phases(tmp_path))


def test_a_checkpoint_without_checksums_is_read(tmp_path):
    first = leaves(train(Phases(tmp_path)))
    (tmp_path / "phases/centres" / checkpoint.SUMS).unlink()
    log = Log()
    for a, b in zip(first, leaves(train(Phases(tmp_path, log))), strict=True):
        np.testing.assert_array_equal(a, b)
    assert log.lines[-1] == "centres: kept from before"


def test_a_checkpoint_newer_than_its_checksums_is_whole(tmp_path):
    """Killed between the two."""
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jax.numpy.ones(3)})
        sums = (tmp_path / checkpoint.SUMS).read_bytes()
        checkpoints.save(2, {"x": jax.numpy.ones(3)})
    (tmp_path / checkpoint.SUMS).write_bytes(sums)
    assert checkpoint.damage(tmp_path) is None


@pytest.mark.parametrize("text", ["", '{"seeds', "[1]", '{"seeds": "soon"}', "\xff", "[" * 100_000])
def test_damaged_seconds_are_said(tmp_path, text):
    (tmp_path / "phases").mkdir()
    (tmp_path / "phases/seconds.json").write_text(text, encoding="latin-1")
    lines = []
    assert Kept(tmp_path, lines.append).seconds() == {}
    assert lines == [f"{tmp_path}/phases/seconds.json is damaged: how long earlier phases took is not known"]


@pytest.mark.parametrize("text", ['{"phase": "a", "st', "\xff\xfe", "5", '{"phase": "a"}', "[" * 100_000])
def test_damaged_rows_of_the_history_are_left_out(tmp_path, text):
    """Wherever they are: what is appended afterwards stands on lines of its own."""
    (tmp_path / history.NAME).write_text(text, encoding="latin-1")
    history.truncate(tmp_path, "a", 0)
    history.append(tmp_path, "a", 1, 1.0, 0.1, {"loss": 1.0})
    with open(tmp_path / history.NAME, "a") as file:
        file.write(text.encode("ascii", "replace").decode() + "\n")
    history.append(tmp_path, "a", 2, 2.0, 0.2, {"loss": 1.0})
    assert [row["step"] for row in history.read(tmp_path)] == [1, 2]


@pytest.mark.parametrize("text", [
    "", "[]", '{"method": "toy"', '{"method": "toy"}', "[" * 100_000,
    '{"state": "x", "method": "toy", "config": {}}', '{"state": [], "method": "toy", "config": {}}',
    '{"state": "failed", "method": 3, "config": {}}', '{"state": "failed", "method": "toy", "config": 7}',
])  # fmt: skip
def test_a_damaged_config_is_one_line_and_nothing_is_lost(whole, tmp_path, text):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "config.json").write_text(text)
    kept = (out / "phases/seeds.npz").read_bytes()
    with pytest.raises(InputError, match=r"config\.json: ") as caught:
        fit(out, resume=True)
    assert "\n" not in str(caught.value)
    assert (out / "phases/seeds.npz").read_bytes() == kept
    fit(out, overwrite=True)
    assert lifecycle.read_config(out)["state"] == "complete"


def test_other_versions_are_named(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    config = json.loads((out / "config.json").read_text())
    config["versions"]["jax"] = "0.0.1"
    (out / "config.json").write_text(json.dumps(config))
    notes = Notes()
    fit(out, resume=True, report=notes)
    assert f"differ from that of one go: jax 0.0.1, now {jax.__version__}" in notes.lines[0]


def test_a_model_of_an_attempt_before_is_written_anew(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    damaged = data_of(out / "model/arrays")
    assert damaged
    for path in damaged:
        cut(path, 5)
    fit(out, resume=True)
    assert checkpoint.damage(out / "model/arrays") is None
    assert np.isfinite(checkpoint.load_dicts(out / "model/arrays")["centres"]).all()


DAMAGED_MODELS = {
    "a bit of the arrays": lambda run: flip(data_of(run / "model/arrays")[0]),
    "no checksums' file left whole": lambda run: cut(run / "model/arrays" / checkpoint.SUMS, 9),
    "rows are missing": lambda run: cut(run / "assignments.csv", 300),
    "no rows": lambda run: cut(run / "assignments.csv"),
    "empty probabilities": lambda run: cut(run / "probabilities.npy"),
    "cut embedding": lambda run: cut(run / "embedding.npy", 300),
    "cut levels": lambda run: (run / "model/levels.npz").write_bytes(b"PK\x03\x04"),
    "cut statistics": lambda run: cut(run / "model/outliers.npz", 300),
    "a bit of the statistics": lambda run: flip(run / "model/outliers.npz"),
    "statistics of another model": lambda run: atomic.write_arrays(
        run / "model/outliers.npz", outliers.of_fit(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32))._asdict()
    ),
    "empty meta": lambda run: cut(run / "model/model.json"),
    "deep meta": lambda run: (run / "model/model.json").write_text("[" * 100_000),
    "another number in meta": lambda run: change(run / "model/model.json", "n_clusters", 4),
    "another preprocessing": lambda run: change(run / "model/model.json", "preprocess", {}),
    "another method in config": lambda run: change(run / "config.json", "method", "cm"),
    "no arrays": lambda run: shutil.rmtree(run / "model/arrays"),
    "no shape": lambda run: (run / "model/model.json").write_text('{"format": 3, "method": "ae-cm", "meta": 5}'),
}


@pytest.mark.parametrize("damage", DAMAGED_MODELS)
def test_a_damaged_model_is_one_line(tmp_path, damage):
    shutil.copytree(Path(__file__).parent / "saved/ae-cm", tmp_path / "older")
    model = jaxclust.load(tmp_path / "older")
    model.save(tmp_path / "run")
    DAMAGED_MODELS[damage](tmp_path / "run")
    before = sorted((tmp_path / "run").rglob("*"))
    with pytest.raises(InputError, match="fit again") as caught:
        jaxclust.load(tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert sorted((tmp_path / "run").rglob("*")) == before
