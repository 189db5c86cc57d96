"""The one error that a user can mend: a clear line, which the command line prints before it exits with 2."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Names the field or file, the value found and the remedy, in one line."""


class RunExists(InputError):
    """The output directory already holds a run."""


class Diverged(InputError):
    """A training whose numbers are no longer finite, or that is broken; the command line exits with 3."""


class WrongType(InputError, TypeError):
    """An InputError where Python's or scikit-learn's conventions ask for a TypeError."""


def nearest(word: str, known: Iterable[str]) -> str:
    """' (did you mean WORD?)' where one of the known words is much like this one, else ''."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""
