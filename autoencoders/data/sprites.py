"""Images of a square, an ellipse or a heart, drawn from a grid of known factors like those of dSprites."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.factor_images import FactorGrid, FactorImagesDataModule, grid_indices
from autoencoders.data.sprite_shapes import SHAPES, draw_sprites
from autoencoders.types import Factors, UserError
from autoencoders.utils.checks import check_at_least, require

CHUNK_IMAGES = 1024
"""Number of images that are drawn in one batch."""
VERSION = 1
"""Version of the drawings. Increase it if the same factors give different pixels."""


class SpritesDataModule(FactorImagesDataModule):
    """White shapes on black, drawn from the factors shape, scale, orientation, x and y.

    The factors are those of dSprites (Matthey et al., 2017), with antialiased edges. With the default options, the
    complete grid has 3 x 6 x 40 x 32 x 32 = 737,280 images. Scales are evenly spaced from 0.5 to 1, and positions from
    0 to 1. Orientation k of K is the angle `turn` k / K counterclockwise. A square is unchanged by a rotation of 90
    degrees and an ellipse by 180 degrees, so that images with different orientations can be equal, as in dSprites.
    With `turn=90`, all images differ.

    Args:
        root: not used, because no file is downloaded.
        size: height and width of the images, in pixels.
        shapes: names of the shapes: square, ellipse, heart.
        scales: number of scales.
        orientations: number of orientations.
        positions: number of horizontal and of vertical positions.
        turn: range of the orientations, in degrees.
        **options: options of `FactorImagesDataModule`.
    """

    default_name: ClassVar[str] = "sprites"
    factor_names: ClassVar[tuple[str, ...]] = ("shape", "scale", "orientation", "x", "y")

    def __init__(
        self,
        root: str | None = None,
        *,
        size: int = 64,
        shapes: Sequence[str] = tuple(SHAPES),
        scales: int = 6,
        orientations: int = 40,
        positions: int = 32,
        turn: float = 360.0,
        count: int | None = 30_000,
        **options: Any,
    ) -> None:
        super().__init__(root, count=count, **options)
        for name in shapes:
            if name not in SHAPES:
                raise UserError(f"data.shapes must contain only {', '.join(SHAPES)}, got {name!r}.")
        distinct = 0 < len(shapes) == len(set(shapes))
        require(distinct, "data.shapes", list(shapes), f"a list of different shapes; choose from {', '.join(SHAPES)}")
        for option, value in (("scales", scales), ("orientations", orientations), ("positions", positions)):
            check_at_least(f"data.{option}", value, 1)
        require(16 <= size <= 1024, "data.size", size, "a number of pixels between 16 and 1024")
        require(0 < turn <= 360, "data.turn", turn, "a number of degrees above 0 and at most 360")
        self.size, self.shapes, self.turn = size, tuple(shapes), float(turn)
        self.counts = (scales, orientations, positions)

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return "drawn from a grid of factors"

    def open_grid(self) -> FactorGrid:
        """Return the grid of all combinations of the factors. The images are drawn by its `fill`."""
        scales, orientations, positions = self.counts
        spots = evenly_spaced(0.0, 1.0, positions)
        values = (
            self.shapes,
            evenly_spaced(0.5, 1.0, scales),
            tuple(math.radians(self.turn) * i / orientations for i in range(orientations)),
            spots,
            spots,
        )
        factors = Factors(self.factor_names, values)
        indices = grid_indices(factors.sizes)

        def fill(store: np.ndarray, rows: Tensor) -> None:
            draw_rows(store, factors, indices[rows], self.size)

        key = [VERSION, self.size, self.shapes, *self.counts, self.turn]
        return FactorGrid(factors, indices, (1, self.size, self.size), key, fill)


def evenly_spaced(first: float, last: float, count: int) -> tuple[float, ...]:
    """Return `count` evenly spaced numbers from `first` to `last`. A single number is `last`."""
    return tuple(np.linspace(first, last, count).tolist()) if count > 1 else (last,)


def draw_rows(store: np.ndarray, factors: Factors, indices: Tensor, size: int) -> None:
    """Draw the images with the factor indices (N, 5) into the uint8 array `store` (N, 1, size, size)."""
    numbers = [torch.tensor(factors.values[i]) for i in range(1, 5)]
    for start in range(0, len(indices), CHUNK_IMAGES):
        chunk = indices[start : start + CHUNK_IMAGES]
        scale, angle, x, y = (values[chunk[:, i]] for i, values in enumerate(numbers, 1))
        for i, shape in enumerate(factors.values[0]):
            picked = (chunk[:, 0] == i).nonzero().flatten()
            if len(picked):
                images = draw_sprites(str(shape), scale[picked], angle[picked], x[picked], y[picked], size)
                store[start + picked.numpy()] = images.numpy()
