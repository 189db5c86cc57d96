"""Two at one run directory: the second is refused in one line, and what a dead process left is taken over."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jaxclust import runs
from jaxclust.errors import InputError
from jaxclust.runs import lifecycle, locks
from jaxclust.train.progress import Silent
from tests.runs_test import contents, fit, state

ROOT = Path(__file__).parents[1]


class Pausing(Silent):
    """Stands still in the first phase."""

    def __init__(self):
        self.there, self.go = threading.Event(), threading.Event()

    def phase(self, name):
        self.there.set()
        assert self.go.wait(60)


@pytest.fixture
def working(tmp_path):
    """A run that somebody is working on."""
    pausing, out = Pausing(), tmp_path / "run"
    thread = threading.Thread(target=fit, args=(out,), kwargs={"report": pausing})
    thread.start()
    assert pausing.there.wait(60)
    yield out
    pausing.go.set()
    thread.join()
    assert state(out) == "complete"
    assert not (out / locks.NAME).exists()


@pytest.mark.parametrize("kwargs", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_fit_is_refused_and_changes_nothing(working, kwargs):
    before = contents(working)
    for _ in range(2):  # the refusal itself takes nothing away
        with pytest.raises(InputError, match=rf"process {os.getpid()} on .* is working on this run: wait for it"):
            fit(working, **kwargs)
    assert contents(working) == before


def without_locks(monkeypatch):
    """A file system that has none, as some of users' programs."""
    fcntl = pytest.importorskip("fcntl")

    def flock(descriptor, how):
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_nor_is_it_let_in_where_the_file_system_has_no_locks(monkeypatch, working):
    without_locks(monkeypatch)
    with pytest.raises(InputError, match="is working on this run"):
        fit(working, resume=True)


HOLD = """
import sys, time
from pathlib import Path
from jaxclust.runs import locks
if sys.argv[2] == "no locks":
    import fcntl
    def flock(*args): raise OSError(95, "not here")
    fcntl.flock = flock
locks.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(params=["locks", "no locks"])
def other(request, monkeypatch, tmp_path):
    """Another process that holds the lock of a directory."""
    if request.param == "no locks":
        without_locks(monkeypatch)
    out = tmp_path / "held"
    out.mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(out), request.param]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process, out
        process.kill()


@pytest.mark.slow
def test_a_dead_process_loses_its_lock(other):
    process, out = other
    with pytest.raises(InputError, match=f"process {process.pid} on"):
        locks.check(out)
    with pytest.raises(InputError, match=f"process {process.pid} on"):
        locks.take(out)
    process.kill()
    process.wait()
    notes = []
    locks.check(out)
    lock = locks.take(out, notes.append)
    assert notes == [f"{out}: process {process.pid} ended without completing this run"]
    assert locks.read(out)["pid"] == os.getpid()
    lock.release()
    assert list(out.iterdir()) == []


def test_a_number_that_another_process_has_by_now_is_no_life(monkeypatch, tmp_path):
    without_locks(monkeypatch)
    owner = {"pid": os.getpid(), "host": locks.platform.node(), "started": "1", "since": "then"}
    (tmp_path / locks.NAME).write_text(json.dumps(owner))
    locks.take(tmp_path).release()


@pytest.mark.parametrize("kind", ["locks", "no locks"])
def test_another_machine_keeps_its_lock_as_long_as_it_touches_it(monkeypatch, tmp_path, kind):
    if kind == "no locks":
        without_locks(monkeypatch)
    owner = {"pid": 1, "host": "another", "started": None, "since": "then"}
    path = tmp_path / locks.NAME
    path.write_text(json.dumps(owner))
    with pytest.raises(InputError, match=f"on another, since then, is working .*delete {path} if that machine is gone"):
        locks.take(tmp_path)
    past = time.time() - locks.STALE - 1
    os.utime(path, (past, past))
    locks.take(tmp_path).release()


def test_the_owner_touches_it(monkeypatch, tmp_path):
    monkeypatch.setattr(locks, "TOUCHED", 0.01)
    lock = locks.take(tmp_path)
    os.utime(lock.path, (1, 1))
    end = time.time() + 10
    while lock.path.stat().st_mtime < 2 and time.time() < end:
        time.sleep(0.01)
    assert lock.path.stat().st_mtime > 2
    lock.release()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_lock_that_nobody_holds_is_none(tmp_path, text):
    (tmp_path / locks.NAME).write_text(text)
    locks.check(tmp_path)
    locks.take(tmp_path).release()


def test_of_many_at_once_one_gets_it(monkeypatch, tmp_path):
    for without in (False, True):
        if without:
            without_locks(monkeypatch)
        held, refused = [], []

        def one(held=held, refused=refused):
            try:
                held.append(locks.take(tmp_path))
            except InputError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1
        assert len(refused) == 7
        held[0].release()


def test_what_a_killed_process_left_before_it_wrote_is_no_obstacle(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / locks.NAME).touch()
    (out / ".123-456.tmp").touch()
    fit(out)
    assert state(out) == "complete"
    assert not any(path.name.startswith(".") for path in out.iterdir())


def test_a_run_that_cannot_begin_leaves_no_lock(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds no run"):
        fit(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_completed_meanwhile_is_not_begun_again(monkeypatch, tmp_path):
    """Two that asked at the same time, one after the other."""
    fit(tmp_path / "run")
    before = contents(tmp_path)
    monkeypatch.setattr(lifecycle, "check_free", lambda out, **kwargs: False)
    with pytest.raises(InputError, match="already holds a run"):
        fit(tmp_path / "run")
    with pytest.raises(InputError, match="has just completed this run"):
        fit(tmp_path / "run", resume=True)
    assert contents(tmp_path) == before


def test_a_directory_that_cannot_be_renamed_is_moved(toy, monkeypatch, tmp_path):
    """Such as one in a lower layer of a container's file system."""
    fit(tmp_path / "run")
    rename = os.rename

    def of_files(source, target, **kwargs):
        if os.path.isdir(source):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", of_files)
        lifecycle._set_aside(tmp_path / "run")
        assert not (tmp_path / "run" / "model").exists()
        lifecycle._put_back(tmp_path / "run")
    assert runs.load(tmp_path / "run").n_clusters == 3
