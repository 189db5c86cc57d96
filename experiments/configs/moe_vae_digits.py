"""moe-vae on the 1797 handwritten digits that scikit-learn ships, 8 x 8.

    python -m experiments.run moe_vae_digits

Hardware: 2 CPU cores. Asked of the mean over the seeds: ACC 0.90 or more, 2 minutes a run.
Measured: experiments/RESULTS.md.
The text has no numbers for this data set.
"""

METHOD = "moe-vae"
DATA = "digits"
PRESET = "quick"
OVERRIDES: dict[str, object] = {}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
