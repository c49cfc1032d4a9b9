"""Images in reading order, each with its label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import INK, LABEL, TITLE, canvas


def labelled_grid(images: np.ndarray, labels: Sequence[str], title: str, columns: int = 8) -> Figure:
    """Images (N, C, H, W) in rows of `columns`, in the fixed range [0, 1], with a label under each."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    side, strip, head = 1.1, 0.26 if any(labels) else 0.08, 0.45  # inches
    width, height = max(columns * (side + 0.1) + 0.2, len(title) * 0.085), rows * (side + strip) + head
    figure = canvas(width, height)
    figure.text(0.1 / width, 1 - 0.1 / height, title, va="top", fontsize=TITLE, color=INK)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        row, column = divmod(i, columns)
        left, top = 0.1 + column * (side + 0.1), head + row * (side + strip)
        ax = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
        picture = np.clip(image.transpose(1, 2, 0), 0, 1).squeeze()
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_axis_off()
        ax.text(0.5, -0.03, label, transform=ax.transAxes, ha="center", va="top", fontsize=LABEL - 2, color=INK)
    return figure
