"""moe-vae on USPS with a latent size of its own for each expert.

    python -m experiments.run moe_vae_usps_unequal

Hardware: 2 CPU cores, 4 minutes a run.
Measured: experiments/RESULTS.md.
Against moe_vae_usps, where all experts have the clusters' mean size.
"""

METHOD = "moe-vae"
DATA = "usps.npz"
PRESET = "quick"
OVERRIDES: dict[str, object] = {"expert_sizes": "unequal"}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
