"""From standard data to what the networks see: value range, padding to a power of two, choice of the likelihood.

Standard data are what `dataset.standard` makes, and `sources.load` gives: (n, h, w, c) uint8 or float32, or (n, d)
float32, finite. Nothing here checks that again.
"""

import json
import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from jaxclust.data.rows import Images, LazyArray, blocks, limits
from jaxclust.errors import InputError

MIN_SIDE = 8
LIKELIHOODS = ("bernoulli", "gaussian")
SCALINGS = ("standard", "minmax", "maxabs", "unit", "none")
END = 0.10  # a pixel lies at an end of the range if it is within this share of the range from it
NEARLY_BINARY = 0.20  # share of the pixels off the background that lie at the opposite end


@dataclass(frozen=True)
class Preprocess:
    """How standard data of one data set is turned into input, fixed when fitting and used again on new data.

    kind:       'images' or 'features'.
    height, width, channels: of the raw images (0 for features).
    side:       power of two, at least 8: height and width after padding (0 for features).
    n_features: columns (0 for images).
    low, high:  raw values that become 0 and 255; what lies outside is clipped (features: unused, 0 and 1).
    likelihood: 'bernoulli' (sigmoid output, cross-entropy) or 'gaussian' (linear output, squared error).
    mean, scale: (n_features,) scale the columns of features, (x - mean) / scale; None for images.
    scaling:    how mean and scale were chosen (`plan`); with 'unit' each row is divided by its length as well.
    padding:    what images are padded with: the median of each one's own border, so that white paper stays white; or
                zeros, in models of earlier versions.

    `Preprocess(**json.loads(json.dumps(asdict(p)))) == p`, to the last bit.
    """

    kind: str
    height: int
    width: int
    channels: int
    side: int
    n_features: int
    low: float
    high: float
    likelihood: str
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    scaling: str = "standard"
    padding: str = "zeros"

    def __post_init__(self) -> None:
        for name in ("mean", "scale"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(float(v) for v in value))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one prepared example: (side, side, channels) or (n_features,)."""
        return (self.side, self.side, self.channels) if self.kind == "images" else (self.n_features,)


def plan(images: Images, *, likelihood: str = "auto", scaling: str = "standard") -> Preprocess:
    """Looks at the data to be fitted and fixes its preparation.

    images: standard data, (n, h, w, 1 or 3) uint8 or float32, or (n, d) float32 features.
    likelihood: 'auto' (`choose_likelihood`; features are always 'gaussian'), 'bernoulli' or 'gaussian'.
    scaling: of features, as scikit-learn's scalers do it; images have a scale of their own, and it is ignored.
        'standard' each column to mean 0 and standard deviation 1; 'minmax' each column to [0, 1]; 'maxabs' each column
        divided by its largest absolute value, so that zero stays zero (tf-idf); 'unit' each row divided by its L2 norm,
        whatever the other rows are (rows of zeros stay); 'none' as it is. A divisor of 0 counts as 1.
    The value range is `value_range`. Raises InputError for constant data, and for a likelihood or a scaling that there
    is not.
    """
    if likelihood not in ("auto", *LIKELIHOODS):
        raise InputError(f"likelihood {likelihood!r} is unknown: choose auto, {' or '.join(LIKELIHOODS)}")
    if scaling not in SCALINGS:
        raise InputError(f"scaling {scaling!r} is unknown: choose {', '.join(SCALINGS[:-1])} or {SCALINGS[-1]}")
    if len(images) > 1 and _is_constant(images):
        raise InputError(
            f"the data is constant: all {len(images)} examples are the same, so there is nothing to cluster: "
            "give other data"
        )
    if images.ndim == 2:
        return _plan_features(images, likelihood, scaling)
    ends = limits(images)
    if ends[0] == ends[1]:
        raise InputError(
            f"the data is constant: every pixel is {ends[0]:g}, so there is nothing to cluster: give other data"
        )
    low, high = _range(images.dtype, *ends)
    _, height, width, channels = images.shape
    if likelihood == "auto":
        likelihood = "bernoulli" if _share(_histogram(images, low, high)) >= NEARLY_BINARY else "gaussian"
    side = padded_side(height, width)
    return Preprocess("images", height, width, channels, side, 0, low, high, likelihood, padding="border")


def apply(preprocess: Preprocess, images: Images) -> Images:
    """Prepared input: uint8 (n, side, side, c), padded and centred; or float32 (n, d), scaled.

    images: standard data, as for `plan`. `LazyArray` come back as `LazyArray`, which are prepared when they are read.

    Every example is treated alone, so the result does not depend on what else is in the batch. Grey images get three
    equal channels where the model was fitted to colour. Raises InputError if `images` differs otherwise in kind, size
    or channels from the data that was fitted (both shapes are named), or lies on another scale (0..1 against 0..255).
    """
    p = preprocess
    expected = (p.height, p.width, p.channels) if p.kind == "images" else (p.n_features,)
    grey = p.channels == 3 and images.shape[1:] == (p.height, p.width, 1)  # as among colour images, so alone
    shape = expected if grey else images.shape[1:]
    if shape != expected:
        raise InputError(
            f"the data has {_describe(shape)} but the model was fitted to {_describe(expected)}: "
            f"{_shape_remedy(shape, expected)}"
        )
    if p.kind == "images":
        _check_scale(p, images)
    if isinstance(images, LazyArray):
        return images.map(partial(_prepared, p), p.shape, np.float32 if p.kind == "features" else np.uint8)
    return _prepared(p, images)


def _prepared(p: Preprocess, array: np.ndarray) -> np.ndarray:
    if p.kind == "features":
        return _scaled(p, array)
    if array.shape[3] < p.channels:
        array = np.repeat(array, p.channels, axis=3)
    return _pad(quantise(array, p.low, p.high), p.side, p.padding)


def _scaled(p: Preprocess, array: np.ndarray) -> np.ndarray:
    mean, scale, out = np.asarray(p.mean), np.asarray(p.scale), np.empty(array.shape, np.float32)
    for start, block in blocks(array):  # bounded memory: one float64 block at a time
        values = (block - mean) / scale
        if p.scaling == "unit":
            norm = np.sqrt(np.square(values).sum(1, keepdims=True))
            values /= np.where(norm == 0.0, 1.0, norm)
        out[start : start + len(block)] = values
    return out


def n_bytes(shape: tuple[int, ...]) -> int:
    """Bytes that data of that raw shape, (n, h, w), (n, h, w, c) or (n, d), will take when prepared."""
    if len(shape) < 3:
        return 4 * math.prod(shape)
    return shape[0] * padded_side(*shape[1:3]) ** 2 * math.prod(shape[3:])


def crop(preprocess: Preprocess, images: Images) -> Images:
    """Undoes the padding: (n, side, side, c) -> (n, h, w, c), any dtype. For pictures."""
    if isinstance(images, LazyArray):
        p = preprocess
        return images.map(lambda block: np.asarray(crop(p, block)), (p.height, p.width, p.channels), images.dtype)
    top, left = margins(preprocess.height, preprocess.width, preprocess.side)
    return images[:, top : top + preprocess.height, left : left + preprocess.width]


def padded_side(height: int, width: int) -> int:
    """The smallest power of two, at least 8, that holds the image."""
    return max(MIN_SIDE, 1 << (max(height, width) - 1).bit_length())


def value_range(images: Images) -> tuple[float, float]:
    """The raw values that stand for black and white.

    uint8: 0 and 255; only where no pixel passes 63 (levels, not 8-bit pixels: digits in 0..16, masks in 0..1), 0 and
    the maximum. float within [0, 1]: 0 and 1. Any other float: its own minimum and maximum.
    """
    return _range(images.dtype, *limits(images))


def _range(dtype: np.dtype, low: float, high: float) -> tuple[float, float]:
    if dtype == np.uint8:
        return 0.0, 255.0 if high > 63 else high
    if low >= 0.0 and high <= 1.0 and high > low:
        return 0.0, 1.0
    return low, high


def quantise(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Maps [low, high] to 0..255, rounded and clipped, uint8. uint8 images over the full range pass unchanged."""
    if images.dtype == np.uint8 and (low, high) == (0.0, 255.0):
        return images
    out = np.empty(images.shape, np.uint8)
    for start, block in blocks(images):  # bounded memory: one float64 block at a time
        share = (block.astype(np.float64) - low) / (high - low)
        out[start : start + len(block)] = np.rint(np.clip(share, 0.0, 1.0) * 255.0)
    return out


