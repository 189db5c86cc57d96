"""Published systems, one file each, found by name. A system's module is imported when it is asked for."""

import importlib

from jaxclust.errors import InputError
from jaxclust.methods.base import System

SYSTEMS = {"moe-vae": "jaxclust.methods.moe_vae"}


def find(name: str) -> System:
    """The system called `name`, for instance 'moe-vae'. Raises InputError for an unknown name."""
    if name not in SYSTEMS:
        raise InputError(f"method {name!r} is unknown: choose one of {', '.join(SYSTEMS)}")
    return importlib.import_module(SYSTEMS[name]).SYSTEM
