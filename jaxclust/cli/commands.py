"""The command line: `jaxclust fit | predict | sample | evaluate | report | edit | export | methods | data | doctor`.

Exit codes: 0 done; 2 bad input or no space on disk, 3 a training that diverged (one line on standard error); 130
interrupted.
"""

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from jaxclust import __version__
from jaxclust.cli import interrupts
from jaxclust.errors import Diverged, InputError, nearest

HELP = """\
usage: jaxclust COMMAND ...

  fit METHOD DATA      cluster a data set, for instance: jaxclust fit moe-vae digits
  predict RUN DATA     label new images with a fitted model
  sample RUN           draw new images of one cluster
  evaluate RUN DATA    compare a fitted model's labels with known classes
  report RUN           write the page of a run: a map with images, cards of the clusters, edits
  edit RUN [EDITS]     merge, split and name clusters: a new run
  export RUN DIR       images in a folder for each cluster, and a table
  methods              the methods
  data                 the built-in data sets, and what else DATA may be
  doctor               versions, devices, memory, compile cache, what is missing

jaxclust COMMAND --help explains a command; jaxclust --version prints the version.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if arguments is None:
        _read_names_as_utf8()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be words of the terminal's language
        sys.stdout.reconfigure(errors="backslashreplace")
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"jaxclust {__version__}")
        return 0
    commands = _commands()
    if argv[0] not in commands:
        return _fail(f"command {argv[0]!r} is unknown: choose one of {', '.join(commands)}{nearest(argv[0], commands)}")
    try:
        with interrupts.answered():
            commands[argv[0]](argv[1:])
    except InputError as error:
        return _fail(str(error), 3 if isinstance(error, Diverged) else 2)
    except KeyboardInterrupt as interrupt:
        print(f"\ninterrupted{f': {interrupt}' if interrupt.args else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: jaxclust data | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(_explain(error, argv))
    return 0


def _commands() -> dict[str, Callable[[list[str]], None]]:
    def lazily(module: str, name: str) -> Callable[[list[str]], None]:
        def command(argv: list[str]) -> None:
            import importlib

            _quieten()
            getattr(importlib.import_module(f"jaxclust.cli.{module}"), name)(argv)

        return command

    return {
        "fit": lazily("fit", "main"),
        "predict": lazily("use", "predict"),
        "sample": lazily("use", "sample"),
        "evaluate": lazily("use", "evaluate"),
        "report": lazily("report", "main"),
        "edit": lazily("edit", "main"),
        "export": lazily("export", "main"),
        "methods": lazily("lists", "methods"),
        "data": lazily("lists", "data"),
        "doctor": lazily("doctor", "main"),
    }


def _read_names_as_utf8() -> None:
    """Begin again in Python's UTF-8 mode, where names are UTF-8 and the locale (C) says that they are not."""
    names = sys.argv[1:]
    with suppress(FileNotFoundError):  # the directory may have been deleted
        names.append(os.getcwd())
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8" or all(map(str.isascii, names)):
        return
    try:
        for name in names:
            os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _quieten() -> None:
    """Other people's chatter: TensorFlow's and XLA's C++ logs, absl's notes about checkpoints."""
    import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)


def _explain(error: OSError, argv: Sequence[str]) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        how = "again" if argv[0] != "fit" else f"with --resume{' in place of --overwrite' * ('--overwrite' in argv)}"
        return f"{where}no space left on the disk: free some, then give the same command {how}"
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current directory was deleted: change to another, and give the same command again"
    return f"{where}{error.strerror or error}: check the path and its permissions"


def _fail(text: str, code: int = 2) -> int:
    print(f"jaxclust: error: {' '.join(text.split())}", file=sys.stderr)
    return code
