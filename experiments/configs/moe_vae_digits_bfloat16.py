"""moe-vae on digits with networks that compute in bfloat16, as they do on a TPU or GPU.

    python -m experiments.run moe_vae_digits_bfloat16

Hardware: 2 CPU cores, 2 minutes a run.
Measured: experiments/RESULTS.md.
The text says nothing of precision.
"""

METHOD = "moe-vae"
DATA = "digits"
PRESET = "quick"
OVERRIDES: dict[str, object] = {"precision": "bfloat16"}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
