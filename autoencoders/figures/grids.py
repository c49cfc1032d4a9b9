"""Grids of images with text for each row and column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.pixels import to_rgb
from autoencoders.figures.style import (
    LABEL_SIZE,
    MAX_CAPTION,
    MAX_NAME,
    MAX_TITLE,
    PLAIN,
    TEXT_COLOR,
    add_header,
    new_figure,
    plain_text,
)

TILE = 56
"""Maximum side of an enlarged image in pixels.

Images are enlarged by the largest integer factor that respects this limit. The limit is doubled for a grid with at most
SMALL_GRID images. Images larger than the limit are not reduced.
"""
SMALL_GRID = 40
"""Maximum number of images in a grid whose images are enlarged twice as much; see `TILE`."""
GAP, MARGIN, CHARACTER, MIN_COLUMN = 4, 12, 8, 48
"""Space between images, margin around the figure, width of a character, and minimum width of column text, in pixels."""
PIXELS_PER_INCH = 100
"""Resolution of figures whose layout is computed in pixels."""


def image_grid(
    images: np.ndarray,
    title: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    caption: str = "",
) -> Figure:
    """Plot a grid of images.

    Args:
        images: (rows, columns, C, H, W) floats. 0 is black and 1 is white. Values outside [0, 1] are clipped.
        title: one line above the grid.
        rows: text to the left of each row, or empty.
        columns: text above each column, or empty. The text can have several lines. Long texts are vertical.
        caption: one line of smaller text below the title, such as the metrics of the images.
    """
    tiled = tile_images(images)  # pixels, (H, W, 3)
    step_y, step_x = (tiled.shape[0] + GAP) / images.shape[0], (tiled.shape[1] + GAP) / images.shape[1]
    rows = [plain_text(label, 2 * MAX_NAME) for label in rows]
    columns = ["\n".join(plain_text(line) for line in label.split("\n")) for label in columns]
    left = MARGIN + (CHARACTER * max(map(len, rows)) + 6 if rows else 0)
    longest = max((len(line) for label in columns for line in label.split("\n")), default=0)
    vertical = longest * CHARACTER > max(step_x, MIN_COLUMN)  # neighboring labels would overlap
    lines = longest * CHARACTER / 17 if vertical else 1 + max((label.count("\n") for label in columns), default=0)
    top = MARGIN + 20 + (18 if caption else 0) + (18 + 17 * (lines - 1) if columns else 6)
    text_width = max(min(len(title), MAX_TITLE) * 7.6, min(len(caption), MAX_CAPTION) * 6.8)
    width = max(left + tiled.shape[1] + MARGIN, text_width + 2 * MARGIN)
    height = top + tiled.shape[0] + MARGIN
    figure = new_figure(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH)
    add_header(figure, title, caption, MARGIN / width, 1 - MARGIN / height, 1 - (MARGIN + 21) / height)
    axes = figure.add_axes(
        (left / width, MARGIN / height, tiled.shape[1] / width, tiled.shape[0] / height), frameon=False
    )
    axes.imshow(tiled, interpolation="nearest", vmin=0, vmax=1, aspect="auto")
    axes.set_axis_off()
    style = {"fontsize": LABEL_SIZE, "color": TEXT_COLOR, **PLAIN}
    for i, label in enumerate(rows):
        axes.text(-8, (i + 0.5) * step_y, label, ha="right", va="center", **style)
    for i, label in enumerate(columns):
        x = (i + 0.5) * step_x - GAP / 2
        axes.text(x, -5, label, ha="center", va="bottom", rotation=90 if vertical else 0, **style)
    return figure


def tile_images(images: np.ndarray) -> np.ndarray:
    """Arrange images (rows, columns, C, H, W) in one large RGB image (height, width, 3) with white gaps between them.

    Each image is enlarged by an integer factor; see `TILE`.
    """
    rows, columns, _, height, width = images.shape
    tile = 2 * TILE if rows * columns <= SMALL_GRID else TILE
    factor = max(1, tile // max(height, width))
    pictures = to_rgb(images).repeat(factor, axis=2).repeat(factor, axis=3)
    height, width = height * factor, width * factor
    tiled = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), dtype=np.float32)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + GAP), column * (width + GAP)
            tiled[top : top + height, left : left + width] = pictures[row, column]
    return tiled
