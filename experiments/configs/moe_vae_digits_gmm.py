"""moe-vae on digits with a Gaussian mixture for the first clusters, K by BIC.

    python -m experiments.run moe_vae_digits_gmm

Hardware: 2 CPU cores, 2 minutes a run.
Measured: experiments/RESULTS.md.
BIC counts Gaussian components, which is not the number of clusters.
"""

METHOD = "moe-vae"
DATA = "digits"
PRESET = "quick"
OVERRIDES: dict[str, object] = {"clusterer": "gmm"}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
