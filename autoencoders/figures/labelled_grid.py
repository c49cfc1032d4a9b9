"""A grid of images with text below each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.pixels import to_rgb
from autoencoders.figures.style import (
    MAX_TITLE,
    PLAIN,
    SMALL_SIZE,
    TEXT_COLOR,
    TITLE_CHARACTER,
    add_header,
    new_figure,
    plain_text,
    wrap_text,
)


def labelled_grid(images: np.ndarray, labels: Sequence[str], title: str, columns: int = 8) -> Figure:
    """Plot images in rows, with text below each image.

    Args:
        images: (N, C, H, W) floats. 0 is black and 1 is white. Values outside [0, 1] are clipped.
        labels: text below each image, N strings. A string can be empty.
        title: one line above the grid.
        columns: maximum number of images per row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    side, label_height = 1.1, 0.26 if any(labels) else 0.08  # inches
    width = max(columns * (side + 0.1) + 0.2, min(len(title) * TITLE_CHARACTER + 0.2, 8.2))
    titles = wrap_text(title, MAX_TITLE, width - 0.2, TITLE_CHARACTER)
    header_height = 0.26 + 0.19 * len(titles)
    height = rows * (side + label_height) + header_height
    figure = new_figure(width, height)
    add_header(figure, "\n".join(titles), "", 0.1 / width, 1 - 0.1 / height, 0)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        row, column = divmod(i, columns)
        left, top = 0.1 + column * (side + 0.1), header_height + row * (side + label_height)
        ax = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
        ax.imshow(to_rgb(image), interpolation="nearest")
        ax.set_axis_off()
        ax.text(
            0.5, -0.03, plain_text(label), transform=ax.transAxes, ha="center", va="top", fontsize=SMALL_SIZE,
            color=TEXT_COLOR, **PLAIN,
        )  # fmt: skip
    return figure
