"""moe-vae on USPS without routing: every expert sees every image.

    python -m experiments.run moe_vae_usps_dense

Hardware: 2 CPU cores, 4 minutes a run.
Measured: experiments/RESULTS.md.
What routing to two experts (moe_vae_usps) saves and costs.
"""

METHOD = "moe-vae"
DATA = "usps.npz"
PRESET = "quick"
OVERRIDES: dict[str, object] = {"top_experts": "all"}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
