"""Synthetic cartoon faces, drawn from known factors. The correct result of an attribute edit is therefore known."""

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
from autoencoders.types import Annotations, Context, Factors, UserError
from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require

FACTORS = ("mouth", "glasses", "hair_length", "hair_color", "skin", "eyes", "pose", "background")
"""Names of the factors of a face. Each factor has values in [-1, 1].

The values -1 and 1 mean: `mouth` with corners down or up, `glasses` off or on, `hair_length` short or long,
`hair_color` and `skin` dark or light, `eyes` small or large, `pose` turned left or right, `background` blue or beige.
"""
MOUTH_Y, MOUTH_WIDTH, MOUTH_BEND = 0.36, 0.22, 0.16
"""Vertical position, half width, and height of the corners above the middle of a mouth with factor 1.

All three are in image coordinates, which range from -1 to 1.
"""
FACTOR_BINS = 10
"""Number of bins of equal width into which a continuous factor is divided for `CartoonsDataModule.factors`."""
CHUNK_FACES = 256
"""Number of faces that are drawn in one batch."""

# RGB colors in [0, 1]. The factors -1, 0 and 1 select the first, second and third color.
SKIN = ((0.36, 0.22, 0.14), (0.78, 0.56, 0.42), (0.98, 0.86, 0.76))
HAIR = ((0.08, 0.06, 0.06), (0.45, 0.24, 0.10), (0.93, 0.78, 0.42))
BACKGROUND = ((0.25, 0.40, 0.62), (0.55, 0.72, 0.62), (0.93, 0.80, 0.60))
WHITE, DARK, LIPS, FRAME = (0.97, 0.97, 0.95), (0.10, 0.09, 0.12), (0.66, 0.16, 0.20), (0.12, 0.12, 0.16)


class CartoonsDataModule(ImageDataModule):
    """Synthetic cartoon faces. Their factors are the attributes of the images.

    Args:
        root: not used, because no file is downloaded.
        count: total number of images in all splits.
        size: height and width of the images, in pixels.
        correlated: names of two factors to correlate; empty for independent factors.
        correlation: correlation, in [-1, 1], of the two normal variables from which the two factors are computed.
        attributes: factors that a conditional model or a classifier uses as labels; `all` for every factor.
        cache: folder for the cache of drawn images; None for a folder in the user's cache folder.
        test: see `ImageDataModule`.
        eval_batch_size: see `ImageDataModule`.
        **common: options of `ImageDataModule`.
    """

    default_name: ClassVar[str] = "cartoons"
    selectable_attributes: ClassVar[tuple[str, ...]] = FACTORS

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
        test: float = 0.1,
        eval_batch_size: int = 250,
        **common: Any,
    ) -> None:
        super().__init__(root, test=test, eval_batch_size=eval_batch_size, **common)
        attributes = FACTORS if attributes == "all" else attributes
        for name in (*correlated, *attributes):
            if name not in FACTORS:
                raise UserError(
                    f"data.correlated and data.attributes must contain only names of factors, got {name!r}. "
                    f"Choose from: {', '.join(FACTORS)}."
                )
        require(len(correlated) in (0, 2), "data.correlated", list(correlated), "two factors or an empty list")
        require(-1 <= correlation <= 1, "data.correlation", correlation, "a number in [-1, 1]")
        require(10 <= count <= 10_000_000, "data.count", count, "a number of images between 10 and 10,000,000")
        require(16 <= size <= 1024, "data.size", size, "a number of pixels between 16 and 1024")
        self.count, self.size = count, size
        self.correlated, self.correlation = tuple(correlated), correlation
        self.attributes, self.cache = tuple(attributes), cache

    @property
    def has_labels(self) -> bool:
        """Whether the images have labels, which is true if `attributes` is not empty."""
        return bool(self.attributes)

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return "drawn from random factors"

    def read(self) -> Source:
        """Load all faces from the cache, or draw them. The factors in `attributes` become the labels."""
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

    def annotate(self, part: str) -> Annotations:
        """Return all factors of all faces as attributes. There is no official test split, so `part` is not used."""
        values = self._draw_factors()
        return Annotations(
            attributes=values, attribute_names=FACTORS, factors=bin_factors(values), factor_names=FACTORS
        )

    @property
    def factors(self) -> Factors:
        """Generating factors of the faces. `glasses` is off or on, and all other factors are binned."""
        centers = tuple((2 * i + 1) / FACTOR_BINS - 1 for i in range(FACTOR_BINS))
        values = tuple(("off", "on") if name == "glasses" else centers for name in FACTORS)
        return Factors(FACTORS, values, f"All factors but glasses are continuous and divided into {FACTOR_BINS} bins.")

    def _draw_factors(self) -> Tensor:
        return draw_factors(self.count, self.split_options.split_seed, self.correlated, self.correlation)


