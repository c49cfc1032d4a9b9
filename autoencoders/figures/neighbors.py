"""Queries beside what was found for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from autoencoders.figures.style import FAINT, GREEN, INK, LABEL, TITLE, canvas

TILE, UNDER = 0.92, 0.2
"""Inches: the side of an image, and the room for the number under it."""


def neighbor_grid(
    queries: np.ndarray,
    found: np.ndarray,
    distances: np.ndarray,
    same: np.ndarray | None,
    names: Sequence[str],
    title: str,
    caption: str = "",
) -> Figure:
    """A row per query: the query, a gap, its neighbors with their distances; a frame around those of its label.

    Args:
        queries: (Q, C, H, W) in [0, 1].
        found: (Q, K, C, H, W).
        distances: (Q, K).
        same: (Q, K) bool, or None where labels are unknown.
        names: Q labels under the queries.
        title: one line above.
        caption: a smaller one under it.
    """
    count, k = found.shape[:2]
    width = max(0.24 + TILE * (k + 1.25), 0.075 * len(title), 0.066 * len(caption)) + 0.12
    height = 0.75 + count * (TILE + UNDER)
    figure = canvas(width, height)
    figure.text(0.12 / width, 1 - 0.1 / height, title, va="top", fontsize=TITLE, color=INK)
    figure.text(0.12 / width, 1 - 0.34 / height, caption, va="top", fontsize=LABEL, color=FAINT)
    for i in range(count):
        for j in range(-1, k):
            left = 0.12 + (0 if j < 0 else TILE * (j + 1.25))
            bottom = height - 0.65 - (i + 1) * (TILE + UNDER) + UNDER
            ax = figure.add_axes((left / width, bottom / height, 0.94 * TILE / width, 0.94 * TILE / height))
            picture = np.clip((queries[i] if j < 0 else found[i, j]).transpose(1, 2, 0), 0, 1)
            ax.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            ax.set_axis_off()
            words = f"query {names[i]}"[-14:] if j < 0 else f"{distances[i, j]:.3g}"
            matched = j >= 0 and same is not None and bool(same[i, j])
            ax.set_title(words, y=-0.21, fontsize=LABEL - 1, color=GREEN if matched else INK, pad=0)
            if matched:
                frame = Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, ec=GREEN, lw=3, clip_on=False)
                ax.add_patch(frame)
    return figure
