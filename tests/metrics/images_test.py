"""Image scores against slow, obvious loops, SciPy's matrix root and hand-computed cases."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from jaxclust.metrics import images as quality


def slow_ssim(x, y, span, side):
    """Equation by equation over every window of one channel."""
    offsets = np.arange(side) - side // 2
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    values = []
    for i in range(x.shape[0] - side + 1):
        for j in range(x.shape[1] - side + 1):
            a, b = x[i : i + side, j : j + side], y[i : i + side, j : j + side]
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            cov = (weights * (a - mean_a) * (b - mean_b)).sum()
            top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
            values.append(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return np.mean(values)


def pair(shape, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.random(shape)
    return np.clip(reference + 0.1 * rng.normal(size=shape), 0, 1), reference


def test_psnr_by_hand():
    reference = np.zeros((2, 4, 4, 1))
    noisy = reference.copy()
    noisy[0] += 0.1  # MSE 0.01: 20 dB
    noisy[1] += 0.01  # MSE 0.0001: 40 dB
    assert quality.psnr(noisy, reference) == pytest.approx(30.0)
    assert quality.psnr(reference, reference) == math.inf


def test_psnr_of_uint8_uses_255():
    black, grey = np.zeros((1, 3, 3, 1), np.uint8), np.full((1, 3, 3, 1), 51, np.uint8)
    assert quality.psnr(grey, black) == pytest.approx(20 * math.log10(5))


@pytest.mark.parametrize(
    ("shape", "side"), [((3, 16, 14, 1), 11), ((2, 12, 13, 3), 11), ((2, 8, 8, 1), 7), ((1, 5, 9, 2), 5)]
)
def test_ssim_agrees_with_slow_loops(shape, side):
    ours, reference = pair(shape)
    assert quality.ssim_window(*shape[1:3]) == side
    slow = [
        slow_ssim(ours[i, ..., c], reference[i, ..., c], 1.0, side) for i in range(shape[0]) for c in range(shape[3])
    ]
    assert quality.ssim(ours, reference) == pytest.approx(np.mean(slow), abs=1e-12)


def test_ssim_over_several_chunks_is_the_mean_over_images(monkeypatch):
    ours, reference = pair((7, 12, 12, 1))
    whole = quality.ssim(ours, reference)
    monkeypatch.setattr(quality, "_CHUNK", 3)
    assert quality.ssim(ours, reference) == pytest.approx(whole)


def test_ssim_properties():
    ours, reference = pair((4, 16, 16, 1))
    assert quality.ssim(reference, reference) == pytest.approx(1.0)
    assert quality.ssim(ours, reference) == pytest.approx(quality.ssim(reference, ours))
    assert quality.ssim(1 - reference, reference) < 0 < quality.ssim(ours, reference) < 1
    scaled = quality.ssim(ours * 255, reference * 255, data_range=255)
    assert scaled == pytest.approx(quality.ssim(ours, reference))


def test_frechet_by_hand():
    """One dimension: (m_a - m_b)^2 + (s_a - s_b)^2."""
    a, b = np.array([[-1.0], [1.0]]), np.array([[1.0], [3.0], [5.0]])
    assert quality.frechet_distance(a, b) == pytest.approx(9 + (math.sqrt(2) - 2) ** 2)


def test_frechet_agrees_with_the_matrix_root():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(150, 5)) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    gap = a.mean(axis=0) - b.mean(axis=0)
    expected = gap @ gap + np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b)))
    assert quality.frechet_distance(a, b) == pytest.approx(expected)
    assert quality.frechet_distance(b, a) == pytest.approx(expected)


def test_frechet_of_singular_covariances():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(6, 40))  # fewer points than features, and constant features
    a[:, :10] = 3.0
    assert quality.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert quality.frechet_distance(a, a[::-1] + 2.0) == pytest.approx(160.0)  # a shift by 2 in 40 directions
    turn = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    assert quality.frechet_distance(a @ turn, a[:4] @ turn) == pytest.approx(quality.frechet_distance(a, a[:4]))


@pytest.mark.parametrize("function", [quality.psnr, quality.ssim])
def test_bad_images_are_named(function):
    with pytest.raises(ValueError, match=r"\(2, 8, 8, 1\).*\(2, 8, 9, 1\)"):
        function(np.zeros((2, 8, 8, 1)), np.zeros((2, 8, 9, 1)))
    with pytest.raises(ValueError, match="data_range"):
        function(np.zeros((2, 8, 8, 1), np.uint8), np.zeros((2, 8, 8, 1)))
    with pytest.raises(ValueError, match="spans 200"):
        function(np.zeros((1, 8, 8, 1)), np.linspace(0, 200, 64).reshape(1, 8, 8, 1))


def test_too_small_or_mismatched_inputs():
    with pytest.raises(ValueError, match="2 x 8"):
        quality.ssim(np.zeros((1, 2, 8, 1)), np.zeros((1, 2, 8, 1)))
    with pytest.raises(ValueError, match=r"\(4, 3\).*\(4, 2\)"):
        quality.frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="NaN"):
        quality.frechet_distance(np.full((4, 3), np.nan), np.zeros((4, 3)))
