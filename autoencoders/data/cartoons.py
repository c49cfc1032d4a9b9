"""Faces drawn from known factors: the true result of an edit is known, and nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.image_cache import cached_images
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Annotations, Context, UserError
from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require

FACTORS = ("mouth", "glasses", "hair_length", "hair_color", "skin", "eyes", "pose", "background")
"""All in [-1, 1]. mouth: corners down .. up; glasses: none (< 0) or on; eyes: small .. large; pose: left .. right."""
MOUTH_Y, MOUTH_WIDTH, MOUTH_BEND = 0.36, 0.22, 0.16
"""Position of the mouth, half its width, and the rise of its corners. The image has coordinates in [-1, 1]."""
CHUNK_FACES = 256
"""Faces that are drawn in one batch."""

SKIN = ((0.36, 0.22, 0.14), (0.78, 0.56, 0.42), (0.98, 0.86, 0.76))
HAIR = ((0.08, 0.06, 0.06), (0.45, 0.24, 0.10), (0.93, 0.78, 0.42))
BACKGROUND = ((0.25, 0.40, 0.62), (0.55, 0.72, 0.62), (0.93, 0.80, 0.60))
WHITE, DARK, LIPS, FRAME = (0.97, 0.97, 0.95), (0.10, 0.09, 0.12), (0.66, 0.16, 0.20), (0.12, 0.12, 0.16)


class CartoonsDataModule(ImageDataModule):
    """Drawn faces with their factors as attributes.

    Args:
        root: not used.
        count: number of images, of all splits together.
        size: side of the square images, in pixels.
        correlated: names of two correlated factors, or empty.
        correlation: correlation of these two, in [-1, 1], before their normal scores are mapped to [-1, 1].
        attributes: factors that are the labels of a conditional model or a classifier, or `all`.
        cache: folder of drawn images; None for the user's cache folder.
        **common: see `ImageDataModule`.
    """

    default_name: ClassVar[str] = "cartoons"

    def __init__(
        self,
        root: str | None = None,
        *,
        count: int = 10_000,
        size: int = 64,
        correlated: Sequence[str] = (),
        correlation: float = 0.0,
        attributes: Sequence[str] | str = (),
        cache: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(root, **common)
        attributes = FACTORS if attributes == "all" else attributes
        for name in (*correlated, *attributes):
            if name not in FACTORS:
                raise UserError(f"data=cartoons has no factor {name!r}. It has: {', '.join(FACTORS)}.")
        if len(correlated) not in (0, 2) or not -1 <= correlation <= 1:
            raise UserError(
                "data.correlated must name two factors or none, with data.correlation in [-1, 1], got "
                f"{len(correlated)} and {correlation}."
            )
        require(10 <= count <= 10_000_000, "data.count", count, "a number of images in 10 .. 10,000,000")
        require(16 <= size <= 1024, "data.size", size, "a number of pixels in 16 .. 1024")
        self.count, self.size = count, size
        self.correlated, self.correlation = tuple(correlated), correlation
        self.attributes, self.cache = tuple(attributes), cache

    @property
    def has_labels(self) -> bool:
        """Whether the images come with labels."""
        return bool(self.attributes)

    def read(self) -> Source:
        """Draw all faces, or load them from the cache. The factors in `attributes` are the labels."""
        values = self._draw_factors()
        images = cached_images(
            "cartoons",
            ["cartoons", self.count, self.size, self.split_options.split_seed, self.correlated, self.correlation],
            self.count,
            (3, self.size, self.size),
            lambda store: _draw_all(store, values, self.size),
            cache=self.cache,
            memory=self.memory,
        ).images
        if not self.attributes:
            return Source(Split(images, None), None, None)
        columns = [FACTORS.index(name) for name in self.attributes]
        return Source(Split(images, values[:, columns]), None, Context("attributes", self.attributes))

    def annotate(self, test: bool) -> Annotations:
        """Return every factor of every face."""
        return Annotations(attributes=self._draw_factors(), attribute_names=FACTORS)

    def _draw_factors(self) -> Tensor:
        return draw_factors(self.count, self.split_options.split_seed, self.correlated, self.correlation)


def draw_factors(count: int, seed: int, correlated: Sequence[str] = (), correlation: float = 0.0) -> Tensor:
    """Return (count, 8) factors in [-1, 1], uniform, and independent except for one pair. Glasses are -1 or 1."""
    z = counter_rng.normal(counter_rng.derive_seed(seed, "cartoons"), torch.arange(count), len(FACTORS))
    if correlated:
        a, b = (FACTORS.index(name) for name in correlated)
        z[:, b] = correlation * z[:, a] + (1 - correlation**2) ** 0.5 * z[:, b]
    values = 2 * torch.special.ndtr(z) - 1
    glasses = FACTORS.index("glasses")
    values[:, glasses] = values[:, glasses].sign()
    return values


def _draw_all(store: np.ndarray, values: Tensor, size: int) -> None:
    """Draw all faces into an array (N, 3, size, size) uint8."""
    for start in range(0, len(values), CHUNK_FACES):
        faces = draw(values[start : start + CHUNK_FACES], size)
        store[start : start + CHUNK_FACES] = (faces * 255).round().byte().numpy()


def draw(values: Tensor, size: int) -> Tensor:
    """Draw faces from factors.

    Args:
        values: (B, 8) in [-1, 1], in the order of `FACTORS`.
        size: side in pixels.

    Returns:
        (B, 3, size, size) float32 in [0, 1], with edges smoothed over one pixel.
    """
    mouth, glasses, length, hair, skin, eyes, pose, background = (v[:, None, None] for v in values.T)
    turn, skin_color = 0.14 * pose, _ramp(SKIN, skin)
    canvas = _Canvas(size, _ramp(BACKGROUND, background))
    _draw_head(canvas, turn, length, _ramp(HAIR, hair), skin_color)
    _draw_eyes(canvas, turn, eyes, glasses)
    canvas.paint(canvas.ellipse(1.4 * turn, 0.15, 0.035, 0.07), 0.82 * skin_color)  # the nose
    _draw_mouth(canvas, turn, mouth)
    return canvas.image


class _Canvas:
    """Images (B, 3, H, W) that shapes are painted on.

    A shape is a signed distance (B, H, W) to its edge, negative inside. Coordinates are in [-1, 1], y grows downwards.
    """

    def __init__(self, size: int, background: Tensor) -> None:
        self.pixel = 2 / size
        axis = (torch.arange(size) + 0.5) * self.pixel - 1
        self.y, self.x = axis[None, :, None], axis[None, None, :]
        self.image = background.expand(-1, 3, size, size)

    def ellipse(self, cx: Tensor | float, cy: Tensor | float, rx: Tensor | float, ry: Tensor | float) -> Tensor:
        """Return the distance to an ellipse with center (cx, cy) and radii rx and ry."""
        scale = torch.minimum(torch.as_tensor(rx), torch.as_tensor(ry))
        return ((((self.x - cx) / rx) ** 2 + ((self.y - cy) / ry) ** 2).sqrt() - 1) * scale

    def paint(self, distance: Tensor, color: Tensor | tuple[float, float, float]) -> None:
        """Fill a shape with a color."""
        coverage = (0.5 - distance / self.pixel).clamp(0, 1)[:, None]
        color = color if isinstance(color, Tensor) else torch.tensor(color)[None, :, None, None]
        self.image = torch.lerp(self.image, color, coverage)


def _draw_head(canvas: _Canvas, turn: Tensor, length: Tensor, hair_color: Tensor, skin_color: Tensor) -> None:
    """Draw the hair behind the face, the face, and the fringe."""
    x, y = canvas.x, canvas.y
    locks = torch.maximum((x - 0.3 * turn).abs() - 0.58, torch.maximum(-0.2 - y, y - (0.25 + 0.45 * length)))
    canvas.paint(torch.minimum(canvas.ellipse(0.3 * turn, -0.14, 0.6, 0.62), locks), hair_color)
    canvas.paint(canvas.ellipse(0.3 * turn, 0.06, 0.48, 0.62), skin_color)
    fringe = canvas.ellipse(0.3 * turn, 0.06, 0.5, 0.64)  # slightly larger than the face, so that its edge is covered
    canvas.paint(torch.maximum(fringe, y + 0.36 - 0.25 * x**2), hair_color)


def _draw_eyes(canvas: _Canvas, turn: Tensor, eyes: Tensor, glasses: Tensor) -> None:
    """Draw the eyes, and glasses where the factor is positive."""
    radius = 0.095 + 0.035 * eyes
    hidden = (glasses < 0) * 9  # a distance that is outside of every pixel
    for side in (-0.2, 0.2):
        canvas.paint(canvas.ellipse(turn + side, -0.06, radius * 1.15, radius), WHITE)
        canvas.paint(canvas.ellipse(1.25 * turn + side, -0.06, radius * 0.55, radius * 0.55), DARK)
        canvas.paint((canvas.ellipse(turn + side, -0.06, 0.175, 0.175).abs() - 0.018) + hidden, FRAME)
    bridge = torch.maximum((canvas.x - turn).abs() - 0.05, (canvas.y + 0.07).abs() - 0.016)
    canvas.paint(bridge + hidden, FRAME)


def _draw_mouth(canvas: _Canvas, turn: Tensor, mouth: Tensor) -> None:
    """Draw the mouth as a parabola, whose corners rise with the factor."""
    across = (canvas.x - turn) / MOUTH_WIDTH
    curve = MOUTH_Y - MOUTH_BEND * mouth * (across**2 - 0.5)
    slope = 2 * MOUTH_BEND * mouth * across / MOUTH_WIDTH
    stroke = (canvas.y - curve).abs() / (1 + slope**2).sqrt() - 0.032
    canvas.paint(torch.maximum(stroke, (canvas.x - turn).abs() - MOUTH_WIDTH), LIPS)


def _ramp(colors: Sequence[tuple[float, float, float]], value: Tensor) -> Tensor:
    """Interpolate between three colors, at -1, 0 and 1, for values (B, 1, 1). The result is (B, 3, 1, 1)."""
    low, middle, high = (torch.tensor(c)[None, :, None, None] for c in colors)
    t = value[:, None]
    return torch.where(t < 0, torch.lerp(middle, low, -t), torch.lerp(middle, high, t))
