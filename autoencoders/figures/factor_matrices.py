"""Heat maps of latents (rows) and factors (columns)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from autoencoders.figures.style import (
    CAPTION_CHARACTER,
    LABEL_SIZE,
    MAX_CAPTION,
    MAX_NAME,
    MUTED_COLOR,
    PLAIN,
    SMALL_SIZE,
    TEXT_COLOR,
    add_header,
    new_figure,
    plain_text,
    wrap_text,
)

ROW, COLUMN, MATRIX, LABELS, BAR = 0.3, 0.57, 2.85, 1.6, 0.8
"""Height of a row, maximum widths of a column and of a matrix, and widths of the row labels and of a color bar with its
labels, in inches.
"""
MAX_COLUMNS_WITH_TEXT = 9
"""Maximum number of columns with a number in each cell."""


def factor_matrices(
    matrices: Mapping[str, np.ndarray], rows: Sequence[str], columns: Sequence[str], title: str, caption: str = ""
) -> Figure:
    """Plot matrices with values in [0, 1] side by side, each with a color bar.

    Args:
        matrices: name of the matrix -> values (R, F).
        rows: text to the left of each row, for the first matrix.
        columns: text above each column.
        title: one line above the matrices.
        caption: smaller text below the title.
    """
    wide = min(COLUMN, MATRIX / len(columns)) * len(columns)
    width = max(LABELS + len(matrices) * (wide + BAR), 6.4)
    captions = wrap_text(caption, MAX_CAPTION, width - 0.3, CAPTION_CHARACTER) if caption else []
    names = [plain_text(name) for name in columns]
    longest = max(map(len, names))
    head = 0.5 + 0.16 * len(captions) + 0.3 + 0.075 * min(longest, MAX_NAME)
    height = head + ROW * len(rows) + 0.25
    figure = new_figure(width, height)
    add_header(figure, title, "\n".join(captions), 0.15 / width, 1 - 0.12 / height, 1 - 0.34 / height)
    for i, (name, values) in enumerate(matrices.items()):
        left = LABELS + i * (wide + BAR)
        box = (left / width, 0.2 / height, wide / width, ROW * len(rows) / height)
        axes = figure.add_axes(box)
        mesh = _draw_matrix(axes, values, names, [plain_text(row, 2 * MAX_NAME) for row in rows] if i == 0 else [])
        axes.text(
            0, 1 + (0.12 + 0.075 * longest) / (ROW * len(rows)), name, transform=axes.transAxes, va="bottom",
            fontsize=LABEL_SIZE, color=TEXT_COLOR, **PLAIN,
        )  # fmt: skip
        bar = figure.colorbar(mesh, cax=figure.add_axes((box[0] + box[2] + 0.1 / width, box[1], 0.12 / width, box[3])))
        bar.ax.tick_params(labelsize=SMALL_SIZE, colors=MUTED_COLOR)
        bar.outline.set_visible(False)
    return figure


def _draw_matrix(axes: Axes, values: np.ndarray, columns: Sequence[str], rows: Sequence[str]) -> AxesImage:
    """Draw one matrix (R, F), and return the image for its color bar."""
    mesh = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    style = {"fontsize": SMALL_SIZE, "color": TEXT_COLOR, **PLAIN}
    axes.set_xticks(range(len(columns)), columns, rotation=90, **style)
    axes.set_yticks(range(len(rows)), rows, **style)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if len(columns) <= MAX_COLUMNS_WITH_TEXT:
        for (i, j), value in np.ndenumerate(values):
            color = "white" if value > 0.6 else TEXT_COLOR
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=SMALL_SIZE, color=color, **PLAIN)
    return mesh
