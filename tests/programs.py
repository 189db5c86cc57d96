"""Programs that a test runs a few times: compiled without optimisation, which takes a fraction of the time."""

import jax


def quickly(function, **options):
    """jax.jit for that. options: others of jax.jit."""
    without = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    return jax.jit(function, compiler_options=without, **options)
