"""The command line."""

from jaxclust.cli.commands import main

__all__ = ["main"]
