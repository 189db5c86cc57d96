"""A disk that is full at any write: the earlier run is intact, and the new one goes on once there is space."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import kill
from jaxclust import cli
from jaxclust.errors import InputError
from jaxclust.runs import lifecycle
from jaxclust.system import atomic
from jaxclust.train import history
from jaxclust.train.checkpoint import Checkpoints
from tests import toy as toys
from tests.runs_test import contents, fit

WRITES = 26  # of a run of the toy
SOME = (1, 4, 14, WRITES)  # what the fast tests look at


class Disk:
    """Full from the write `full` on, or at that one alone. Counts what is written: files, checkpoints, the history."""

    def __init__(self, patch):
        self.n, self.full, self.stays = 0, None, True
        sync, append, save = atomic._sync, history.append, Checkpoints.save

        def save_half(checkpoints, step, tree):
            (checkpoints.directory / f"{step}.orbax-checkpoint-tmp").mkdir(parents=True, exist_ok=True)
            self.write()
            (checkpoints.directory / f"{step}.orbax-checkpoint-tmp").rmdir()
            save(checkpoints, step, tree)

        def append_half(directory, *args):
            with open(directory / history.NAME, "a") as file:
                file.write('{"phase": "cen')
            self.write()
            whole = (directory / history.NAME).read_text().removesuffix('{"phase": "cen')
            (directory / history.NAME).write_text(whole)
            append(directory, *args)

        patch.setattr(atomic, "_sync", lambda file: (self.write(), sync(file)))
        patch.setattr(history, "append", append_half)
        patch.setattr(Checkpoints, "save", save_half)

    def write(self):
        self.n += 1
        if self.full is not None and (self.n == self.full or (self.stays and self.n > self.full)):
            raise OSError(errno.ENOSPC, "No space left on device")

    def mend(self, full=None, stays=True):
        self.n, self.full, self.stays = 0, full, stays


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A complete run of seed 0, and what that of seed 1 shall be."""
    place = tmp_path_factory.mktemp("disk")
    fit(place / "old")
    fit(place / "new", seed=1)
    return place


def test_every_write_is_counted(disk, tmp_path):
    fit(tmp_path / "run", seed=1)
    assert disk.n == WRITES


@pytest.mark.parametrize(
    ("full", "stays"),
    [
        pytest.param(full, stays, marks=[] if stays and full in SOME else [pytest.mark.slow])
        for full in range(1, WRITES + 1)
        for stays in (True, False)
    ],
)
def test_a_full_disk_while_a_run_is_replaced(disk, runs, tmp_path, full, stays):
    """The earlier run waits beside, or is back; the new one goes on, or is begun again."""
    out = tmp_path / "run"
    shutil.copytree(runs / "old", out)
    disk.mend(full, stays)
    with pytest.raises(OSError, match="No space left"):
        fit(out, seed=1, overwrite=True)
    disk.mend()
    assert contents(out / lifecycle.REPLACED) == contents(runs / "old")
    if full == 1:  # the new one had not begun: the earlier one comes back
        with pytest.raises(InputError, match="was begun with seed 0, not 1: resume with the same, or --overwrite it"):
            fit(out, seed=1, resume=True)
        assert contents(out) == contents(runs / "old")
        fit(out, seed=1, overwrite=True)
    else:
        fit(out, seed=1, resume=True)
    assert kill.differences(runs / "new", out) == []


@pytest.mark.parametrize("full", [1, 14, WRITES])
def test_a_full_disk_in_a_new_place(disk, runs, tmp_path, full):
    out = tmp_path / "run"
    disk.mend(full)
    with pytest.raises(OSError, match="No space left"):
        fit(out, seed=1)
    disk.mend()
    fit(out, seed=1, resume=True)
    assert kill.differences(runs / "new", out) == []


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("predict run new.npz --out x.csv", "x.csv"),
        ("evaluate run new.npz --out x.json", "x.json"),
        ("sample run --cluster 0 --out x.png", "x.png"),
        ("sample run --cluster 0 --out x.npy", "x.npy"),
        ("report run --no-data --out x.html", "x.html"),
        ("report run --no-data", "run/report.html"),
    ],
)
def test_what_commands_write_replaces_nothing_on_a_full_disk(
    toy, disk, runs, tmp_path, monkeypatch, capsys, command, name
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs / "old", "run")
    images, labels = toys.blobs(30)
    np.savez("new.npz", images=images, labels=labels)
    Path(name).write_text("mine")
    before = contents(tmp_path)
    disk.mend(1)
    assert cli.main(command.split()) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].endswith("no space left on the disk: free some, then give the same command again")
    assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root mounts a small disk")
@pytest.mark.parametrize("size", ["24k", "80k"])
def test_a_small_disk(tmp_path, size):
    """A file system that is really full: after more of it was given, the run goes on."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    images, labels = toys.blobs(150)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    program = (
        "import sys; from jaxclust import cli, methods; methods.METHODS['toy'] = 'tests.toy'; sys.exit(cli.main())"
    )
    command = [sys.executable, "-c", program, "fit", "toy", str(tmp_path / "data.npz"), "--no-figures", "--out"]
    try:
        full = subprocess.run([*command, str(place / "run")], capture_output=True, text=True)
        assert full.returncode == 2, full.stderr
        assert "no space left on the disk: free some, then give the same command with --resume" in full.stderr
        subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        subprocess.run([*command, str(place / "run"), "--resume"], check=True, capture_output=True)
        subprocess.run([*command, str(tmp_path / "straight")], check=True, capture_output=True)
        assert kill.differences(tmp_path / "straight", place / "run") == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_lock_cannot_be_written(monkeypatch, runs, tmp_path):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    shutil.copytree(runs / "old", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            fit(tmp_path / "run", seed=1, overwrite=True)
    assert {**contents(tmp_path / "run"), ".lock": b""} == {**contents(runs / "old"), ".lock": b""}
    fit(tmp_path / "run", seed=1, overwrite=True)
    assert json.loads((tmp_path / "run/config.json").read_text())["seed"] == 1
