"""moe-vae, preset quick: four sets of ten classes, its options on two of them, and earlier mixtures of autoencoders.

    python -m experiments.run moe_vae
    python -m experiments.table moe_vae

Hardware: one of 2 CPU cores, 131 seconds (digits) to 1499 (fmnist10k) a run. What was asked and measured:
experiments/results/moe_vae.md. The text's numbers are for all 70,000 images of MNIST and Fashion-MNIST and for both
splits of USPS, with other settings (preset paper); it compares kinds of autoencoder on other data (its section 4.2).
"""

from experiments.configs import Row

THREE = (0, 1, 2)
DIGITS = {  # what is looked at on digits: the settings that differ from quick
    "": {},
    "_ae": {"autoencoder": "ae"},
    "_beta_vae": {"autoencoder": "beta-vae"},
    "_bfloat16": {"precision": "bfloat16"},  # as on a TPU or GPU
    "_dense": {"top_experts": "all"},  # without routing: every expert sees every image
    "_gmm": {"clusterer": "gmm"},  # K by BIC, which counts Gaussian components
    "_unequal": {"expert_sizes": "unequal"},  # a latent size of its own for each expert
    "_wae": {"autoencoder": "wae"},
    "_wae_gan": {"autoencoder": "wae", "wae_penalty": "gan"},
}
USPS = {"_dense": {"top_experts": "all"}, "_one": {"top_experts": 1}, "_unequal": {"expert_sizes": "unequal"}}
ONES = {"_dense": {"top_experts": "all"}}
TEXT = {  # ACC of the mixture and of its manager, and the number of clusters
    "fmnist10k": {"acc": 0.680, "manager": 0.623, "n_clusters": 11},
    "mnist10k": {"acc": 0.974, "manager": 0.967, "n_clusters": 10},
    "usps": {"acc": 0.986, "manager": 0.971, "n_clusters": 10},
}
AUTOENCODERS = {  # ACC of other mixtures, by the text's table 4.21
    ("damic", "digits"): {},
    ("damic", "usps"): {},
    ("damic", "mnist10k"): {"acc": 0.89},
    ("damic", "fmnist10k"): {"acc": 0.60},
    ("mixae", "digits"): {},
    ("mixae", "usps"): {},
    ("mixae", "mnist10k"): {"acc": 0.85},
    ("mixae", "fmnist10k"): {},
}


def unequal(percent: int, name: str, changes: dict[str, object]) -> Row:
    """mnist10k with so many per cent ones, the other digits equally rare (cluster_sets.py), K given."""
    overrides = {"n_clusters": 10, **changes}
    return Row(f"moe_vae_ones_{percent}{name}", "moe-vae", f"mnist_ones_{percent}.npz", "quick", overrides, THREE, {})


def autoencoders(method: str, data: str, text: dict[str, float]) -> Row:
    """damic or mixae in preset quick, which are told the number of clusters."""
    file = data if data == "digits" else f"{data}.npz"
    return Row(f"{method}_{data}", method, file, "quick", {"n_clusters": 10}, THREE, text)


ROWS = (
    *(
        Row(f"moe_vae_digits{name}", "moe-vae", "digits", "quick", changes, THREE, {})
        for name, changes in DIGITS.items()
    ),
    *(Row(f"moe_vae_{data}", "moe-vae", f"{data}.npz", "quick", {}, THREE, text) for data, text in TEXT.items()),
    *(Row(f"moe_vae_usps{name}", "moe-vae", "usps.npz", "quick", changes, THREE, {}) for name, changes in USPS.items()),
    Row(
        "moe_vae_usps_train", "moe-vae", "usps.npz", "quick", {}, THREE, {}, split="train"
    ),  # then labels the test split
    *(unequal(percent, name, changes) for percent in (50, 30) for name, changes in {"": {}, **ONES}.items()),
    *(autoencoders(*which, text) for which, text in AUTOENCODERS.items()),
)
