"""One palette for every figure, and the few strokes of style that they share."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The first ten stay at least 22 CIELAB units apart, and from NOISE, for normal sight and for simulated protanopia,
# deuteranopia and tritanopia (Machado et al. 2009; matplotlib's default: 5). The other twenty were then chosen one by
# one, each as far as can be from all before it.
PALETTE = (
    "#2C4FFB", "#FF9500", "#2FA065", "#8A0A74", "#61CFFF", "#C73900", "#9C86F5", "#2F5743", "#C07AA8", "#5E1AA8",
    "#6B0015", "#AACC5C", "#6B6B00", "#CC675C", "#1A72AD", "#FFC299", "#23EBC3", "#4C223C", "#AD1A55", "#10346B",
    "#CC933D", "#F2BFFF", "#4C3600", "#009CAD", "#614EAD", "#006B20", "#ADA668", "#FF99A3", "#99CC9E", "#99A3CC",
)  # fmt: skip
# On dark ground (#17191D, noise #5A5E66) the first ten stay as far apart, in their hues, at a contrast of 3 or more.
ON_DARK = (
    "#376EE0", "#F3D690", "#21DE20", "#A43B9C", "#A1EBFF", "#DB2B29", "#A1AFFF", "#DBFFD5", "#FF53A8", "#8E00FF",
)  # fmt: skip
NOISE = "#D0D0D0"
INK = "#222222"
FAINT = "#777777"
DPI = 120
WIDTH = 8.0  # inches: 960 pixels, the width of a README


def colour(index: int) -> str:
    """The colour of cluster `index`, '#RRGGBB'; grey for -1 (noise). After 30 the palette starts again."""
    return NOISE if index < 0 else PALETTE[index % len(PALETTE)]


def colours(indices: NDArray[np.integer]) -> NDArray[np.float64]:
    """(n,) int -> (n, 3) float RGB in [0, 1], as `colour`."""
    table = np.array([[int(hexa[i : i + 2], 16) / 255 for i in (1, 3, 5)] for hexa in (*PALETTE, NOISE)])
    return table[np.where(indices < 0, len(PALETTE), indices % len(PALETTE))]


def on_dark(index: int) -> str:
    """The colour of cluster `index` on dark ground: after the first ten half way to white, the darker the further."""
    if index < len(ON_DARK):
        return ON_DARK[index]
    share = [int(PALETTE[index][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    luminance = sum(weight * value**2.2 for weight, value in zip((0.2126, 0.7152, 0.0722), share, strict=True))
    towards = 0.5 * max(0.0, 1 - luminance / 0.35)
    return "#" + "".join(f"{round(255 * (value + (1 - value) * towards)):02X}" for value in share)


def shorten(text: str, length: int = 16) -> str:
    """The text, cut to `length` characters with an ellipsis, in one line and without mathematics for matplotlib."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    cut = text if len(text) <= length else text[: length - 1].rstrip() + "…"
    return cut.replace("$", r"\$")


def plain(axes: "Axes", title: str = "", x: str = "", y: str = "") -> None:
    """Axes without a box: two spines, small grey ticks, a bold title at the left."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    axes.tick_params(which="both", labelsize=8, color="#BBBBBB", labelcolor=FAINT)
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
