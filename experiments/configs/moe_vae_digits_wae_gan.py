"""moe-vae on digits with the codes of a Wasserstein autoencoder, adversarial penalty.

    python -m experiments.run moe_vae_digits_wae_gan

Hardware: 2 CPU cores, 2 minutes a run.
Measured: experiments/RESULTS.md.
The text compares the kinds of autoencoder on other data (its section 4.4).
"""

METHOD = "moe-vae"
DATA = "digits"
PRESET = "quick"
OVERRIDES: dict[str, object] = {"autoencoder": "wae", "wae_penalty": "gan"}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
