"""Line plot that compares several methods, with error bars."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from autoencoders.figures.style import (
    LABEL_SIZE,
    MUTED_COLOR,
    PLAIN,
    add_axes_header,
    add_axes_legend,
    new_figure,
    series_styles,
    style_axes,
)


def line_plot(
    lines: Mapping[str, np.ndarray], title: str, x: str, y: str, mark: tuple[float, str] | None = None
) -> Figure:
    """Plot one line per method, with error bars of one standard error.

    The first method is the model. Its line is thicker and lies above the other lines.

    Args:
        lines: dict from method to an array (n, 3) of horizontal positions, values and standard errors.
        title: one line above the axes.
        x: label of the horizontal axis, with its unit.
        y: label of the vertical axis, with its unit.
        mark: horizontal position of a dotted vertical line and the text next to this line, or None for no line.
    """
    figure = new_figure(7.2, 4.4)
    ax = figure.add_subplot()
    styles = series_styles(list(lines), by_model=False)
    for i, ((name, points), style) in enumerate(zip(lines.items(), styles, strict=True)):
        is_model = i == 0
        ax.errorbar(
            points[:, 0], points[:, 1], yerr=points[:, 2], color=style.color, ls=style.line, marker="o", capsize=2,
            lw=2.2 if is_model else 1.3, ms=4 if is_model else 3, label=name, zorder=3 if is_model else 2,
        )  # fmt: skip
    if mark is not None:
        position, label = mark
        ax.axvline(position, color=MUTED_COLOR, ls=":", lw=1, zorder=0)
        ax.annotate(label, (position, 1), xycoords=("data", "axes fraction"), xytext=(4, -2), va="top",
                    textcoords="offset points", fontsize=LABEL_SIZE, color=MUTED_COLOR, **PLAIN)  # fmt: skip
    style_axes(ax, "", x, y)
    add_axes_header(ax, title)
    add_axes_legend(ax, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    return figure
