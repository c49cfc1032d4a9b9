"""Antialiased white shapes on a black background, drawn from their signed distances."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

RADIUS = 0.45
"""Distance from the center of rotation of a shape with scale 1 to its farthest point.

Image coordinates range from -1 to 1, so that the image has the side 2. All shapes have the same radius.
"""
CORNER = math.sqrt(2) / 4
"""Radius of the two half discs of a heart whose square has the side sqrt(1/2)."""
HEART_CENTER = 0.63
"""Height of the center of rotation above the tip of such a heart. Tip and discs are then equally far from it."""


def square_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the signed distance to a square with half diagonal 1: exact inside and next to its sides."""
    return torch.maximum(x.abs(), y.abs()) - math.sqrt(0.5)


def ellipse_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the approximate signed distance to an ellipse with the horizontal radius 1 and the vertical radius 1/2."""
    a, b = 1.0, 0.5
    first = torch.sqrt((x / a) ** 2 + (y / b) ** 2)
    second = torch.sqrt((x / a**2) ** 2 + (y / b**2) ** 2)
    # The ratio is the distance from the center per unit of `first`. At the center, both are 0.
    return (first - 1) * torch.where(second > 1e-6, first / second.clamp_min(1e-6), b)


def heart_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the signed distance to a heart whose farthest points have the distance 1 from the origin.

    The heart is a square on its corner with a half disc on each of its two upper sides. The distance is exact.
    """
    size = math.hypot(0.25, 0.75 - HEART_CENTER) + CORNER  # distance of the farthest point before scaling
    x, y = x.abs() * size, y * size + HEART_CENTER
    disc = torch.hypot(x - 0.25, y - 0.75) - CORNER
    along = (x + y).clamp_min(0) / 2  # the nearest point on the lower side
    side = torch.minimum(torch.hypot(x, y - 1), torch.hypot(x - along, y - along)) * torch.sign(x - y)
    return torch.where(x + y > 1, disc, side) / size


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "square": square_distance,
    "ellipse": ellipse_distance,
    "heart": heart_distance,
}
"""Name of a shape -> its signed distance, negative inside, at points (x to the right, y upwards). The radius is 1."""


def draw_sprites(shape: str, scale: Tensor, angle: Tensor, x: Tensor, y: Tensor, size: int) -> Tensor:
    """Draw B images with one white shape each.

    Args:
        shape: name in `SHAPES`.
        scale: factors (B,) by which the radius `RADIUS` is multiplied.
        angle: rotation (B,) counterclockwise, in radians.
        x: horizontal positions (B,) in [0, 1]. The extreme positions leave a shape of scale 1 just inside the image.
        y: vertical positions (B,) in [0, 1], from bottom to top.
        size: height and width of the images, in pixels.

    Returns:
        Images (B, 1, size, size) uint8. A pixel on an edge has a gray level between 0 and 255.
    """
    pixel = 2 / size
    axis = (torch.arange(size) + 0.5) * pixel - 1
    reach = 1 - RADIUS
    dx = axis[None, None, :] - ((2 * x - 1) * reach)[:, None, None]
    dy = axis.flip(0)[None, :, None] - ((2 * y - 1) * reach)[:, None, None]
    cos, sin, radius = (v[:, None, None] for v in (angle.cos(), angle.sin(), RADIUS * scale))
    u, v = (cos * dx + sin * dy) / radius, (cos * dy - sin * dx) / radius
    distance = SHAPES[shape](u, v) * radius
    return ((0.5 - distance / pixel).clamp(0, 1) * 255).round().to(torch.uint8)[:, None]
