"""What every reader gives back."""

from typing import NamedTuple

import numpy as np

from jaxclust.data.rows import Images


class Found(NamedTuple):
    """What a reader found: images or features, labels, class names, split, names of examples, files that were left out
    with the reason of each, what the names are, and the bits of image files, as `dataset.build` takes them."""

    images: Images
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    split: np.ndarray | None = None
    names: np.ndarray | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    named: str = "name"
    depth: int | None = None
