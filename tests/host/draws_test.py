"""Draws of UMAP shared out among processes: the same maps, whoever makes them."""

import subprocess

import numpy as np
import pytest

from jaxclust.host import draws, neighbours
from jaxclust.host.draws import Draw


def asked(n=60):
    """Five draws of two sets of rows."""
    sets = [np.random.default_rng(i).normal(size=(n, 4)).astype(np.float32) for i in range(2)]
    near = [neighbours.nearest(x, 9, 0) for x in sets]
    return [Draw(sets[i % 2], near[i % 2], 10 - i, i) for i in range(5)]


@pytest.fixture
def many(monkeypatch):
    """Three cores, each worth it."""
    monkeypatch.setattr(draws, "cores", lambda: 3)
    monkeypatch.setattr(draws, "SHARE", 60)


def counted(monkeypatch):
    """The command line of each process that is started."""
    started, start = [], subprocess.Popen

    def popen(command, **options):
        started.append(command)
        return start(command, **options)

    monkeypatch.setattr(draws.subprocess, "Popen", popen)
    return started


def test_few_rows_need_no_other_process(monkeypatch):
    started, notes = counted(monkeypatch), []
    monkeypatch.setattr(draws, "cores", lambda: 3)
    assert len(draws.maps(asked(), notes.append)) == 5
    assert (started, notes[-1]) == ([], "draw 5 of 5")
    assert draws.maps([], notes.append) == []


def test_other_processes_make_the_same_maps(monkeypatch, many):
    alone = [draw.map() for draw in asked()]
    started, notes = counted(monkeypatch), []
    together = draws.maps(asked(), notes.append)
    assert len(started) == 2
    assert notes == ["2 draws of 5", "4 draws of 5", "5 draws of 5"]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("fails", ["no process", "ends badly"])
def test_what_a_process_does_not_make_is_made_here(monkeypatch, many, fails):
    def popen(command, **options):
        if fails == "no process":
            raise OSError
        return START(["false"], **options)

    monkeypatch.setattr(draws.subprocess, "Popen", popen)
    for one, draw in zip(draws.maps(asked(), lambda text: None), asked(), strict=True):
        np.testing.assert_array_equal(one, draw.map())


START = subprocess.Popen


def test_no_process_is_left_behind(monkeypatch, many):
    """Ctrl-C while this process draws."""
    started = []

    def popen(command, **options):
        started.append(START(["sleep", "60"], **options))
        return started[-1]

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(draws.subprocess, "Popen", popen)
    monkeypatch.setattr(Draw, "map", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draws.maps(asked(), lambda text: None)
    assert [child.wait(timeout=10) for child in started] == [-9, -9]