def intensity_histogram(images: Images) -> np.ndarray:
    """(256,) float64, sums to one: share of all pixels and channels at each of 256 levels of the value range."""
    return _histogram(images, *value_range(images))


def _histogram(images: Images, low: float, high: float) -> np.ndarray:
    counts = np.zeros(256, np.int64)
    for _, block in blocks(images):
        counts += np.bincount(quantise(block, low, high).reshape(-1), minlength=256)
    return counts / counts.sum()


def binary_share(images: Images) -> float:
    """In [0, 1]: of the pixels that are not background, the share that lies at the opposite end of the range.

    An end is the outer 10% of the value range; the fuller end is the background. Padding adds background only, so it
    changes nothing. USPS .44, MNIST .50, scikit-learn's digits .27; Fashion-MNIST .12.
    """
    return _share(intensity_histogram(images))


def _share(histogram: np.ndarray) -> float:
    width = int(END * 255) + 1
    ends = sorted((histogram[:width].sum(), histogram[-width:].sum()))
    return float(ends[0] / max(1.0 - ends[1], 1e-12))


def choose_likelihood(images: Images) -> str:
    """'bernoulli' for nearly binary images (strokes on paper: USPS, MNIST), else 'gaussian' (Fashion-MNIST, photos).

    Nearly binary: `binary_share` of at least one fifth. images: (n, h, w, c) before padding, raw values.
    """
    return "bernoulli" if binary_share(images) >= NEARLY_BINARY else "gaussian"


