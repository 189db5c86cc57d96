"""What a user sees while a run works: the phase, a bar with rate and remaining time, 'compiling', elapsed seconds."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

EVERY = 5.0  # seconds: nobody waits longer for a sign of life
TICK = 0.5  # seconds between two looks whether it is time for one

F = TypeVar("F", bound=Callable[..., Any])


class Reporter(Protocol):
    """Told what happens: begin, then in this order for each phase: phase, [compiling], progress (many times), done;
    figures, end. While a phase works another thread tells the seconds since it began (`waiting`)."""

    def begin(self, about: Mapping[str, Any]) -> None: ...

    def phase(self, name: str) -> None: ...

    def compiling(self) -> None: ...

    def progress(self, done: int, total: int, examples_per_second: float, terms: Mapping[str, float]) -> None: ...

    def waiting(self, seconds: float) -> None: ...

    def note(self, text: str) -> None: ...

    def done(self, seconds: float) -> None: ...

    def figure(self, path: Path) -> None: ...

    def end(self, scores: Mapping[str, Any]) -> None: ...


class Silent:
    """Says nothing."""

    def begin(self, about: Mapping[str, Any]) -> None:
        pass

    def phase(self, name: str) -> None:
        pass

    def compiling(self) -> None:
        pass

    def progress(self, done: int, total: int, examples_per_second: float, terms: Mapping[str, float]) -> None:
        pass

    def waiting(self, seconds: float) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def done(self, seconds: float) -> None:
        pass

    def figure(self, path: Path) -> None:
        pass

    def end(self, scores: Mapping[str, Any]) -> None:
        pass


@contextmanager
def alive(report: Reporter) -> Iterator[None]:
    """While the block works, `report` is told every TICK seconds, by another thread, how many have passed.

    Compiled code that holds Python's lock holds that thread too.
    """
    if type(report) is Silent:
        yield
        return
    start, ended = time.monotonic(), threading.Event()

    def tick() -> None:
        while not ended.wait(TICK):
            report.waiting(time.monotonic() - start)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _locked(method: F) -> F:
    """One thread at a time."""

    @wraps(method)
    def call(self: Any, *args: Any) -> Any:
        with self.lock:
            return method(self, *args)

    return call  # type: ignore[return-value]


class Terminal(Silent):
    """tqdm bars on a terminal and in a notebook; elsewhere (a log file) a plain line every `every` seconds.

    Args:
      stream: where to write, by default standard error.
      every: seconds between two lines where bars cannot be drawn.
    """

    def __init__(self, stream: TextIO | None = None, every: float = EVERY):
        self.stream = stream or sys.stderr
        self.bars = self.stream.isatty() or (stream is None and in_notebook())
        self.every = every
        self.name = ""
        self.what = ""  # the phase does at present
        self.bar: Any = None
        self.over = ""  # the last line, where it is to be written over
        self.last = 0.0
        self.begun = (0.0, 0)
        self.lock = threading.RLock()

    @_locked
    def phase(self, name: str) -> None:
        self._close()
        self.name, self.what = name, ""
        if self.bars:
            self._over(f"{name} ...")
        else:
            self._line(name)

    @_locked
    def compiling(self) -> None:
        self.what = ": compiling"
        if self.bars:
            self._over(f"{self.name}: compiling ...")
        else:
            self._line(f"{self.name}: compiling")

    @_locked
    def progress(self, done: int, total: int, examples_per_second: float, terms: Mapping[str, float]) -> None:
        self.what = ""
        first = sorted(terms.items(), key=lambda term: term[0] != "loss")[:3]
        values = ", ".join(f"{name} {value:.4g}" for name, value in first)
        if self.bars:
            self._draw(done, total, f"{examples_per_second:,.0f} examples/s, {values}")
            return
        now = time.monotonic()
        if not self.begun[1]:
            self.begun = (now, done)  # the first chunk holds the compilation: it says nothing about the rate
        steps, seconds = done - self.begun[1], now - self.begun[0]
        if now - self.last >= self.every and steps:
            left = (total - done) * seconds / steps
            rate = f"{examples_per_second:,.0f} examples/s, {left:.0f} s left"
            self._line(f"{self.name}: {done}/{total} steps, {rate}, {values}")

    @_locked
    def waiting(self, seconds: float) -> None:
        if self.bars and self.bar is not None:
            self.bar.refresh()  # its clock goes on
        elif self.bars:
            text = f"{self.name}{self.what} ... {seconds:.0f} s"
            if text != self.over:
                self._over(text)
        elif time.monotonic() - self.last >= self.every - TICK:
            self._line(f"{self.name}{self.what}: {seconds:.0f} s")

    @_locked
    def note(self, text: str) -> None:
        if self.bar is not None:
            self.bar.write(f"  {text}", file=self.stream)
        else:
            self._line(f"  {text}")

    @_locked
    def done(self, seconds: float) -> None:
        self._close()
        self._line(f"{self.name}: done in {seconds:.1f} s")

    def _draw(self, done: int, total: int, postfix: str) -> None:
        if self.bar is None:
            from tqdm import tqdm

            layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}<{remaining}{postfix}]"
            self._wipe()
            options = {"leave": False, "file": self.stream, "dynamic_ncols": True}
            self.bar = tqdm(total=total, initial=done, desc=self.name, bar_format=layout, **options)
        self.bar.set_postfix_str(postfix, refresh=False)
        self.bar.update(done - self.bar.n)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar, self.begun = None, (0.0, 0)

    def _over(self, text: str) -> None:
        """Text in place of the last line, which stays the last."""
        self._wipe()
        self.stream.write(f"{text}\r")
        self.stream.flush()
        self.over, self.last = text, time.monotonic()

    def _wipe(self) -> None:
        if self.bars:  # notebooks know no sequence that deletes a line
            self.stream.write("\r\033[K" if self.stream.isatty() else f"\r{'':79}\r")

    def _line(self, text: str) -> None:
        self._wipe()
        self.stream.write(text + "\n")
        self.stream.flush()
        self.last = time.monotonic()


def in_notebook() -> bool:
    """Whether this is the process of a notebook, which draws over a line that begins with a carriage return."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
