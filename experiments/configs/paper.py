"""Preset paper, each system's text: run to its end on digits, and on USPS where hours suffice.

    python -m experiments.run paper
    python -m experiments.paper

Hardware: 2 CPU cores; the results page has the seconds of each row.
vc's networks are those of its text, for images of 28 x 28: digits_28 are digits resized to that. hc-mgan's trees take
days here: its rows end at the root, two leaves. What a text leaves open is listed where each preset is stated
(jaxclust/methods/*/config.py and __init__.py).
"""

from typing import Any

from experiments.configs import Row

THREE = (0, 1, 2)


def row(method: str, data: str, name: str = "", **changes: Any) -> Row:
    """A method's preset paper on a set; K is found where the method finds it, else given."""
    file = data if data == "digits" else f"{data}.npz"
    return Row(f"{method.replace('-', '_')}_{data}_paper{name}", method, file, "paper", changes, THREE, {})


ROWS = (
    row("moe-vae", "digits"),
    row("hrwae-gan", "digits"),
    row("hc-mgan", "digits", "_root", n_clusters=2),
    row("cm", "digits", n_clusters=10),
    row("ae-cm", "digits", n_clusters=10),
    row("vc", "digits_28", n_clusters=10),
    row("moe-vae", "usps"),
    row("hrwae-gan", "usps"),
    row("cm", "usps", n_clusters=10),
    row("ae-cm", "usps", n_clusters=10),
    row("hc-mgan", "usps", "_root", n_clusters=2),
)
