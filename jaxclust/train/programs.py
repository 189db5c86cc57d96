"""How programs are compiled: on a CPU fast rather than thoroughly."""

import os
from typing import Any

import jax


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
