"""moe-vae on digits with DAMIC's loss in stage 1 (Chazan et al. 2019).

    python -m experiments.run moe_vae_digits_damic

Hardware: 2 CPU cores, 2 minutes a run.
Measured: experiments/RESULTS.md.
A baseline: -log sum_k pi_k exp(-rec_k), without entropies.
"""

METHOD = "moe-vae"
DATA = "digits"
PRESET = "quick"
OVERRIDES: dict[str, object] = {"loss": "damic"}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
