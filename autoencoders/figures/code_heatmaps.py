"""Codes as small heat maps."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import FAINT, INK, LABEL, TITLE, canvas


def code_heatmaps(
    inputs: np.ndarray, codes: np.ndarray, outputs: np.ndarray, title: str, caption: str = "", count: int = 6
) -> Figure:
    """A row per image: original, its code as a heat map, output.

    Args:
        inputs: (N, C, H, W) in [0, 1].
        codes: (N, Z), drawn in rows of a nearly square map, all on one scale that is symmetric around 0.
        outputs: (N, C, H, W).
        title: one line above.
        caption: a smaller one under it.
        count: at most so many rows.
    """
    count, size = min(count, len(inputs)), codes.shape[1]
    wide = math.ceil(math.sqrt(size * 2))
    limit = float(np.abs(codes[:count]).max()) or 1.0
    figure = canvas(6.6, 1.05 * count + 0.75)
    figure.text(0.02, 1 - 0.12 / figure.get_figheight(), title, va="top", fontsize=TITLE, color=INK)
    figure.text(0.02, 1 - 0.34 / figure.get_figheight(), caption, va="top", fontsize=LABEL, color=FAINT)
    top = 1 - 0.72 / figure.get_figheight()
    grid = figure.add_gridspec(count, 3, width_ratios=(1, 2.4, 1), left=0.02, right=0.88, bottom=0.02, top=top,
                               hspace=0.08, wspace=0.04)  # fmt: skip
    for i in range(count):
        code = np.full(wide * math.ceil(size / wide), np.nan)
        code[:size] = codes[i]
        for j, picture in enumerate((inputs[i], code.reshape(-1, wide), outputs[i])):
            ax = figure.add_subplot(grid[i, j])
            ax.set_axis_off()
            if j == 1:
                mesh = ax.imshow(
                    picture, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
                )
            else:
                picture = np.clip(picture.transpose(1, 2, 0), 0, 1)
                ax.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            if i == 0:
                ax.set_title(("input", f"code, {size} numbers", "output")[j], fontsize=LABEL, color=INK)
    bar = figure.colorbar(mesh, cax=figure.add_axes((0.9, 0.02, 0.015, top - 0.02)))
    bar.ax.tick_params(labelsize=LABEL - 1, colors=FAINT)
    bar.outline.set_visible(False)
    return figure
