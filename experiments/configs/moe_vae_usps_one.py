"""moe-vae on USPS, each image routed to one expert instead of two.

    python -m experiments.run moe_vae_usps_one

Hardware: 2 CPU cores, 3 minutes a run.
Measured: experiments/RESULTS.md.
What the cheaper stage 1 gains in time and loses in accuracy against two experts (moe_vae_usps).
"""

METHOD = "moe-vae"
DATA = "usps.npz"
PRESET = "quick"
OVERRIDES: dict[str, object] = {"top_experts": 1}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
