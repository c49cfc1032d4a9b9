"""Plot of one metric of several runs as a function of the optimizer step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autoencoders.figures.style import (
    MUTED_COLOR,
    PLAIN,
    SMALL_SIZE,
    SeriesStyle,
    add_axes_header,
    add_legend,
    new_figure,
    plain_text,
    series_styles,
    style_axes,
)

EARLY_SHARE, MAX_EARLY_RATIO = 0.15, 1.5
"""Rule for the vertical axis of `metric_over_runs`.

Values in the first 15 % of the steps are cut off if they would make the vertical axis more than 1.5 times as long.
"""


def metric_over_runs(
    curves: Mapping[str, np.ndarray],
    title: str,
    y: str,
    baselines: Mapping[str, float] | None = None,
    styles: Sequence[SeriesStyle] | None = None,
) -> Figure:
    """Plot one metric as a function of the optimizer step, with one line per run and a dotted line per baseline.

    High values at the start of training are cut off if the rest of the curves would look flat; see `EARLY_SHARE`.

    Args:
        curves: dict from the display name of a run to an array (n, 2) of optimizer steps and values.
        title: one line above the axes.
        y: label of the vertical axis, with its unit.
        baselines: dict from the name of a baseline to its value. A baseline outside the vertical axis is not plotted.
        styles: style of each line; None for one color per run.
    """
    width, legend = 5.6, 0.18 * -(-len(curves) // 2) + 0.1  # inches
    height = 3.3 + legend
    figure = new_figure(width, height)
    ax = figure.add_axes((0.8 / width, (0.55 + legend) / height, 4.6 / width, 2.4 / height))
    lines: list[Line2D] = []
    styles = styles or series_styles(list(curves), by_model=False)
    for points, style in zip(curves.values(), styles, strict=True):
        marker = style.marker if len(points) < 40 else None
        lines += ax.plot(*points.T, color=style.color, ls=style.line, lw=1.6, marker=marker, ms=3)
    ax.set_ylim(*_vertical_limits(list(curves.values())))
    for name, value in (baselines or {}).items():
        if ax.get_ylim()[0] <= value <= ax.get_ylim()[1]:
            ax.axhline(value, color=MUTED_COLOR, ls=":", lw=1)
            ax.annotate(plain_text(name), (0.01, value), xycoords=("axes fraction", "data"), ha="left", va="bottom",
                        fontsize=SMALL_SIZE, color=MUTED_COLOR, **PLAIN)  # fmt: skip
    style_axes(ax, "", "optimizer step", y)
    add_axes_header(ax, title)
    add_legend(figure, lines, list(curves), fontsize=SMALL_SIZE, loc="lower left", bbox_to_anchor=(0.0, 0.0), ncols=2)
    return figure


def _vertical_limits(curves: list[np.ndarray]) -> tuple[float, float]:
    """Return the lower and upper limit of the vertical axis; see `EARLY_SHARE`."""
    steps, values = np.concatenate(curves).T
    low, high = values.min(), values[steps >= EARLY_SHARE * steps.max()].max()
    if values.max() - low <= MAX_EARLY_RATIO * (high - low):
        high = values.max()
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
