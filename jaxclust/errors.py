"""The one error that a user can mend: a clear line, which the command line prints before it exits with 2."""


class InputError(ValueError):
    """Names the field or file, the value found and the remedy, in one line."""


class RunExists(InputError):
    """The output directory already holds a run."""


class Diverged(InputError):
    """A training whose numbers are no longer finite, or that is broken; the command line exits with 3."""
