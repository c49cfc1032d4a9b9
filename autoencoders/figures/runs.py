"""Plot of one metric of several runs as a function of the optimizer step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autoencoders.figures.style import (
    CLASS_COLORS,
    LABEL_SIZE,
    MAX_TITLE,
    MUTED_COLOR,
    PLAIN,
    add_legend,
    new_figure,
    plain_text,
    style_axes,
)

LINE_STYLES = ("-", "--", ":", "-.")
"""Line styles. If there are more runs than colors, the colors are repeated with the next line style."""

EARLY_SHARE, MAX_EARLY_RATIO = 0.15, 1.5
"""Rule for the vertical axis of `metric_over_runs`.

Values in the first 15 % of the steps are cut off if they would make the vertical axis more than 1.5 times as long.
"""


def metric_over_runs(
    curves: Mapping[str, np.ndarray], title: str, y: str, baselines: Mapping[str, float] | None = None
) -> Figure:
    """Plot one metric as a function of the optimizer step, with one line per run and a dotted line per baseline.

    High values at the start of training are cut off if the rest of the curves would look flat; see `EARLY_SHARE`.

    Args:
        curves: dict from the display name of a run to an array (n, 2) of optimizer steps and values.
        title: one line above the axes.
        y: label of the vertical axis, with its unit.
        baselines: dict from the name of a baseline to its value. A baseline outside the vertical axis is not plotted.
    """
    figure = new_figure(5.0, 3.6)
    ax = figure.add_subplot()
    lines: list[Line2D] = []
    for i, points in enumerate(curves.values()):
        style = LINE_STYLES[i // len(CLASS_COLORS) % len(LINE_STYLES)]
        marker = "o" if len(points) < 40 else None
        color = CLASS_COLORS[i % len(CLASS_COLORS)]
        lines += ax.plot(*points.T, color=color, ls=style, lw=1.6, marker=marker, ms=2.5)
    ax.set_ylim(*_vertical_limits(list(curves.values())))
    for name, value in (baselines or {}).items():
        if ax.get_ylim()[0] <= value <= ax.get_ylim()[1]:
            ax.axhline(value, color=MUTED_COLOR, ls=":", lw=1)
            ax.annotate(plain_text(name), (0.99, value), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                        fontsize=LABEL_SIZE - 1, color=MUTED_COLOR, **PLAIN)  # fmt: skip
    style_axes(ax, plain_text(title, MAX_TITLE), "optimizer step", y)
    add_legend(
        ax, lines, list(curves), fontsize=LABEL_SIZE - 1, loc="upper left", bbox_to_anchor=(-0.1, -0.18), ncols=2
    )
    figure.tight_layout()
    return figure


def _vertical_limits(curves: list[np.ndarray]) -> tuple[float, float]:
    """Return the lower and upper limit of the vertical axis; see `EARLY_SHARE`."""
    steps, values = np.concatenate(curves).T
    low, high = values.min(), values[steps >= EARLY_SHARE * steps.max()].max()
    if values.max() - low <= MAX_EARLY_RATIO * (high - low):
        high = values.max()
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
