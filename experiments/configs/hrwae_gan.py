"""hrwae-gan: tables 1 and 2 of Morais 2021 on the data at hand, and what its parts do on USPS.

    python -m experiments.run hrwae_gan
    python -m experiments.groups

Hardware: 2 CPU cores; the results page has the seconds of each row.
Preset quick with K given. The text's numbers are for all 60,000 or 70,000 images: means of 5 runs, of HDBSCAN's labels
in group 0, where points without a label count as wrong.
"""

from typing import Any

from experiments.configs import Row

THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)


def row(
    data: str, groups: int, name: str = "", seeds: tuple[int, ...] = THREE, *, acc: float = 0, **changes: Any
) -> Row:
    """hrwae-gan in preset quick; acc: the text's, in percent."""
    title = f"hrwae_gan_{data}_l{groups}" + (f"_{name}" if name else "")
    changes = {"n_clusters": 10, "groups": groups, **changes}
    return Row(title, "hrwae-gan", f"{data}.npz", "quick", changes, seeds, {"acc": acc / 100} if acc else {})


ROWS = (
    *(row("usps", groups, seeds=FIVE) for groups in (1, 2, 3)),
    row("mnist10k", 1),
    row("mnist10k", 2, acc=54.9),
    row("fmnist10k", 1, acc=47.84),
    row("fmnist10k", 2, acc=44.2),
    *(row("usps", groups, "standard", FIVE, adversarial="standard") for groups in (1, 2, 3)),
    *(row("usps", groups, "unmatched", FIVE, matching_weight=0.0) for groups in (2, 3)),
    row("usps", 2, "inattentive", FIVE, noise_weight=1.0),
    row("usps", 2, "posterior", FIVE, prior_share=0.0),
    row("usps", 2, "auto", n_clusters="auto"),
)
