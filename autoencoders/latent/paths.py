"""Interpolation paths between two codes: straight and spherical."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def linear(a: Tensor, b: Tensor, steps: Tensor) -> Tensor:
    """Return straight paths (N, S, Z) from codes `a` (N, Z) to codes `b` (N, Z).

    `steps` (S,) are positions on the path between 0 (the code in `a`) and 1 (the code in `b`).

    Example:
        >>> linear(torch.zeros(1, 2), torch.ones(1, 2), torch.linspace(0, 1, 3)).tolist()
        [[[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]]
    """
    return torch.lerp(a[:, None], b[:, None], steps[None, :, None])


def spherical(a: Tensor, b: Tensor, steps: Tensor, center: Tensor | float = 0.0) -> Tensor:
    """Return spherical paths between codes: they rotate around a center, and their radius changes linearly.

    The angular speed is constant. In high dimensions, nearly all samples of a Gaussian are close to a sphere. The
    middle of a straight path between two samples is far inside this sphere, but a spherical path stays close to the
    sphere. Sources: Shoemake, "Animating rotation with quaternion curves", 1985; White, "Sampling generative networks",
    2016.

    Args:
        a: (N, Z) codes at the start of each path.
        b: (N, Z) codes at the end of each path.
        steps: (S,) positions on the path between 0 (start) and 1 (end).
        center: (Z,) center of rotation, or one number for all latents.

    Returns:
        Paths (N, S, Z) in float32. A path is straight if its start, its end and the center are collinear.

    Example:
        >>> path = spherical(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.linspace(0, 1, 3))
        >>> [round(radius, 3) for radius in path.norm(dim=2)[0].tolist()]
        [1.0, 1.0, 1.0]
    """
    a, b, t = a.double() - center, b.double() - center, steps.double()[None, :, None]
    long, other = (v.norm(dim=1).clamp(min=1e-12)[:, None, None] for v in (a, b))
    u, v = a[:, None] / long, b[:, None] / other
    angle = (u * v).sum(2, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    turned = (((1 - t) * angle).sin() * u + (t * angle).sin() * v) / sine.clamp(min=1e-12)
    path = turned * ((1 - t) * long + t * other)
    straight = torch.lerp(a[:, None], b[:, None], t)
    # The rotation is undefined if start, end and center are collinear, or if the start or the end is at the center.
    no_turn = (sine < 1e-6) | (torch.minimum(long, other) <= 1e-12)
    return (torch.where(no_turn, straight, path) + center).float()


PATHS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"linear": linear, "spherical": spherical}
"""Name of a kind of path -> function that computes paths from codes and positions."""
