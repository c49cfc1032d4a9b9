"""Grids of images with row and column labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import FAINT, INK, LABEL, TITLE, canvas

TILE = 56
"""Images are enlarged by the largest whole factor that keeps their longer side within this many pixels, times 2."""
GAP, MARGIN, CHARACTER = 4, 12, 8
PIXELS_PER_INCH = 100


def image_grid(
    images: np.ndarray,
    title: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    caption: str = "",
) -> Figure:
    """A grid of images.

    Args:
        images: (rows, columns, C, H, W) floats; drawn in the fixed range [0, 1], values beyond it clipped.
        title: one line above.
        rows: a label per row, or none.
        columns: a label per column, of one line or several, or none.
        caption: one quieter line under the title: the numbers that go with the picture.
    """
    tiled = tile_images(images)  # pixels, (H, W, 3)
    lines = 1 + max((label.count("\n") for label in columns), default=0)
    left = MARGIN + (CHARACTER * max(map(len, rows)) + 6 if rows else 0)
    top = MARGIN + 20 + (18 if caption else 0) + (18 + 17 * (lines - 1) if columns else 6)
    words = max(len(title) * 7.6, len(caption) * 6.8)
    width = max(left + tiled.shape[1] + MARGIN, words + 2 * MARGIN)
    height = top + tiled.shape[0] + MARGIN
    figure = canvas(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH)
    figure.text(MARGIN / width, 1 - MARGIN / height, title, va="top", fontsize=TITLE, color=INK)
    if caption:
        figure.text(MARGIN / width, 1 - (MARGIN + 21) / height, caption, va="top", fontsize=LABEL, color=FAINT)
    axes = figure.add_axes(
        (left / width, MARGIN / height, tiled.shape[1] / width, tiled.shape[0] / height), frameon=False
    )
    axes.imshow(tiled, interpolation="nearest", vmin=0, vmax=1, aspect="auto")
    axes.set_axis_off()
    step_y, step_x = (tiled.shape[0] + GAP) / images.shape[0], (tiled.shape[1] + GAP) / images.shape[1]
    for i, label in enumerate(rows):
        axes.text(-8, (i + 0.5) * step_y, label, ha="right", va="center", fontsize=LABEL, color=INK)
    for i, label in enumerate(columns):
        axes.text((i + 0.5) * step_x - GAP / 2, -5, label, ha="center", va="bottom", fontsize=LABEL, color=INK)
    return figure


def tile_images(images: np.ndarray) -> np.ndarray:
    """One RGB picture (H', W', 3) of a grid (rows, columns, C, H, W), enlarged by a whole factor, gaps white."""
    rows, columns, _, height, width = images.shape
    factor = max(1, 2 * TILE // max(height, width) if rows * columns <= 40 else TILE // max(height, width))
    images = np.clip(np.nan_to_num(images), 0, 1).repeat(factor, axis=3).repeat(factor, axis=4)
    height, width = height * factor, width * factor
    picture = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), dtype=np.float32)
    for r in range(rows):
        for c in range(columns):
            top, left = r * (height + GAP), c * (width + GAP)
            picture[top : top + height, left : left + width] = images[r, c].transpose(1, 2, 0)
    return picture
