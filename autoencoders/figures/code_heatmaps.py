"""Images next to heat maps of their codes."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.pixels import to_rgb
from autoencoders.figures.style import LABEL_SIZE, MUTED_COLOR, PLAIN, SMALL_SIZE, TEXT_COLOR, add_header, new_figure


def code_heatmaps(
    inputs: np.ndarray, codes: np.ndarray, outputs: np.ndarray, title: str, caption: str = "", count: int = 6
) -> Figure:
    """Plot one row per image: the input image, its code as a heat map, and the output image.

    Args:
        inputs: (N, C, H, W) input images in [0, 1].
        codes: (N, Z) codes. The Z values of a code fill a rectangular heat map line by line. All heat maps have the
            same color scale, which is symmetric around 0.
        outputs: (N, C, H, W) output images.
        title: one line above the grid.
        caption: one line of smaller text below the title.
        count: maximum number of images.
    """
    count, size = min(count, len(inputs)), codes.shape[1]
    map_width = math.ceil(math.sqrt(size * 2))
    limit = float(np.abs(codes[:count]).max()) or 1.0
    figure = new_figure(6.6, 1.05 * count + 0.75)
    height = figure.get_figheight()
    add_header(figure, title, caption, 0.02, 1 - 0.12 / height, 1 - 0.34 / height)
    top = 1 - 0.72 / height
    grid = figure.add_gridspec(count, 3, width_ratios=(1, 2.4, 1), left=0.02, right=0.88, bottom=0.02, top=top,
                               hspace=0.08, wspace=0.04)  # fmt: skip
    for i in range(count):
        code = np.full(map_width * math.ceil(size / map_width), np.nan)
        code[:size] = codes[i]
        panels = [figure.add_subplot(grid[i, j]) for j in range(3)]
        for ax, image in ((panels[0], inputs[i]), (panels[2], outputs[i])):
            ax.imshow(to_rgb(image), interpolation="nearest")
        mesh = panels[1].imshow(
            code.reshape(-1, map_width), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
        )
        for ax, heading in zip(panels, ("input", f"code, {size} values", "output"), strict=True):
            ax.set_axis_off()
            if i == 0:
                ax.set_title(heading, fontsize=LABEL_SIZE, color=TEXT_COLOR, **PLAIN)
    bar = figure.colorbar(mesh, cax=figure.add_axes((0.9, 0.02, 0.015, top - 0.02)))
    bar.ax.tick_params(labelsize=SMALL_SIZE, colors=MUTED_COLOR)
    bar.outline.set_visible(False)
    return figure