def draw_factors(count: int, seed: int, correlated: Sequence[str] = (), correlation: float = 0.0) -> Tensor:
    """Sample the factors (count, 8) of random faces, in the order of `FACTORS`.

    Each factor is uniform in [-1, 1], except that `glasses` is -1 or 1. The factors are independent, except for the two
    factors in `correlated`.

    Args:
        count: number of faces.
        seed: seed of the random numbers.
        correlated: names of two factors to correlate; empty for independent factors.
        correlation: correlation, in [-1, 1], of the two normal variables from which the two factors are computed.
    """
    z = counter_rng.normal(counter_rng.derive_seed(seed, "cartoons"), torch.arange(count), len(FACTORS))
    if correlated:
        a, b = (FACTORS.index(name) for name in correlated)
        z[:, b] = correlation * z[:, a] + (1 - correlation**2) ** 0.5 * z[:, b]
    values = 2 * torch.special.ndtr(z) - 1
    glasses = FACTORS.index("glasses")
    values[:, glasses] = values[:, glasses].sign()
    return values


def bin_factors(values: Tensor) -> Tensor:
    """Return the bins (N, 8) int64 of factors (N, 8) in [-1, 1].

    `glasses` has the bins 0 (off) and 1 (on). Every other factor has `FACTOR_BINS` bins of equal width.
    """
    bins = ((values.double() + 1) / 2 * FACTOR_BINS).long().clamp(0, FACTOR_BINS - 1)
    glasses = FACTORS.index("glasses")
    bins[:, glasses] = (values[:, glasses] > 0).long()
    return bins


def _draw_all(store: np.ndarray, values: Tensor, size: int) -> None:
    """Draw the faces with the factors `values` (N, 8) into the uint8 array `store` (N, 3, size, size)."""
    for start in range(0, len(values), CHUNK_FACES):
        faces = draw(values[start : start + CHUNK_FACES], size)
        store[start : start + CHUNK_FACES] = (faces * 255).round().byte().numpy()


