"""hrwae-gan: tables 1 and 2 of Morais 2021 on the data at hand, and what its parts do on USPS.

    python -m experiments.run hrwae_gan
    python -m experiments.groups

Hardware: 2 CPU cores; the results page has the seconds of each row.
Preset quick with K given; rows '_hdbscan' and '_gmm' cluster as the text does, HDBSCAN finding K. The text's numbers
are for all 60,000 or 70,000 images, means of 5 runs; points without a label count as wrong.
"""

from typing import Any, NamedTuple

from experiments.configs import Row

THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)


class Reported(NamedTuple):
    """What the text has for one group and clusterer, in percent: means with deviations over 5 runs, and the ACC of the
    best run."""

    labelled: str
    acc_labelled: str
    acc: str
    best: str


TEXT = {  # by data, number of groups, group and clusterer; of MNIST's best run the text does not state the group
    ("fmnist10k", 1, 0, "hdbscan"): Reported("68.42 ± 4.6", "62.1 ± 2.1", "47.84 ± 5", "51.71"),
    ("fmnist10k", 2, 0, "hdbscan"): Reported("56.4 ± 4.26", "69 ± 5.6", "44.2 ± 2.98", "49.6"),
    ("fmnist10k", 2, 1, "hdbscan"): Reported("41.86 ± 28.9", "40 ± 21", "29.38 ± 20.1", "56.8"),
    ("fmnist10k", 2, 0, "gmm"): Reported("-", "-", "60 ± 3.4", "63.9"),
    ("mnist10k", 2, 0, "hdbscan"): Reported("55.2 ± 10.3", "85.6 ± 7", "54.9 ± 6.6", "78.8"),
    ("mnist10k", 2, 0, "gmm"): Reported("-", "-", "70.37 ± 4.5", "77"),
}


def reported(data: str, groups: int, group: int, clusterer: str) -> Reported:
    """The text's numbers, '-' where it has none. Persistent leaves stand beside HDBSCAN: both leave points out."""
    return TEXT.get((data, groups, group, "gmm" if clusterer == "gmm" else "hdbscan"), Reported(*"----"))


def row(data: str, groups: int, name: str = "", seeds: tuple[int, ...] = THREE, **changes: Any) -> Row:
    """hrwae-gan in preset quick."""
    title = f"hrwae_gan_{data}_l{groups}" + (f"_{name}" if name else "")
    changes = {"n_clusters": 10, "groups": groups, **changes}
    acc = reported(data, groups, 0, changes.get("clusterer", "")).acc.split()[0]
    text = {} if acc == "-" else {"acc": round(float(acc) / 100, 5)}
    return Row(title, "hrwae-gan", f"{data}.npz", "quick", changes, seeds, text)


ROWS = (
    *(row("usps", groups, seeds=FIVE) for groups in (1, 2, 3)),
    *(row(data, groups) for data in ("mnist10k", "fmnist10k") for groups in (1, 2)),
    *(row(data, 2, "gmm", clusterer="gmm") for data in ("mnist10k", "fmnist10k")),
    row("mnist10k", 2, "hdbscan", clusterer="hdbscan", n_clusters="auto"),
    *(row("fmnist10k", groups, "hdbscan", clusterer="hdbscan", n_clusters="auto") for groups in (1, 2)),
    *(row("usps", groups, "standard", FIVE, adversarial="standard") for groups in (1, 2, 3)),
    *(row("usps", groups, "unmatched", FIVE, matching_weight=0.0) for groups in (2, 3)),
    row("usps", 2, "inattentive", FIVE, noise_weight=1.0),
    row("usps", 2, "posterior", FIVE, prior_share=0.0),
    row("usps", 2, "auto", n_clusters="auto"),
)
