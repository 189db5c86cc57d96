"""How programs are compiled, on a CPU fast rather than thoroughly, and what is said where their memory is too small."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from jaxclust.errors import InputError


def options(once: bool = False, platform: str | None = None) -> dict[str, Any] | None:
    """Compiler options of jax.jit for a platform, 'cpu', 'gpu' or 'tpu'; by default JAX's default backend.

    On a CPU the products are library calls: what LLVM makes of the rest hardly changes how fast a step is, but
    compiling takes longer at its higher levels and with XLA's fusion emitters. What XLA_FLAGS names is left to it.
    once: of a program that runs a single time.
    """
    if (platform or jax.default_backend()) != "cpu":
        return None
    ours = {"xla_backend_optimization_level": 0 if once else 1, "xla_cpu_use_fusion_emitters": False}
    return {name: value for name, value in ours.items() if name not in os.environ.get("XLA_FLAGS", "")}


@contextmanager
def within_memory(what: str, remedy: str) -> Iterator[None]:
    """Run the block; where the device's memory does not suffice raise InputError, which says what helps."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        found = " ".join(str(error).partition("RESOURCE_EXHAUSTED:")[2].split())[:200]
        raise InputError(f"{what} does not fit into the device's memory ({found}): {remedy}") from error
