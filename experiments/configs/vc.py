"""vc and its baselines: Tables I, IV and V of Prasad et al. 2020 on the data at hand, and the toy set of its figure 3.

    python -m experiments.run vc

Hardware: 2 CPU cores; the results page has the seconds of each row.
Preset quick, whose start follows the manifold; rows '_random' start at random, as the text does. The text's numbers
are for all 60,000 or 70,000 images, and it states no spread.
"""

from typing import Any

from experiments.configs import Row

THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)
FILES = {"usps": "usps.npz", "mnist10k": "mnist10k.npz", "fmnist10k": "fmnist10k.npz"}


def row(data: str, name: str = "", seeds: tuple[int, ...] = THREE, *, acc: float | None = None, **changes: Any) -> Row:
    """vc in preset quick; acc: the text's, in percent."""
    changes = {"n_clusters": 10, **changes}
    title = f"vc_{data}" + (f"_{name}" if name else "")
    return Row(title, "vc", FILES.get(data, data), "quick", changes, seeds, {} if acc is None else {"acc": acc / 100})


def imbalanced(percent: int, acc: float) -> Row:
    """vc where the smallest class has so many percent of the largest one's images (Table IV)."""
    data, text = f"mnist10k_imbalanced_{percent}.npz", {"acc": acc / 100}
    return Row(f"vc_mnist10k_imbalanced_{percent}", "vc", data, "quick", {"n_clusters": 10}, THREE, text)


def baseline(method: str, data: str) -> Row:
    """VaDE or GMVAE in preset quick."""
    return Row(f"{method}_{data}", method, FILES.get(data, data), "quick", {"n_clusters": 10}, THREE, {})


ROWS = (
    row("arcs", n_clusters=5, latent_dim=2),
    row("digits"),
    row("usps", seeds=FIVE),
    row("usps", "plain", consistency="none"),
    row("usps", "clusters", consistency="clusters"),
    row("usps", "codes", consistency="codes"),
    row("usps", "all", active_clusters="all"),
    row("usps", "auto", n_clusters="auto"),
    row("usps", "random", start="random", epochs=40),
    row("mnist10k", acc=98.2),
    row("mnist10k", "plain", acc=96.8, consistency="none"),
    row("mnist10k", "clusters", acc=97.2, consistency="clusters"),
    row("mnist10k", "codes", acc=97.7, consistency="codes"),
    row("mnist10k", "k8", acc=95.4, n_clusters=8),
    row("mnist10k", "k20", acc=98.4, n_clusters=20),
    row("fmnist10k", acc=71.72),
    row("fmnist10k", "plain", acc=65.3, consistency="none"),
    *(imbalanced(p, acc) for p, acc in ((10, 89.6), (30, 90.3), (50, 96.1), (70, 96.9), (90, 97.1))),
    *(baseline(method, data) for method in ("vade", "gmvae") for data in FILES),
)
