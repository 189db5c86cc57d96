"""Which configuration a method starts from."""

from typing import Any

from jaxclust import environment
from jaxclust.errors import InputError
from jaxclust.methods.base import System


def choose(system: System, preset: str) -> tuple[str, Any]:
    """The preset's name and config. 'auto' is 'paper' with a TPU or GPU and 'quick' without.

    Raises InputError for a name that the method does not have.
    """
    if preset == "auto":
        preset = "paper" if environment.has_accelerator() else "quick"
    if preset not in system.presets:
        raise InputError(f"preset {preset!r} is unknown: choose auto, {' or '.join(sorted(system.presets))}")
    return preset, system.presets[preset]
