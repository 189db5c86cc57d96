import io

from jaxclust.train.progress import Silent, Terminal


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
