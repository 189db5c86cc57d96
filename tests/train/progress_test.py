import io
import threading
import time

import pytest

from jaxclust.train import progress
from jaxclust.train.progress import Silent, Terminal, alive


class Screen(io.StringIO):
    def isatty(self):
        return True


def tell(report):
    report.phase("autoencoder")
    report.compiling()
    for done in (10, 20, 30):
        report.progress(done, 40, 1234.0, {"loss": 0.5, "kl": 2.0})
    report.note("a remark")
    report.done(3.2)


def test_a_log_file_gets_plain_lines():
    stream = io.StringIO()
    tell(Terminal(stream, every=0.0))
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["autoencoder", "autoencoder: compiling"]
    assert "autoencoder: 20/40 steps, 1,234 examples/s" in lines[2]
    assert " s left" in lines[2]
    assert "loss 0.5, kl 2" in lines[2]
    assert lines[-2:] == ["  a remark", "autoencoder: done in 3.2 s"]
    assert "\r" not in stream.getvalue()
    assert "\033" not in stream.getvalue()


def test_a_log_file_is_not_flooded():
    stream = io.StringIO()
    tell(Terminal(stream, every=60.0))
    assert "steps" not in stream.getvalue()


def test_a_terminal_gets_a_bar_with_rate_and_remaining_time():
    stream = Screen()
    tell(Terminal(stream))
    text = stream.getvalue()
    assert "compiling" in text
    assert "autoencoder" in text
    assert "30/40 steps" in text or "20/40 steps" in text or "10/40 steps" in text
    assert "1,234 examples/s" in text
    assert "autoencoder: done in 3.2 s" in text


def test_silent_takes_the_same_calls(capsys):
    tell(Silent())
    assert capsys.readouterr() == ("", "")


def until(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_phase_that_says_nothing_is_seen_to_be_alive(monkeypatch):
    """Its seconds go on, in a log as lines and on a terminal in the line, until it ends, by an error too."""
    monkeypatch.setattr(progress, "TICK", 0.01)
    for stream, sign in ((io.StringIO(), "\nclusters: 0 s\n"), (Screen(), "clusters ... 0 s\r")):
        report = Terminal(stream, every=0.0)
        report.phase("clusters")

        def work(report=report, stream=stream, sign=sign):
            with alive(report):
                assert until(lambda: sign in stream.getvalue())
                raise ValueError

        with pytest.raises(ValueError):
            work()
        said = stream.getvalue()
        time.sleep(0.05)
        assert stream.getvalue() == said
    assert {thread.name for thread in threading.enumerate() if "tick" in thread.name} == set()


def test_nobody_waits_longer_than_five_seconds():
    stream = io.StringIO()
    report = Terminal(stream)
    report.phase("clusters")
    report.waiting(0.5)
    assert stream.getvalue() == "clusters\n", "nor is a log flooded"
    report.last -= progress.EVERY - progress.TICK
    report.waiting(4.5)
    assert stream.getvalue() == "clusters\nclusters: 4 s\n"
    report.compiling()
    report.last -= progress.EVERY
    report.waiting(9.0)
    assert stream.getvalue().splitlines()[-1] == "clusters: compiling: 9 s"


def test_a_notebook_gets_bars_without_escape_sequences(monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    report = Terminal()
    tell(report)
    report.waiting(1.0)
    text = report.stream.getvalue()
    assert "30/40 steps" in text or "20/40 steps" in text or "10/40 steps" in text
    assert "\033" not in text
    assert "done in 3.2 s" in text


def test_this_is_no_notebook():
    assert not progress.in_notebook()
