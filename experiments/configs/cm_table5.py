"""ae-cm and its deep baselines from both starts: Table 5 of Boubekki et al. 2021, and its Table 7 for L_sp.

    python -m experiments.run cm_table5

Hardware: 2 CPU cores; the results page has the seconds of each row.
alpha, beta and batch of ae-cm are Table 13's, weights and batch of the baselines Table 14's. Epochs are fewer than the
text's 1000: 200 of ae-cm (Pendigits 300), 50 of the baselines (quick).
The text's numbers are means of 20 runs; for MNIST and Fashion-MNIST they are of all 70,000 images. It has none for
n2d, nor for what ae-cm adds here: the start from UMAP (..._manifold) and convolutions (..._conv), in preset quick.
"""

from experiments.configs import Row, shares

EPOCHS = {"pendigits": 300}  # of ae-cm from the text's starts; else 200
AE_CM = {  # Table 13: alpha, beta, batch
    "mnist10k": (230.0, 5.0, 500),
    "fmnist10k": (13.0, 47.0, 175),
    "usps": (20.0, 0.5, 256),
    "pendigits": (13.0, 0.5, 100),
}
DKM = {  # Table 14: lambda from a random start, and pre-trained
    "mnist10k": (0.1, 1.0),
    "fmnist10k": (0.01, 0.01),
    "usps": (0.01, 0.1),
    "pendigits": (1e-4, 1e-4),
}
GAMMA = 0.1  # Table 14, of idec and dcn


def row(method: str, data: str, start: str | None, *text: float) -> Row:
    """text: ARI, NMI and ACC of Table 5, and for ae-cm the ARI of Table 7. start: None where the method has one."""
    overrides: dict[str, object] = {"n_clusters": 10, "latent_dim": 10, "batch_size": 256}
    if start is not None:
        overrides["start"] = start
    if method == "ae-cm":
        alpha, beta, batch = AE_CM[data]
        overrides |= {"alpha": alpha, "beta": beta, "orthonormality": 1.0, "batch_size": batch}
        overrides |= {"epochs": EPOCHS.get(data, 200), "encoder_start": "posterior"}
    elif method == "dkm":
        overrides["clustering_weight"] = DKM[data][start == "pretrained"]
    elif method in ("idec", "dcn"):
        overrides["clustering_weight"] = GAMMA
    if data == "pendigits":
        overrides["scaling"] = "minmax"
    name = f"{method.replace('-', '_')}_{data}"
    name += "_random" if start == "random" else ""
    preset = "paper" if method == "ae-cm" else "quick"
    return Row(name, method, f"{data}.npz", preset, overrides, (0, 1, 2), shares(*text) if text else {})


def ours(data: str, name: str, **overrides: object) -> Row:
    """ae-cm in preset quick, whose start follows the manifold."""
    if data == "pendigits":
        overrides["scaling"] = "minmax"
    return Row(f"ae_cm_{data}_{name}", "ae-cm", f"{data}.npz", "quick", {"n_clusters": 10, **overrides}, (0, 1, 2), {})


CONV = {"network": "conv", "rotation": 10.0, "zoom": 0.1, "shift": 0.05}
CONV |= {"pretrain_epochs": 15, "module_epochs": 8, "epochs": 8}  # five times as many, by min_steps


ROWS = (
    row("ae-kmeans", "mnist10k", None, 65.6, 71.5, 78.6),
    row("dcn", "mnist10k", "random", 10.1, 25.6, 25.4),
    row("dcn", "mnist10k", "pretrained", 75.6, 82.5, 83.1),
    row("dec", "mnist10k", "random", 11.1, 19.0, 28.9),
    row("dec", "mnist10k", "pretrained", 73.8, 79.0, 83.1),
    row("idec", "mnist10k", "random", 27.5, 39.0, 42.5),
    row("idec", "mnist10k", "pretrained", 74.9, 80.1, 83.4),
    row("dkm", "mnist10k", "random", 72.5, 77.3, 81.2),
    row("dkm", "mnist10k", "pretrained", 74.0, 78.3, 82.7),
    row("n2d", "mnist10k", None),
    row("ae-cm", "mnist10k", "random", 77.9, 80.9, 86.1, 88.6),
    row("ae-cm", "mnist10k", "pretrained", 79.4, 82.4, 86.5, 80.3),
    row("ae-kmeans", "fmnist10k", None, 39.0, 55.6, 53.0),
    row("dcn", "fmnist10k", "random", 17.0, 33.5, 29.0),
    row("dcn", "fmnist10k", "pretrained", 38.6, 57.1, 53.1),
    row("dec", "fmnist10k", "random", 22.9, 38.1, 39.2),
    row("dec", "fmnist10k", "pretrained", 41.9, 58.6, 54.8),
    row("idec", "fmnist10k", "random", 35.2, 50.8, 48.1),
    row("idec", "fmnist10k", "pretrained", 42.8, 59.8, 55.4),
    row("dkm", "fmnist10k", "random", 41.8, 56.4, 54.6),
    row("dkm", "fmnist10k", "pretrained", 36.2, 52.0, 47.0),
    row("n2d", "fmnist10k", None),
    row("ae-cm", "fmnist10k", "random", 43.7, 55.6, 59.2, 47.8),
    row("ae-cm", "fmnist10k", "pretrained", 43.1, 56.3, 58.5, 37.3),
    row("ae-kmeans", "usps", None, 57.1, 64.6, 67.5),
    row("dcn", "usps", "random", 17.9, 36.5, 37.9),
    row("dcn", "usps", "pretrained", 63.9, 73.1, 72.5),
    row("dec", "usps", "random", 36.3, 46.9, 46.8),
    row("dec", "usps", "pretrained", 70.0, 78.1, 76.3),
    row("idec", "usps", "random", 41.8, 53.2, 54.0),
    row("idec", "usps", "pretrained", 70.0, 78.0, 76.1),
    row("dkm", "usps", "random", 58.3, 67.0, 68.6),
    row("dkm", "usps", "pretrained", 60.4, 71.8, 68.9),
    row("n2d", "usps", None),
    row("ae-cm", "usps", "random", 55.1, 63.4, 65.8, 55.4),
    row("ae-cm", "usps", "pretrained", 69.7, 76.7, 76.8, 61.0),
    row("ae-kmeans", "pendigits", None, 55.2, 68.2, 70.2),
    row("dcn", "pendigits", "random", 0.1, 0.8, 10.8),
    row("dcn", "pendigits", "pretrained", 56.8, 72.0, 70.8),
    row("dec", "pendigits", "random", 36.8, 52.3, 49.3),
    row("dec", "pendigits", "pretrained", 59.6, 72.8, 72.2),
    row("idec", "pendigits", "random", 43.3, 61.2, 53.9),
    row("idec", "pendigits", "pretrained", 57.9, 71.6, 71.0),
    row("dkm", "pendigits", "random", 52.4, 65.6, 66.9),
    row("dkm", "pendigits", "pretrained", 15.4, 27.4, 25.1),
    row("n2d", "pendigits", None),
    row("ae-cm", "pendigits", "random", 64.6, 75.0, 75.7, 64.6),
    row("ae-cm", "pendigits", "pretrained", 60.1, 70.4, 73.0, 66.3),
    *(ours(data, "manifold") for data in AE_CM),
    *(ours(data, "auto", n_clusters="auto") for data in AE_CM),
    ours("usps", "conv", **CONV),
)
