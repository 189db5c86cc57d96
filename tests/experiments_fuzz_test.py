"""The campaign of bad inputs: each kind once, and what the judge sees."""

import sys
import time
import warnings

import pytest

from experiments.fuzz import __main__ as fuzz
from experiments.fuzz import judge, options, place
from experiments.fuzz.judge import Case
from jaxclust import InputError


def say(line, code=2, write=None, lose=None, out=""):
    """A command that prints a line of error and does other things beside."""

    def main(argv):
        print(line, file=sys.stderr)
        print(out, end="")
        if write is not None:
            write.write_text("")
        if lose is not None:
            lose.unlink()
        return code

    return main


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ({"line": "jaxclust: error: x.npz: is empty: give another"}, []),
        ({"line": "jaxclust: error: is empty: give another"}, ["names none of ('x.npz',)"]),
        ({"line": "jaxclust: error: x.npz: is empty"}, ["no remedy"]),
        ({"line": "jaxclust: error: x.npz: is empty: give another", "code": 1}, ["exit code 1"]),
        ({"line": "x.npz: is empty: give another"}, ["0 lines of error, last: ['x.npz: is empty: give another']"]),
        ({"line": "jaxclust: error: x.npz: give another\nmore"}, ["1 lines of error, last: ['more']"]),
        ({"line": "jaxclust: error: x.npz: give another", "out": "table"}, ["printed 'table'"]),
        ({"line": f"jaxclust: error: x.npz: give another {'!' * 700}"}, ["720 characters"]),
    ],
)
def test_an_answer_is_judged(monkeypatch, tmp_path, answer, wrong):
    monkeypatch.setattr(judge.cli, "main", say(**answer))
    assert judge.judge(Case(["fit"], ("x.npz",)), tmp_path)[1] == wrong


def test_what_is_written_or_lost_is_seen(monkeypatch, tmp_path):
    (tmp_path / "mine").write_text("")
    line = "jaxclust: error: x.npz: give another"
    monkeypatch.setattr(judge.cli, "main", say(line, write=tmp_path / "new", lose=tmp_path / "mine"))
    assert judge.judge(Case(["fit"], ("x.npz",)), tmp_path)[1] == [
        f"lost: {tmp_path / 'mine'}", f"written: {tmp_path / 'new'}"
    ]  # fmt: skip


def fail(error):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (fail(InputError("x: give another")), []),
        (fail(InputError("x: give\nanother")), ["more than a line"]),
        (fail(TypeError("x")), ["raised TypeError: x"]),
        (lambda: None, ["was accepted"]),
        (lambda: warnings.warn("odd", UserWarning, stacklevel=1), ["was accepted", "warned: odd"]),
    ],
)
def test_an_error_of_python_is_judged(tmp_path, call, wrong):
    assert judge.judge(Case(call, ("x",)), tmp_path)[1] == wrong


def test_a_hang_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(judge, "SECONDS", 1)
    assert judge.judge(Case(lambda: time.sleep(30), ("x",)), tmp_path)[1] == ["no answer within 1 s"]


def test_an_input_follows_from_its_number(tmp_path):
    """The same arguments, for the same folder's name; others for another."""
    place.fit_runs(tmp_path / "base")
    made = []
    for root in ("a", "b"):
        for number in range(6):
            at = place.Place(tmp_path / root / f"0-{number}-0", tmp_path / "base")
            at.here.mkdir(parents=True)
            made.append([str(part).replace(str(tmp_path / root), "") for part in options.general(at).call])
    assert made[:6] == made[6:]
    assert len(set(map(tuple, made))) > 3


def test_options_are_answered(capsys):
    """The quickest kinds, once."""
    kinds = [kind for kind in fuzz.MAKERS if kind.startswith("options")]
    assert fuzz.main(["--n", str(len(kinds)), "--kinds", *kinds]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_every_kind_is_answered(capsys):
    assert len(fuzz.MAKERS) >= 20
    assert fuzz.main(["--n", "94", "--seed", "5"]) == 0, capsys.readouterr().out
