"""Several processes on one machine: the same losses as one, one writer, and a clear end where one is missing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jaxclust.train import hosts
from tests import toy
from tests.conftest import QUICKLY
from tests.contract_test import TINY

ROOT = Path(__file__).parents[2]
SHORT = {"min_steps": 20}
COMMAND = """
import sys
from jaxclust import methods
from jaxclust.cli import main
methods.METHODS["toy"] = "tests.toy"
sys.exit(main(sys.argv[1:]))
"""


def start(*words, devices):
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{QUICKLY} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", COMMAND, "fit", *map(str, words)], env=environment, **pipes)


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def together(*words, each=()):
    """Two processes of two devices; `each`: more words of the second. Their (exit code, stdout, stderr)."""
    joined = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", 2]
    processes = [start(*words, *joined, "--process-id", i, *(each if i else ()), devices=2) for i in range(2)]
    try:
        return [finish(process) for process in processes]
    finally:
        for process in processes:
            process.kill()


def finish(process):
    """(stdout, stderr), exit code."""
    try:
        return process.communicate(timeout=600), process.returncode
    finally:
        process.kill()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    images, labels = toy.blobs(90)
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, images=images, labels=labels)
    return path


def losses(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "training", "rtol"),
    [("toy", "centres", 1e-5), ("moe-vae", "search-autoencoder", 1e-3)],
)
def test_two_processes_give_what_one_gives_and_one_of_them_writes(data, tmp_path, method, training, rtol):
    words = [method, data, *options(method), *([] if method == "toy" else ["--no-figures"])]
    one = start(*words, "--out", tmp_path / "one", devices=1)
    ((out, err), code), ((silent, other), other_code) = together(
        *words, "--out", tmp_path / "two", each=["--out", tmp_path / "never"]
    )
    (_, alone), alone_code = finish(one)
    assert (code, other_code, alone_code) == (0, 0, 0), err + other + alone
    assert "clusters" in out
    # Threads write Gloo's lines into each other.
    assert not [line for line in silent.splitlines() if "[Gloo]" not in line and "peer ranks" not in line], silent
    assert not (tmp_path / "never").exists()
    first, second = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [(line["phase"], line["step"]) for line in first] == [(line["phase"], line["step"]) for line in second]
    pairs = [pair for pair in zip(first, second, strict=True) if pair[0]["phase"] == training]
    assert pairs
    for ours, theirs in pairs if method == "toy" else pairs[:1]:  # rounding grows from chunk to chunk
        terms = ours.keys() - {"phase", "step", "epoch", "seconds"}
        assert terms
        np.testing.assert_allclose([theirs[name] for name in terms], [ours[name] for name in terms], rtol=rtol)
    files = [tmp_path / name / "assignments.csv" for name in ("one", "two")]
    labels = [np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding=None)["label"] for path in files]
    assert adjusted_rand_score(*labels) == 1  # rounding may number the clusters otherwise


def options(method):
    """The command line of contract_test's tiny fits; shorter, since each step waits for messages."""
    settings = {**TINY[method], **(SHORT if method == "moe-vae" else {})}
    words = []
    for name, value in settings.items():
        words += [f"--{name.replace('_', '-')}", *(value if isinstance(value, tuple) else (value,))]
    return words


@pytest.mark.slow
def test_what_stops_the_first_process_stops_all(data, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    for (out, err), code in together("toy", data, "--out", tmp_path / "taken"):
        assert code == 2
        assert "is not empty" in err
        assert "clusters" not in out


@pytest.mark.slow
@pytest.mark.parametrize("present", [0, 1])
def test_a_missing_process_is_one_line_within_the_time(data, tmp_path, present):
    words = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", 2, "--process-id", present, "--wait", 3]
    (_, err), code = finish(start("toy", data, "--out", tmp_path / "out", "--distributed", *words, devices=1))
    assert code == 2, err
    assert "did not come together within 3 s: start all 2" in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--coordinator", "localhost:1"], "add --distributed"),
        (["--distributed", "--coordinator", "localhost:1"], "processes and process_id not given"),
        (["--distributed", "--coordinator", "localhost:1", "--processes", 2, "--process-id", 2], "give 0 to 1"),
        (["--distributed", "--processes", "two"], "--processes: invalid int value: 'two': give a whole number"),
    ],
)
def test_flags_that_do_not_fit_together(data, words, remedy):
    (_, err), code = finish(start("toy", data, *words, devices=1))
    assert code == 2
    assert remedy in err


def test_one_process_shares_with_itself():
    found = hosts.shared(lambda: {"a": 1, "b": [1.0, 2.0]})
    assert found["a"] == 1
    np.testing.assert_array_equal(found["b"], [1.0, 2.0])
    assert hosts.agreed(True)
    assert hosts.shared_tree(None, lambda: "tree") == "tree"
    assert hosts.alone()
    assert hosts.is_first()


def test_what_is_shared_within_the_first_process_s_work_stays_there(monkeypatch):
    sent = []
    monkeypatch.setattr(hosts, "alone", lambda: False)
    monkeypatch.setattr(hosts, "_broadcast", lambda message: sent.append(message) or message)

    def decide():
        tree = hosts.shared_tree({"a": 0}, lambda: {"a": np.arange(3)})
        assert hosts.agreed(True)
        return {"sum": tree["a"].sum() + hosts.shared(lambda: {"one": 1})["one"]}

    assert hosts.shared(decide)["sum"] == 4
    assert len(sent) == 1, "one message, of what was decided"
    assert hosts.shared(lambda: {"x": 1})["x"] == 1
    assert len(sent) == 2, "and all take part again"
