"""Image quality: PSNR, SSIM, and the Fréchet distance between feature sets. NumPy in, plain floats out."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

SSIM_WINDOW = 11  # pixels a side
SSIM_SIGMA = 1.5  # pixels
_CHUNK = 256  # images filtered at a time, which bounds memory


def psnr(images: ArrayLike, reference: ArrayLike, data_range: float | None = None) -> float:
    """Peak signal-to-noise ratio in decibels, the mean over images of 10 log10(data_range^2 / MSE).

    images, reference: (n, ...) of one shape, uint8 or float. data_range: the span of possible values; by default
    255 for a uint8 reference and 1 for floats. Infinite if any image equals its reference. Raises ValueError for
    shapes that differ or a reference that spans more than data_range.
    """
    ours, theirs, span = _images(images, reference, data_range)
    errors = np.square(ours - theirs).reshape(len(ours), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        return float(np.mean(10 * np.log10(span**2 / errors)))


def ssim(images: ArrayLike, reference: ArrayLike, data_range: float | None = None) -> float:
    """Structural similarity, in [-1, 1], the mean over images, channels and window positions (Wang et al. 2004).

        ((2 m_x m_y + c1)(2 s_xy + c2)) / ((m_x^2 + m_y^2 + c1)(s_x^2 + s_y^2 + c2)),
        c1 = (0.01 data_range)^2, c2 = (0.03 data_range)^2

    The moments are weighted by a Gaussian window of `ssim_window` pixels a side (11, less on smaller images) and
    sigma 1.5 pixels, whose weights sum to one. Only windows that lie inside the image count.
    images, reference: (n, h, w, c) of one shape, h and w at least 3. data_range and errors as in `psnr`.
    """
    ours, theirs, span = _images(images, reference, data_range)
    if ours.ndim != 4:
        raise ValueError(f"images must have shape (n, h, w, c), found {ours.shape} and {theirs.shape}")
    window = _gaussian(ssim_window(*ours.shape[1:3]))
    means = [
        _ssim_map(ours[start : start + _CHUNK], theirs[start : start + _CHUNK], window, span).mean(axis=(1, 2, 3))
        for start in range(0, len(ours), _CHUNK)
    ]
    return float(np.concatenate(means).mean())


def ssim_window(height: int, width: int) -> int:
    """The side of the window of `ssim` in pixels: 11, or the largest odd number that fits into the image."""
    side = min(SSIM_WINDOW, height, width)
    side -= 1 - side % 2
    if side < 3:
        raise ValueError(f"SSIM needs images of at least 3 x 3 pixels, found {height} x {width}")
    return side


def frechet_distance(features: ArrayLike, reference: ArrayLike) -> float:
    """Squared Fréchet (2-Wasserstein) distance between Gaussians fitted to two feature sets, at least 0.

        |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)      (Dowson and Landau 1982; Heusel et al. 2017)

    features (n, d), reference (m, d) float, n and m at least 2; covariances divide by n - 1. With C = R^T R, R from
    the QR of the centred features, the trace of the root is the sum of the singular values of R_a R_b^T: no matrix
    root is formed, so it stays real and exact for singular covariances too. Call the result frechet_<features>;
    it is FID only with Inception-v3 pool features. Raises ValueError for shapes that do not match.
    """
    a, b = np.asarray(features, np.float64), np.asarray(reference, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features {a.shape} and reference {b.shape} must be (n, d), (m, d) with n, m at least 2")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"features {a.shape} or reference {b.shape} hold NaN or infinite values")
    root_a, root_b = _covariance_factor(a), _covariance_factor(b)
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    spread = np.square(root_a).sum() + np.square(root_b).sum() - 2 * cross
    return float(max(np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + spread, 0.0))


def _covariance_factor(features: FloatArray) -> FloatArray:
    """R of shape (min(n, d), d) with R^T R the sample covariance."""
    centred = features - features.mean(axis=0)
    return np.linalg.qr(centred, mode="r") / np.sqrt(len(features) - 1)


def _gaussian(side: int) -> FloatArray:
    offsets = np.arange(side) - side // 2
    weights = np.exp(-np.square(offsets / SSIM_SIGMA) / 2)
    return weights / weights.sum()


def _ssim_map(x: FloatArray, y: FloatArray, window: FloatArray, span: float) -> FloatArray:
    """Local SSIM at every window inside the images, (n, h - side + 1, w - side + 1, c)."""
    from scipy.ndimage import correlate1d

    margin = len(window) // 2
    inside = (slice(None), slice(margin, x.shape[1] - margin), slice(margin, x.shape[2] - margin))

    def blur(images: FloatArray) -> FloatArray:
        return correlate1d(correlate1d(images, window, axis=1), window, axis=2)[inside]

    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    cov = blur(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))


def _images(images: ArrayLike, reference: ArrayLike, data_range: float | None) -> tuple[FloatArray, FloatArray, float]:
    ours, theirs = np.asarray(images), np.asarray(reference)
    if ours.shape != theirs.shape or ours.ndim < 2 or not ours.size:
        raise ValueError(f"images {ours.shape} and reference {theirs.shape} must have one shape (n, ...)")
    if data_range is None:
        if (ours.dtype == np.uint8) != (theirs.dtype == np.uint8):
            raise ValueError(
                f"images {ours.shape} {ours.dtype} and reference {theirs.shape} {theirs.dtype}: "
                "give data_range, or give both as uint8 or both as floats"
            )
        data_range = 255.0 if theirs.dtype == np.uint8 else 1.0
    extent = float(theirs.max()) - float(theirs.min())
    if not data_range > 0 or not extent <= data_range * (1 + 1e-6):
        raise ValueError(f"reference {theirs.shape} spans {extent:g}, more than data_range {data_range:g}")
    return ours.astype(np.float64), theirs.astype(np.float64), float(data_range)
