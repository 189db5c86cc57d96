"""The command line, on the toy method."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxclust import __version__, cli
from tests import toy as toys

ROOT = Path(__file__).parents[1]
PROGRAM = "import sys; from jaxclust import methods; from jaxclust import cli; " + (
    "methods.METHODS['toy'] = 'tests.toy'"
)


@pytest.fixture
def here(toy, tmp_path, monkeypatch):
    """A working directory with images of three kinds, train.npz and new.npz, and the toy method at hand."""
    monkeypatch.chdir(tmp_path)
    images, labels = toys.blobs(150)
    np.savez("train.npz", images=images, labels=labels)
    images, labels = toys.blobs(40, seed=1)
    np.savez("new.npz", images=images, labels=labels)
    return tmp_path


def jaxclust(*arguments):
    return cli.main(["fit", "toy", *arguments, "--no-figures"] if arguments[0] == "train.npz" else list(arguments))


@pytest.fixture
def fitted(here, capsys):
    assert jaxclust("train.npz", "--out", "run") == 0
    capsys.readouterr()
    return here


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def error(capsys, code, *arguments):
    """The single line of an error that exits with `code`."""
    assert jaxclust(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("jaxclust: error: ")]
    assert len(lines) == 1, err
    return lines[0]


def test_help_and_version(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("fit", "predict", "sample", "evaluate", "methods", "data", "doctor"):
        assert re.search(rf"^  {command}\b", text, re.M)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"jaxclust {__version__}"
    assert cli.main([]) == 2


def test_fit_ends_with_a_table(here, capsys):
    assert jaxclust("train.npz") == 0
    out, err = capsys.readouterr()
    for pattern in (
        r"^clusters +3$", r"^noise +0.0%$", r"^latent size +2$", r"^silhouette +0\.\d+$", r"^ACC +100.0%$",
        r"^NMI +100.0%$", r"^  seeds +[\d.]+ s$", r"^  centres +[\d.]+ s$", r"^run +runs/toy-train-0$",
    ):  # fmt: skip
        assert re.search(pattern, out, re.M), (pattern, out)
    assert "centres: compiling" in err
    config = json.loads((here / "runs/toy-train-0/config.json").read_text())
    assert config["preset"] == "quick"
    assert config["data"] == "train.npz"


def test_a_log_is_kept_beside_the_run(here, capsys):
    assert jaxclust("train.npz", "--out", "run", "--quiet", "--log", "jsonl", "logs") == 0
    told = [json.loads(line) for line in Path("logs/events.jsonl").read_text().splitlines()]
    assert [told[0]["event"], told[-1]["event"]] == ["begin", "end"]
    assert told[0]["about"]["n_samples"] == 150
    capsys.readouterr()
    assert "acc" not in told[-1]["scores"]
    assert "--log has 1 values: give 2" in error(capsys, 2, "train.npz", "--out", "x", "--log", "jsonl")
    assert "log 'csv' is unknown" in error(capsys, 2, "train.npz", "--out", "x", "--log", "csv", "logs")
    assert not Path("x").exists()


def test_options_reach_the_config(here):
    arguments = ["--n-clusters", "4", "--epochs", "3", "--seed", "7", "--out", "x", "--quiet"]
    assert jaxclust("train.npz", *arguments) == 0
    config = json.loads(Path("x/config.json").read_text())
    assert config["config"]["n_clusters"] == 4
    assert config["config"]["epochs"] == 3
    assert config["config"]["batch_size"] == toys.ToyConfig().batch_size
    assert config["seed"] == 7
    assert [int(row["index"]) for row in rows("x/assignments.csv")] == list(range(config["n_samples"]))


def test_options_may_stand_before_the_method(here):
    assert cli.main(["fit", "--seed", "3", "toy", "train.npz", "--epochs", "1", "--no-figures"]) == 0
    assert Path("runs/toy-train-3/metrics.json").exists()


def test_help_waits_for_no_other_process(here, capsys, toy):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["fit", "toy", "--distributed", "--help"])
    assert "--coordinator" in capsys.readouterr().out


@pytest.mark.parametrize(("preset", "epochs"), [("quick", 40), ("full", 60), ("paper", 400)])
def test_help_shows_the_preset_s_values(here, capsys, preset, epochs):
    with pytest.raises(SystemExit) as raised:
        cli.main(["fit", "toy", "--help", "--preset", preset])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    assert "usage: jaxclust fit toy" in text
    assert re.search(rf"--epochs FLOAT[\s│]+\(default: {epochs}\)", text)
    assert "--n-clusters" in text
    assert "--config" not in text


def test_predict_labels_new_images_as_the_run_did(fitted):
    assert jaxclust("predict", "run", "new.npz", "--out", "labels.csv") == 0
    found = rows("labels.csv")
    assert [int(row["index"]) for row in found] == list(range(40))
    assert list(found[0]) == ["index", "label", "probability", "typicality"]
    # the same kinds of images come in the same order in both files
    fit_labels = [row["label"] for row in rows("run/assignments.csv")]
    assert [row["label"] for row in found] == fit_labels[:40]


def test_predict_writes_to_standard_output(fitted, capsys):
    assert jaxclust("predict", "run", "new.npz") == 0
    assert len(capsys.readouterr().out.splitlines()) == 41


def test_predict_marks_outliers_and_says_where_all_looks_unlike(fitted, capsys):
    images, labels = toys.blobs(40, seed=1)
    np.savez("mixed.npz", images=np.concatenate([images, 255 - images[:20]]), labels=np.append(labels, labels[:20]))
    assert jaxclust("predict", "run", "new.npz", "--out", "plain.csv") == 0
    assert "unlike" not in capsys.readouterr().err
    assert jaxclust("predict", "run", "mixed.npz", "--noise-below", "0.01", "--out", "marked.csv") == 0
    err = capsys.readouterr().err
    marked, plain = rows("marked.csv"), rows("plain.csv")
    assert [row["label"] for row in marked[40:]] == ["-1"] * 20
    below = [float(row["typicality"]) < 0.01 for row in plain]
    assert [row["label"] for row in marked[:40]] == [
        "-1" if low else row["label"] for row, low in zip(plain, below, strict=True)
    ]
    assert f"60 labels in marked.csv, {20 + sum(below)} of them -1" in err
    assert "look unlike those of the fit" in err
    assert "--noise-below is 5: give a share between 0 and 1" in error(
        capsys, 2, "predict", "run", "new.npz", "--noise-below", "5"
    )


def test_a_run_without_statistics_makes_them_of_its_examples_or_says_so(fitted, capsys):
    assert jaxclust("predict", "run", "new.npz", "--out", "new.csv") == 0
    Path("run/model/outliers.npz").unlink()
    assert jaxclust("predict", "run", "new.npz", "--out", "old.csv") == 0
    assert Path("old.csv").read_text() == Path("new.csv").read_text()
    Path("run/embedding.npy").unlink()
    capsys.readouterr()
    assert jaxclust("predict", "run", "new.npz", "--out", "none.csv") == 0
    assert "no typicality: the run has no statistics of its examples" in capsys.readouterr().err
    assert list(rows("none.csv")[0]) == ["index", "label", "probability"]
    assert [row["label"] for row in rows("none.csv")] == [row["label"] for row in rows("new.csv")]
    said = error(capsys, 2, "predict", "run", "new.npz", "--noise-below", "0.05")
    assert "has no statistics of its examples: fit again, or put embedding.npy" in said


def test_predict_labels_by_a_level_of_the_run_s_tree(fitted, capsys):
    """Cells by hand: of three clusters the first two are one."""
    mean = np.zeros((3, np.load("run/embedding.npy").shape[1]), np.float32)
    cells = {"level": [2, 2, 2], "cluster": [0, 1, 2], "label": [0, 0, 1]}
    np.savez("run/model/levels.npz", mean=mean, **{name: np.int32(value) for name, value in cells.items()})
    try:
        assert jaxclust("predict", "run", "new.npz", "--level", "2", "--out", "level.csv") == 0
        assert jaxclust("predict", "run", "new.npz", "--out", "labels.csv") == 0
        found = rows("level.csv")
        assert list(found[0]) == ["index", "label", "typicality"]
        expected = ["1" if row["label"] == "2" else "0" for row in rows("labels.csv")]
        assert [row["label"] for row in found] == expected
        capsys.readouterr()
        assert jaxclust("predict", "run", "new.npz", "--level", "7") == 2
        assert "there is no level of 7 clusters: choose one of 2" in capsys.readouterr().err
    finally:
        Path("run/model/levels.npz").unlink()
    assert jaxclust("predict", "run", "new.npz", "--level", "2") == 2
    assert "this model has none" in capsys.readouterr().err


def test_evaluate_compares_and_writes_nothing(fitted, capsys):
    before = sorted(Path().rglob("*.*"))
    assert jaxclust("evaluate", "run", "new.npz") == 0
    assert re.search(r"^ACC +100.0%$", capsys.readouterr().out, re.M)
    assert sorted(Path().rglob("*.*")) == before
    assert jaxclust("evaluate", "run", "new.npz", "--out", "scores.json") == 0
    assert json.loads(Path("scores.json").read_text())["acc"] == 1.0


def test_sample_draws_a_grid_or_writes_arrays(fitted):
    assert jaxclust("sample", "run", "--cluster", "1", "-n", "10", "--out", "grid.png") == 0
    with Image.open("grid.png") as picture:
        assert picture.size == ((4 * 9 + 1) * 4, (3 * 9 + 1) * 4)
        assert picture.getextrema()[0] < picture.getextrema()[1]
    assert jaxclust("sample", "run", "--cluster", "1", "-n", "10", "--out", "grid.npy") == 0
    assert np.load("grid.npy").shape == (10, 8, 8, 1)


def test_lists(toy, capsys):
    assert cli.main(["methods"]) == 0
    text = capsys.readouterr().out
    assert "soft k-means, for tests" in text
    assert "also --preset paper:mnist, paper:fmnist, paper:usps" in text
    assert cli.main(["data"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^digits +1797 +8x8x1 +10 +scikit-learn", text, re.M)
    assert "folder of images" in text


# what can go wrong: one line, exit code 2, nothing written


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fit", "toy", "no-such-file.npz"], "no-such-file.npz"),
        (["fit", "no-such-method", "train.npz"], "method 'no-such-method' is unknown: choose one of"),
        (["frobnicate"], "'frobnicate' is unknown"),
        (["fit"], "missing"),
        (["train.npz", "--n-clusters", "151"], "only 150 examples"),
        (["train.npz", "--n-clusters", "1"], "at least 2"),
        (["fit", "moe-vae", "train.npz", "--epochs", "-2"], "epochs is -2"),
        (["train.npz", "--only-one"], "--n-clusters"),
        (["train.npz", "--seed", "-1"], "seed is -1"),
        (["train.npz", "--overwrite", "--resume"], "exclude each other"),
        (["train.npz", "--preset", "huge"], "preset 'huge' is unknown"),
        (["train.npz", "--out", "train.npz"], "train.npz: is a file"),
        (["train.npz", "--out", "train.npz/below"], "check the path"),
        (["predict", "no-run", "train.npz"], "no-run: holds no run"),
        (["evaluate", "no-run", "train.npz"], "no-run: holds no run"),
        (["sample", "no-run", "--cluster", "0"], "no-run: holds no run"),
    ],
)
def test_bad_input_is_one_line(here, capsys, arguments, named):
    assert named in error(capsys, 2, *arguments)
    assert {path.name for path in here.iterdir()} == {"train.npz", "new.npz"}


def test_a_training_that_diverges_has_an_exit_code_of_its_own(here, capsys):
    assert "not finite; lower --learning-rate" in error(capsys, 3, "train.npz", "--learning-rate", "1e38")
    assert {path.name for path in here.iterdir()} == {"train.npz", "new.npz"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train.npz", "--out", "run"], "already holds a run"),
        (["sample", "run", "--cluster", "3"], "0 to 2"),
        (["sample", "run", "--cluster", "0", "-n", "0"], "n is 0"),
        (["sample", "run", "--cluster", "0", "--out", "x.gif"], ".png or .npy"),
        (["sample", "run", "--cluster", "0", "--out", "no/x.png"], "does not exist"),
        (["predict", "run", "digits_of_pi"], "digits_of_pi"),
        (["predict", "run", "iris"], "fitted to"),
        (["predict", "run", "new.npz", "--out", "no/x.csv"], "does not exist"),
        (["evaluate", "run", "unlabelled.npy"], "has no classes"),
        (["evaluate", "run", "unknown.npz"], "has no classes"),
    ],
)
def test_bad_use_of_a_run_is_one_line(fitted, capsys, arguments, named):
    np.save("unlabelled.npy", toys.blobs(5)[0])
    np.savez("unknown.npz", images=toys.blobs(5)[0], labels=np.full(5, -1))
    assert named in error(capsys, 2, *arguments)
    assert not {path.name for path in fitted.iterdir()} & {"samples.png", "x.gif", "no"}


def test_a_full_disk_is_one_line(here, capsys, monkeypatch):
    import errno

    from jaxclust.system import atomic

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", "runs/x/embedding.npy")

    monkeypatch.setattr(atomic, "write_array", full)
    line = error(capsys, 2, "train.npz")
    assert "runs/x/embedding.npy: no space left" in line
    assert "--resume" in line
    monkeypatch.undo()


def start(*arguments):
    # A shell's background jobs, and so their children, are started with SIGINT ignored.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listen}; {PROGRAM}; sys.exit(cli.main({list(arguments)!r}))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_goes_on(here):
    arguments = ["fit", "toy", "train.npz", "--epochs", "300000", "--no-figures", "--out", "run"]
    process = start(*arguments)
    deadline = time.monotonic() + 300
    while not Path("run/history.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    command = "jaxclust fit toy train.npz --epochs 300000 --no-figures --out run --resume"
    assert f"\ninterrupted: go on with {command}\n" in err
    assert "Traceback" not in err
    assert json.loads(Path("run/config.json").read_text())["state"] == "interrupted"


def test_ctrl_c_ends_what_python_cannot_interrupt():
    """A handler of Python's own would wait for the main thread, which compiled code holds."""
    program = """
import signal, threading, time
from jaxclust.cli import interrupts
signal.signal(signal.SIGINT, lambda *args: None)  # as if KeyboardInterrupt never came
with interrupts.answered():
    print("ready", flush=True)
    for _ in range(300):
        time.sleep(0.1)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert "interrupted" in err


def test_the_table_says_why_a_training_ended_early():
    from jaxclust.cli.tables import run_table

    metrics = {
        "n_clusters": 3, "effective_clusters": 3, "noise_fraction": 0.0, "latent_dim": 4, "expert_latent_dims": None,
        "summary": {"ended": "the critic of group 0 tells all codes from the prior"}, "phases": {}, "seconds": 1.0,
    }  # fmt: skip
    assert "training     ended early: the critic of group 0" in run_table(metrics, Path("runs/x"))
    assert "ended" not in run_table({**metrics, "summary": {"ended": None}}, Path("runs/x"))
    assert "not clear" not in run_table(metrics, Path("runs/x"))
    assert "not clear ones" in run_table({**metrics, "clear": False}, Path("runs/x"))


@pytest.mark.parametrize("out", ["gs://bucket/run", "s3://bucket/run", "https://example.org/run"])
def test_results_are_written_on_this_machine(here, capsys, out):
    before = sorted(here.iterdir())
    assert f"{out}: runs are written" in error(capsys, 2, "train.npz", f"--out={out}")
    assert f"{out}: runs are written" in error(capsys, 2, "predict", out, "new.npz")
    assert sorted(here.iterdir()) == before
    Path("run").mkdir()
    assert f"{out}: files are written" in error(capsys, 2, "predict", "run", "new.npz", "--out", out)


def test_home_is_meant_by_every_path(here, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    (here / "home").mkdir()
    Path("train.npz").rename("home/train.npz")
    assert cli.main(["fit", "toy", "~/train.npz", "--epochs", "1", "--no-figures", "--quiet", "--out", "~/run"]) == 0
    assert cli.main(["predict", "~/run", "~/train.npz", "--out", "~/labels.csv"]) == 0
    assert cli.main(["evaluate", "~/run", "~/train.npz", "--out", "~/scores.json"]) == 0
    assert cli.main(["sample", "~/run", "--cluster", "0", "--out", "~/samples.npy"]) == 0
    names = {path.name for path in (here / "home").iterdir()}
    assert names == {"train.npz", "run", "labels.csv", "scores.json", "samples.npy"}
    assert not Path("~").exists()


@pytest.mark.parametrize(
    ("encoding", "argument", "again"),
    [
        ("ascii", "caf\udcc3\udca9", True),
        ("ascii", "cafe", False),
        ("utf-8", "café", False),
        ("ascii", "\udcff", False),
    ],
)
def test_names_are_utf_8_whatever_the_locale_says(monkeypatch, encoding, argument, again):
    called = []
    monkeypatch.setattr(sys, "argv", ["jaxclust", "--version", argument])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "jaxclust", "--version", argument])
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    monkeypatch.setattr(os, "getcwd", lambda: "/")
    monkeypatch.setattr(os, "execv", lambda program, arguments: called.append(arguments))
    assert cli.main() == 0
    options = ["-X", "utf8", "-m", "jaxclust", "--version", argument]
    assert called == ([[sys.executable, *options]] if again else [])


def test_a_current_directory_that_is_gone(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli.main(["predict", "run", "iris"]) == 2
    assert "jaxclust: error: the current directory was deleted: change to another" in capsys.readouterr().err