def shannon_entropy(images: np.ndarray) -> float:
    """Bits, in [0, 8]: entropy of an image's histogram over 256 grey levels, mean over the images.

    -sum_g p_g log2 p_g. Colour images are turned to grey first, by ITU-R 601 weights. images: (n, h, w, c).
    """
    grey = quantise(images, *value_range(images))
    if grey.shape[-1] == 3:
        grey = np.rint(grey @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    total = 0.0
    for image in grey:
        share = np.bincount(image.reshape(-1), minlength=256) / image.size
        share = share[share > 0]
        total -= float((share * np.log2(share)).sum())
    return total / len(grey)


def to_json(preprocess: Preprocess) -> str:
    """One line of JSON; `from_json` gives the same Preprocess back, to the last bit."""
    return json.dumps(vars(preprocess))


def from_json(text: str) -> Preprocess:
    """The inverse of `to_json`."""
    return Preprocess(**json.loads(text))


def _is_constant(images: Images) -> bool:
    first = images[:1]
    return all((block == first).all() for _, block in blocks(images))


def _plan_features(array: Images, likelihood: str, scaling: str) -> Preprocess:
    if likelihood == "bernoulli":
        raise InputError("likelihood 'bernoulli' is for images: features are real numbers, so use auto or gaussian")
    mean, scale = _column_scales(array, scaling)
    n = array.shape[1]
    return Preprocess("features", 0, 0, 0, 0, n, 0.0, 1.0, "gaussian", tuple(mean), tuple(scale), scaling)


def _column_scales(array: Images, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """What is subtracted from each column and what it is then divided by, (d,) float64 both."""
    mean, scale = np.zeros(array.shape[1]), np.ones(array.shape[1])
    if scaling == "standard":
        mean = sum((block.sum(0, dtype=np.float64) for _, block in blocks(array)), mean) / len(array)
        scale = np.sqrt(sum(((block - mean) ** 2).sum(0) for _, block in blocks(array)) / len(array))
        constant = scale <= 1e-7 * np.maximum(np.abs(mean), 1e-30)
        if constant.all():
            raise InputError("the data is constant: no feature varies, so there is nothing to cluster: give other data")
        scale = np.where(constant, 1.0, scale)
    elif scaling in ("minmax", "maxabs"):
        ends = [(block.min(0), block.max(0)) for _, block in blocks(array)]
        low = np.min([low for low, _ in ends], 0).astype(np.float64)
        high = np.max([high for _, high in ends], 0).astype(np.float64)
        mean = low if scaling == "minmax" else mean
        scale = high - low if scaling == "minmax" else np.maximum(-low, high)
        scale = np.where(scale == 0.0, 1.0, scale)
    return mean, scale


def margins(height: int, width: int, side: int) -> tuple[int, int]:
    """Rows above and columns left of an image that `apply` pads to `side`."""
    return (side - height) // 2, (side - width) // 2


def _pad(images: np.ndarray, side: int, padding: str) -> np.ndarray:
    n, height, width, channels = images.shape
    if (height, width) == (side, side):
        return np.ascontiguousarray(images)
    top, left = margins(height, width, side)
    out = np.zeros((n, side, side, channels), images.dtype)
    if padding == "border":
        for start, block in blocks(images):
            out[start : start + len(block)] = border(block)[:, None, None]
    out[:, top : top + height, left : left + width] = images
    return out


def border(images: np.ndarray) -> np.ndarray:
    """The lower median of the outermost pixels of each image (n, h, w, c): (n, c), of the same dtype."""
    sides = [images[:, :1], images[:, -1:], images[:, 1:-1, :1].swapaxes(1, 2), images[:, 1:-1, -1:].swapaxes(1, 2)]
    outermost = np.concatenate(sides, 2)[:, 0]
    middle = (outermost.shape[1] - 1) // 2
    return np.partition(outermost, middle, 1)[:, middle]


def _check_scale(p: Preprocess, images: Images) -> None:
    """A model fitted to 0..255 must not be shown 0..1, nor the other way round: clipping would hide the mistake."""
    levels, bytes_ = p.low == 0.0 and p.high <= 63.0, (p.low, p.high) == (0.0, 255.0)
    if not levels and not (bytes_ and images.dtype == np.float32):
        return
    low, high = limits(images)
    if levels and high > 2.0 * p.high:
        raise InputError(f"pixels reach {high:g} but the model was fitted to 0..{p.high:g}: rescale the images to that")
    fractional = low >= 0.0 and high <= 1.0 and any((block != np.rint(block)).any() for _, block in blocks(images))
    if bytes_ and images.dtype == np.float32 and fractional:
        raise InputError("pixels lie within 0..1 but the model was fitted to 0..255: multiply the images by 255")


def _describe(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"{shape[0]} features per example"
    return f"images of shape {'x'.join(map(str, shape))}"


def _shape_remedy(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if len(shape) == len(expected) == 3 and shape[2] == expected[2]:
        return f"resize the images to {expected[0]}x{expected[1]}"
    if len(shape) == len(expected) == 3:
        return "convert the images to " + ("grey levels" if expected[2] == 1 else "RGB")
    return "give data of the same kind"
