"""Things on a turntable: images of made solids, each seen from all sides, as in object image libraries.

A solid is two to five ellipsoids of random sizes, shades and directions, near a vertical axis. It is drawn in parallel
perspective, lit from one side, as large as its frame:

    (p - c)^T M (p - c) = 1,  M = Q diag(1 / r^2) Q^T     the ellipsoid of centre c, radii r and axes Q
    p = (x, y, z), z the larger root                      what a pixel (x, y) sees of it
    shade = albedo (1/4 + 3/4 max(0, n . light))          n along M (p - c)                         (Lambert)
"""

from typing import NamedTuple

import numpy as np

LIGHT = np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8])
ASIDE, ALONG = 0.12, 0.35  # deviation of a centre from the axis, and along it
FRAME = 0.95  # share of the image that a solid fills


class Solid(NamedTuple):
    """Ellipsoids: centres (k, 3), radii (k, 3), axes (k, 3, 3), albedo (k,)."""

    centre: np.ndarray
    radius: np.ndarray
    axes: np.ndarray
    albedo: np.ndarray


def solid(random: np.random.Generator) -> Solid:
    """A random solid."""
    k = int(random.integers(2, 6))
    centre = random.normal(0, [ASIDE, ALONG, ASIDE], (k, 3))
    radius = np.exp(random.normal(-1.1, 0.45, (k, 3)))
    axes = np.stack([np.linalg.qr(random.normal(size=(3, 3)))[0] for _ in range(k)])
    return Solid(centre, radius, axes, random.uniform(0.25, 1, k))


def drawn(solid: Solid, angle: float, side: int) -> np.ndarray:
    """The solid turned around the vertical axis: (side, side) float32 in [0, 1]."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    axes = turn @ solid.axes
    centre = solid.centre @ turn.T
    extent = np.sqrt(((axes * solid.radius[:, None]) ** 2).sum(2))[:, :2]
    low, high = (centre[:, :2] - extent).min(0), (centre[:, :2] + extent).max(0)
    at = ((np.arange(side) + 0.5) / side * 2 - 1) * (high - low).max() / 2 / FRAME
    x, y = np.meshgrid(at + (low + high)[0] / 2, (low + high)[1] / 2 - at)
    nearest, image = np.full(x.shape, -np.inf), np.zeros(x.shape)
    for c, r, q, albedo in zip(centre, solid.radius, axes, solid.albedo, strict=True):
        m = q / r**2 @ q.T
        dx, dy = x - c[0], y - c[1]
        half = m[0, 2] * dx + m[1, 2] * dy
        square = half**2 - m[2, 2] * (m[0, 0] * dx**2 + 2 * m[0, 1] * dx * dy + m[1, 1] * dy**2 - 1)
        dz = (np.sqrt(np.maximum(square, 0)) - half) / m[2, 2]
        normal = np.stack([dx, dy, dz], -1) @ m
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        seen = (square > 0) & (c[2] + dz > nearest)
        image = np.where(seen, albedo * (0.25 + 0.75 * np.maximum(normal @ LIGHT, 0)), image)
        nearest = np.where(seen, c[2] + dz, nearest)
    return image.astype(np.float32)


def turntable(n_solids: int, n_views: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n_solids n_views, side, side) float32 in [0, 1], and the solid of each, (n_solids n_views,)."""
    random = np.random.default_rng(seed)
    solids = [solid(random) for _ in range(n_solids)]
    angles = 2 * np.pi * np.arange(n_views) / n_views
    images = np.stack([drawn(one, angle, side) for one in solids for angle in angles])
    return images, np.repeat(np.arange(n_solids), n_views)
