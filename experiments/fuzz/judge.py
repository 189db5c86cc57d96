"""One bad input: given to the command line or to Python within this process, and what is wrong with the answer."""

import contextlib
import io
import os
import re
import signal
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxclust import cli
from jaxclust.errors import Diverged, InputError

SECONDS = 60
LONGEST = 700  # characters of a line
ERROR = "jaxclust: error: "
REMEDY = re.compile(
    r"\b(add|allow|check|choose|convert|delete|did you mean|drop|expected|expecting|explains|fetch|fill|fit|free|give|"
    r"go on|install|join|keep|leave|lists|lower|make|mend|must|name|needs?|one of|pass|predict|remove|rename|rescale|"
    r"reshape|resizes?|resume|save|save_npz|see|set|unpack|use|wait|write)\b|--[a-z]|`"
)


@dataclass(frozen=True)
class Case:
    """A bad input.

    call: arguments of `jaxclust`, or a function that shall raise InputError.  names: one of them must be in the line.
    """

    call: list[str] | Callable[[], object]
    names: tuple[str, ...]


class Hang(BaseException):
    """It took longer than SECONDS."""


def judge(case: Case, place: Path) -> tuple[str, list[str]]:
    """The line that a bad input was answered with, and what is wrong with it. place: where it may have been written."""
    before, start = contents(place), time.perf_counter()
    try:
        with _alarm(), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            line, wrong = _asked(case.call) if isinstance(case.call, list) else _called(case.call)
    except Hang:
        return "", [f"no answer within {SECONDS} s"]
    after = contents(place)
    told = line.removeprefix(ERROR)
    if not wrong:
        wrong += [] if any(name in told for name in case.names) else [f"names none of {case.names}"]
        wrong += [] if REMEDY.search(told) else ["no remedy"]
        wrong += [] if "\n" not in told else ["more than a line"]
        wrong += [f"{len(told)} characters"] if len(told) > LONGEST else []
    wrong += [f"warned: {warning.message}" for warning in warned if not _of_others(warning)]
    wrong += [f"{'lost' if p not in after else 'written' if p not in before else 'changed'}: {p}"
              for p in sorted({*before, *after}) if before.get(p) != after.get(p)]  # fmt: skip
    if time.perf_counter() - start > SECONDS:
        wrong.append(f"took {time.perf_counter() - start:.0f} s")
    return told, wrong


def _asked(argv: list[str]) -> tuple[str, list[str]]:
    """The error of a command, and what is wrong with how it came."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(argv)
    except Hang:
        raise
    except BaseException as error:  # what a user would see as a traceback, or an exit that no line explains
        return "", [f"raised {type(error).__name__}: {str(error)[:300]}"]
    lines = err.getvalue().splitlines()
    errors = [line for line in lines if line.startswith(ERROR)]
    wrong = [] if code == 2 else [f"exit code {code}"]
    wrong += (
        [] if len(errors) == 1 and lines[-1] == errors[0] else [f"{len(errors)} lines of error, last: {lines[-1:]}"]
    )
    wrong += [f"printed {out.getvalue()[:80]!r}"] if out.getvalue() else []
    return errors[0] if errors else "", wrong


def _called(function: Callable[[], object]) -> tuple[str, list[str]]:
    """The InputError of a function, and what is wrong with how it came."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            function()
    except Diverged as error:
        return str(error), ["diverged"]
    except InputError as error:
        return str(error), []
    except Exception as error:
        return "", [f"raised {type(error).__name__}: {str(error)[:300]}"]
    return "", ["was accepted"]


def contents(place: Path) -> dict[str, int]:
    """What lies below a place: a checksum of each file, a number for what is no file."""
    found = {}
    for folder, _, names in os.walk(place):
        found[folder] = 0
        for name in names:
            path = Path(folder, name)
            plain = path.is_file() and not path.is_symlink()
            found[str(path)] = zlib.crc32(path.read_bytes()) if plain else 1
    return found


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _of_others(warning: warnings.WarningMessage) -> bool:
    return issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning | ImportWarning)
