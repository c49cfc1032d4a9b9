"""Paths between codes."""

from __future__ import annotations

import torch
from torch import Tensor


def linear(a: Tensor, b: Tensor, steps: Tensor) -> Tensor:
    """Return straight paths between codes (N, Z) at `steps` (S,) in [0, 1]: (N, S, Z)."""
    return torch.lerp(a[:, None], b[:, None], steps[None, :, None])


def spherical(a: Tensor, b: Tensor, steps: Tensor, center: Tensor | float = 0.0) -> Tensor:
    """Return paths that rotate around a center at a constant angular speed, with a linearly changing radius.

    In many dimensions nearly all codes of a Gaussian are close to a sphere, and the middle of a straight path is far
    inside. Source: Shoemake, "Animating rotation with quaternion curves", 1985; White, "Sampling generative networks",
    2016.

    Args:
        a: (N, Z) starts.
        b: (N, Z) ends.
        steps: (S,) in [0, 1].
        center: (Z,), or one number.

    Returns:
        (N, S, Z); the straight path if start and end are collinear with the center.
    """
    a, b, t = a.double() - center, b.double() - center, steps.double()[None, :, None]
    long, other = (v.norm(dim=1).clamp(min=1e-12)[:, None, None] for v in (a, b))
    u, v = a[:, None] / long, b[:, None] / other
    angle = (u * v).sum(2, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    turned = (((1 - t) * angle).sin() * u + (t * angle).sin() * v) / sine.clamp(min=1e-12)
    path = turned * ((1 - t) * long + t * other)
    straight = torch.lerp(a[:, None], b[:, None], t)
    no_turn = (sine < 1e-6) | (torch.minimum(long, other) <= 1e-12)  # collinear, or at the center
    return (torch.where(no_turn, straight, path) + center).float()
