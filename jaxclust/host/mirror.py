"""Whether a set of images goes on being one when its images are mirrored, told from the images alone."""

import numpy as np

LOOKED, AMONG = 1000, 4000  # images that are mirrored, and those among which their nearest ones are
FEWEST = 100  # images below which nothing is told
LIKE = 1.1  # photographs of objects 1.00; Fashion-MNIST 1.19, MNIST 1.39, USPS 1.40, digits 1.80


def strangeness(images: np.ndarray, seed: int) -> float:
    """How far a mirrored image is from its nearest one, as a multiple of how far the image itself is.

    The median over some images of its distance, over the same without mirroring; about 1 where left and right tell
    nothing. images: (n, h, w, c), n at least 2.
    """
    from sklearn.neighbors import NearestNeighbors

    order = np.random.default_rng(seed).permutation(len(images))
    count = min(LOOKED, max(1, len(images) // 3))
    looked, among = (images[np.sort(part)].astype(np.float32) for part in (order[:count], order[count:][:AMONG]))
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(among.reshape(len(among), -1))
    as_it_is, mirrored = (
        np.median(nearest.kneighbors(part.reshape(count, -1))[0]) for part in (looked, looked[:, :, ::-1])
    )
    return float(mirrored / max(as_it_is, 1e-12))


def symmetric(images: np.ndarray, seed: int) -> bool:
    """Whether mirrored images look like the others; False for too few to tell. images: (n, h, w, c)."""
    return len(images) >= FEWEST and strangeness(images, seed) <= LIKE
