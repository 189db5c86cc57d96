"""What a user sees while a run works: the phase, a bar with rate and remaining time, 'compiling'."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO


class Reporter(Protocol):
    """Told what happens, in this order for each phase: phase, [compiling], progress (many times), done."""

    def phase(self, name: str) -> None: ...

    def compiling(self) -> None: ...

    def progress(self, done: int, total: int, examples_per_second: float, terms: Mapping[str, float]) -> None: ...

    def note(self, text: str) -> None: ...

    def done(self, seconds: float) -> None: ...


class Silent:
    """Says nothing."""

    def phase(self, name: str) -> None:
        pass

    def compiling(self) -> None:
        pass

    def progress(self, done: int, total: int, examples_per_second: float, terms: Mapping[str, float]) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def done(self, seconds: float) -> None:
        pass


class Terminal:
    """tqdm bars on a terminal; elsewhere (a log file, a notebook's pipe) a plain line every `every` seconds.

    Args:
      stream: where to write, by default standard error.
      every: seconds between two lines where bars cannot be drawn.
    """

    def __init__(self, stream: TextIO | None = None, every: float = 10.0):
        self.stream = stream or sys.stderr
        self.bars = self.stream.isatty()
        self.every = every
        self.name = ""
        self.bar: Any = None
        self.last = 0.0
        self.begin = (0.0, 0)

    def phase(self, name: str) -> None:
        self._close()
        self.name = name
        if self.bars:
            self.stream.write(f"{name} ...\r")
            self.stream.flush()
        else:
            self._line(name)
        self.last = time.monotonic()

    def compiling(self) -> None:
        if self.bars:
            self.stream.write(f"{self.name}: compiling ...\r")
            self.stream.flush()
        else:
            self._line(f"{self.name}: compiling")

    def progress(self, done: int, total: int, examples_per_second: float, terms: Mapping[str, float]) -> None:
        first = sorted(terms.items(), key=lambda term: term[0] != "loss")[:3]
        values = ", ".join(f"{name} {value:.4g}" for name, value in first)
        if self.bars:
            self._draw(done, total, f"{examples_per_second:,.0f} examples/s, {values}")
            return
        now = time.monotonic()
        if not self.begin[1]:
            self.begin = (now, done)  # the first chunk holds the compilation: it says nothing about the rate
        steps, seconds = done - self.begin[1], now - self.begin[0]
        if now - self.last >= self.every and steps:
            left = (total - done) * seconds / steps
            rate = f"{examples_per_second:,.0f} examples/s, {left:.0f} s left"
            self._line(f"{self.name}: {done}/{total} steps, {rate}, {values}")
            self.last = now

    def note(self, text: str) -> None:
        if self.bar is not None:
            self.bar.write(f"  {text}", file=self.stream)
        else:
            self._line(f"  {text}")

    def done(self, seconds: float) -> None:
        self._close()
        self._line(f"{self.name}: done in {seconds:.1f} s")

    def _draw(self, done: int, total: int, postfix: str) -> None:
        if self.bar is None:
            from tqdm import tqdm

            layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}<{remaining}, {postfix}]"
            self._wipe()
            options = {"leave": False, "file": self.stream, "dynamic_ncols": True}
            self.bar = tqdm(total=total, initial=done, desc=self.name, bar_format=layout, **options)
        self.bar.set_postfix_str(postfix, refresh=False)
        self.bar.update(done - self.bar.n)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar, self.begin = None, (0.0, 0)

    def _wipe(self) -> None:
        if self.bars:
            self.stream.write("\r\033[K")

    def _line(self, text: str) -> None:
        self._wipe()
        self.stream.write(text + "\n")
        self.stream.flush()
