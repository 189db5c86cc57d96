"""What stands on a command line becomes a dataclass, by tyro; what is wrong with it becomes one line."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import tyro

from jaxclust.errors import InputError, nearest
from jaxclust.system import paths

T = TypeVar("T")

BOX = re.compile(r"^[│╭╰|+]|[│╮╯|+]$")  # what tyro draws around its words
NO_NUMBER = re.compile(r"Error parsing (\S+): .*(?:literal for int|string to float).*?'([^']*)'(.*)")
CHOICE = re.compile(r"invalid choice '(.*?)' for argument '(.*?)'.*?Expected one of (.*)")
NO_PARSE = re.compile(r"Error parsing (\S+): Could not find valid parse for arguments: \['([^']*)'\]")
EXTRA = re.compile(r"Unrecognized options: ([^-\s]\S*)$")
COUNT = re.compile(r"Error parsing (\S+): .*input length (\d+) did not match expected argument count (\d+)")
QUOTED = re.compile(r"'([^']*)'")


def read(kind: Callable[..., Any], prog: str, argv: Sequence[str], description: str, *config: Any) -> Any:
    """`tyro.cli`. Raises InputError for unknown options, with the nearest name, missing ones and bad values."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, prog=prog, description=description, args=list(argv), config=config)
    except SystemExit as end:
        if not end.code:
            raise
        text = _unknown(kind, argv) or _line(said.getvalue()) or "the options cannot be read"
        raise InputError(f"{text}: {prog} --help explains") from end


def read_on_run(kind: type[T], name: str, argv: Sequence[str]) -> T:
    """`read` of a command NAME RUN [--out FILE], whose paths may begin with '~' and whose FILE can be written."""
    given: Any = read(kind, f"jaxclust {name}", argv, kind.__doc__ or "", tyro.conf.FlagCreatePairsOff)
    out = None if given.out is None else paths.local(given.out, "files")
    if out is not None:
        _check_parent(out)
    return cast(T, dataclasses.replace(given, run=paths.local(given.run), out=out))


def _check_parent(out: Path) -> None:
    """Raises InputError for a file that cannot be written there."""
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the directory {out.parent} does not exist: make it first")
    if out.is_dir():
        raise InputError(f"--out {out}: is a directory: give a file")


def _unknown(kind: Any, argv: Sequence[str]) -> str | None:
    """What is said of the first option that there is not."""
    known = {"help", *_names(kind)}
    for word in argv:
        name = word.partition("=")[0].removeprefix("--").replace("_", "-")
        if word.startswith("--") and name and not {name, name.removeprefix("no-")} & known:
            return f"option --{name} is unknown{nearest('--' + name, ['--' + one for one in known])}"
    return None


def _names(kind: Any) -> Iterator[str]:
    """Options of a dataclass and of those within it, as they are written."""
    if not dataclasses.is_dataclass(kind):
        return
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _names(hints[field.name])
        else:
            yield field.name.replace("_", "-")


def _line(box: str) -> str:
    """The words of a box between its title and its next rule, as a line. Without Unicode the title has a rule too."""
    lines = [BOX.sub("", line).rstrip() for line in box.splitlines()[1:]]
    lines = list(dropwhile(_is_rule, lines))
    lines = list(takewhile(lambda line: not line.strip() or not _is_rule(line), lines))
    lines = [line for line in lines if line.strip()]
    if lines and lines[0].strip().startswith("Missing from"):
        indents = [len(line) - len(line.lstrip()) for line in lines[1:]]
        names = [line.strip() for line, indent in zip(lines[1:], indents, strict=True) if indent == min(indents)]
        return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'} missing"
    text = " ".join(" ".join(lines).split())
    if number := NO_NUMBER.search(text):
        name, word, rest = number.groups()
        return f"{name} is {word!r}, which is no number{nearest(word, set(QUOTED.findall(rest)) - {word})}"
    if count := COUNT.search(text):
        return "{} has {} values: give {}".format(*count.groups())
    if choice := CHOICE.search(text):
        word, name, rest = choice.groups()
        known = QUOTED.findall(rest)
        return f"{name} is {word!r}: give {' | '.join(map(repr, known))}{nearest(word, known)}"
    if parse := NO_PARSE.search(text):
        name, words = parse.groups()
        apart = " ".join(words.replace(",", " ").split())
        return f"{name} is {words!r}: write {name} {apart}" if apart != words else f"{name} may not be {words!r}"
    if extra := EXTRA.search(text):
        return f"{extra[1]} is one argument too many"
    return text.removesuffix(".")


def _is_rule(line: str) -> bool:
    return not line.strip(" ─-")
