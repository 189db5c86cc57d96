"""moe-vae on digits with a beta-VAE's codes, beta = latent_dim / input_dim.

    python -m experiments.run moe_vae_digits_beta_vae

Hardware: 2 CPU cores, 2 minutes a run.
Measured: experiments/RESULTS.md.
The text compares the kinds of autoencoder on other data (its section 4.4).
"""

METHOD = "moe-vae"
DATA = "digits"
PRESET = "quick"
OVERRIDES: dict[str, object] = {"autoencoder": "beta-vae"}
SEEDS = (0, 1, 2)
TEXT: dict[str, float] = {}
