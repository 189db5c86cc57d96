"""moe-vae fitted to the training split of USPS, 7291 images; its manager then labels the 2007 of the test split.

    python -m experiments.run moe_vae_usps_train

Hardware: 2 CPU cores, 4 minutes a run.
Measured: experiments/RESULTS.md.
Asked: ACC of the test split within 2 points of the training split's.
"""

METHOD = "moe-vae"
DATA = "usps.npz"
PRESET = "quick"
OVERRIDES: dict[str, object] = {}
SPLIT = "train"
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
