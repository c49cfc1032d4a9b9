"""Grids of images with text for each row and column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.figures.pixels import to_rgb
from autoencoders.figures.style import (
    CAPTION_CHARACTER,
    LABEL_SIZE,
    MAX_CAPTION,
    MAX_NAME,
    MAX_TITLE,
    MUTED_COLOR,
    PLAIN,
    SMALL_SIZE,
    TEXT_COLOR,
    TITLE_CHARACTER,
    add_header,
    new_figure,
    plain_text,
    wrap_text,
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
MAX_TEXT_WIDTH, BAR = 820, 34
"""Width in pixels up to which a title or caption widens a figure, and height of the color bar with its labels."""


def image_grid(
    images: np.ndarray,
    title: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    caption: str = "",
    color_bar: tuple[str, str, float] | None = None,
) -> Figure:
    """Plot a grid of images.

    Args:
        images: (rows, columns, C, H, W) floats. 0 is black and 1 is white. Values outside [0, 1] are clipped.
        title: one line above the grid.
        rows: text to the left of each row, or empty.
        columns: text above each column, or empty. The text can have several lines. Long texts are vertical.
        caption: smaller text below the title, such as the metrics of the images.
        color_bar: label, color map and upper limit of a color bar below the grid, if colors of images mean numbers.
    """
    tiled = tile_images(images)  # pixels, (H, W, 3)
    step_y, step_x = (tiled.shape[0] + GAP) / images.shape[0], (tiled.shape[1] + GAP) / images.shape[1]
    rows = [plain_text(label, 2 * MAX_NAME) for label in rows]
    columns = ["\n".join(plain_text(line) for line in label.split("\n")) for label in columns]
    left = MARGIN + (CHARACTER * max(map(len, rows)) + 6 if rows else 0)
    longest = max((len(line) for label in columns for line in label.split("\n")), default=0)
    vertical = longest * CHARACTER > max(step_x, MIN_COLUMN)  # neighboring labels would overlap
    lines = longest * CHARACTER / 17 if vertical else 1 + max((label.count("\n") for label in columns), default=0)
    content = left + tiled.shape[1] + MARGIN
    text_width = max(len(title) * TITLE_CHARACTER, len(caption) * CAPTION_CHARACTER) * PIXELS_PER_INCH
    width = max(content, min(text_width + 2 * MARGIN, MAX_TEXT_WIDTH))
    text_width = (width - 2 * MARGIN) / PIXELS_PER_INCH
    titles = wrap_text(title, MAX_TITLE, text_width, TITLE_CHARACTER)
    captions = wrap_text(caption, MAX_CAPTION, text_width, CAPTION_CHARACTER)
    header = 19 * len(titles) + (16 * len(captions) + 6 if caption else 0)
    top = MARGIN + 1 + header + (18 + 17 * (lines - 1) if columns else 6)
    bottom = MARGIN + (BAR if color_bar else 0)
    height = top + tiled.shape[0] + bottom
    figure = new_figure(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH)
    caption_y = 1 - (MARGIN + 2 + 19 * len(titles)) / height
    add_header(figure, "\n".join(titles), "\n".join(captions), MARGIN / width, 1 - MARGIN / height, caption_y)
    axes = figure.add_axes(
        (left / width, bottom / height, tiled.shape[1] / width, tiled.shape[0] / height), frameon=False
    )
    axes.imshow(tiled, interpolation="nearest", vmin=0, vmax=1, aspect="auto")
    axes.set_axis_off()
    style = {"fontsize": LABEL_SIZE, "color": TEXT_COLOR, **PLAIN}
    for i, label in enumerate(rows):
        axes.text(-8, (i + 0.5) * step_y, label, ha="right", va="center", **style)
    for i, label in enumerate(columns):
        x = (i + 0.5) * step_x - GAP / 2
        axes.text(x, -5, label, ha="center", va="bottom", rotation=90 if vertical else 0, **style)
    if color_bar:
        bar = figure.add_axes((left / width, (bottom - 20) / height, min(tiled.shape[1], 240) / width, 8 / height))
        _draw_color_bar(bar, *color_bar)
    return figure


def _draw_color_bar(axes: Axes, label: str, color_map: str, limit: float) -> None:
    """Draw a horizontal color bar from 0 to `limit`, with its label to the right."""
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=color_map, aspect="auto", extent=(0, limit, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([0, limit], ["0", f"{limit:.2g}"])
    axes.tick_params(labelsize=SMALL_SIZE, colors=MUTED_COLOR, length=2)
    axes.annotate(label, (1, 0.5), xycoords="axes fraction", xytext=(8, 0), textcoords="offset points", va="center",
                  fontsize=SMALL_SIZE, color=TEXT_COLOR, **PLAIN)  # fmt: skip


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
