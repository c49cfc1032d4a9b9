"""A grid of query images and their nearest neighbors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from autoencoders.figures.pixels import to_rgb
from autoencoders.figures.style import (
    CAPTION_CHARACTER,
    GREEN,
    MAX_CAPTION,
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

TILE, LABEL_HEIGHT, MAX_TEXT_WIDTH = 0.92, 0.2, 8.2
"""Side of an image, height of the text below an image, and width up to which a title or caption widens the figure, in
inches."""
MAX_LABEL = 14
"""Maximum number of characters below an image."""


def neighbor_grid(
    queries: np.ndarray,
    neighbors: np.ndarray,
    distances: np.ndarray,
    same: np.ndarray | None,
    names: Sequence[str],
    title: str,
    caption: str = "",
) -> Figure:
    """Plot one row per query: the query image, then its neighbors with their distances below them.

    A neighbor with the same class as the query has a green frame.

    Args:
        queries: (Q, C, H, W) query images in [0, 1].
        neighbors: (Q, K, C, H, W) neighbors of each query, nearest first.
        distances: (Q, K) distances between the query and its neighbors.
        same: (Q, K) bool, whether the neighbor has the same class as the query, or None if the classes are unknown.
        names: text below each query image, Q strings.
        title: one line above the grid.
        caption: one line of smaller text below the title.
    """
    count, k = neighbors.shape[:2]
    text_width = max(len(title) * TITLE_CHARACTER, len(caption) * CAPTION_CHARACTER)
    width = max(0.24 + TILE * (k + 1.25), min(text_width, MAX_TEXT_WIDTH)) + 0.12
    titles = wrap_text(title, MAX_TITLE, width - 0.24, TITLE_CHARACTER)
    captions = wrap_text(caption, MAX_CAPTION, width - 0.24, CAPTION_CHARACTER)
    top = 0.12 + 0.19 * len(titles) + (0.16 * len(captions) if caption else 0) + 0.1
    height = top + 0.1 + count * (TILE + LABEL_HEIGHT)
    figure = new_figure(width, height)
    caption_y = 1 - (0.14 + 0.19 * len(titles)) / height
    add_header(figure, "\n".join(titles), "\n".join(captions), 0.12 / width, 1 - 0.1 / height, caption_y)

    def draw_image(row: int, left: float, image: np.ndarray, label: str, framed: bool) -> None:
        bottom = height - top - (row + 1) * (TILE + LABEL_HEIGHT) + LABEL_HEIGHT
        ax = figure.add_axes((left / width, bottom / height, 0.94 * TILE / width, 0.94 * TILE / height))
        ax.imshow(to_rgb(image), interpolation="nearest")
        ax.set_axis_off()
        color = GREEN if framed else TEXT_COLOR
        ax.set_title(label, y=-0.21, fontsize=SMALL_SIZE, color=color, pad=0, **PLAIN)
        if framed:
            frame = Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, ec=GREEN, lw=3, clip_on=False)
            ax.add_patch(frame)

    for i in range(count):
        draw_image(i, 0.12, queries[i], _query_label(plain_text(names[i], 200)), framed=False)
        for j in range(k):
            framed = same is not None and bool(same[i, j])
            draw_image(i, 0.12 + TILE * (j + 1.25), neighbors[i, j], f"{distances[i, j]:.3g}", framed)
    return figure


def _query_label(name: str) -> str:
    """Return the text below a query image: the name after the word `query`, or only the end of a long name."""
    label = f"query {name}"
    return label if len(label) <= MAX_LABEL else name[-MAX_LABEL:]