def draw(values: Tensor, size: int) -> Tensor:
    """Draw one face per row of factors.

    Args:
        values: factors (B, 8) in [-1, 1], in the order of `FACTORS`.
        size: height and width of the images, in pixels.

    Returns:
        Images (B, 3, size, size), float32 in [0, 1]. Edges are antialiased.
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
    """A batch of images (B, 3, H, W) on which shapes are painted.

    A shape is described by the signed distance (B, H, W) from each pixel to the edge of the shape. The distance is
    negative inside the shape. Coordinates range from -1 to 1; x grows to the right and y grows downwards.
    """

    def __init__(self, size: int, background: Tensor) -> None:
        self.pixel = 2 / size
        axis = (torch.arange(size) + 0.5) * self.pixel - 1
        self.y, self.x = axis[None, :, None], axis[None, None, :]
        self.image = background.expand(-1, 3, size, size)

    def ellipse(self, cx: Tensor | float, cy: Tensor | float, rx: Tensor | float, ry: Tensor | float) -> Tensor:
        """Return the approximate signed distance from each pixel to the edge of an ellipse.

        The ellipse has the center (cx, cy) and the radii rx and ry.
        """
        scale = torch.minimum(torch.as_tensor(rx), torch.as_tensor(ry))
        return ((((self.x - cx) / rx) ** 2 + ((self.y - cy) / ry) ** 2).sqrt() - 1) * scale

    def paint(self, distance: Tensor, color: Tensor | tuple[float, float, float]) -> None:
        """Fill a shape, described by its signed distance (B, H, W), with a color."""
        coverage = (0.5 - distance / self.pixel).clamp(0, 1)[:, None]
        color = color if isinstance(color, Tensor) else torch.tensor(color)[None, :, None, None]
        self.image = torch.lerp(self.image, color, coverage)


def _draw_head(canvas: _Canvas, turn: Tensor, length: Tensor, hair_color: Tensor, skin_color: Tensor) -> None:
    """Draw the hair behind the face, then the face, then the fringe."""
    x, y = canvas.x, canvas.y
    locks = torch.maximum((x - 0.3 * turn).abs() - 0.58, torch.maximum(-0.2 - y, y - (0.25 + 0.45 * length)))
    canvas.paint(torch.minimum(canvas.ellipse(0.3 * turn, -0.14, 0.6, 0.62), locks), hair_color)
    canvas.paint(canvas.ellipse(0.3 * turn, 0.06, 0.48, 0.62), skin_color)
    fringe = canvas.ellipse(0.3 * turn, 0.06, 0.5, 0.64)  # larger than the face to hide its edge
    canvas.paint(torch.maximum(fringe, y + 0.36 - 0.25 * x**2), hair_color)


def _draw_eyes(canvas: _Canvas, turn: Tensor, eyes: Tensor, glasses: Tensor) -> None:
    """Draw the eyes. Draw glasses on faces whose factor `glasses` is not negative."""
    radius = 0.095 + 0.035 * eyes
    hidden = (glasses < 0) * 9  # added to the distance, 9 moves every pixel outside of the glasses
    for side in (-0.2, 0.2):
        canvas.paint(canvas.ellipse(turn + side, -0.06, radius * 1.15, radius), WHITE)
        canvas.paint(canvas.ellipse(1.25 * turn + side, -0.06, radius * 0.55, radius * 0.55), DARK)
        canvas.paint((canvas.ellipse(turn + side, -0.06, 0.175, 0.175).abs() - 0.018) + hidden, FRAME)
    bridge = torch.maximum((canvas.x - turn).abs() - 0.05, (canvas.y + 0.07).abs() - 0.016)
    canvas.paint(bridge + hidden, FRAME)


def _draw_mouth(canvas: _Canvas, turn: Tensor, mouth: Tensor) -> None:
    """Draw the mouth as a parabola. The corners of the mouth rise as the factor `mouth` increases."""
    across = (canvas.x - turn) / MOUTH_WIDTH
    curve = MOUTH_Y - MOUTH_BEND * mouth * (across**2 - 0.5)
    slope = 2 * MOUTH_BEND * mouth * across / MOUTH_WIDTH
    stroke = (canvas.y - curve).abs() / (1 + slope**2).sqrt() - 0.032
    canvas.paint(torch.maximum(stroke, (canvas.x - turn).abs() - MOUTH_WIDTH), LIPS)


def _ramp(colors: Sequence[tuple[float, float, float]], value: Tensor) -> Tensor:
    """Interpolate linearly between three RGB colors.

    Args:
        colors: the colors at the values -1, 0 and 1.
        value: values (B, 1, 1) in [-1, 1].

    Returns:
        Colors (B, 3, 1, 1).
    """
    low, middle, high = (torch.tensor(c)[None, :, None, None] for c in colors)
    t = value[:, None]
    return torch.where(t < 0, torch.lerp(middle, low, -t), torch.lerp(middle, high, t))
